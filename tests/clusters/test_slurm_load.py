"""Many jobs on a real Slurm: how many commands they cost, and that each task runs exactly once whatever dies."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Meter, Mortal, Slurm, Work

pytestmark = pytest.mark.cluster


@pytest.fixture
def meter(slurm: Slurm, count_commands: Callable[..., Meter]) -> Meter:
    return count_commands("sbatch", "squeue", "sacct", "scancel", "scontrol")


def within_bounds(commands: Counter[str], jobs: int, rounds: int, batches: int) -> bool:
    """One sbatch a job; of all else 12, one squeue a round, and one sacct for each batch of jobs that ended badly."""
    others = commands.total() - commands["sbatch"]
    return commands["sbatch"] == jobs and others <= 12 + rounds + batches


def lives_of(slurm: Slurm, work: Work) -> list[list[str]]:
    """All lives of our jobs and elements that the accounting knows to have ended."""
    nonces = work.nonces()
    ended = [life for life in slurm.accounted() if life[1] not in ("PENDING", "RUNNING")]
    return [life for life in ended if life[3].partition("-")[0] in nonces]


def run_and_count(work: Work, meter: Meter, tasks: int, jobs: int, **spec: Any) -> None:
    """Run it, print the figures, hold them against the bounds."""
    rounds: list[float] = []
    meter.log.write_text("")
    begin = time.monotonic()
    work.run(work.spec(["true"] * tasks, **spec), lambda engine, _: rounds.append(engine.next_query), check_interval=5)
    observations = len(set(rounds))
    passed = time.monotonic() - begin
    print(f"\n{tasks} tasks in {jobs} jobs: {passed:.0f} s, {observations} rounds, commands {dict(meter.counts())}")
    assert work.said("begin") == work.said("end") == dict.fromkeys(range(tasks), 1)
    assert within_bounds(meter.counts(), jobs, observations, 0), meter.counts()


def test_many_jobs(slurm: Slurm, work: Work, meter: Meter, full: bool) -> None:
    jobs = 500 if full else 120
    run_and_count(work, meter, jobs, jobs)


def test_a_large_array_is_one_sbatch(slurm: Slurm, work: Work, meter: Meter, full: bool) -> None:
    slurm.up(SLURM_MAX_ARRAY="2001")
    run_and_count(work, meter, 2000 if full else 500, 1, batch="SlurmJobArray", group_size=0)


@pytest.mark.parametrize("batch", ["Slurm", "SlurmJobArray"])
def test_jobs_with_deaths_and_two_restarts_of_the_controller(
    slurm: Slurm, work: Work, mortal: type[Mortal], batch: str, full: bool
) -> None:
    size = 1 if batch == "Slurm" else 4
    tasks, deaths = size * (60 if full else 30), 30 if full else 12
    commands = [*(f"sleep {n % 4 + 1}" for n in range(tasks - 1)), work.waits()]
    spec = work.spec(commands, batch, "LocalContext", group_size=size)
    restarts = (deaths // 3, 2 * deaths // 3)
    # more than MessageTimeout, which is 10 here
    mortal(work, spec, absence_timeout=12).live(
        deaths, lambda kill: kill in restarts and slurm.ctl("restart", "slurmctld")
    )
    until = time.monotonic() + 120
    while len(lives := lives_of(slurm, work)) < tasks and time.monotonic() < until:  # accounting lags
        time.sleep(0.5)
    ended = Counter(state.split()[0] for _, state, _, _ in lives)
    print(f"\naccounted by Slurm: {len(lives)} lives of jobs and elements, {dict(ended)}")
    assert work.said("begin") == work.said("end") == dict.fromkeys(range(tasks), 1)
    assert set(ended) == {"COMPLETED"}
    assert len(lives) >= tasks
    assert work.causes() == []
