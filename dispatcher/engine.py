"""The loop: look at each job, do what is due, journal what happened. The only file that does both.

    due    submit ─▶ ⏎submitting ─▶ scheduler.submit ─▶ context.ask ─▶ ⏎submitted | postponed | refused
           look   ─▶ scheduler.look ─▶ context.ask ─▶ decide ─▶ ⏎running | waiting | finished | terminated | …
           retry  ─▶ ⏎retried

⏎ is a commit: on disk before the next arrow. Starting and recovering are the
same thing: the history is folded before, then the loop goes round. Whatever is
unclear (a reply that was lost, a job that is not listed) is looked at again,
never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from . import events as ev
from .errors import Unreachable
from .history import History
from .lifecycle import Policy, Progress, State, Todo, bits, decide, todo
from .model import JobSpec, SubmissionSpec
from .ports import Accepted, Answer, Ask, Context, Later, Look, Native, Scheduler, Watch
from .script import JobScript, render

#: Seconds that a marker written on another host may need to be seen here (attribute caches of network file systems).
MARKER_LAG = 5.0


class Log(Protocol):
    """The journal as the engine uses it: buffered appends, durable commits."""

    def append(self, *records: Any) -> None:
        """Buffer records; they are not durable yet."""

    def commit(self) -> Any:
        """Make everything appended durable; raises when that is not certain."""


class Outside(msgspec.Struct, frozen=True):
    """What the engine takes from the world besides its ports, so that tests and simulations can give their own.

    `now` in seconds since the epoch, `sleep(seconds)` may return early, `nonce()` is new at every call,
    `stop()` is true when the run is to be stopped, `cancelled()` when the user has asked to cancel,
    `show(engine)` is called whenever something changed.
    """

    now: Callable[[], float]
    sleep: Callable[[float], None]
    nonce: Callable[[], str]
    stop: Callable[[], bool] = lambda: False
    cancelled: Callable[[], bool] = lambda: False
    show: Callable[[Engine], None] = lambda engine: None


class Engine:
    """Runs the jobs of one submission to their end."""

    def __init__(
        self,
        spec: SubmissionSpec,
        jobs: Sequence[JobSpec],
        history: History,
        journal: Log,
        scheduler: Scheduler,
        context: Context,
        outside: Outside,
        template: str | None = None,
    ) -> None:
        self.spec, self.history, self.journal = spec, history, journal
        self.scheduler, self.context, self.outside, self.template = scheduler, context, outside, template
        self.tasks = {job.hash: job.tasks for job in jobs}
        self.policy = Policy(retries=spec.machine.retry_count)
        self.trouble = ""
        self.next_look = 0.0
        self._absent: dict[str, tuple[float, int]] = {}
        self._partial: dict[str, int] = {}
        self._fenced: set[tuple[str, str]] = set()
        self._started = outside.now()
        self._pause = scheduler.pace

    # -- what others want to know -------------------------------------------------------------------------------

    @property
    def jobs(self) -> Mapping[str, Progress]:
        """The progress of every job, by hash."""
        return self.history.jobs

    def over(self) -> bool:
        """Nothing is due for any job."""
        return all(todo(job, self.policy) is Todo.nothing for job in self.jobs.values())

    def failed(self) -> list[Progress]:
        """Jobs that are terminated for good, those abandoned on purpose not counted."""
        return [job for job in self.jobs.values() if self._lost(job)]

    def _lost(self, job: Progress) -> bool:
        abandoned = job.cause is not None and job.cause.kind == "abandoned"
        return job.state is State.terminated and not abandoned and todo(job, self.policy) is Todo.nothing

    def done_tasks(self) -> int:
        """How many tasks have ended with code 0, as far as the last look showed."""
        return sum(
            (job.done | (self._partial.get(job.job, 0) if job.state is not State.terminated else 0)).bit_count()
            for job in self.jobs.values()
        )

    # -- writing ------------------------------------------------------------------------------------------------

    def record(self, *events: ev.Event) -> None:
        """Refuse before writing, write before believing."""
        for event in events:
            step = self.history.check(event)
            self.journal.append(event)
            step(event)

    def commit(self) -> None:
        """Make what was recorded durable, then show it."""
        self.journal.commit()
        self.outside.show(self)

    # -- the loop -----------------------------------------------------------------------------------------------

    def run(self, check_interval: float, exit_on_submit: bool = False, stop_on_failure: bool = False) -> None:
        """Go round until every job is over, or as the arguments say; `check_interval` is the longest pause (s)."""
        while not self.over() and not self.outside.stop():
            news = self.step()
            if (exit_on_submit and self._all_asked()) or (stop_on_failure and self.failed()):
                return
            if not self.over():
                self._wait(news, check_interval)

    def _all_asked(self) -> bool:
        """Every job that may be submitted now is; those held back by max_running wait for a later run."""
        room = self._room()
        due = [job for job in self.jobs.values() if todo(job, self.policy) in (Todo.submit, Todo.retry) or job.asking]
        return not due or (room is not None and room <= 0)

    def step(self) -> bool:
        """One round; true when something changed."""
        before = [(job.state, job.attempt, job.asking) for job in self.jobs.values()]
        if self.outside.cancelled():
            self.stop_jobs(self.jobs.values(), "cancelled")
        due = self._due()
        self.record(*(ev.Terminated(job.job, _dropped(job)) for job in due[Todo.drop]))
        self.record(*(ev.Retried(job.job) for job in due[Todo.retry]))
        self.commit()
        self._submit(self._due()[Todo.submit])
        self.look(self._due()[Todo.look])
        return before != [(job.state, job.attempt, job.asking) for job in self.jobs.values()]

    def _due(self) -> dict[Todo, list[Progress]]:
        due: dict[Todo, list[Progress]] = {what: [] for what in Todo}
        for job in self.jobs.values():
            due[todo(job, self.policy)].append(job)
        return due

    def _wait(self, news: bool, longest: float) -> None:
        """Short after news, longer while there is none, up to what the user allows."""
        pace = min(self.scheduler.pace, longest)
        self._pause = pace if news else min(max(self._pause, pace, 0.01) * 1.5, longest)
        self.next_look = self.outside.now() + self._pause
        self.outside.show(self)
        self.outside.sleep(self._pause)

    # -- submitting ---------------------------------------------------------------------------------------------

    def _room(self) -> int | None:
        """How many more jobs may be queued or running; None without a limit."""
        limit = self.spec.machine.max_running
        live = (State.waiting, State.running, State.completing)
        busy = sum(1 for job in self.jobs.values() if job.state in live or job.asking)
        return None if limit is None else limit - busy

    def _submit(self, due: list[Progress]) -> None:
        room = self._room()
        due = due if room is None else due[: max(room, 0)]
        for start in range(0, len(due), self.scheduler.batch):
            if self.outside.stop() or not self._submit_batch(due[start : start + self.scheduler.batch]):
                return

    def _submit_batch(self, due: list[Progress]) -> bool:
        """Ask for these jobs in one call; false when there is no use in asking for more now."""
        asks = {job.job: self._ask(job) for job in due}
        self.record(*(ev.Submitting(job.job, max(job.attempt, 1), asks[job.job].nonce) for job in due))
        self.commit()
        call = self.scheduler.submit(list(asks.values()), self.context.place)
        try:
            answers = self.scheduler.submitted(self.context.ask(call), list(asks.values()))
        except Unreachable as error:
            self._troubled(str(error))
            return False
        for name, ask in asks.items():
            if answer := answers.get(ask.nonce):
                self.record(_answered(name, answer))
        self.commit()
        return len(answers) == len(asks) and all(isinstance(answer, Accepted) for answer in answers.values())

    def _ask(self, job: Progress) -> Ask:
        nonce = job.nonce or self.outside.nonce()
        name = f"{nonce}{self._title(job)}"
        tasks = tuple((index, self.spec.tasks[self.tasks[job.job][index]]) for index in job.unfinished)
        parts = JobScript(job.job, nonce, name, self.context.place, self.spec.resources, tasks, self.template)
        return Ask(
            nonce=nonce,
            name=name,
            script=f"{nonce}.sub",
            files=render(parts, self.scheduler).files(nonce),
            resources=self.spec.resources,
            revoke=job.past[-1:],
        )

    def _title(self, job: Progress) -> str:
        """What people recognize a job by, behind its nonce: the task's name for one-task jobs, or kwargs' job_name."""
        title = str(self.spec.resources.kwargs.get("job_name") or "")
        if job.size == 1:
            title = self.spec.tasks[self.tasks[job.job][0]].task_name or title
        kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in title).strip("-")
        return f"-{kept[:40]}" if kept else ""

    # -- looking ------------------------------------------------------------------------------------------------

    def look(self, jobs: Sequence[Progress]) -> None:
        """One look at these jobs, and what follows from it."""
        if not jobs:
            return
        self._end([job for job in jobs if job.stopping and job.id])
        watches = [Watch(job.nonce, job.id, self._since()) for job in jobs]
        try:
            seen = self.scheduler.looked(self.context.ask(self.scheduler.look(watches, self.context.place)), watches)
        except Unreachable as error:
            self._troubled(str(error))
            return
        self._troubled(seen.trouble)
        looks = {job.job: seen.jobs[job.nonce] for job in jobs}
        self._explain(jobs, looks)
        for job in jobs:
            self._learn(job.job, looks[job.job])
        self._abandon()
        self.commit()

    def _since(self) -> float:
        return self._started

    def _learn(self, name: str, seen: Look) -> None:
        """All events that this observation amounts to."""
        if seen.claim:
            self._partial[name] = bits(seen.claim.tasks)
            self._note_fenced(name, seen.claim.fenced)
        gone = self._gone(name, seen)
        while event := decide(self.jobs[name], seen, gone):
            self.record(event)
            gone = gone and not isinstance(event, (ev.Submitted, ev.Adopted))

    def _gone(self, name: str, seen: Look) -> bool:
        """Absent, or ended without a marker, in two good answers at least and for longer than the grace."""
        found = seen.id and not self.jobs[name].id
        if found or seen.native not in (Native.absent, Native.ended):
            self._absent.pop(name, None)
            return False
        now = self.outside.now()
        first, times = self._absent.get(name, (now, 0))
        self._absent[name] = (first, times + 1)
        if times and now - first >= self._grace(seen):
            del self._absent[name]
            return True
        return False

    def _grace(self, seen: Look) -> float:
        """A job that is seen to have ended waits only for its marker to become visible; an absent one for more."""
        return min(self.scheduler.grace, MARKER_LAG) if seen.native is Native.ended else self.scheduler.grace

    def _note_fenced(self, name: str, copies: Iterable[str]) -> None:
        for copy in copies:
            if (name, copy) not in self._fenced:
                self._fenced.add((name, copy))
                self.record(ev.Note(f"a second copy ({copy}) was turned away by the claim", job=name))

    def _explain(self, jobs: Sequence[Progress], looks: dict[str, Look]) -> None:
        """Ask the accounting, once for all, about those that are about to be called terminated."""
        ending = [job for job in jobs if job.id and not job.stopping and self._is_ending(job, looks[job.job])]
        watches = [Watch(job.nonce, job.id, self._since()) for job in ending]
        call = self.scheduler.account(watches, self.context.place) if watches else None
        if call is None:
            return
        try:
            told = self.scheduler.accounted(self.context.ask(call), watches)
        except Unreachable as error:
            self.record(ev.Note(f"accounting gave no answer, markers and the queue decide: {error}"))
            return
        for job in ending:
            if job.nonce in told.jobs:
                looks[job.job] = _enriched(looks[job.job], told.jobs[job.nonce])

    def _is_ending(self, job: Progress, seen: Look) -> bool:
        first, times = self._absent.get(job.job, (self.outside.now(), 0))
        gone = bool(times) and self.outside.now() - first >= self._grace(seen)
        return isinstance(decide(job, seen, gone), ev.Terminated)

    def _troubled(self, trouble: str) -> None:
        """Record the beginning and the end of an outage, not every round of it."""
        if bool(trouble) != bool(self.trouble):
            self.record(ev.Note(f"no good answer: {trouble}" if trouble else "answers are good again"))
            self.commit()
        self.trouble = trouble

    # -- ending -------------------------------------------------------------------------------------------------

    def stop_jobs(self, jobs: Iterable[Progress], why: str) -> None:
        """Write down that these jobs are to be killed; the rounds that follow do it until they are gone."""
        live = [job for job in jobs if not job.stopping and job.state not in (State.finished, State.terminated)]
        self.record(*(ev.Stopping(job.job, why) for job in live))
        self.commit()

    def _end(self, jobs: Sequence[Progress]) -> None:
        if not jobs:
            return
        watches = [Watch(job.nonce, job.id, self._since()) for job in jobs]
        try:
            self.context.ask(self.scheduler.kill(watches, self.context.place))
        except Unreachable as error:
            self._troubled(str(error))

    def _abandon(self) -> None:
        """When enough tasks are done (strategy/ratio_unfinished), the stragglers are killed."""
        ratio = self.spec.resources.strategy.ratio_unfinished
        total = sum(job.size for job in self.jobs.values())
        if ratio and self.done_tasks() >= total * (1 - ratio):
            self.stop_jobs(self.jobs.values(), "abandoned")


def _dropped(job: Progress) -> ev.Cause:
    return ev.Cause(job.stopping, "before it was submitted")


def _answered(name: str, answer: Answer) -> ev.JobEvent:
    if isinstance(answer, Accepted):
        return ev.Submitted(name, answer.id)
    if isinstance(answer, Later):
        return ev.Postponed(name, answer.why)
    return ev.Refused(name, ev.Cause("refused", answer.why, source="submit"))


def _enriched(seen: Look, told: Look) -> Look:
    """What the queue and the markers showed, with what the accounting knows of it."""
    if told.native not in (Native.ended, Native.unknown):
        return msgspec.structs.replace(seen, native=Native.unknown, code=told.code)
    return msgspec.structs.replace(seen, cause=told.cause, node=told.node or seen.node, code=told.code or seen.code)
