"""Many jobs on a real Grid Engine: how many commands they cost, and that each runs once whatever dies."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from dispatcher.core import events as ev

if TYPE_CHECKING:
    from .conftest import GridEngine, Meter, Mortal, Work

pytestmark = pytest.mark.cluster
SGE: dict[str, Any] = {"batch": "SGE", "queue_name": "all.q"}
ARRAY: dict[str, Any] = {**SGE, "group_size": 0, "kwargs": {"array": True}}
GOOD = {("0", "0")}


@pytest.mark.parametrize(("array", "requested"), [(False, SGE), (True, ARRAY)], ids=["jobs", "array"])
def test_many_tasks(
    gridengine: GridEngine,
    work: Work,
    count_commands: Callable[..., Meter],
    array: bool,
    requested: dict[str, Any],
    full: bool,
) -> None:
    """One qsub a job, one qstat a round, no qacct where nothing ended badly; an array asks for its limit once."""
    tasks = 200 if full else 80
    meter, rounds = count_commands("qsub", "qstat", "qacct", "qdel", "qconf"), set()
    work.run(
        work.spec(["true"] * tasks, **requested), lambda engine, _: rounds.add(engine.next_query), check_interval=5
    )
    counts = meter.counts()
    print(f"\n{tasks} tasks: {len(rounds)} rounds, commands {dict(counts)}")
    assert work.said("begin") == work.said("end") == dict.fromkeys(range(tasks), 1)
    assert (counts["qsub"], counts["qacct"], counts["qdel"]) == (1 if array else tasks, 0, 0)
    assert counts["qstat"] <= len(rounds) + 2
    assert counts["qconf"] == (1 if array else 0)
    assert gridengine.drained()
    lives = gridengine.lives(work.nonces())
    assert (len(lives), set(lives.values()), {life[2:] for life in lives}) == (tasks, {1}, GOOD)


@pytest.mark.parametrize(("jobs", "size"), [(40, 1), (8, 5)], ids=["jobs", "arrays"])
def test_deaths_and_qmaster_restarted_and_killed(
    gridengine: GridEngine, work: Work, mortal: type[Mortal], jobs: int, size: int, full: bool
) -> None:
    """Grid Engine's own accounting is the witness: each job, each element, lived once."""
    deaths = 20 if full else 10

    def disturb(kill: int) -> None:
        if kill == deaths // 3:
            gridengine.ctl("restart", "sge_qmaster")
        elif kill == 2 * deaths // 3:
            gridengine.ctl("kill9", "sge_qmaster")
            gridengine.ctl("start", "sge_qmaster")

    requested = {**SGE, "group_size": size, "kwargs": {"array": size > 1}}
    commands = [*(f"sleep {n % 4 + 1}" for n in range(jobs * size - 1)), work.waits()]
    spec = work.spec(commands, context="LocalContext", **requested)
    mortal(work, spec, absence_timeout=6).live(deaths, disturb)
    assert work.said("begin") == work.said("end") == dict.fromkeys(range(jobs * size), 1)
    assert work.causes() == []
    assert gridengine.drained()
    lives = gridengine.lives(work.nonces())
    print(f"\naccounted by Grid Engine: {lives.total()} lives; {len(work.events(ev.Submitting))} times asked for")
    assert (len(lives), set(lives.values()), {life[2:] for life in lives}) == (jobs * size, {1}, GOOD)
