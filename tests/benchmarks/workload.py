"""One workload, once, in this process, through the public API that both packages have; prints what it cost as JSON.

    python workload.py dispatcher run 100 /tmp/place        100 jobs `true` on the Shell queue, to their end
    python workload.py dpdispatcher hash 1000 /tmp/place    plan and identity of 1,000 jobs, with their inputs

Each job is one task with two forward files and one backward file. CPU seconds are those of this process and of all
children that it has waited for; bytes are what both have read and written, as Linux counts them.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any


def files(place: Path, jobs: int) -> None:
    """Make the inputs, unless they are there."""
    for nth in range(jobs):
        task = place / "w" / f"t{nth}"
        if not task.is_dir():
            task.mkdir(parents=True)
            (task / "a").write_text(f"a{nth}")
            (task / "b").write_text("b")


def submission(package: Any, place: Path, jobs: int, machine: dict[str, Any]) -> Any:
    """What is asked, in the words that both packages know."""
    tasks = [package.Task("true", f"t{nth}", ["a", "b"], ["log"]) for nth in range(jobs)]
    asked = {
        "batch_type": "Shell",
        "context_type": "LazyLocalContext",
        "local_root": str(place),
        "remote_root": str(place),
        "remote_profile": {},
        **machine,
    }
    resources = package.Resources(1, 1, 0, "", 1)
    return package.Submission("w", package.Machine.load_from_dict(asked), resources, task_list=tasks)


class FirstQuestion(BaseException):
    """The first time that the batch system would be asked."""


def to_the_first_question(asked: Any) -> None:
    """Start or resume, up to the moment at which the execution side is reached."""
    from dispatcher.contexts.local.lazy_local import LazyLocalConnection

    def stop(self: Any, call: Any) -> Any:
        raise FirstQuestion

    LazyLocalConnection.run = stop  # type: ignore[method-assign]
    try:
        asked.run_submission(check_interval=1)
    except FirstQuestion:
        return


def begin(asked: Any, jobs: int) -> None:
    """A run in its middle: every job has been submitted and runs, and this process dies."""
    from dispatcher.core import events as ev

    with asked._session() as session:
        for nth, job in enumerate(list(session.progress)):
            session.recorder.record(
                ev.Submitting(job, 1, session.environment.nonce()), ev.Submitted(job, str(nth)), ev.Running(job)
            )
        session.record(ev.Staged(2 * jobs, 10 * jobs))


def usage() -> tuple[float, float, float]:
    """Wall and CPU seconds until now: this process, and its children."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.monotonic(), own.ru_utime + own.ru_stime, children.ru_utime + children.ru_stime


def transferred() -> dict[str, int]:
    """Bytes that this process and the children it waited for have read and written."""
    lines = (line.split(":") for line in Path("/proc/self/io").read_text().splitlines())
    return {name: int(value) for name, value in lines}


def main() -> None:
    """Do it, and say what it cost."""
    name, what, jobs, place = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    package = importlib.import_module(name)
    files(place, jobs)
    asked = submission(package, place, jobs, {})
    if what == "begin":
        begin(asked, jobs)
        return
    before, bytes_before = usage(), transferred()
    if what == "hash":
        asked.generate_jobs()
        asked.get_hash()
    elif what == "run":
        asked.run_submission(check_interval=1)
    else:
        to_the_first_question(asked)
    after, bytes_after = usage(), transferred()
    wall, own, children = (round(end - start, 3) for start, end in zip(before, after, strict=True))
    found = {
        "wall": wall,
        "cpu": own,
        "children": children,
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "read": bytes_after["rchar"] - bytes_before["rchar"],
        "written": bytes_after["wchar"] - bytes_before["wchar"],
    }
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
