"""Several submissions below one work directory, purges, edits, lost and restored journals: each task is run once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from dispatcher.core.errors import NotOurs
from dispatcher.run import again, index, inputs, ownership, results, reuse, work
from tests.simulation import faults, neighbours
from tests.simulation.hosts import BrokenPromise

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("part", range(2))
def test_no_seed_breaks_a_promise(part: int, full: bool) -> None:
    """Each part has seeds of its own."""
    for seed in range(part * 1000, part * 1000 + (500 if full else 8)):
        try:
            neighbours.simulate(seed)
        except BaseException as error:
            how = f"--neighbours --seed {seed}"
            raise AssertionError(f"python -m tests.simulation.simulation {how}: {error!r}") from error


def test_a_seed_is_the_same_run_every_time() -> None:
    first, second = (neighbours.simulate(12) for _ in range(2))
    assert first[1].faults == second[1].faults
    assert list(map(repr, first[0].ledger.bodies)) == list(map(repr, second[0].ledger.bodies))


Break = Callable[[pytest.MonkeyPatch], None]
MUTANTS: dict[str, tuple[Break, int]] = {}


def mutant(most: int) -> Callable[[Break], Break]:
    """A fault in our own rules; `most` seeds are enough to see it."""

    def named(function: Break) -> Break:
        MUTANTS[function.__name__] = function, most
        return function

    return named


def often(patch: pytest.MonkeyPatch, **rates: float) -> None:
    """What must happen for this one to matter."""
    for kind, rate in rates.items():
        patch.setitem(faults.NEIGHBOURS, kind.replace("_", " "), rate)


@mutant(200)
def whoever_owns_a_place_may_use_it(patch: pytest.MonkeyPatch) -> None:
    often(patch, journal_put_back=0.05, journal_kept=0.05, journal_deleted=0.02)
    patch.setattr(work, "verdict", lambda *found: ownership.Verdict.ours)


@mutant(200)
def a_live_neighbour_is_not_refused(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(index.Neighbour, "is_live", lambda self, entry: False)


@mutant(200)
def who_is_at_work_does_not_count(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(index, "holder_of", lambda path: "")


@mutant(200)
def what_is_run_again_is_not_looked_for_elsewhere(patch: pytest.MonkeyPatch) -> None:
    def record(self: Any, events: Any) -> None:
        self._session.record(*events)

    patch.setattr(again.Again, "_record", record)


@mutant(200)
def nothing_is_reused(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reuse.Others, "reuse", lambda self, session, profile: "")


@mutant(200)
def reused_whatever_it_read(patch: pytest.MonkeyPatch) -> None:
    identities = reuse.identities
    often(patch, input_edited=0.05)

    def careless(spec: Any, found: Any) -> Any:
        return [msgspec.structs.replace(task, whole=task.command) for task in identities(spec, found)]

    for module in (reuse, index):
        patch.setattr(module, "identities", careless)


@mutant(200)
def inputs_are_not_compared(patch: pytest.MonkeyPatch) -> None:
    often(patch, input_edited=0.05)
    patch.setattr(inputs.Inputs, "changed", lambda self, position, stamp: [])


@mutant(200)
def what_was_deleted_counts_as_here(patch: pytest.MonkeyPatch) -> None:
    often(patch, results_deleted=0.05)
    patch.setattr(results, "gone", lambda *found: [])


@mutant(300)
def what_others_have_written_over_counts_as_ours(patch: pytest.MonkeyPatch) -> None:
    often(patch, input_edited=0.05)
    patch.setattr(reuse.Others, "overwritten", lambda self, session: [])


@mutant(300)
def an_adopted_journal_does_not_know_what_lies_there(patch: pytest.MonkeyPatch) -> None:
    """Then whoever does what is said is refused for ever."""
    often(patch, journal_deleted=0.03, node_lost=0.3)
    patch.setattr("dispatcher.core.history.History._recalled", lambda self, event: None)
    from dispatcher.core import events, history

    patch.setitem(history._STEPS, events.Recalled, lambda self, event: None)


@mutant(300)
def a_refusal_has_no_way_out(patch: pytest.MonkeyPatch) -> None:
    often(patch, journal_deleted=0.03)

    def refuse(*found: Any) -> Any:
        raise NotOurs("there is nothing to adopt")

    patch.setattr(neighbours, "adopt", refuse)


@pytest.mark.parametrize("name", MUTANTS)
def test_every_fault_in_our_own_rules_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    broken, most = MUTANTS[name]
    broken(monkeypatch)
    for seed in range(most):
        try:
            neighbours.simulate(seed)
        except BrokenPromise:
            return
    raise AssertionError(f"{name}: {most} seeds and no promise was broken")
