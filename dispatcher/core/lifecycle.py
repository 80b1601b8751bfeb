"""The life of a job: one table, and three pure functions that carry every rule.

    unsubmitted ──submitted──▶ waiting ──running──▶ running ──completing──▶ completing
        ▲  │refused               │                   │                        │
        │  ▼                      └─────────┬─────────┴────────────────────────┘
        │ terminated ◀──terminated──────────┴──finished──▶ finished
        └─retried──┘

`apply` is the only way a state changes: live runs, resuming and replay all go
through it. `decide` says which event an observation amounts to, `todo` what
is due next. `unknown` is an observation, never a state.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from . import events as ev
from .errors import IllegalTransition
from .ports import Claim, Native, Observation

if TYPE_CHECKING:
    import transitions


class State(str, Enum):
    """The six states of a job."""

    unsubmitted = "unsubmitted"
    waiting = "waiting"
    running = "running"
    completing = "completing"
    finished = "finished"
    terminated = "terminated"

    __hash__ = str.__hash__  # that of Enum is a Python function, and every event of a replay looks a state up


_IN_QUEUE = (State.waiting, State.running, State.completing)

#: Event, from which states, to which state (None: the state stays). The order is that of the diagram.
TRANSITIONS: tuple[tuple[str, tuple[State, ...], State | None], ...] = (
    ("reused", (State.unsubmitted,), None),
    ("submitting", (State.unsubmitted,), None),
    ("deferred", (State.unsubmitted,), None),
    ("not_found", (State.unsubmitted,), None),
    ("submitted", (State.unsubmitted,), State.waiting),
    ("rejected", (State.unsubmitted,), State.terminated),
    ("running", (State.waiting, State.completing), State.running),
    ("waiting", (State.running, State.completing), State.waiting),
    ("completing", (State.waiting, State.running), State.completing),
    ("owner_changed", _IN_QUEUE, None),
    ("stopping", (State.unsubmitted, *_IN_QUEUE), None),
    ("finished", (State.unsubmitted, *_IN_QUEUE), State.finished),
    ("terminated", (State.unsubmitted, *_IN_QUEUE), State.terminated),
    ("retried", (State.terminated,), State.unsubmitted),
    ("earlier_attempt_found", (State.unsubmitted,), State.waiting),
)

#: Causes that are the site's doing; they do not use up the user's retries but a bound of their own.
SITE = frozenset({"preempted", "node"})
#: Causes after which trying again is not wanted or cannot help.
FINAL = frozenset({"cancelled", "abandoned", "rejected"})


@cache
def table() -> transitions.Machine:
    """The table as a `transitions` machine. Consulted, never inhabited: no model ever lives in it."""
    from transitions import Machine

    rows = [[name, source, dest or source] for name, sources, dest in TRANSITIONS for source in sources]
    return Machine(model=None, states=State, transitions=rows, initial=State.unsubmitted, auto_transitions=False)


@cache
def moves() -> dict[tuple[State, str], State]:
    """The same table as a dictionary: (state, event) -> state, read out of the machine once."""
    machine = table()
    return {
        (State[row.source], event.name): State[row.dest or row.source]
        for event in machine.events.values()
        for rows in event.transitions.values()
        for row in rows
    }


class Progress(msgspec.Struct, frozen=True, gc=False):
    """How far a job is: the fold of its events.

    `attempt` counts from 1 (0: never asked for); `nonce` and `id` are those of the current attempt;
    `asking`: a submission has begun and is not answered; `stopping`: why it is being killed;
    `fails` attempts that count against retry_count, `site` those that were the site's doing;
    `done` the tasks that ended with code 0, bit i for task i of `size`; `past` nonces of earlier attempts,
    `lines` how much of the last one's claim is known; `stray` nonces that were asked for and then not needed, because
    an earlier attempt was found: a call for one may still be under way, so each later question withdraws them;
    `inherited` the tasks of `done` that an earlier submission ran.
    """

    job: str
    size: int
    state: State = State.unsubmitted
    attempt: int = 0
    nonce: str = ""
    id: str = ""
    submission_pending: bool = False
    stopping: str = ""
    fails: int = 0
    site: int = 0
    done: int = 0
    cause: ev.Cause | None = None
    past: tuple[str, ...] = ()
    lines: int = 0
    stray: tuple[str, ...] = ()
    reused: int = 0

    @property
    def unfinished(self) -> list[int]:
        """Positions of the tasks that have not ended with code 0."""
        return [i for i in range(self.size) if not self.done >> i & 1]


class Policy(msgspec.Struct, frozen=True):
    """`retries` after the first attempt; `site_retries` for attempts ended by the site itself."""

    retries: int = 3
    site_retries: int = 20


def apply(progress: Progress, event: ev.JobEvent) -> Progress:
    """The job after the event; raises IllegalTransition, and nothing has changed, when the table forbids it."""
    rule = _rules()[type(event)].get(progress.state)
    if rule is None or (progress.state is State.unsubmitted and not _unsubmitted_allows(progress, event)):
        kind = event.__struct_config__.tag
        raise IllegalTransition(f"job {progress.job}: {kind} is not possible while {_said(progress)}")
    after, step = rule
    return step(progress, event, after)


def _said(progress: Progress) -> str:
    return f"{progress.state.value} and being asked for" if progress.submission_pending else progress.state.value


def _unsubmitted_allows(progress: Progress, event: ev.JobEvent) -> bool:
    """Only an asked question can be answered, and a job that may be in the queue is not given up."""
    if isinstance(event, (ev.Submitted, ev.Deferred, ev.NotFound, ev.Rejected)):
        return progress.submission_pending
    if isinstance(event, ev.EarlierAttemptFound):
        return progress.submission_pending and event.nonce in (*progress.past, *progress.stray)
    if isinstance(event, ev.Submitting):
        same = progress.nonce in ("", event.nonce)  # asking again for the same attempt keeps its nonce
        return not progress.submission_pending and same and event.attempt == max(progress.attempt, 1)
    if isinstance(event, ev.Reused):
        return progress.attempt == 0 and all(0 <= index < progress.size for index in event.tasks)
    if isinstance(event, ev.Finished):
        return not progress.submission_pending and not progress.unfinished  # all was inherited
    return not (isinstance(event, ev.Terminated) and progress.submission_pending)


def _plain(progress: Progress, event: Any, after: State) -> Progress:
    return msgspec.structs.replace(progress, state=after)


def _reused(progress: Progress, event: ev.Reused, after: State) -> Progress:
    done = sum(1 << index for index in set(event.tasks))
    return msgspec.structs.replace(progress, done=progress.done | done, reused=progress.reused | done)


def _submitting(progress: Progress, event: ev.Submitting, after: State) -> Progress:
    return msgspec.structs.replace(progress, attempt=event.attempt, nonce=event.nonce, submission_pending=True)


def _answered(progress: Progress, event: Any, after: State) -> Progress:
    return msgspec.structs.replace(progress, submission_pending=False)


def _identified(progress: Progress, event: Any, after: State) -> Progress:
    return msgspec.structs.replace(progress, state=after, id=event.id, submission_pending=False)


def _stopping(progress: Progress, event: ev.Stopping, after: State) -> Progress:
    return msgspec.structs.replace(progress, stopping=event.why)


def _finished(progress: Progress, event: ev.Finished, after: State) -> Progress:
    return msgspec.structs.replace(progress, state=after, done=(1 << progress.size) - 1, cause=None)


def _terminated(progress: Progress, event: Any, after: State) -> Progress:
    done = progress.done | bits(getattr(event, "tasks", ()), progress.size)
    site = event.cause.kind in SITE
    return msgspec.structs.replace(
        progress,
        state=after,
        submission_pending=False,
        cause=event.cause,
        done=done,
        lines=getattr(event, "lines", 0),
        fails=progress.fails + (not site),
        site=progress.site + site,
    )


def _retried(progress: Progress, event: ev.Retried, after: State) -> Progress:
    return msgspec.structs.replace(
        progress,
        state=after,
        attempt=progress.attempt + 1,
        nonce="",
        id="",
        stopping="",
        past=(*progress.past, progress.nonce) if progress.nonce else progress.past,
        fails=0 if event.fresh else progress.fails,
        site=0 if event.fresh else progress.site,
    )


def _earlier_attempt_found(progress: Progress, event: ev.EarlierAttemptFound, after: State) -> Progress:
    """The verdict on that attempt was wrong: it does not count as a failure."""
    past = tuple(nonce for nonce in progress.past if nonce != event.nonce)
    stray = (*(nonce for nonce in progress.stray if nonce != event.nonce), progress.nonce)
    fails, site = max(progress.fails - 1, 0), progress.site
    if progress.cause and progress.cause.kind in SITE:
        fails, site = progress.fails, max(site - 1, 0)
    return msgspec.structs.replace(
        progress,
        state=after,
        nonce=event.nonce,
        id="",
        submission_pending=False,
        past=past,
        stray=stray,
        fails=fails,
        site=site,
    )


_STEPS: dict[type, Callable[[Progress, Any, State], Progress]] = {
    ev.Reused: _reused,
    ev.Submitting: _submitting,
    ev.Submitted: _identified,
    ev.Deferred: _answered,
    ev.NotFound: _answered,
    ev.Rejected: _terminated,
    ev.Waiting: _plain,
    ev.Running: _plain,
    ev.Completing: _plain,
    ev.OwnerChanged: _identified,
    ev.Stopping: _stopping,
    ev.Finished: _finished,
    ev.Terminated: _terminated,
    ev.Retried: _retried,
    ev.EarlierAttemptFound: _earlier_attempt_found,
}


@cache
def _rules() -> dict[type, dict[State, tuple[State, Callable[[Progress, Any, State], Progress]]]]:
    """By event and state: the state after it, and what else changes."""
    rules: dict[type, dict[State, tuple[State, Callable[[Progress, Any, State], Progress]]]] = {}
    for kind, step in _STEPS.items():
        name = kind.__struct_config__.tag  # type: ignore[attr-defined]
        rules[kind] = {state: (after, step) for (state, event), after in moves().items() if event == name}
    return rules


def bits(tasks: tuple[ev.TaskResult, ...], size: int) -> int:
    """The tasks that ended with code 0, of a job of so many, as a set of bits; what is no task of it does not count."""
    done = 0
    for index, code, _ in tasks:
        if code == 0 and 0 <= index < size:
            done |= 1 << index
    return done


_GOING = (Native.waiting, Native.running)
#: Causes that explain a failing task better than its exit code does.
_EXPLAINING = SITE | {"timeout", "memory"}


def _news(progress: Progress, seen: Observation) -> ev.JobEvent:
    if seen.native is Native.waiting:
        return ev.Waiting(progress.job, seen.code)
    if seen.native is Native.running:
        return ev.Running(progress.job, seen.node)
    return ev.Completing(progress.job)


def decide(progress: Progress, seen: Observation, gone: bool) -> ev.JobEvent | None:
    """The event that an observation amounts to, or None when it is no news.

    `gone`: the job has been absent, or over without success, for longer than the grace. An observation may amount
    to several events: ask again with what `apply` makes of the first until there is none. A marker that tells of a
    failure is not decided on while the queue still has the job: only then does the scheduler know the reason.
    """
    if progress.state is State.unsubmitted:
        return _answer(progress, seen, gone) if progress.submission_pending else None
    if progress.state not in _IN_QUEUE:
        return None
    claim = seen.claim
    if claim and claim.owner and claim.owner != progress.id:
        return ev.OwnerChanged(progress.job, claim.owner, f"holds the claim; {progress.id} was recorded")
    if claim and claim.ended is not None and (not claim.ended or gone or seen.native not in _GOING):
        return _marked(progress, claim, seen)
    if seen.native in (*_GOING, Native.completing):
        return None if seen.native.value == progress.state.value else _news(progress, seen)
    if seen.native in (Native.ended, Native.absent) and (gone or (progress.stopping and seen.native is Native.ended)):
        tasks, lines = (claim.tasks, claim.lines) if claim else ((), 0)
        return ev.Terminated(progress.job, _cause(progress, seen), tasks, lines)
    return None


def _answer(progress: Progress, seen: Observation, gone: bool) -> ev.JobEvent | None:
    """What became of a question whose answer was lost."""
    if seen.id:
        return ev.Submitted(progress.job, seen.id, seen.how)
    if gone and seen.native is Native.absent:
        return ev.NotFound(progress.job, "no receipt, no claim, not in the queue")
    return None


def _marked(progress: Progress, claim: Claim, seen: Observation) -> ev.JobEvent:
    """The exit marker is there: it alone says how the attempt ended."""
    if progress.done | bits(claim.tasks, progress.size) == (1 << progress.size) - 1:
        return ev.Finished(progress.job, claim.tasks)
    failed = [(index, code) for index, code, _ in claim.tasks if code]
    if not failed:
        return ev.Terminated(progress.job, _cause(progress, seen), claim.tasks, claim.lines)
    index, code = failed[0]
    reason = "a task failed" if len(failed) == 1 else f"{len(failed)} tasks failed"
    cause = seen.cause or ev.Cause("task")
    if cause.kind not in _EXPLAINING:
        cause = msgspec.structs.replace(cause, kind="task", reason=reason, source="marker")
    stderr, node = claim.stderr.get(index, ""), cause.node or claim.node
    cause = msgspec.structs.replace(cause, code=code, task=index, stderr=stderr, node=node)
    return ev.Terminated(progress.job, cause, claim.tasks, claim.lines)


def _cause(progress: Progress, seen: Observation) -> ev.Cause:
    if progress.stopping:
        return ev.Cause(progress.stopping, "killed by the dispatcher")
    if seen.cause:
        return seen.cause
    return ev.Cause("lost", "it left the queue without an exit marker", native=seen.code, node=seen.node)


class Todo(str, Enum):
    """What is due for a job."""

    submit = "submit"
    observe = "observe"
    retry = "retry"
    drop = "drop"  # to be stopped, and never reached the queue
    nothing = "nothing"


def todo(progress: Progress, policy: Policy) -> Todo:
    """What is due next; `nothing` means that the job is over."""
    if progress.state is State.unsubmitted:
        return Todo.observe if progress.submission_pending else Todo.drop if progress.stopping else Todo.submit
    if progress.state is State.finished:
        return Todo.nothing
    if progress.state is State.terminated:
        return Todo.retry if _may_retry(progress, policy) else Todo.nothing
    return Todo.observe


def _may_retry(progress: Progress, policy: Policy) -> bool:
    kind = progress.cause.kind if progress.cause else ""
    if kind in FINAL:
        return False
    return progress.site <= policy.site_retries if kind in SITE else progress.fails <= policy.retries


def mermaid() -> str:
    """The table as a Mermaid state diagram, as README shows it."""
    lines = ["stateDiagram-v2", "    [*] --> unsubmitted"]
    for name, sources, dest in TRANSITIONS:
        lines += [f"    {source.value} --> {dest.value}: {name}" for source in sources if dest]
    return "\n".join([*lines, "    finished --> [*]", "    terminated --> [*]"])
