"""Jobs by what is due, kept up with every event, are those that a look at every job would give."""

from __future__ import annotations

import random

from dispatcher.core import events as ev
from dispatcher.core.errors import IllegalTransition
from dispatcher.core.history import History
from dispatcher.core.lifecycle import NO_RETRIES, Policy, State, Todo, todo
from dispatcher.core.model import TaskSpec
from dispatcher.run.due import Due


def begun(jobs: int) -> History:
    """Jobs of three tasks each, none submitted."""
    history = History()
    history.fold(ev.Opened("s", "p", "w", {}, {}, "/p"))
    for job in range(jobs):
        history.fold(ev.Planned(f"j{job}", tuple(range(3 * job, 3 * job + 3)), (TaskSpec("true", "t"),) * 3))
    return history


def something(chance: random.Random, job: str, nth: int) -> ev.JobEvent:
    """Any event; most are not legal where the job is."""
    cause = ev.Cause(chance.choice([ev.CauseKind.task, ev.CauseKind.node, ev.CauseKind.cancelled]))
    some = tuple((index, 0, 1.0) for index in range(3) if chance.random() < 0.5)
    return chance.choice(
        [
            ev.Reused(job, (chance.randrange(3),), "s0"),
            ev.Submitting(job, 1, f"n{nth}"),
            ev.Submitting(job, 2, f"n{nth}"),
            ev.Submitted(job, str(nth)),
            ev.Deferred(job, "later"),
            ev.NotFound(job, ""),
            ev.Rejected(job, cause),
            ev.Running(job),
            ev.Waiting(job),
            ev.Stopping(job, ev.CauseKind.cancelled, (0,)),
            ev.Finished(job, some),
            ev.Terminated(job, cause, some),
            ev.Retried(job),
            ev.Rerun(job, (1,), "asked for"),
        ]
    )


def test_it_is_what_a_look_at_every_job_gives() -> None:
    chance, history, policies, happened = random.Random(7), begun(6), (Policy(1), Policy(0), NO_RETRIES), 0
    due = Due(history, policies[0])
    for nth in range(3000):
        try:
            history.fold(something(chance, f"j{chance.randrange(6)}", nth))
            happened += 1
        except IllegalTransition:
            pass
        if not nth % 50:
            due.policy = chance.choice(policies)
        jobs = list(history.jobs.values())
        for what in Todo:
            expected = {job.job for job in jobs if todo(job, due.policy) is what}
            assert {job.job for job in due.of(what)} == expected
            assert due.count(what) == len(expected)
            assert all(history.jobs[job.job] is job for job in due.of(what)), "as they are now"
        assert (due.tasks, due.done) == (18, sum(job.done.bit_count() for job in jobs))
        assert due.busy == sum(job.may_run for job in jobs)
    assert happened > 300


def test_what_is_news() -> None:
    history = begun(3)
    due = Due(history, Policy())
    assert [job.job for job in due.news()] == ["j0", "j1", "j2"], "all of them, to begin with"
    history.fold(ev.Submitting("j1", 1, "n"))
    history.fold(ev.Submitted("j1", "4211"))
    assert [(job.job, job.state) for job in due.news()] == [("j1", State.waiting)]
    assert (list(due.news()), due.moves) == ([], 2)


def test_the_next_ones_are_those_that_have_been_due_for_longest() -> None:
    history = begun(3)
    due = Due(history, Policy())
    for event in (ev.Submitting("j0", 1, "n"), ev.Rejected("j0", ev.Cause(ev.CauseKind.task)), ev.Retried("j0")):
        history.fold(event)
    assert [job.job for job in due.first(Todo.submit, 2)] == ["j1", "j2"]
    assert [job.job for job in due.first(Todo.submit, None)] == ["j1", "j2", "j0"]
