"""What happened to each attempt and each task, and when: the fold of a journal for those who tell, count or chart it.

    chronicle = Chronicle(history, clock)     hears every event that the history believes
    chronicle.attempts()   ->  [Attempt(job="5f1c…", number=1, id="4211", waiting=…, running=…, ended=…, cause=…), …]
    chronicle.tasks()      ->  [TaskRecord(position=0, path="c13", state="terminated", code=127, …), …]
    chronicle.failures()   ->  [Failure("python: command not found", jobs=37, …), …]     grouped by cause
    chronicle.pauses()     ->  [Pause("QOSMaxSubmitJobPerUserLimit", jobs=12, since=…), …]

The rules of what may happen are in `lifecycle`; here nothing is decided.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from . import events as ev
from .causes import pattern
from .failure import failing_task
from .history import History
from .lifecycle import Policy, Progress, State, Todo, todo
from .model import TaskSpec

#: How many of the last ends say how fast it goes.
_RECENT = 200


class Attempt(msgspec.Struct):
    """One submission of a job to the batch system. Times are seconds since the epoch, 0.0 where it has not happened.

    `requested` is when the batch system was first asked, `waiting` when it took the job, `running` when the job was
    last seen to start; `why` says what the attempt waits for, since `since`.
    """

    job: str
    number: int
    nonce: str = ""
    id: str = ""
    state: str = State.unsubmitted.value
    node: str = ""
    requested: float = 0.0
    waiting: float = 0.0
    running: float = 0.0
    ended: float = 0.0
    why: str = ""
    since: float = 0.0
    deferred: bool = False
    cause: ev.Cause | None = None
    tasks: tuple[ev.TaskResult, ...] = ()


class TaskRecord(msgspec.Struct):
    """A task and how far it is. `position` is its place in the submission, `index` its place in the job.

    `state` is that of its job, but finished as soon as it ended with code 0, and terminated once it ended with
    another; `attempt` and `code` are those of its last end, `ended` its time in seconds since the epoch.
    """

    position: int
    job: str
    index: int
    path: str
    command: str
    state: str
    name: str = ""
    id: str = ""
    attempt: int = 0
    code: int | None = None
    ended: float = 0.0
    reused: bool = False
    cause: str = ""
    stderr: str = ""
    outlog: str = ""
    errlog: str = ""


class Failure(msgspec.Struct):
    """Jobs whose last attempt failed for the same cause. `first` is the one that failed first, `path` its task's."""

    title: str
    kind: str
    jobs: list[str]
    path: str
    first: Attempt
    retried: int = 0


class Pause(msgspec.Struct):
    """Jobs that wait for the same thing; `deferred`: the batch system does not take them now."""

    why: str
    jobs: list[str]
    since: float
    deferred: bool = False


class Throughput(msgspec.Struct, frozen=True):
    """`rate` in tasks an hour over the last ends, `left` in seconds at that rate, `queued` in seconds (median)."""

    rate: float | None
    left: float | None
    queued: float | None


