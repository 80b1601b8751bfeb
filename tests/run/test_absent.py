"""A job that left the queue without an exit marker: the accounting says why, long before absence counts by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dispatcher.core import events as ev
from tests.simulation.conditions import Conditions


class KilledOnce(Conditions):
    """The first life ends without a marker; `answers`: how often the accounting has none, before it has."""

    def __init__(self, answers: int) -> None:
        self.left, self.lives = answers, 0

    def fate(self) -> str:
        self.lives += 1
        return "killed" if self.lives == 1 else "ends"

    def accounting(self) -> bool:
        self.left -= 1
        return self.left < 0


def ended(simulate: Callable[..., Any], make_submission: Any, answers: int) -> tuple[float, ev.Cause]:
    """When the run was over, in absence time-outs, on the simulated clock; and the cause."""
    simulated = simulate(KilledOnce(answers), make_submission(tasks=1))
    simulated.scheduler.absence_timeout, began = 60.0, simulated.cluster.now
    simulated.run()
    (cause,) = [record.cause for record in simulated.records() if isinstance(record, ev.Terminated)]
    return (simulated.cluster.now - began) / simulated.scheduler.absence_timeout, cause


@pytest.mark.parametrize("answers", [0, 2])
def test_what_the_accounting_knows_is_believed_soon(
    simulate: Callable[..., Any], make_submission: Any, answers: int
) -> None:
    """It may lag, and is asked three times."""
    over, cause = ended(simulate, make_submission, answers)
    assert (cause.kind, cause.source) != ("lost", "")
    assert over < 1


def test_an_accounting_without_an_answer_is_waited_for_as_long_as_before(
    simulate: Callable[..., Any], make_submission: Any
) -> None:
    over, cause = ended(simulate, make_submission, 1000)
    assert (cause.kind, over >= 2) == ("lost", True)
