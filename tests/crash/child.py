"""A dispatcher to be killed: `child.py WORK CONTEXT` runs the submission laid out in WORK, or goes on with it."""

import sys
from pathlib import Path

from dispatcher.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec
from dispatcher.session import open_session

TASKS = 16


def submission(work: Path, context: str) -> SubmissionSpec:
    """Every task says in one append that it runs; the log is the witness. None ends while there is a file `hold`."""
    wait = f"while [ -e {work}/hold ]; do sleep 0.1; done"
    command = f"echo {{}} >> {work}/log; sleep 0.{{}}; {wait}; cat in > out"
    return SubmissionSpec(
        "w",
        MachineSpec("Shell", context, str(work / "near"), str(work / "far"), retry_count=0, max_running=5),
        ResourcesSpec(1, 1, 0, "", 2, para_deg=1),
        tuple(TaskSpec(command.format(i, i % 4), f"t{i}", ("in",), ("out",)) for i in range(TASKS)),
    )


def lay_out(work: Path) -> None:
    """The tasks' directories and inputs."""
    for index in range(TASKS):
        task = work / "near" / "w" / f"t{index}"
        task.mkdir(parents=True)
        (task / "in").write_text(f"input {index}\n")


if __name__ == "__main__":
    with open_session(submission(Path(sys.argv[1]), sys.argv[2]), {}) as session:
        sys.stderr.writelines(f"warning: {warning}\n" for warning in session.journal.warnings)
        session.run(check_interval=0.3)