class Chronicle:
    """Times and reasons, by job, beside what the history holds. `outage` is why nothing is known, since `out_since`."""

    def __init__(self, history: History, clock: Callable[[], float]) -> None:
        self.outage, self.out_since = "", 0.0
        self._attempts: dict[str, list[Attempt]] = {}
        self._results: dict[str, dict[int, tuple[int, int, float]]] = {}
        self.follow(history, clock)

    def follow(self, history: History, clock: Callable[[], float]) -> None:
        """From now on this history's events are heard; `clock` says when each happened, seconds since the epoch."""
        self.history, self._clock = history, clock
        history.heard = self.hear

    @property
    def now(self) -> float:
        """When the event happened that is being heard."""
        return self._clock()

    def hear(self, event: Any) -> None:
        """One event that has just been believed."""
        if isinstance(event, ev.Note):
            self._noted(event)
        elif hear := _HEARD.get(type(event)):
            job = self.history.jobs[event.job]
            attempt = self._current(job)
            hear(self, attempt, event)
            attempt.state = job.state.value

    # -- what was heard -----------------------------------------------------------------------------------------

    def attempts(self) -> list[Attempt]:
        """Every attempt, job by job in the order they were planned."""
        return [attempt for job in self.history.planned for attempt in self._attempts.get(job, ())]

    def last(self, job: str) -> Attempt | None:
        """The current attempt of a job; None before the first."""
        attempts = self._attempts.get(job)
        return attempts[-1] if attempts else None

    def tasks(self) -> list[TaskRecord]:
        """Every task, in the order of the submission."""
        found = [
            self._task(self.history.jobs[job], planned, index, task)
            for job, planned in self.history.planned.items()
            for index, task in enumerate(planned.tasks)
        ]
        return sorted(found, key=lambda task: task.position)

    def failures(self) -> list[Failure]:
        """Jobs whose last ended attempt failed, also if they are tried again; biggest first.

        Jobs that were abandoned on purpose are no failures.
        """
        found: dict[tuple[str, str], Failure] = {}
        policy = Policy(retries=self.retry_count)
        for attempt in sorted(self._failed(), key=lambda attempt: attempt.ended):
            cause, job = attempt.cause or ev.LOST, self.history.jobs[attempt.job]
            said = cause.title
            path = self.path_of(attempt)
            group = found.setdefault(
                (cause.kind.value, pattern(said, path)), Failure(said, cause.kind.value, [], path, attempt)
            )
            group.jobs.append(attempt.job)
            group.retried += job.state is not State.terminated or todo(job, policy) is Todo.retry
        return sorted(found.values(), key=lambda group: -len(group.jobs))

    def pauses(self) -> list[Pause]:
        """What jobs wait for, as far as anybody has said."""
        found: dict[tuple[bool, str], Pause] = {}
        for attempts in self._attempts.values():
            last = attempts[-1]
            if last.why and last.state in (State.unsubmitted.value, State.waiting.value):
                why = _unnamed(last)
                pause = found.setdefault((last.deferred, why), Pause(why, [], last.since, last.deferred))
                pause.jobs.append(last.job)
                pause.since = min(pause.since, last.since)
        return sorted(found.values(), key=lambda pause: -len(pause.jobs))

    def throughput(self) -> Throughput:
        """How fast it goes; None where nothing has happened yet that would say so."""
        jobs = self.history.jobs.values()
        ends = sorted(at for results in self._results.values() for _, code, at in results.values() if code == 0)[
            -_RECENT:
        ]
        left = sum(job.size - job.done.bit_count() for job in jobs if job.state is not State.terminated)
        rate = (len(ends) - 1) / (ends[-1] - ends[0]) * 3600 if len(ends) > 1 and ends[-1] > ends[0] else None
        waits = [a.running - a.waiting for a in self.attempts() if a.running and a.waiting]
        queued = sorted(waits)[len(waits) // 2] if waits else None
        return Throughput(rate, left / rate * 3600 if rate and left else None, queued)

    @property
    def retry_count(self) -> int:
        """How many attempts may follow the first one, as was asked."""
        return whole_number(self.history.opened.machine, "retry_count", 0) if self.history.opened else 0

    def path_of(self, attempt: Attempt) -> str:
        """What people know the failing task of an attempt by, or its first one: its name, or its directory."""
        tasks = self.history.planned[attempt.job].tasks
        task = (failing_task(attempt.cause, tasks) if attempt.cause else None) or next(iter(tasks), None)
        return task.task_name or task.task_work_path if task else ""

    # -- hearing ------------------------------------------------------------------------------------------------

    def _current(self, job: Progress) -> Attempt:
        attempts = self._attempts.setdefault(job.job, [])
        number = max(job.attempt, 1)
        if not attempts or (attempts[-1].number != number and attempts[-1].ended):
            attempts.append(Attempt(job.job, number, since=self.now))
        return attempts[-1]

    def _failed(self) -> Iterator[Attempt]:
        for job, attempts in self._attempts.items():
            ended = next((attempt for attempt in reversed(attempts) if attempt.cause), None)
            if ended is None or ended.cause is None or self.history.jobs[job].state is State.finished:
                continue
            if ended.cause.kind is not ev.CauseKind.abandoned:
                yield ended

    def _noted(self, event: ev.Note) -> None:
        if event.text.startswith(ev.OUTAGE):
            self.outage, self.out_since = event.text.removeprefix(ev.OUTAGE), self.now
        elif event.text == ev.ANSWERS:
            self._answered()
        elif event.job in self.history.jobs and self.history.jobs[event.job].state is State.waiting:
            self._wait(self._current(self.history.jobs[event.job]), event.text)

    def _answered(self) -> None:
        """What was just heard, only a good answer can have said: an outage that nobody saw the end of is over."""
        self.outage, self.out_since = "", 0.0

    def _submitting(self, attempt: Attempt, event: ev.Submitting) -> None:
        attempt.nonce, attempt.requested = event.nonce, attempt.requested or self.now

    def _submitted(self, attempt: Attempt, event: ev.Submitted) -> None:
        self._answered()
        attempt.id, attempt.waiting = event.id, attempt.waiting or self.now
        self._go_on(attempt)

    def _in_doubt(self, attempt: Attempt, event: ev.InDoubt) -> None:
        unknown = "" if event.known else ", because nobody knows these words"
        self._wait(attempt, f"{event.why}; it is looked for{unknown}, and asked again")

    def _deferred(self, attempt: Attempt, event: ev.Deferred | ev.NotFound) -> None:
        if isinstance(event, ev.Deferred) or not attempt.why:  # that it was not found does not hide what was said
            self._wait(attempt, event.why)
        attempt.deferred = isinstance(event, ev.Deferred)

    def _waiting(self, attempt: Attempt, event: ev.Waiting) -> None:
        self._wait(attempt, event.why)

    def _running(self, attempt: Attempt, event: ev.Running) -> None:
        self._answered()
        attempt.running, attempt.node = self.now, event.node or attempt.node
        self._go_on(attempt)

    def _owner_changed(self, attempt: Attempt, event: ev.OwnerChanged) -> None:
        attempt.id = event.id

    def _found(self, attempt: Attempt, event: ev.EarlierAttemptFound) -> None:
        """An attempt that had been given up is the current one again: what was begun in its place is forgotten."""
        attempts = self._attempts[attempt.job]
        while len(attempts) > 1 and attempts[-1].nonce != event.nonce:
            attempts.pop()
        attempts[-1].ended, attempts[-1].cause, attempts[-1].tasks = 0.0, None, ()
        attempts[-1].state = State.waiting.value

    def _ended(self, attempt: Attempt, event: Any) -> None:
        self._answered()
        attempt.ended, attempt.cause = self.now, getattr(event, "cause", None)
        attempt.node = attempt.node or (attempt.cause.node if attempt.cause else "")
        attempt.tasks = getattr(event, "tasks", ())
        results = self._results.setdefault(attempt.job, {})
        for index, code, at in attempt.tasks:
            results[index] = (attempt.number, code, at)
        self._go_on(attempt)

    def _wait(self, attempt: Attempt, why: str) -> None:
        if why != attempt.why:
            attempt.why, attempt.since = why, self.now

    def _go_on(self, attempt: Attempt) -> None:
        attempt.why, attempt.deferred, attempt.since = "", False, self.now

    # -- tasks --------------------------------------------------------------------------------------------------

    def _task(self, job: Progress, planned: ev.Planned, index: int, task: TaskSpec) -> TaskRecord:
        attempt, code, ended = self._results.get(job.job, {}).get(index, (0, None, 0.0))
        done, reused = bool(job.done >> index & 1), bool(job.reused >> index & 1)
        over = job.state is State.terminated
        state = State.finished if done else job.state
        cause = job.cause if over and not done else None
        about = cause is not None and cause.task in (index, None)
        return TaskRecord(
            position=planned.positions[index],
            job=job.job,
            index=index,
            path=task.task_work_path,
            command=task.command,
            state=state.value,
            name=task.task_name or "",
            id=job.id,
            attempt=attempt or job.attempt,
            code=0 if done else code,
            ended=ended,
            reused=reused,
            cause=_said(cause, about, code) if cause else "",
            stderr=cause.stderr if cause and about else "",
            outlog=task.outlog or "",
            errlog=task.errlog or "",
        )


_HEARD: dict[type, Any] = {
    ev.Submitting: Chronicle._submitting,
    ev.Submitted: Chronicle._submitted,
    ev.Deferred: Chronicle._deferred,
    ev.InDoubt: Chronicle._in_doubt,
    ev.NotFound: Chronicle._deferred,
    ev.Waiting: Chronicle._waiting,
    ev.Running: Chronicle._running,
    ev.OwnerChanged: Chronicle._owner_changed,
    ev.EarlierAttemptFound: Chronicle._found,
    ev.Rejected: Chronicle._ended,
    ev.Terminated: Chronicle._ended,
    ev.Finished: Chronicle._ended,
}


def whole_number(asked: Mapping[str, Any], key: str, default: int) -> int:
    """What a journal says was asked for, if that is a number that somebody may have asked for; else the default."""
    value = asked.get(key, default)
    return value if isinstance(value, int) and -1 <= value < 1_000_000_000 else default


def _said(cause: ev.Cause, about: bool, code: int | None) -> str:
    """What to say of a task that is not done, where its job is over: `about` it, or about another task of the job."""
    if about:
        return cause.title
    return f"exit code {code}" if code else f"not run to its end: {cause.kind.value} in its job"


def _unnamed(attempt: Attempt) -> str:
    """Why it waits, without its own id: the reason is the same for many."""
    named = f"job {attempt.id} "
    return attempt.why.replace(named, "job ", 1) if attempt.id and named in attempt.why else attempt.why
