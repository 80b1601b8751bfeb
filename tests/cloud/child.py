"""A dispatcher to be killed: `child.py WORK KIND PROFILE` runs the submission laid out in WORK, or goes on with it."""

import json
import sys
from pathlib import Path

from dispatcher.core.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec
from dispatcher.run.session import open_session
from dispatcher.schedulers.cloud.dialect import CloudDialect

TASKS = 8


def submission(work: Path, kind: str) -> SubmissionSpec:
    """Every task says in one append that it runs; the log is the witness."""
    command = f"echo {{}} >> {work}/log; sleep 0.{{}}; cat in > out"
    return SubmissionSpec(
        "w",
        MachineSpec(kind, kind, str(work / "local"), retry_count=0),
        ResourcesSpec(1, 1, 0, "", 1),
        tuple(TaskSpec(command.format(i, i % 4), f"t{i}", ("in",), ("out",)) for i in range(TASKS)),
    )


def lay_out(work: Path) -> None:
    """The tasks' directories and inputs."""
    for index in range(TASKS):
        task = work / "local" / "w" / f"t{index}"
        task.mkdir(parents=True)
        (task / "in").write_text(f"input {index}\n")


if __name__ == "__main__":
    CloudDialect.absence_timeout = 0.8  # the server of the tests lists at once
    with open_session(submission(Path(sys.argv[1]), sys.argv[2]), json.loads(sys.stdin.read())) as session:
        session.run(check_interval=0.3)
