"""What is given up unseen may live on: it is ended before another attempt starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from dispatcher.core.lifecycle import State
from dispatcher.core.ports import Native, Observation
from dispatcher.run.observer import Observer
from tests.simulation import ports
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


def test_what_runs_on_a_host_that_a_person_declares_gone_is_over_and_tried_again(
    simulate: Callable[..., Any], make_submission: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then it is no news: it may run there, where nobody can look."""

    class NeverStarts(Conditions):
        jobs = 0

        def starts_after(self) -> float:
            self.jobs += 1
            return 1e9 if self.jobs == 1 else 1.0

    one = ports.SimulatedPlace._one

    def elsewhere(self: Any, nonce: str) -> Observation:
        seen = one(self, nonce)
        first = seen.id == "4001"
        return msgspec.structs.replace(seen, native=Native.unknown, node="node7", claim=None) if first else seen

    monkeypatch.setattr(ports.SimulatedPlace, "_one", elsewhere)
    simulated = simulate(NeverStarts(), make_submission(tasks=1))
    began = simulated.cluster.now

    observe = Observer.observe

    def declared(self: Any, jobs: Any) -> None:
        self.gone_hosts = {"node7"} if simulated.cluster.now > began + 600 else set()
        observe(self, jobs)

    monkeypatch.setattr(Observer, "observe", declared)
    history = simulated.run()
    (job,) = history.jobs.values()
    assert (job.state, job.attempt, job.site) == (State.finished, 2, 1)
    assert simulated.cluster.now > began + 600, "it was waited for"


@pytest.mark.parametrize("beats", [True, False])
def test_what_the_queue_lists_no_more_is_not_given_up_while_its_claim_shows_that_it_lives(
    simulate: Callable[..., Any], make_submission: Any, monkeypatch: pytest.MonkeyPatch, beats: bool
) -> None:
    """It touches its claim every 30 seconds; without that it would be given up, and run once more."""

    class Unlisted(Conditions):
        observed = 0

        def restarts(self) -> bool:
            self.observed += 1
            return self.observed == 4

        def runs_for(self) -> float:
            return 400.0 if self.observed < 4 else 3.0

        def accounting(self) -> bool:
            return False

    one = ports.SimulatedPlace._one

    def beating(self: Any, nonce: str) -> Observation:
        seen = one(self, nonce)
        if seen.claim is None or not beats:
            return seen
        return msgspec.structs.replace(
            seen, claim=msgspec.structs.replace(seen.claim, beat=f"{self.cluster.now // 15}")
        )

    monkeypatch.setattr(ports.SimulatedPlace, "_one", beating)
    simulated = simulate(Unlisted(), make_submission(tasks=1))
    (job,) = simulated.run().jobs.values()
    assert (job.state, job.attempt, len(simulated.cluster.runs)) == (State.finished, 2 - beats, 2 - beats)
    assert sum("its claim shows that it lives" in str(record) for record in simulated.records()) == beats
