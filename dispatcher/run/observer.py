"""Looking at jobs, and what it amounts to.

    observe ─▶ scheduler.observe ─▶ context.run ─▶ observed ─▶ decide ─▶ ⏎finished | …
                                                          └─▶ about to end: account ─▶ accounted ─▶ decide ─▶ ⏎

A good answer without a job starts the absence timeout; an exit marker or the
accounting end it before its time. No answer changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import msgspec

from ..core import events as ev
from ..core.errors import Purged, Unreachable
from ..core.lifecycle import Progress, State, bits, decide, patience
from ..core.ports import Context, Native, Observation, Observations, Query, Reply, Scheduler
from .environment import Environment
from .inputs import edited_cause
from .recorder import Recorder

#: Seconds, twice, that a marker written on another host may need to be seen here (attribute caches of network file
#: systems), when the scheduler lists the job as over and gives no reason for a failure.
MARKER_LAG = 15.0
#: Seconds, twice, that a scheduler may need to say why a job has failed that is known to have failed.
CAUSE_LAG = 5.0
#: Seconds of absence after which the accounting is asked why, long before absence counts by itself.
SOON = 5.0
#: Seconds that the accounting may keep a job alive that the queue does not know any more (a record may be stuck).
ACCOUNT_HOLD = 600.0


_IN_QUEUE = (Native.waiting, Native.running, Native.completing)
_About = TypeVar("_About")
_Read = TypeVar("_Read")


def understood(read: Callable[[Reply, _About], _Read], reply: Reply, about: _About) -> _Read:
    """What a dialect reads in an answer; Unreachable when it stumbles: noise is no answer, and ends no run."""
    try:
        return read(reply, about)
    except (ValueError, LookupError, ArithmeticError, TypeError, RecursionError) as error:
        raise Unreachable(f"the answer cannot be read ({type(error).__name__}: {str(error)[:200]})") from error


class Missing(NamedTuple):
    """Missing since when, since when in this phase, and how many phases have passed."""

    since: float
    phase: float
    passed: int


class Observer:
    """What was seen of the jobs of one submission, beyond what the journal holds: it starts empty in every process."""

    def __init__(
        self,
        recorder: Recorder,
        scheduler: Scheduler,
        context: Context,
        environment: Environment,
        changed: Callable[[Progress], Mapping[int, Sequence[str]]] = lambda job: {},
    ) -> None:
        self._changed = changed
        self.recorder, self.scheduler, self.context, self.environment = recorder, scheduler, context, environment
        self.trouble = ""
        #: Since when (by `elapsed`) the control directory is not there; None when it is.
        self.purged: float | None = None
        #: Hosts that a person has declared gone for good.
        self.gone_hosts: set[str] = set()
        self.partial: dict[str, int] = {}
        self._unaccounted = self._unkilled = ""
        self._listed: set[str] = set()
        self._missing: dict[str, Missing] = {}
        #: The last sign of life of jobs that were missing, by nonce.
        self._beats: dict[str, str] = {}
        #: Hosts of jobs that nobody can see from here, as of the last look.
        self.unseen_hosts: set[str] = set()
        #: What the accounting says of the end of jobs that are absent, by nonce, and how often it was asked.
        self._accounted: dict[str, Observation] = {}
        self._asked: Counter[str] = Counter()
        self._said: set[tuple[str, str]] = set()

    def observe(self, jobs: Sequence[Progress]) -> None:
        """One look at these jobs; what follows from it is recorded, not yet committed."""
        queries = [self.query(job) for job in jobs]
        try:
            reply = self.environment.look(self.scheduler, self.context, queries)
            if reply is None:
                return
            seen = understood(self.scheduler.observed, reply, queries)
        except Unreachable as error:
            self.unanswered(error)
            return
        self.purged = None
        self.troubled(seen.trouble)
        observations = {job.job: self._declared(seen.jobs[job.nonce]) for job in jobs}
        unseen = (seen for seen in observations.values() if seen.native is Native.unknown and seen.hint)
        self.unseen_hosts = {seen.node for seen in unseen if seen.node}
        self._explain_soon(jobs, observations)
        self._listed.update(job.nonce for job in jobs if observations[job.job].native in _IN_QUEUE)
        gone = {job.job for job in jobs if self._gone(job, observations[job.job])}
        self._explain(jobs, observations, gone)
        for job in jobs:
            self._learn(job.job, observations[job.job], job.job in gone)

    def unsettled(self) -> float | None:
        """Seconds after which another look can settle what is missing; None when nothing is."""
        return min(self.scheduler.absence_timeout, SOON) if self._missing else None

    def query(self, job: Progress) -> Query:
        """How to find a job; accounting is searched from when the submission was begun."""
        asked = job.asked if job.submission_pending else 0
        return Query(job.nonce, job.id, self.recorder.history.began, job.job, asked, job.job in self._missing)

    def _declared(self, seen: Observation) -> Observation:
        """What was on a host that a person has declared gone is over: nobody will ever see it again."""
        if seen.native is not Native.unknown or seen.node not in self.gone_hosts:
            return seen
        cause = ev.Cause(ev.CauseKind.node, f"{seen.node} was declared gone", node=seen.node, source="queue")
        return msgspec.structs.replace(seen, native=Native.ended, cause=cause, hint="")

    def unanswered(self, error: Unreachable) -> None:
        """Record why there was no answer; what is only out of sight for a moment is not taken for removed."""
        now = self.environment.elapsed()
        self.purged = (self.purged or now) if isinstance(error, Purged) else None
        self.troubled(str(error))

    def removed_for_good(self) -> bool:
        """The control directory was not there for twice the absence timeout."""
        return (
            self.purged is not None and self.environment.elapsed() - self.purged >= 2 * self.scheduler.absence_timeout
        )

    def troubled(self, trouble: str) -> None:
        """Record the beginning and the end of an outage, not every round of it."""
        if bool(trouble) != bool(self.trouble):
            self.recorder.record(ev.Note(f"{ev.OUTAGE}{trouble}" if trouble else ev.ANSWERS))
            self.recorder.commit()
        self.trouble = trouble

    def _learn(self, name: str, seen: Observation, gone: bool) -> None:
        """All events that this observation amounts to."""
        if seen.claim:
            self.partial[name] = bits(seen.claim.tasks, self.recorder.history.jobs[name].size)
        copies, notes = (seen.claim.fenced, seen.claim.notes) if seen.claim else ((), ())
        for text in [*(f"a second copy ({copy}) was turned away by the claim" for copy in copies), *notes, seen.hint]:
            self._say_once(name, text)
        while event := decide(self.recorder.history.jobs[name], seen, gone):
            self.recorder.record(self._believed(event, seen))
            self._missing.pop(name, None)  # whatever is missing now is missing anew
            gone = gone and not isinstance(event, (ev.Submitted, ev.OwnerChanged))

    def _believed(self, event: ev.JobEvent, seen: Observation) -> ev.JobEvent:
        """The event, without the successes of tasks whose inputs were written to meanwhile."""
        if not isinstance(event, (ev.Finished, ev.Terminated)) or not any(code == 0 for _, code, _ in event.tasks):
            return event
        changed = self._changed(self.recorder.history.jobs[event.job])
        if not changed:
            return event
        tasks = tuple(task for task in event.tasks if task[0] not in changed)
        first = min(changed)
        cause = event.cause if isinstance(event, ev.Terminated) else edited_cause(changed[first], first)
        return ev.Terminated(event.job, cause, tasks, seen.claim.lines if seen.claim else 0)

    def _say_once(self, name: str, text: str) -> None:
        if text and (name, text) not in self._said:
            self._said.add((name, text))
            self.recorder.record(ev.Note(text, job=name))

    # -- absence ------------------------------------------------------------------------------------------------

    def _gone(self, job: Progress, seen: Observation) -> bool:
        """Absent, or over without success, for longer than the absence timeout, and then for as long again.

        Once is not enough: a job may have been listed too late for the first look, have run while nobody looked,
        and its marker be too fresh to be seen in the second.
        """
        absence_timeout = self._absence_timeout(job, seen)
        if absence_timeout is None or self._beats_on(job, seen):
            self._missing.pop(job.job, None)
            return False
        now = self.environment.elapsed()
        missing = self._missing.get(job.job) or Missing(now, now, 0)
        if now - missing.phase >= absence_timeout:
            missing = Missing(missing.since, now, missing.passed + 1)
        self._missing[job.job] = missing
        return missing.passed >= 2

    def _absence_timeout(self, job: Progress, seen: Observation) -> float | None:
        """How long this may go on before it counts; None when nothing is missing."""
        if seen.id and not job.id:
            return None  # it has just been found
        if job.stopping and seen.native is Native.absent and self._was_listed(job):
            return 0.0  # killed, and gone: one more look
        if seen.claim and seen.claim.ended:
            return min(self.scheduler.absence_timeout, CAUSE_LAG)
        if seen.native is Native.ended:
            return min(self.scheduler.absence_timeout, CAUSE_LAG if seen.cause else MARKER_LAG)
        if seen.native is not Native.absent:
            return None
        return min(self.scheduler.absence_timeout, patience(job) or self.scheduler.absence_timeout)

    def _beats_on(self, job: Progress, seen: Observation) -> bool:
        """Its claim was written to between two looks: it lives, whatever the queue does not list."""
        if seen.claim is None or not seen.claim.beat or seen.native is not Native.absent or job.stopping:
            return False
        before, self._beats[job.nonce] = self._beats.get(job.nonce), seen.claim.beat
        alive = before not in (None, seen.claim.beat) and seen.claim.ended is None
        self._say_once(job.job, "not listed any more, but its claim shows that it lives: waited for" if alive else "")
        return alive

    def _was_listed(self, job: Progress) -> bool:
        """The queue has shown it, so that it is not merely listed late."""
        return job.state in (State.running, State.completing) or job.nonce in self._listed

    # -- accounting ---------------------------------------------------------------------------------------------

    def _explain_soon(self, jobs: Sequence[Progress], observations: dict[str, Observation]) -> None:
        """Ask the accounting about what has been absent for 5, 10 and 20 seconds.

        With an end that it knows, the job is over like one that the queue lists as over: its reason need not wait for
        the absence timeout.
        """
        absent = [job for job in jobs if self._unexplained(job, observations[job.job])]
        asked = [job for job in absent if job.nonce not in self._accounted and self._soon(job)]
        self._asked.update(job.nonce for job in asked)
        reported = self._reported(asked)
        for nonce, known in reported.jobs.items() if reported else ():
            if known.native is Native.ended and known.cause:
                self._accounted[nonce] = known
        for job in absent:
            if end := self._accounted.get(job.nonce):
                seen = observations[job.job]
                observations[job.job] = msgspec.structs.replace(
                    seen, native=Native.ended, code=end.code, node=end.node or seen.node, cause=end.cause
                )

    def _unexplained(self, job: Progress, seen: Observation) -> bool:
        marked = seen.claim is not None and seen.claim.ended is not None
        return bool(job.id) and seen.native is Native.absent and not marked and not job.stopping

    def _soon(self, job: Progress) -> bool:
        missing, asked = self._missing.get(job.job), self._asked[job.nonce]
        return missing is not None and asked < 3 and self.environment.elapsed() - missing.since >= SOON * 2**asked

    def _reported(self, jobs: Sequence[Progress]) -> Observations | None:
        """What the accounting tells of these jobs; None without an answer, or where nobody can be asked."""
        queries = [self.query(job) for job in jobs]
        call = self.scheduler.account(queries, self.context.place) if queries else None
        if call is None:
            return None
        try:
            reported = understood(self.scheduler.accounted, self.context.run(call), queries)
        except Unreachable as error:
            self._account_trouble(str(error))
            return None
        self._account_trouble(reported.trouble)
        return reported

    def _explain(self, jobs: Sequence[Progress], observations: dict[str, Observation], gone: set[str]) -> None:
        """Ask the accounting, once for all, about those that are about to be given up or called terminated."""
        ending = [job for job in jobs if not job.stopping and self._ends(job, observations[job.job], job.job in gone)]
        reported = self._reported(ending)
        for job in ending if reported else []:
            if reported and job.nonce in reported.jobs:
                self._enrich(job, observations, reported.jobs[job.nonce], gone)

    def _ends(self, job: Progress, seen: Observation, gone: bool) -> bool:
        if job.submission_pending and seen.unasked:
            return False  # nobody can remember what was never asked
        return isinstance(decide(job, seen, gone), (ev.Terminated, ev.NotFound, ev.Rejected))

    def _enrich(
        self, job: Progress, observations: dict[str, Observation], reported: Observation, gone: set[str]
    ) -> None:
        """What the queue and the markers showed, with what the accounting knows of it."""
        seen = observations[job.job]
        if job.submission_pending and reported.id:
            observations[job.job] = msgspec.structs.replace(
                seen, id=reported.id, how="accounting", native=Native.unknown
            )
        elif reported.native in _IN_QUEUE and self._holds(job, seen):
            observations[job.job] = msgspec.structs.replace(seen, native=Native.unknown, code=reported.code)
            gone.discard(job.job)
        else:
            node, code = reported.node or seen.node, reported.code or seen.code
            observations[job.job] = msgspec.structs.replace(
                seen, cause=reported.cause or seen.cause, node=node, code=code
            )

    def _holds(self, job: Progress, seen: Observation) -> bool:
        """Accounting trails the queue; for a while its "still there" is believed of a job that is merely absent."""
        now = self.environment.elapsed()
        since = self._missing[job.job].since if job.job in self._missing else now
        marked = seen.claim is not None and seen.claim.ended is not None
        return seen.native is Native.absent and not marked and now - since < ACCOUNT_HOLD

    def _account_trouble(self, trouble: str) -> None:
        if bool(trouble) != bool(self._unaccounted):
            text = f"accounting gave no answer, markers and the queue decide: {trouble}"
            self.recorder.record(ev.Note(text if trouble else "accounting answers again"))
        self._unaccounted = trouble

    # -- ending -------------------------------------------------------------------------------------------------

    def unkilled(self, trouble: str) -> None:
        """Record the beginning and the end of trouble with ending jobs."""
        if bool(trouble) != bool(self._unkilled):
            text = f"jobs may not have been ended, they are asked to be ended again: {trouble}"
            self.recorder.record(ev.Note(text if trouble else "jobs can be ended again"))
            self.recorder.commit()
        self._unkilled = trouble
