"""What is given up unseen may live on: it is ended before another attempt starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dispatcher.core.lifecycle import State
from tests.simulation.conditions import Conditions


def test_an_attempt_that_is_given_up_is_ended_before_the_next(
    simulate: Callable[..., Any], make_submission: Any
) -> None:
    class Forgotten(Conditions):
        """The controller lists the first job no more, and it runs on."""

        observed = 0

        def restarts(self) -> bool:
            self.observed += 1
            return self.observed == 4

        def runs_for(self) -> float:
            return 1e9 if self.observed < 4 else 3.0

        def accounting(self) -> bool:
            return False

    simulated = simulate(Forgotten(), make_submission(tasks=1))
    assert {job.state for job in simulated.run().jobs.values()} == {State.finished}
    calls = simulated.cluster.calls
    assert calls.count("kill") == 1
    assert calls.index("kill") < [nth for nth, call in enumerate(calls) if call == "submit"][1]
