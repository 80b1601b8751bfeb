"""One more golden journal: `python -m tests.journal.golden NAME`. One that is there is never written again.

fixtures/journals/v1/NAME/            a record of every kind, with every field, as today's version writes it
                    NAME.jsonl        its records: number, time, record
                    NAME.report.json  what `verify` says
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec

from dispatcher.core import events as ev
from dispatcher.core.history import History
from dispatcher.core.model import MachineSpec, ResourcesSpec, TaskSpec
from journal import Journal, read, verify

GOLDEN = Path(__file__).parents[2] / "fixtures" / "journals" / "v1"
SUBMISSION, JOB, OTHER = "9b2d41c0" * 5, "5f1c" * 10, "77aa" * 10
FIRST, SECOND = "dq3v81kx0mza", "da9wx2mfk4tz"


def story() -> list[Any]:
    """Events that can follow one another: every kind there is, and each of their fields at least once."""
    machine = MachineSpec("Slurm", "SSHContext", "./", "/scratch/me", 3, 100, True, True)
    resources = ResourcesSpec(1, 4, 0, "cpu", 2, kwargs={"walltime": "8:00:00"}, envs={"OMP_NUM_THREADS": "4"})
    tasks = (TaskSpec("python run.py", "c0", ("in",), ("out",), "log", "err", "first"), TaskSpec("true", "c1"))
    ended = ((0, 0, 1790000123.0), (1, 137, 1790000200.5))
    cause = ev.Cause(
        ev.CauseKind.memory, "out of memory", 137, 9, "OUT_OF_MEMORY", "node7", 77.5, 8589934592, 1, "Killed\n",
        "slurmstepd: error: oom-kill\n", "accounting",
    )  # fmt: skip
    opened = [_built(machine), _built(resources), "/home/me/runs", ("pot.json",), ("conf",), {"c0/in": "9f86"}, "0a1b"]
    return [
        ev.Opened(SUBMISSION, "2c26" * 10, "runs", *opened), ev.Placed(f"{SUBMISSION}-0a1b"),
        ev.Planned(JOB, (0, 2), tasks), ev.Planned(OTHER, (1,), (TaskSpec("größer", "c2"),)), ev.Staged(3, 4096),
        ev.Reused(OTHER, (0,), "1f2e" * 10), ev.Finished(OTHER), ev.Rerun(OTHER, (0,), "asked for"),
        ev.Submitting(JOB, 1, FIRST, ("9f86d081", ""), 1), ev.Deferred(JOB, "QOSMaxSubmitJobPerUserLimit"),
        ev.Submitting(JOB, 1, FIRST, ("9f86d081", ""), 2), ev.InDoubt(JOB, "words that nobody knows", known=False),
        ev.NotFound(JOB, "no receipt, no claim, not in the queue"), ev.Submitting(JOB, 1, FIRST, ("9f86d081", ""), 3),
        ev.Submitted(JOB, "4211", "receipt"), ev.Running(JOB, "node7"), ev.Waiting(JOB, "requeued"),
        ev.Running(JOB, "node8"), ev.OwnerChanged(JOB, "4212", "it holds the claim"), ev.Completing(JOB),
        ev.Terminated(JOB, cause, ended, 4), ev.Retried(JOB, True, {"memory": "32G"}), ev.Submitting(JOB, 2, SECOND),
        ev.EarlierAttemptFound(JOB, FIRST), ev.Running(JOB), ev.Stopping(JOB, ev.CauseKind.cancelled, (0,)),
        ev.Terminated(JOB, ev.Cause(ev.CauseKind.cancelled, "killed by the dispatcher")),
        ev.Submitting(OTHER, 1, "dzz9w02ab7cd"), ev.Rejected(OTHER, ev.Cause(ev.CauseKind.rejected, "Invalid account")),
        ev.Received({"c0/out": "9f86d081"}), ev.Delivered((JOB,), 1, 812, ("c1/out",)),
        ev.Note("an outage is over", JOB), ev.Cleaned(), ev.Concluded("failed", 2),
    ]  # fmt: skip


def _built(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def write(path: Path) -> None:
    """Two runs: the second goes on after the jobs were submitted."""
    events, history = story(), History()
    for event in events:
        history.fold(event)
    for part in (events[:15], events[15:]):
        with Journal.open(path, ev.Event, application="dispatcher 0.1.0") as log:
            for event in part:
                log.append(event)
                log.commit()
    (path / "LOCK").unlink(missing_ok=True)
    kept = [{"n": entry.number, "t": entry.at, "r": entry.record} for entry in read(path, dict)]
    lines = b"".join(msgspec.json.encode(each) + b"\n" for each in kept)
    path.with_name(f"{path.name}.jsonl").write_bytes(lines)
    report = msgspec.to_builtins(verify(path))
    report.pop("path")
    path.with_name(f"{path.name}.report.json").write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")


if __name__ == "__main__":
    target = GOLDEN / sys.argv[1]
    if target.exists():
        raise SystemExit(f"{target} is there: what is frozen is not written again; give another name")
    write(target)
