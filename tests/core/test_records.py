"""Attempts, tasks, failures by cause, and what jobs wait for, from events alone."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher.core import events as ev
from dispatcher.core.history import History
from dispatcher.core.model import TaskSpec
from dispatcher.core.records import Chronicle

JOBS = [f"{nth:02d}" * 20 for nth in range(6)]
OPENED = ev.Opened("ab" * 20, "cd" * 20, "runs", {"retry_count": 3}, {}, "/proj/runs")


def told(*events: Any, tasks: int = 1) -> Chronicle:
    """A submission of jobs c0, c1, … to which this happens, an event a second, the first at 0."""
    clock = [-len(JOBS) - 2.0]
    chronicle = Chronicle(History(), lambda: clock[0])
    planned = [
        ev.Planned(job, tuple(range(nth * tasks, nth * tasks + tasks)), (TaskSpec("run", f"c{nth}"),) * tasks)
        for nth, job in enumerate(JOBS)
    ]
    for event in (OPENED, *planned, *events):
        clock[0] += 1
        chronicle.history.fold(event)
    return chronicle


def begun(nth: int, attempt: int = 1, id: str = "42") -> list[Any]:
    return [ev.Submitting(JOBS[nth], attempt, f"d{attempt}"), ev.Submitted(JOBS[nth], id)]


def failed(nth: int, stderr: str, code: int = 1) -> ev.Terminated:
    cause = ev.Cause(ev.CauseKind.task, "a task failed", code=code, task=0, stderr=stderr)
    return ev.Terminated(JOBS[nth], cause, ((0, code, 9.0),))


def test_an_attempt_has_its_times_and_a_retry_is_another_one() -> None:
    found = told(
        *begun(0), ev.Running(JOBS[0], "n7"), failed(0, "oh no"), ev.Retried(JOBS[0]), *begun(0, 2, "43")
    ).attempts()
    assert [(a.number, a.id, a.requested, a.waiting, a.running, a.ended, a.state) for a in found] == [
        (1, "42", 0.0, 1.0, 2.0, 3.0, "terminated"),
        (2, "43", 5.0, 6.0, 0.0, 0.0, "waiting"),
    ]
    assert (found[0].node, found[0].cause and found[0].cause.stderr) == ("n7", "oh no")


def test_an_attempt_that_was_given_up_and_is_found_is_the_current_one_again() -> None:
    lost = ev.Terminated(JOBS[0], ev.LOST)
    chronicle = told(
        *begun(0), lost, ev.Retried(JOBS[0]), ev.Submitting(JOBS[0], 2, "d2"), ev.EarlierAttemptFound(JOBS[0], "d1")
    )
    assert [(a.nonce, a.state, a.ended, a.cause) for a in chronicle.attempts()] == [("d1", "waiting", 0.0, None)]
    assert chronicle.failures() == []


def test_failures_are_grouped_by_what_was_said_whatever_its_numbers() -> None:
    said = "d{0}.sub: line {0}: python: command not found"
    chronicle = told(
        *(event for nth in range(4) for event in (*begun(nth), failed(nth, said.format(nth + 50), 127))),
        *begun(4),
        failed(4, "Traceback\nValueError: cell of c4 is 17"),
        ev.Retried(JOBS[4]),
    )
    first, second = chronicle.failures()
    assert (first.title, first.jobs, first.path, first.retried) == ("python: command not found", JOBS[:4], "c0", 0)
    assert (second.title, second.path, second.retried) == ("ValueError: cell of c4 is 17", "c4", 1)


def test_what_comes_to_a_good_end_and_what_was_abandoned_are_no_failures() -> None:
    abandoned = ev.Cause(ev.CauseKind.abandoned, "killed by the dispatcher")
    chronicle = told(
        *begun(0), failed(0, "oh no"), ev.Retried(JOBS[0]), *begun(0, 2), ev.Finished(JOBS[0], ((0, 0, 9.0),)),
        *begun(1), ev.Stopping(JOBS[1], "abandoned"), ev.Terminated(JOBS[1], abandoned),
    )  # fmt: skip
    assert chronicle.failures() == []


def test_what_jobs_wait_for_since_when_and_until_when() -> None:
    stuck = "job {} (PD): PartitionConfig: as it is, it will not start"
    events = [
        *begun(0, id="42"),
        ev.Note(stuck.format(42), JOBS[0]),
        *begun(1, id="43"),
        ev.Note(stuck.format(43), JOBS[1]),
    ]
    events += [ev.Submitting(JOBS[2], 1, "d1"), ev.Deferred(JOBS[2], "QOSMaxSubmitJobPerUserLimit")]
    waiting, deferred = told(*events).pauses()
    assert (waiting.why, waiting.jobs, waiting.since, waiting.deferred) == (
        "job (PD): PartitionConfig: as it is, it will not start", JOBS[:2], 2.0, False,
    )  # fmt: skip
    assert (deferred.jobs, deferred.since, deferred.deferred) == ([JOBS[2]], 7.0, True)
    after = told(*events, ev.Running(JOBS[0]), ev.Submitting(JOBS[2], 1, "d1"), ev.Submitted(JOBS[2], "44"))
    assert [pause.jobs for pause in after.pauses()] == [[JOBS[1]]]


def test_an_outage_begins_and_ends() -> None:
    chronicle = told(ev.Note(ev.OUTAGE + "squeue: error"))
    assert (chronicle.outage, chronicle.out_since) == ("squeue: error", 0.0)
    assert told(ev.Note(ev.OUTAGE + "squeue: error"), ev.Note(ev.ANSWERS)).outage == ""


def test_tasks_in_the_order_of_the_submission() -> None:
    chronicle = told(
        *begun(0), ev.Running(JOBS[0]),
        ev.Terminated(JOBS[0], ev.Cause(ev.CauseKind.task, code=3, task=1, stderr="oh no"), ((0, 0, 5.0), (1, 3, 6.0))),
        tasks=3,
    )  # fmt: skip
    found = chronicle.tasks()
    assert [task.position for task in found] == list(range(18))
    assert [(t.state, t.code, t.ended, t.cause) for t in found[:4]] == [
        ("finished", 0, 5.0, ""),
        ("terminated", 3, 6.0, "oh no"),
        ("terminated", None, 0.0, "not run to its end: task in its job"),
        ("unsubmitted", None, 0.0, ""),
    ]
    assert (found[1].stderr, found[0].stderr, found[1].attempt) == ("oh no", "", 1)


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (ev.Cause(ev.CauseKind.task, code=1, stderr="line 3\nValueError: x\nexiting\n"), "ValueError: x"),
        (ev.Cause(ev.CauseKind.task, code=1, stderr="one\ntwo\n"), "two"),
        (ev.Cause(ev.CauseKind.task, "a task failed", code=3), "task: a task failed, exit code 3"),
        (ev.Cause(ev.CauseKind.memory, native="OUT_OF_MEMORY", stderr="Killed"), "memory: OUT_OF_MEMORY"),
        (ev.Cause(ev.CauseKind.rejected, "Invalid account"), "rejected: Invalid account"),
        (ev.LOST, "lost"),
    ],
)
def test_the_line_that_tells_most(cause: ev.Cause, text: str) -> None:
    assert cause.title == text
