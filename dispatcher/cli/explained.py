"""Why a job is in its state: the chain of its records as sentences; values in, text out.

04:12:01  attempt 1 was written down as dq3v81kx0mza, then the batch system was asked
04:12:02  it is 4211 and waits
04:19:40  it failed: task: a task failed, exit code 3; that was attempt 1 of 4
04:19:50  the policy allows another attempt
now       waiting since 04:19:52: attempt 2 of 4
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ..core.lifecycle import Policy, Progress, Todo, todo
from ..core.records import Chronicle
from ..core.states import State
from .telling import ReplayRow, clock, codes, date

_SAID: dict[str, Callable[[ReplayRow], str]] = {
    "planned": lambda row: f"it was planned: {row.why}",
    "reused": lambda row: row.why,
    "submitting": lambda row: f"attempt {row.attempt} was written down {row.why}, then the batch system was asked",
    "submitted": lambda row: f"it is {row.id} and waits" + (f" ({row.why})" if row.why else ""),
    "deferred": lambda row: f"the batch system does not take it now: {row.why}; that costs no attempt",
    "unrecognized": lambda row: f"the batch system said what nobody here knows: {row.why}",
    "not_found": lambda row: f"no answer came, and it was found nowhere ({row.why}): it may be asked for again",
    "rejected": lambda row: f"the batch system will not take it: {row.why}",
    "running": lambda row: f"it runs {row.why}".rstrip(),
    "waiting": lambda row: f"it is back in the queue{': ' + row.why if row.why else ''}",
    "completing": lambda row: "its tasks are over or being ended",
    "owner_changed": lambda row: f"{row.id} is the one that runs it: {row.why}",
    "stopping": lambda row: f"it is to be killed: {row.why}",
    "finished": lambda row: f"every task ended with code 0 ({codes(row.tasks) or 'as an earlier attempt had'})",
    "terminated": lambda row: f"attempt {row.attempt} ended without success: {row.why}",
    "retried": lambda row: f"it is tried again: {row.why or 'the policy allows another attempt'}",
    "earlier_attempt_found": lambda row: f"{row.why}: it counts, nothing was submitted beside it",
    "note": lambda row: row.why,
}


def sentences(rows: Iterable[ReplayRow], job: str) -> Iterator[tuple[str, str]]:
    """When, and what happened, for one job."""
    day = ""
    for row in rows:
        if row.job != job:
            continue
        if day != date(row.at):
            day = date(row.at)
            yield day, ""
        said = _SAID.get(row.event)
        yield clock(row.at), said(row) if said else f"{row.event}: {row.why}"


def standing(chronicle: Chronicle, job: Progress) -> str:
    """Where it stands, and what comes next."""
    last = chronicle.last(job.job)
    since = f" since {clock(last.since)}" if last and last.since else ""
    why = f" ({last.why})" if last and last.why else ""
    attempts = max(chronicle.retry_count + 1, job.attempt)
    return f"{job.state.value}{since}{why}, attempt {job.attempt} of {attempts}: {_next(job, chronicle.retry_count)}"


def _next(job: Progress, retries: int) -> str:
    due = todo(job, Policy(retries=retries))
    if due is Todo.nothing:
        if job.state is State.finished:
            return "nothing is left to do"
        return "over for good; `dispatcher retry` or the command that started it begins a new round"
    return {
        Todo.submit: "the batch system is to be asked",
        Todo.observe: "the batch system is to be looked at",
        Todo.retry: "to be tried again",
        Todo.drop: "to be dropped, it never reached the queue",
    }[due]
