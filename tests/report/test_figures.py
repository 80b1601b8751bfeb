"""The numbers of a report are those of the run."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher.core import events as ev
from dispatcher.report.figures import MOMENTS, figures, span

HOUR = 3600.0
FAILED = ev.Cause(ev.CauseKind.task, code=127, task=0, stderr="begin\nbash: line 1: python: command not found")
SLOW = ev.Cause(ev.CauseKind.timeout, reason="the time limit was reached", node="node2")


def run_of_three(told: Any) -> Any:
    """One finishes at once, one in its second attempt, one hits its limit for good; 2 x 8 cores each."""
    run = told(3)
    run.attempt(0, 1, 0, HOUR, 2 * HOUR)
    run.attempt(1, 1, 0, HOUR, 2 * HOUR, FAILED)
    run.at(2 * HOUR, ev.Retried(run.job(1)))
    run.attempt(1, 2, 2 * HOUR, 3 * HOUR, 5 * HOUR)
    run.attempt(2, 1, 0, HOUR, 4 * HOUR, SLOW)
    run.at(5 * HOUR, ev.Concluded("failed", 1))
    return run


def seen(run: Any, now: float) -> Any:
    return figures(run.chronicle, run.chronicle.tasks(), 1_790_000_000.0 + now)


def test_hours_go_to_what_came_of_them(told: Any) -> None:
    found = {part.outcome: part for part in seen(run_of_three(told), 5 * HOUR).spent}
    assert (found["useful"].core_hours, found["useful"].gpu_hours, found["useful"].attempts) == (3 * 16, 3 * 2, 2)
    assert (found["lost"].core_hours, found["lost"].attempts) == (4 * 16, 2)
    assert "running" not in found


def test_what_still_runs_is_counted_until_now(told: Any) -> None:
    run = told(1)
    run.at(0, ev.Submitting(run.job(0), 1, "n"), ev.Submitted(run.job(0), "1"))
    run.at(HOUR, ev.Running(run.job(0)))
    [part] = seen(run, 3 * HOUR).spent
    assert (part.outcome, part.core_hours) == ("running", 2 * 16)


def test_the_curve_counts_every_attempt_once(told: Any) -> None:
    found = seen(run_of_three(told), 5 * HOUR)
    assert len(found.curve) == MOMENTS
    at = {round((moment.at - found.begun) / HOUR, 1): moment[1:] for moment in found.curve}
    assert at[0.5] == (3, 0, 0)
    assert at[1.5] == (0, 3, 0)
    assert at[2.5] == (1, 1, 2)
    assert found.curve[-1][1:] == (0, 0, 4)


def test_times_in_the_queue(told: Any) -> None:
    waits = seen(run_of_three(told), 5 * HOUR).waits
    assert (waits.middle, waits.longest) == (HOUR, HOUR)
    assert sum(bar.jobs for bar in waits.bars) == 4
    assert seen(told(1), 10).waits is None


def test_failures_are_grouped_by_what_was_said(told: Any) -> None:
    groups = {group.kind: group for group in seen(run_of_three(told), 5 * HOUR).groups}
    assert (groups["task"].title, groups["task"].attempts, groups["task"].repaired) == (
        "python: command not found",
        1,
        1,
    )
    assert (groups["timeout"].first, groups["timeout"].repaired, groups["timeout"].nodes) == ("c2", 0, (("node2", 1),))


def test_advice_follows_from_the_numbers(told: Any) -> None:
    assert any("walltime" in line for line in seen(run_of_three(told), 5 * HOUR).advice)
    short = told(12)
    for n in range(12):
        short.attempt(n, 1, 0, 600, 660)
    [advice] = seen(short, 660).advice
    assert "group_size, now 1" in advice


@pytest.mark.parametrize(("seconds", "text"), [(12.4, "12 s"), (180, "3 min"), (5400, "90 min"), (9000, "2.5 h")])
def test_span(seconds: float, text: str) -> None:
    assert span(seconds) == text
