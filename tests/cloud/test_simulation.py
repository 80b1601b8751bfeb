"""The promises hold on thousands of seeds through the server as well, as far as docs/cloud.md makes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.simulation import faults, fleet, simulation
from tests.simulation.hosts import BrokenPromise

pytestmark = pytest.mark.slow

#: What Bohrium cannot be kept from doubling: nothing there is shared by two jobs, or could be taken back.
BEYOND = {"Bohrium": ("call late", "listed late", "unlocked"), "OpenAPI": ()}


@pytest.fixture
def simulated_cloud(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "fixtures" / "clusters" / "bohrium"))
    from simulated import SimulatedCloud  # type: ignore[import-not-found]

    for module in (simulation, fleet):
        monkeypatch.setattr(module, "Simulated", SimulatedCloud)
    for fault in BEYOND[kind]:
        monkeypatch.setitem(faults.RATES, fault, 0.0)


@pytest.mark.usefixtures("simulated_cloud")
def test_no_seed_breaks_a_promise(kind: str, full: bool) -> None:
    for seed in range(100 if full else 20):
        try:
            simulation.simulate(seed, dialect=kind)
        except BaseException as error:
            raise AssertionError(f"{kind}, seed {seed}: {error!r}, after {getattr(error, 'faults', [])}") from error


@pytest.mark.parametrize("kind", ["OpenAPI"])
@pytest.mark.usefixtures("simulated_cloud")
def test_who_was_taken_over_asks_for_nothing_more(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A seed that breaks a promise without `confirm` before each request that has an effect does not break it with."""
    monkeypatch.setitem(faults.RATES, "suspended", 0.3)
    monkeypatch.setitem(faults.RATES, "second started", 0.1)
    with monkeypatch.context() as broken:
        broken.setattr("dispatcher.contexts.cloud.context.CloudConnection.guard", lambda self, confirm: None)
        seed = next(seed for seed in range(1000) if breaks(seed, kind))
    simulation.simulate(seed, dialect=kind)


def breaks(seed: int, kind: str) -> bool:
    try:
        simulation.simulate(seed, dialect=kind)
    except BrokenPromise:
        return True
    return False
