"""What a run has come to, for programs and notebooks: the dictionary of the state file, with records beside it.

    outcome = submission.run_submission()
    outcome["belonging_jobs"]               as `serialize` writes it, without secrets
    outcome.failed                          [TaskRecord(path="t7", state="terminated", code=127, cause="…"), …]
    pandas.DataFrame(outcome.to_records())  a row a task

The records are read off the journal when they are first asked for: a run of a million tasks costs nobody a million
objects who does not look at them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from html import escape
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..core.records import Attempt, Chronicle, TaskRecord

#: Rows of the table that a notebook shows; failed tasks come first.
SHOWN = 20


class Outcome(dict[str, Any]):
    """The dictionary of `Submission.serialize`, and what the journal knows of tasks and attempts.

    `journal` is the path of that journal. It can be pickled and written as JSON; neither holds a secret.
    """

    def __init__(self, state: Mapping[str, Any], journal: str | PathLike[str]) -> None:
        super().__init__(state)
        self.journal = Path(fspath(journal))

    def __reduce__(self) -> tuple[Any, ...]:
        return Outcome, (dict(self), self.journal)

    @cached_property
    def _chronicle(self) -> Chronicle:
        from ..run.store import read_chronicle

        return read_chronicle(self.journal)

    @cached_property
    def tasks(self) -> list[TaskRecord]:
        """Every task, in the order in which they were given."""
        return self._chronicle.tasks()

    @cached_property
    def attempts(self) -> list[Attempt]:
        """Every attempt of every job; times in seconds since the epoch."""
        return self._chronicle.attempts()

    @property
    def failed(self) -> list[TaskRecord]:
        """The tasks whose job is over, and which are not done."""
        return [task for task in self.tasks if task.state == "terminated"]

    def to_records(self) -> list[dict[str, Any]]:
        """A flat dictionary for each task: what it is, where it ran, how it ended.

        Keys: task, dir, command, state, attempts, exit_code (None: not known), cause, job, id, node, queue_time and
        run_time (seconds; None where it was not seen), memory (bytes, where the accounting has told; else None).
        """
        last = {attempt.job: attempt for attempt in self.attempts}
        return [_record(task, last.get(task.job)) for task in self.tasks]

    def raise_for_failed(self) -> None:
        """Raise JobsFailed, which names every job that failed for good; return when there is none."""
        from ..core.errors import JobsFailed
        from ..core.failure import failed_job
        from ..core.lifecycle import State

        history = self._chronicle.history
        failed = [
            failed_job(progress, history.planned[job].tasks)
            for job, progress in history.jobs.items()
            if progress.state is State.terminated
        ]
        if failed:
            raise JobsFailed(failed, len(history.jobs), self.journal.parent.name, "run again to try them again")

    def _repr_html_(self) -> str:
        done = sum(task.state == "finished" for task in self.tasks)
        rows = [record for record in self.to_records() if record["state"] != "finished"] or self.to_records()
        names = ("task", "state", "attempts", "exit_code", "cause", "node", "queue_time", "run_time")
        head = "".join(f"<th>{name.replace('_', ' ')}</th>" for name in names)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(_text(row[name]))}</td>" for name in names) + "</tr>" for row in rows[:SHOWN]
        )
        more = f"<p>and {len(rows) - SHOWN:,} more</p>" if len(rows) > SHOWN else ""
        title = (
            f"<p><b>{done:,} of {len(self.tasks):,} tasks finished</b> ({escape(self.journal.parent.name[:12])})</p>"
        )
        return f"{title}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _record(task: TaskRecord, attempt: Attempt | None) -> dict[str, Any]:
    waited = attempt.running - attempt.waiting if attempt and attempt.running and attempt.waiting else None
    ran = attempt.ended - attempt.running if attempt and attempt.running and attempt.ended else None
    return {
        "task": task.name or task.path,
        "dir": task.path,
        "command": task.command,
        "state": task.state,
        "attempts": task.attempt,
        "exit_code": task.code,
        "cause": task.cause,
        "job": task.job,
        "id": task.id,
        "node": attempt.node if attempt else "",
        "queue_time": waited,
        "run_time": ran,
        "memory": attempt.cause.maxrss if attempt and attempt.cause else None,
    }


def _text(value: Any) -> str:
    return "" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)
