"""The life of a job: three pure functions that carry every rule, on the table of `states`.

`apply` is the only way a state changes: live runs, resuming and replay all go
through it. `decide` says which event an observation amounts to, `todo` what
is due next. `unknown` is an observation, never a state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from functools import cache
from typing import Any

import msgspec

from . import events as ev
from .errors import IllegalTransition
from .ports import Claim, Native, Observation, Withdrawal
from .states import IN_QUEUE, OVER, TRANSITIONS, State, mermaid, moves, table

__all__ = [
    "FINAL", "IN_QUEUE", "NO_RETRIES", "OVER", "SITE", "TRANSITIONS", "UNCLEAR", "Policy", "Progress",
    "State", "Todo", "apply", "bits", "decide", "mermaid", "moves", "patience", "table", "todo",
]  # fmt: skip

#: Causes that are the site's doing; they do not use up the user's retries but a bound of their own.
SITE = frozenset({ev.CauseKind.preempted, ev.CauseKind.node})
#: Causes after which trying again is not wanted or cannot help.
FINAL = frozenset({ev.CauseKind.cancelled, ev.CauseKind.abandoned, ev.CauseKind.rejected, ev.CauseKind.inputs})
#: Exit codes by which a shell says that a task's command cannot be run: trying again finds the same.
HOPELESS = frozenset({126, 127})


class Progress(msgspec.Struct, frozen=True, gc=False):
    """How far a job is: the fold of its events.

    `attempt` counts from 1 (0: never submitted); `nonce` and `id` are those of the current attempt;
    `submission_pending`: a request to submit was written and is not answered; `stopping`: why it is being killed;
    `fails` attempts that count against retry_count, `site` those that were the site's doing;
    `done` the tasks that ended with code 0, bit i for task i of `size`; `reused` those of `done` that an earlier
    submission ran; `inputs` stamps of what the others read, as it was when this attempt was submitted. `withdrawals`
    are earlier attempts that are to be withdrawn before another is submitted. First those that were requested and then
    not needed, because an older one was found: a call for one may still be under way, and asks itself whether the last
    of these is withdrawn. `resources` are what the user has changed of the resources, key by key, when it was retried.
    `unclear` is how often this attempt was answered in words that nobody knows, `words` the last of them, `asked` how
    often it was asked for, `taken_back` how often an attempt was found that had been given up.
    """

    job: str
    size: int
    state: State = State.unsubmitted
    attempt: int = 0
    nonce: str = ""
    id: str = ""
    submission_pending: bool = False
    stopping: ev.CauseKind | None = None
    fails: int = 0
    site: int = 0
    done: int = 0
    cause: ev.Cause | None = None
    withdrawals: tuple[Withdrawal, ...] = ()
    reused: int = 0
    inputs: tuple[str, ...] = ()
    resources: dict[str, Any] = {}
    unclear: int = 0
    words: str = ""
    asked: int = 0
    taken_back: int = 0

    @property
    def unfinished(self) -> list[int]:
        """Positions of the tasks that have not ended with code 0."""
        return [i for i in range(self.size) if not self.done >> i & 1]

    @property
    def may_run(self) -> bool:
        """The batch system has it, or may have it."""
        return self.submission_pending or self.state in IN_QUEUE


class Policy(msgspec.Struct, frozen=True):
    """`retries` after the first attempt; `site_retries` for attempts ended by the site itself.

    `hopeless` are exit codes of tasks that are not worth another attempt.
    """

    retries: int = 3
    site_retries: int = 20
    hopeless: frozenset[int] = HOPELESS


#: How often the verdict on a job may be taken back: a claim that is found each time and never read goes on for ever.
TAKEN_BACK = 3
#: What has ended stays so.
NO_RETRIES = Policy(retries=-1, site_retries=-1)


def apply(progress: Progress, event: ev.JobEvent) -> Progress:
    """The job after the event; raises IllegalTransition, and nothing has changed, when the table forbids it."""
    rule = _rules()[type(event)].get((progress.state, progress.submission_pending))
    fits = _FITS.get(type(event))
    if rule is None or (fits is not None and not fits(progress, event)):
        kind = event.__struct_config__.tag
        raise IllegalTransition(f"job {progress.job}: {kind} is not possible while {_described(progress)}")
    after, step = rule
    return step(progress, event, after)


def _described(progress: Progress) -> str:
    return f"{progress.state.value} with a submission pending" if progress.submission_pending else progress.state.value


#: Whether an event that may come in this state is about this attempt, and these tasks.
_FITS: dict[type, Callable[[Progress, Any], bool]] = {
    ev.Reused: lambda job, event: all(0 <= index < job.size for index in event.tasks),
    ev.Rerun: lambda job, event: bool(event.tasks) and all(0 <= index < job.size for index in event.tasks),
    # another request for the same attempt keeps its nonce
    ev.Submitting: lambda job, event: job.nonce in ("", event.nonce) and event.attempt == max(job.attempt, 1),
    ev.EarlierAttemptFound: lambda job, event: event.nonce in dict(job.withdrawals),
    ev.Finished: lambda job, event: job.state is not State.unsubmitted or not job.unfinished,  # all was reused
}


def _plain(progress: Progress, event: Any, after: State) -> Progress:
    return msgspec.structs.replace(progress, state=after)


def _reused(progress: Progress, event: ev.Reused, after: State) -> Progress:
    done = sum(1 << index for index in set(event.tasks))
    return msgspec.structs.replace(progress, done=progress.done | done, reused=progress.reused | done)


def _submitting(progress: Progress, event: ev.Submitting, after: State) -> Progress:
    return msgspec.structs.replace(
        progress, attempt=event.attempt, nonce=event.nonce, submission_pending=True, inputs=event.inputs,
        asked=event.asked,
    )  # fmt: skip


def _answered(progress: Progress, event: Any, after: State) -> Progress:
    return msgspec.structs.replace(progress, submission_pending=False)


def _submitted(progress: Progress, event: ev.Submitted, after: State) -> Progress:
    """The call that submitted it withdrew the earlier attempts first."""
    return msgspec.structs.replace(progress, state=after, id=event.id, submission_pending=False, withdrawals=())


def _unclear(progress: Progress, event: ev.InDoubt, after: State) -> Progress:
    return progress if event.known else msgspec.structs.replace(progress, unclear=progress.unclear + 1, words=event.why)


def _owner_changed(progress: Progress, event: ev.OwnerChanged, after: State) -> Progress:
    return msgspec.structs.replace(progress, id=event.id)


def _stopping(progress: Progress, event: ev.Stopping, after: State) -> Progress:
    seen = bits(((index, 0, 0.0) for index in event.tasks), progress.size)
    return msgspec.structs.replace(progress, stopping=event.why, done=progress.done | seen)


def _finished(progress: Progress, event: ev.Finished, after: State) -> Progress:
    return msgspec.structs.replace(progress, state=after, done=(1 << progress.size) - 1, cause=None)


def _terminated(progress: Progress, event: Any, after: State) -> Progress:
    done = progress.done | bits(getattr(event, "tasks", ()), progress.size)
    site = event.cause.kind in SITE
    ended = [Withdrawal(progress.nonce, getattr(event, "lines", 0))] if progress.nonce else []
    return msgspec.structs.replace(
        progress,
        state=after,
        submission_pending=False,
        cause=event.cause,
        done=done,
        withdrawals=(*progress.withdrawals, *ended),
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
        stopping=None,
        unclear=0,
        words="",
        asked=0,
        taken_back=0 if event.fresh else progress.taken_back,
        fails=0 if event.fresh else progress.fails,
        site=0 if event.fresh else progress.site,
        resources={**progress.resources, **event.resources} if event.resources else progress.resources,
    )


def _rerun(progress: Progress, event: ev.Rerun, after: State) -> Progress:
    """As a fresh retry. An attempt that has ended well is over: nothing is withdrawn."""
    again = bits(((index, 0, 0.0) for index in event.tasks), progress.size)
    fresh = _retried(progress, ev.Retried(event.job, fresh=True), after)
    return msgspec.structs.replace(fresh, done=progress.done & ~again, reused=progress.reused & ~again)


def _earlier_attempt_found(progress: Progress, event: ev.EarlierAttemptFound, after: State) -> Progress:
    """The verdict on that attempt was wrong: it does not count as a failure, unless that was said too often."""
    others = (other for other in progress.withdrawals if other.nonce != event.nonce)
    fails, site, wrong = progress.fails, progress.site, int(progress.taken_back < TAKEN_BACK)
    if progress.cause and progress.cause.kind in SITE:
        site = max(site - wrong, 0)
    else:
        fails = max(fails - wrong, 0)
    return msgspec.structs.replace(
        progress,
        state=after,
        nonce=event.nonce,
        id="",
        submission_pending=False,
        withdrawals=(Withdrawal(progress.nonce), *others),
        fails=fails,
        site=site,
        taken_back=progress.taken_back + 1,
    )


_STEPS: dict[type, Callable[[Progress, Any, State], Progress]] = {
    ev.Reused: _reused,
    ev.Submitting: _submitting,
    ev.Submitted: _submitted,
    ev.Deferred: _answered,
    ev.InDoubt: _unclear,
    ev.NotFound: _answered,
    ev.Rejected: _terminated,
    ev.Waiting: _plain,
    ev.Running: _plain,
    ev.Completing: _plain,
    ev.OwnerChanged: _owner_changed,
    ev.Stopping: _stopping,
    ev.Finished: _finished,
    ev.Terminated: _terminated,
    ev.Retried: _retried,
    ev.Rerun: _rerun,
    ev.EarlierAttemptFound: _earlier_attempt_found,
}


_Rule = tuple[State, Callable[[Progress, Any, State], Progress]]


@cache
def _rules() -> dict[type, dict[tuple[State, bool], _Rule]]:
    """By event, state and whether a submission is pending: the state after it, and what else changes."""
    pending = {(source, row.event): row.pending for row in TRANSITIONS for source in row.sources}
    rules: dict[type, dict[tuple[State, bool], _Rule]] = {kind: {} for kind in _STEPS}
    kinds = {kind.__struct_config__.tag: kind for kind in _STEPS}  # type: ignore[attr-defined]
    for (state, name), after in moves().items():
        for answer in (False, True):
            if pending.get((state, name)) in (None, answer):
                rules[kinds[name]][state, answer] = (after, _STEPS[kinds[name]])
    return rules


def bits(tasks: Iterable[ev.TaskResult], size: int) -> int:
    """The tasks that ended with code 0, of a job of so many, as a set of bits; what is no task of it does not count."""
    return sum({1 << index for index, code, _ in tasks if code == 0 and 0 <= index < size})


#: How often an answer that nobody knows is heard before it counts as a refusal.
UNCLEAR = 4
_GOING = (Native.waiting, Native.running)
#: Causes that explain a failing task better than its exit code does.
_EXPLAINING = SITE | {ev.CauseKind.timeout, ev.CauseKind.memory}


def _news(progress: Progress, seen: Observation) -> ev.JobEvent:
    if seen.native is Native.waiting:
        return ev.Waiting(progress.job, seen.code)
    if seen.native is Native.running:
        return ev.Running(progress.job, seen.node)
    return ev.Completing(progress.job)


def decide(progress: Progress, seen: Observation, gone: bool) -> ev.JobEvent | None:
    """The event that an observation amounts to, or None when it is no news.

    `gone`: the job has been absent, or over without success, for longer than the absence timeout. An observation may
    amount to several events: decide again on what `apply` makes of the first until there is none. A marker that says
    that a task failed is not decided on while the queue still has the job: only then does the scheduler know why.
    """
    if progress.state is State.unsubmitted:
        return _answer(progress, seen, gone) if progress.submission_pending else None
    if progress.state not in IN_QUEUE:
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
    """What became of a request whose answer was lost."""
    if seen.id:
        return ev.Submitted(progress.job, seen.id, seen.how)
    if seen.unasked and seen.unasked == progress.asked:
        return ev.NotFound(progress.job, "it was never asked for: the call ended before")
    if not gone or seen.native is not Native.absent:
        return None
    if progress.unclear >= UNCLEAR:
        why = f"refused {progress.unclear} times, in words that are not known: {progress.words}; ask the site"
        return ev.Rejected(progress.job, ev.Cause(ev.CauseKind.rejected, why, source="submit"))
    return ev.NotFound(progress.job, "no receipt, no claim, not in the queue")


def patience(progress: Progress) -> float | None:
    """Seconds, twice, to look for a job whose answer nobody understood (most often a refusal); None: as usual."""
    return 5.0 * 3 ** (progress.unclear - 1) if progress.submission_pending and progress.unclear else None


def _marked(progress: Progress, claim: Claim, seen: Observation) -> ev.JobEvent:
    """The exit marker is there: it alone says how the attempt ended."""
    if progress.done | bits(claim.tasks, progress.size) == (1 << progress.size) - 1:
        return ev.Finished(progress.job, claim.tasks)
    failed = [(index, code) for index, code, _ in claim.tasks if code]
    if not failed or progress.stopping:
        cause = _left(claim) if claim.ended and claim.notes and not progress.stopping else _cause(progress, seen)
        return ev.Terminated(progress.job, cause, claim.tasks, claim.lines)
    index, code = failed[0]
    reason = "; ".join(["a task failed" if len(failed) == 1 else f"{len(failed)} tasks failed", *claim.notes])
    cause = seen.cause or ev.Cause(ev.CauseKind.task)
    if cause.kind not in _EXPLAINING:
        cause = msgspec.structs.replace(cause, kind=ev.CauseKind.task, reason=reason, source="marker")
    stderr, node = claim.stderr.get(index, ""), cause.node or claim.node
    cause = msgspec.structs.replace(cause, code=code, task=index, stderr=stderr, node=node, log=claim.log)
    return ev.Terminated(progress.job, cause, claim.tasks, claim.lines)


def _left(claim: Claim) -> ev.Cause:
    """The script was left before its first task, and said where."""
    reason = "; ".join(claim.notes)
    return ev.Cause(ev.CauseKind.task, reason, claim.ended, node=claim.node, stderr=claim.log, source="marker")


def _cause(progress: Progress, seen: Observation) -> ev.Cause:
    if progress.stopping:
        return ev.Cause(progress.stopping, "killed by the dispatcher")
    if seen.cause:
        return seen.cause
    reason = "it left the queue without an exit marker"
    if seen.claim is None:
        reason += (
            ", and its script had not begun: it was removed while it waited, or a profile of the shell there "
            "(/etc/profile, ~/.bash_profile, ~/.profile, BASH_ENV) ends in exec or exit"
        )
    return ev.Cause(ev.CauseKind.lost, reason, native=seen.code, node=seen.node)


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
    cause = progress.cause or ev.LOST
    kind = cause.kind
    if kind in FINAL or (kind is ev.CauseKind.task and cause.code in policy.hopeless):
        return False
    return progress.site <= policy.site_retries if kind in SITE else progress.fails <= policy.retries
