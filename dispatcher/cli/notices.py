"""What somebody should know of a run now, said once for each cause: the same in the live view, in lines, and in status.

37 jobs failed: python: command not found; first c13, attempt 1 of 4, next try in 30s
12 jobs postponed since 04:12:05 (3m 12s), no attempt is lost: QOSMaxSubmitJobPerUserLimit; asked again in 30s
1 job waits since 04:12:05 (3m 12s): PartitionConfig: as it is, it will not start
no good answer since 04:12:05 (3m 12s): Unable to contact slurm controller; asked again in 30s, the jobs run on
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from ..core.records import Chronicle, Failure
from .telling import clock, count, duration


class Notice(msgspec.Struct, frozen=True):
    """One thing to know. `kind`: failure, waiting, postponed or outage; `what` in the words of whoever said it.

    `jobs` is how many it concerns, `job` the first of them and `first` what its task is called, `attempt` of
    `attempts` is the one that failed, `again` how many of them are going to be tried again. `since`: seconds since
    the epoch. `advice`: what to do.
    """

    kind: str
    what: str
    jobs: int = 0
    job: str = ""
    first: str = ""
    attempt: int = 0
    attempts: int = 0
    again: int = 0
    since: float = 0.0
    advice: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """The same thing has the same key, whatever its numbers are now."""
        return self.kind, re.sub(r"\d+", "N", self.what)


def notices(chronicle: Chronicle) -> list[Notice]:
    """Outages first, then failures, then what jobs wait for."""
    found: list[Notice] = []
    if chronicle.outage:
        found.append(Notice("outage", chronicle.outage, since=chronicle.out_since, advice=_advice(chronicle.outage)))
    found += [_failure(failure, chronicle.retry_count) for failure in chronicle.failures()]
    for pause in chronicle.pauses():
        kind = "postponed" if pause.deferred else "waiting"
        found.append(
            Notice(kind, pause.why, len(pause.jobs), pause.jobs[0], since=pause.since, advice=_advice(pause.why))
        )
    return found


def current(chronicle: Chronicle, at_work: bool) -> list[Notice]:
    """The same; an outage counts only while somebody is there to see its end."""
    return [notice for notice in notices(chronicle) if at_work or notice.kind != "outage"]


def _failure(failure: Failure, retries: int) -> Notice:
    first = failure.first
    return Notice(
        "failure",
        failure.title,
        len(failure.jobs),
        first.job,
        failure.path,
        first.number,
        max(retries + 1, first.number),
        failure.retried,
        first.ended,
        _advice(failure.title),
    )


_ON_PATH = (
    "is it on PATH there? For tasks module_list, source_list and envs (resources) set it; for the batch system's own "
    "commands see machine/batch_type; `dispatcher check` looks"
)
#: What usually helps, by what was said. The first that fits counts.
_ADVICE = (
    (
        r"command not found|failed to run command|No such file or directory.*\b(sbatch|squeue|q(sub|stat)|bjobs)",
        _ON_PATH,
    ),
    (r"QOSMax|AssocMax|\blimit|quota|too many jobs", "machine/max_running keeps fewer jobs in the queue"),
    (r"as it is, it will not start", "`dispatcher cancel` ends it; then correct resources, or ask the site"),
)


def _advice(text: str) -> str:
    return next((advice for pattern, advice in _ADVICE if re.search(pattern, text, re.IGNORECASE)), "")


def line_of(notice: Notice, now: float, next_query: float | None = None) -> str:
    """A notice as a sentence; `next_query` is how many seconds from now the next look is, None when nobody looks."""
    look = "" if next_query is None else f" in {duration(next_query + 0.99)}" if next_query > 0 else " now"
    if notice.kind == "failure":
        tail = f"{notice.again} to be tried again" if next_query is None else f"next try{look}"
        again = f", {tail}" if notice.again else ", not tried again"
        attempt = f"attempt {notice.attempt} of {notice.attempts}"
        return f"{count(notice.jobs, 'job')} failed: {notice.what}; first {notice.first}, {attempt}{again}"
    since = f"since {clock(notice.since)} ({duration(now - notice.since)})"
    asked = "; to be asked again" if next_query is None else f"; asked again{look}"
    if notice.kind == "outage":
        return f"no good answer {since}: {notice.what}{asked}, the jobs run on"
    if notice.kind == "postponed":
        return f"{count(notice.jobs, 'job')} postponed {since}, no attempt is lost: {notice.what}{asked}"
    wait = "waits" if notice.jobs == 1 else "wait"
    return f"{count(notice.jobs, 'job')} {wait} {since}: {notice.what}"


def as_json(notice: Notice) -> dict[str, Any]:
    """A notice for programs."""
    found: dict[str, Any] = msgspec.to_builtins(notice)
    return found


class Told:
    """What has been told already: a notice is told when it is new, and again when it concerns twice as many jobs."""

    def __init__(self) -> None:
        self._jobs: dict[tuple[str, str], int] = {}

    def news(self, found: list[Notice]) -> list[Notice]:
        """Those to be told now."""
        keys = {notice.key for notice in found}
        self._jobs = {key: jobs for key, jobs in self._jobs.items() if key in keys}
        new = [notice for notice in found if self._is_news(notice)]
        self._jobs |= {notice.key: notice.jobs for notice in new}
        return new

    def _is_news(self, notice: Notice) -> bool:
        before = self._jobs.get(notice.key)
        return before is None or notice.jobs >= 2 * before > 0
