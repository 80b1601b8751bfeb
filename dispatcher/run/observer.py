"""Looking at jobs, and what it amounts to.

    look ─▶ scheduler.look ─▶ context.ask ─▶ looked ─▶ decide ─▶ ⏎finished | …
                                                  └─▶ about to be terminated: account ─▶ accounted ─▶ decide ─▶ ⏎

A good answer without a job opens a grace; an exit marker, the accounting, or
the grace's end close it. No answer changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from ..core import events as ev
from ..core.errors import Unreachable
from ..core.lifecycle import Progress, bits, decide
from ..core.ports import Context, Look, Native, Reply, Scheduler, Watch
from .environment import Outside
from .recorder import Ledger

#: Seconds, twice, that a marker written on another host may need to be seen here (attribute caches of network file
#: systems), when the scheduler lists the job as over and gives no reason for a failure.
MARKER_LAG = 15.0
#: Seconds, twice, that a scheduler may need to say why a job has failed that is known to have failed.
CAUSE_LAG = 5.0
#: Seconds that the accounting may keep a job alive that the queue does not know any more (a record may be stuck).
ACCOUNT_HOLD = 600.0


_About = TypeVar("_About")
_Told = TypeVar("_Told")


def understood(read: Callable[[Reply, _About], _Told], reply: Reply, about: _About) -> _Told:
    """What a dialect reads in an answer; Unreachable when it stumbles: noise is no answer, and ends no run."""
    try:
        return read(reply, about)
    except (ValueError, LookupError, ArithmeticError, TypeError) as error:
        raise Unreachable(f"the answer cannot be read ({type(error).__name__}: {str(error)[:200]})") from error


class Missing(NamedTuple):
    """Missing since when, since when in this phase, and how many phases have passed."""

    since: float
    phase: float
    passed: int


class Observer:
    """What was seen of the jobs of one submission, beyond what the journal holds: it starts empty in every process."""

    def __init__(self, ledger: Ledger, scheduler: Scheduler, context: Context, outside: Outside) -> None:
        self.ledger, self.scheduler, self.context, self.outside = ledger, scheduler, context, outside
        self.trouble = ""
        self.partial: dict[str, int] = {}
        self._untold = ""
        self._missing: dict[str, Missing] = {}
        self._said: set[tuple[str, str]] = set()

    def look(self, jobs: Sequence[Progress]) -> None:
        """One look at these jobs; what follows from it is recorded, not yet committed."""
        watches = [self.watch(job) for job in jobs]
        try:
            reply = self.context.ask(self.scheduler.look(watches, self.context.place))
            seen = understood(self.scheduler.looked, reply, watches)
        except Unreachable as error:
            self.troubled(str(error))
            return
        self.troubled(seen.trouble)
        looks = {job.job: seen.jobs[job.nonce] for job in jobs}
        gone = {job.job for job in jobs if self._gone(job, looks[job.job])}
        self._explain(jobs, looks, gone)
        for job in jobs:
            self._learn(job.job, looks[job.job], job.job in gone)

    def unsettled(self) -> float | None:
        """Seconds after which another look can settle what is missing; None when nothing is."""
        return self.scheduler.grace if self._missing else None

    def watch(self, job: Progress) -> Watch:
        """What to ask about a job; accounting is searched from when the submission was begun."""
        return Watch(job.nonce, job.id, self.ledger.history.began)

    def troubled(self, trouble: str) -> None:
        """Record the beginning and the end of an outage, not every round of it."""
        if bool(trouble) != bool(self.trouble):
            self.ledger.record(ev.Note(f"no good answer: {trouble}" if trouble else "answers are good again"))
            self.ledger.commit()
        self.trouble = trouble

    def _learn(self, name: str, seen: Look, gone: bool) -> None:
        """All events that this observation amounts to."""
        if seen.claim:
            self.partial[name] = bits(seen.claim.tasks, self.ledger.history.jobs[name].size)
        copies = seen.claim.fenced if seen.claim else ()
        for text in [*(f"a second copy ({copy}) was turned away by the claim" for copy in copies), seen.hint]:
            self._say_once(name, text)
        while event := decide(self.ledger.history.jobs[name], seen, gone):
            self.ledger.record(event)
            self._missing.pop(name, None)  # whatever is missing now is missing anew
            gone = gone and not isinstance(event, (ev.Submitted, ev.Adopted))

    def _say_once(self, name: str, text: str) -> None:
        if text and (name, text) not in self._said:
            self._said.add((name, text))
            self.ledger.record(ev.Note(text, job=name))

    # -- absence ------------------------------------------------------------------------------------------------

    def _gone(self, job: Progress, seen: Look) -> bool:
        """Absent, or over without a finished marker, for longer than the grace, and then for as long again.

        Once is not enough: a job may have been listed too late for the first look, have run while nobody looked,
        and its marker be too fresh to be seen in the second.
        """
        grace = self._grace(job, seen)
        if grace is None:
            self._missing.pop(job.job, None)
            return False
        now = self.outside.elapsed()
        missing = self._missing.get(job.job) or Missing(now, now, 0)
        if now - missing.phase >= grace:
            missing = Missing(missing.since, now, missing.passed + 1)
        self._missing[job.job] = missing
        return missing.passed >= 2

    def _grace(self, job: Progress, seen: Look) -> float | None:
        """How long this may go on before it counts; None when nothing is missing."""
        if seen.id and not job.id:
            return None  # it has just been found
        if seen.claim and seen.claim.ended:
            return min(self.scheduler.grace, CAUSE_LAG)
        if seen.native is Native.ended:
            return min(self.scheduler.grace, CAUSE_LAG if seen.cause else MARKER_LAG)
        return self.scheduler.grace if seen.native is Native.absent else None

    # -- accounting ---------------------------------------------------------------------------------------------

    def _explain(self, jobs: Sequence[Progress], looks: dict[str, Look], gone: set[str]) -> None:
        """Ask the accounting, once for all, about those that are about to be given up or called terminated."""
        ending = [job for job in jobs if not job.stopping and self._ends(job, looks[job.job], job.job in gone)]
        watches = [self.watch(job) for job in ending]
        call = self.scheduler.account(watches, self.context.place) if watches else None
        if call is None:
            return
        try:
            told = understood(self.scheduler.accounted, self.context.ask(call), watches)
        except Unreachable as error:
            self._untellable(str(error))
            return
        self._untellable(told.trouble)
        for job in ending:
            if job.nonce in told.jobs:
                self._enrich(job, looks, told.jobs[job.nonce], gone)

    def _ends(self, job: Progress, seen: Look, gone: bool) -> bool:
        return isinstance(decide(job, seen, gone), (ev.Terminated, ev.Void))

    def _enrich(self, job: Progress, looks: dict[str, Look], told: Look, gone: set[str]) -> None:
        """What the queue and the markers showed, with what the accounting knows of it."""
        seen = looks[job.job]
        if job.asking and told.id:
            looks[job.job] = msgspec.structs.replace(seen, id=told.id, how="accounting", native=Native.unknown)
        elif told.native in (Native.waiting, Native.running, Native.completing) and self._holds(job, seen):
            looks[job.job] = msgspec.structs.replace(seen, native=Native.unknown, code=told.code)
            gone.discard(job.job)
        else:
            node, code = told.node or seen.node, told.code or seen.code
            looks[job.job] = msgspec.structs.replace(seen, cause=told.cause or seen.cause, node=node, code=code)

    def _holds(self, job: Progress, seen: Look) -> bool:
        """Accounting trails the queue; for a while its "still there" is believed of a job that is merely absent."""
        now = self.outside.elapsed()
        since = self._missing[job.job].since if job.job in self._missing else now
        marked = seen.claim is not None and seen.claim.ended is not None
        return seen.native is Native.absent and not marked and now - since < ACCOUNT_HOLD

    def _untellable(self, trouble: str) -> None:
        if bool(trouble) != bool(self._untold):
            text = f"accounting gave no answer, markers and the queue decide: {trouble}"
            self.ledger.record(ev.Note(text if trouble else "accounting answers again"))
        self._untold = trouble
