"""The rules of a job's life: the table whole, every state times every event, and what is decided from a look."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.core import events as ev
from dispatcher.core.errors import IllegalTransition
from dispatcher.core.lifecycle import (
    FINAL,
    SITE,
    TAKEN_BACK,
    TRANSITIONS,
    UNCLEAR,
    Policy,
    Progress,
    State,
    Todo,
    apply,
    bits,
    decide,
    mermaid,
    moves,
    patience,
    table,
    todo,
)
from dispatcher.core.ports import Claim, Native, Observation, Withdrawal

CAUSE = ev.Cause(ev.CauseKind.task, "a task failed", code=1)
SAMPLES: dict[str, Any] = {
    "reused": ev.Reused("j", (1,), "5f1c"),
    "submitting": ev.Submitting("j", 1, "n1"),
    "submitted": ev.Submitted("j", "7"),
    "deferred": ev.Deferred("j", "full"),
    "in_doubt": ev.InDoubt("j", "no allocation"),
    "not_found": ev.NotFound("j", "nowhere"),
    "rejected": ev.Rejected("j", ev.Cause(ev.CauseKind.rejected)),
    "waiting": ev.Waiting("j"),
    "running": ev.Running("j"),
    "completing": ev.Completing("j"),
    "owner_changed": ev.OwnerChanged("j", "8", "holds the claim"),
    "finished": ev.Finished("j", ((0, 0, 1.0), (1, 0, 2.0))),
    "stopping": ev.Stopping("j", ev.CauseKind.cancelled),
    "terminated": ev.Terminated("j", CAUSE, ((0, 0, 1.0), (1, 1, 2.0))),
    "retried": ev.Retried("j"),
    "rerun": ev.Rerun("j", (0,), "their results were deleted"),
    "earlier_attempt_found": ev.EarlierAttemptFound("j", "n0"),
}
ASKING = ("submitted", "deferred", "in_doubt", "not_found", "rejected", "earlier_attempt_found")


def test_every_event_has_a_struct_a_row_and_a_sample() -> None:
    tags = {event.__struct_config__.tag for event in ev.JOB_EVENTS}
    assert tags == {row.event for row in TRANSITIONS} == set(SAMPLES)


def test_the_table_is_the_machine_of_transitions() -> None:
    assert {state.name for state in State} == set(table().states)
    expected = {(s, row.event): row.target or s for row in TRANSITIONS for s in row.sources}
    assert moves() == expected


@pytest.mark.parametrize(("state", "name"), list(itertools.product(State, SAMPLES)))
@pytest.mark.parametrize("submission_pending", [False, True])
def test_every_state_times_every_event_moves_or_raises(state: State, name: str, submission_pending: bool) -> None:
    submission_pending = submission_pending and state is State.unsubmitted
    progress = Progress(
        "j",
        2,
        state=state,
        attempt=1 if name != "submitting" else 0,
        nonce="n1",
        submission_pending=submission_pending,
        withdrawals=(Withdrawal("n0"),),
    )
    legal = (state, name) in moves()
    if state is State.unsubmitted:
        legal = (
            legal
            and (submission_pending or name not in ASKING)
            and not (submission_pending and name in ("submitting", "terminated"))
        )
        legal = legal and name != "finished"  # it has tasks left to run
        legal = legal and not (submission_pending and name == "reused")  # they may be about to run
    if legal:
        assert apply(progress, SAMPLES[name]).state is moves()[state, name]
    else:
        with pytest.raises(IllegalTransition, match=f"job j: {name} is not possible while {state.value}"):
            apply(progress, SAMPLES[name])


def test_what_was_inherited_is_done_before_anything_is_asked() -> None:
    part = apply(Progress("j", 2), ev.Reused("j", (1,), "5f1c"))
    assert (part.state, part.unfinished, part.reused) == (State.unsubmitted, [0], 0b10)
    assert todo(part, Policy()) is Todo.submit
    with pytest.raises(IllegalTransition):
        apply(part, ev.Finished("j"))
    with pytest.raises(IllegalTransition):
        apply(Progress("j", 2), ev.Reused("j", (2,), "5f1c"))
    whole = apply(apply(part, ev.Reused("j", (0,), "5f1c")), ev.Finished("j"))
    assert (whole.state, todo(whole, Policy()), whole.attempt) == (State.finished, Todo.nothing, 0)


def test_the_life_of_a_job_with_one_retry() -> None:
    progress = Progress("j", 2)
    for name in ("submitting", "submitted", "running", "completing", "terminated", "retried"):
        progress = apply(progress, SAMPLES[name])
    assert (progress.state, progress.attempt, progress.fails, progress.done) == (State.unsubmitted, 2, 1, 0b01)
    assert (progress.withdrawals, progress.nonce, progress.id) == ((Withdrawal("n1"),), "", "")
    assert progress.unfinished == [1]
    progress = apply(progress, ev.Submitting("j", 2, "n2"))
    progress = apply(progress, ev.Submitted("j", "9"))
    assert progress.withdrawals == (), "the call that submitted it has withdrawn the first one"
    progress = apply(progress, ev.Finished("j", ((1, 0, 3.0),)))
    assert (progress.state, progress.done, progress.cause) == (State.finished, 0b11, None)


def test_a_question_of_another_attempt_is_refused() -> None:
    with pytest.raises(IllegalTransition):
        apply(Progress("j", 1, attempt=2), ev.Submitting("j", 1, "n1"))


@pytest.mark.parametrize("kind", sorted(SITE))
def test_the_sites_doing_does_not_use_up_the_users_retries(kind: ev.CauseKind) -> None:
    progress = Progress("j", 1, state=State.running, attempt=1)
    ended = apply(progress, ev.Terminated("j", ev.Cause(kind)))
    assert (ended.fails, ended.site) == (0, 1)
    assert todo(ended, Policy(retries=0)) is Todo.retry
    assert todo(msgspec.structs.replace(ended, site=21), Policy(retries=0)) is Todo.nothing


@pytest.mark.parametrize("code", [126, 127])
def test_a_command_that_cannot_be_run_is_not_tried_again_unless_asked(code: int) -> None:
    ended = Progress("5f" * 20, 1, State.terminated, attempt=1, cause=ev.Cause(ev.CauseKind.task, code=code, task=0))
    assert todo(ended, Policy()) is Todo.nothing
    assert todo(ended, Policy(hopeless=frozenset())) is Todo.retry
    other = msgspec.structs.replace(ended, cause=ev.Cause(ev.CauseKind.scheduler, code=code))
    assert todo(other, Policy()) is Todo.retry, "only a task's own code says so"


@pytest.mark.parametrize(("retries", "attempts"), [(0, 1), (1, 2), (3, 4)])
def test_retry_count_counts_the_retries_after_the_first_attempt(retries: int, attempts: int) -> None:
    progress, made = Progress("j", 1), 0
    while todo(progress, Policy(retries)) is not Todo.nothing:
        if todo(progress, Policy(retries)) is Todo.retry:
            progress = apply(progress, ev.Retried("j"))
        made += 1
        progress = apply(progress, ev.Submitting("j", made, f"n{made}"))
        progress = apply(apply(progress, ev.Submitted("j", str(made))), ev.Terminated("j", CAUSE))
    assert made == attempts


@pytest.mark.parametrize("cause", [CAUSE, ev.Cause(ev.CauseKind.node)])
def test_an_attempt_that_is_found_again_each_time_and_never_seen_to_end_is_given_up(cause: ev.Cause) -> None:
    """Its claim is there, and nobody can read it: every new attempt is turned away for its sake."""
    policy, job, found = Policy(retries=3, site_retries=3), Progress("j", 1), 0
    job = apply(apply(job, ev.Submitting("j", 1, "n1")), ev.Submitted("j", "1"))
    job = apply(job, ev.Terminated("j", cause))
    while todo(job, policy) is Todo.retry:
        found += 1
        assert found < 20
        job = apply(job, ev.Retried("j"))
        job = apply(job, ev.Submitting("j", job.attempt, f"n{job.attempt}"))
        job = apply(apply(job, ev.EarlierAttemptFound("j", "n1")), ev.Terminated("j", cause))
    assert (job.state, found) == (State.terminated, TAKEN_BACK + 3)
    assert apply(job, ev.Retried("j", fresh=True)).taken_back == 0


@pytest.mark.parametrize("kind", sorted(FINAL))
def test_what_was_ended_on_purpose_is_not_tried_again(kind: ev.CauseKind) -> None:
    assert todo(Progress("j", 1, state=State.terminated, cause=ev.Cause(kind)), Policy(3)) is Todo.nothing


def observation(native: Native, **what: Any) -> Observation:
    return Observation(native, **what)


LIVE = Progress("j", 2, state=State.running, attempt=1, nonce="n1", id="7")
ALL = ((0, 0, 1.0), (1, 0, 2.0))
DECISIONS: list[tuple[str, Progress, Observation, bool, Any]] = [
    ("no news", LIVE, observation(Native.running), False, None),
    ("unknown is no news", LIVE, observation(Native.unknown), True, None),
    ("back in the queue", LIVE, observation(Native.waiting, code="PD"), False, ev.Waiting("j", "PD")),
    ("completing", LIVE, observation(Native.completing), False, ev.Completing("j")),
    ("absence alone is nothing", LIVE, observation(Native.absent), False, None),
    ("seen to have ended, marker not yet there", LIVE, observation(Native.ended), False, None),
    (
        "the marker says finished, whatever the queue says",
        LIVE,
        observation(Native.unknown, claim=Claim("7", tasks=ALL, ended=0)),
        False,
        ev.Finished("j", ALL),
    ),
    (
        "exit 0 but a task has no result",
        LIVE,
        observation(Native.absent, claim=Claim("7", tasks=ALL[:1], ended=0)),
        False,
        ev.Terminated("j", ev.Cause(ev.CauseKind.lost, "it left the queue without an exit marker"), ALL[:1]),
    ),
    (
        "another copy holds the claim",
        LIVE,
        observation(Native.running, claim=Claim("8")),
        False,
        ev.OwnerChanged("j", "8", "holds the claim; 7 was recorded"),
    ),
    ("over: nothing is derived again", Progress("j", 2, state=State.finished), observation(Native.running), True, None),
]


@pytest.mark.parametrize(
    ("progress", "seen", "gone", "event"), [d[1:] for d in DECISIONS], ids=[d[0] for d in DECISIONS]
)
def test_what_a_look_amounts_to(progress: Progress, seen: Observation, gone: bool, event: Any) -> None:
    assert decide(progress, seen, gone) == event


def test_gone_without_a_marker_keeps_what_was_done() -> None:
    claim = Claim("7", tasks=ALL[:1])
    event = decide(LIVE, observation(Native.absent, claim=claim), True)
    assert isinstance(event, ev.Terminated)
    assert (event.cause.kind, event.tasks) == ("lost", ALL[:1])


def test_the_schedulers_reason_explains_a_failing_task() -> None:
    claim = Claim("7", tasks=((0, 137, 1.0),), ended=1, stderr={0: "Killed"})
    reported = ev.Cause(ev.CauseKind.memory, "out of memory", native="OUT_OF_MEMORY", maxrss=1 << 30)
    event = decide(LIVE, observation(Native.absent, claim=claim, cause=reported), False)
    assert isinstance(event, ev.Terminated)
    assert (event.cause.kind, event.cause.code, event.cause.stderr, event.cause.maxrss) == (
        "memory",
        137,
        "Killed",
        1 << 30,
    )


def test_the_accountings_cause_is_kept() -> None:
    cause = ev.Cause(ev.CauseKind.timeout, "time limit", native="TIMEOUT", elapsed=61.0)
    event = decide(LIVE, observation(Native.ended, cause=cause), True)
    assert isinstance(event, ev.Terminated)
    assert event.cause == cause


def test_a_failing_task_is_named_with_its_code_and_stderr() -> None:
    claim = Claim("7", node="n3", tasks=((0, 0, 1.0), (1, 9, 2.0)), ended=1, stderr={1: "boom"})
    assert decide(LIVE, observation(Native.running, claim=claim), False) is None, "the scheduler may yet say why"
    event = decide(LIVE, observation(Native.running, claim=claim), True)
    assert event == decide(LIVE, observation(Native.absent, claim=claim), False)
    assert isinstance(event, ev.Terminated)
    assert (event.cause.task, event.cause.code, event.cause.stderr, event.cause.node) == (1, 9, "boom", "n3")


ASKED = Progress("j", 2, attempt=1, nonce="n1", submission_pending=True)


def test_a_lost_answer_is_found_or_waited_for() -> None:
    assert decide(ASKED, observation(Native.absent, id="7", how="receipt"), False) == ev.Submitted("j", "7", "receipt")
    assert decide(ASKED, observation(Native.absent), False) is None
    assert isinstance(decide(ASKED, observation(Native.absent), True), ev.NotFound)
    assert decide(ASKED, observation(Native.unknown), True) is None


def test_a_killed_job_ends_for_the_reason_it_was_killed_for() -> None:
    stopping = msgspec.structs.replace(LIVE, stopping=ev.CauseKind.cancelled)
    event = decide(stopping, observation(Native.ended), False)
    assert isinstance(event, ev.Terminated)
    assert event.cause.kind == "cancelled"
    assert decide(stopping, observation(Native.absent), False) is None, "absent may be late visibility: the grace holds"


def test_bits_are_the_tasks_that_ended_well() -> None:
    assert bits(((0, 0, 1.0), (1, 2, 1.0), (5, 0, 1.0), (6, 0, 1.0)), 6) == 0b100001


def test_the_diagram_shows_every_move_that_changes_a_state() -> None:
    text = mermaid()
    for row in TRANSITIONS:
        for source in row.sources:
            assert (f"    {source.value} --> {row.target.value}: {row.event}" in text) if row.target else True
    assert text.startswith("stateDiagram-v2")


_EVENTS = st.lists(st.sampled_from(list(SAMPLES.values())), max_size=30)


@settings(max_examples=300, deadline=None)
@given(_EVENTS)
def test_refused_events_change_nothing_and_the_fold_of_the_others_is_the_live_state(events: list[Any]) -> None:
    live, stored = Progress("j", 2), []
    for event in events:
        if isinstance(event, ev.Submitting):
            event = msgspec.structs.replace(event, attempt=max(live.attempt, 1))
        before = live
        try:
            live = apply(live, event)
            stored.append(event)
        except IllegalTransition:
            assert live is before
    again = Progress("j", 2)
    wire: msgspec.json.Decoder[Any] = msgspec.json.Decoder(ev.Event)
    for event in stored:
        again = apply(again, wire.decode(msgspec.json.encode(event)))
    assert again == live


def test_words_that_nobody_knows_are_heard_a_bounded_number_of_times_with_growing_patience() -> None:
    job, waits = Progress("j", 1), []
    for _ in range(UNCLEAR):
        job = apply(apply(job, ev.Submitting("j", 1, "n1")), ev.InDoubt("j", "no allocation on this system"))
        waits.append(patience(job))
        event = decide(job, observation(Native.absent), True)
        assert event is not None
        job = apply(job, event)
    assert waits == [5.0, 15.0, 45.0, 135.0]
    assert (job.state, job.cause and job.cause.kind) == (State.terminated, ev.CauseKind.rejected)
    assert job.cause is not None
    assert "no allocation on this system" in job.cause.reason


def test_trouble_that_passes_is_never_final_however_often_it_comes() -> None:
    job = Progress("j", 1)
    for _ in range(3 * UNCLEAR):
        job = apply(apply(job, ev.Submitting("j", 1, "n1")), ev.InDoubt("j", "Socket timed out", known=True))
        assert patience(job) is None
        event = decide(job, observation(Native.absent), True)
        assert isinstance(event, ev.NotFound)
        job = apply(job, event)


def test_a_job_that_was_taken_in_spite_of_the_words_is_found() -> None:
    job = apply(apply(Progress("j", 1), ev.Submitting("j", 1, "n1")), ev.InDoubt("j", "no allocation"))
    event = decide(job, Observation(Native.waiting, "PD", "7", "queue"), False)
    assert isinstance(event, ev.Submitted)
    taken = apply(job, event)
    assert (taken.state, taken.id) == (State.waiting, "7")
