"""Many jobs on a real Slurm: how many commands they cost, and that each task runs exactly once whatever dies."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from dispatcher import events as ev

if TYPE_CHECKING:
    from .conftest import Slurm, Work

pytestmark = pytest.mark.cluster
COMMANDS = ("sbatch", "squeue", "sacct", "scancel", "scontrol")
WRAPPER = """#!/bin/sh
echo {name} >> {log}
PATH={path}
exec {name} "$@"
"""


class Meter:
    """Counts the scheduler's commands by wrappers that stand before them in PATH."""

    def __init__(self, top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log, folder = top / "commands", top / "wrappers"
        folder.mkdir()
        self.log.touch()
        for name in COMMANDS:
            file = folder / name
            file.write_text(WRAPPER.format(name=name, log=self.log, path=os.environ["PATH"]))
            file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def counts(self) -> Counter[str]:
        return Counter(self.log.read_text().split())


@pytest.fixture
def meter(slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Meter:
    return Meter(tmp_path, monkeypatch)


def within_bounds(commands: Counter[str], jobs: int, rounds: int, batches: int) -> bool:
    """One sbatch a job; of all else 12, one squeue a round, and one sacct for each batch of jobs that ended badly."""
    others = commands.total() - commands["sbatch"]
    return commands["sbatch"] == jobs and others <= 12 + rounds + batches


def run_and_count(work: Work, meter: Meter, tasks: int, jobs: int, **spec: Any) -> None:
    """Run it, print the figures, hold them against the bounds."""
    rounds: list[float] = []
    meter.log.write_text("")
    begin = time.monotonic()
    work.run(work.spec(["true"] * tasks, **spec), lambda engine, _: rounds.append(engine.next_look), check_interval=5)
    looks = len(set(rounds))
    passed = time.monotonic() - begin
    print(f"\n{tasks} tasks in {jobs} jobs: {passed:.0f} s, {looks} rounds, commands {dict(meter.counts())}")
    assert work.said("begin") == work.said("end") == dict.fromkeys(range(tasks), 1)
    assert within_bounds(meter.counts(), jobs, looks, 0), meter.counts()


@pytest.mark.timeout(600)
def test_500_jobs(slurm: Slurm, work: Work, meter: Meter) -> None:
    run_and_count(work, meter, 500, 500)


@pytest.mark.timeout(600)
def test_array_of_2000_is_one_sbatch(slurm: Slurm, work: Work, meter: Meter) -> None:
    slurm.up(SLURM_MAX_ARRAY="2001")
    run_and_count(work, meter, 2000, 1, batch="SlurmJobArray", group_size=0)


CHILD = """
import sys
from pathlib import Path
import msgspec
from dispatcher.model import SubmissionSpec
from dispatcher.session import open_session
spec = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=SubmissionSpec)
with open_session(spec, {}) as session:
    session.scheduler.grace = 12  # more than MessageTimeout, which is 10 here
    session.run(check_interval=1, clean=False)
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("batch", ["Slurm", "SlurmJobArray"])
def test_60_jobs_with_30_deaths_and_two_restarts_of_the_controller(slurm: Slurm, work: Work, batch: str) -> None:
    size = 1 if batch == "Slurm" else 4
    chance = random.Random(4)
    spec = work.spec([f"sleep {n % 4 + 1}" for n in range(60 * size)], batch, "LocalContext", group_size=size)
    asked = work.top / "spec.json"
    asked.write_bytes(msgspec.json.encode(spec))
    deaths = 0
    while True:
        child = subprocess.Popen([sys.executable, "-c", CHILD, asked], cwd=Path(__file__).parents[2])
        try:
            code = child.wait(chance.uniform(0.2, 2.5) if deaths < 30 else 500)
            break
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        deaths += 1
        if deaths in (10, 20):
            slurm.ctl("restart", "slurmctld")
    assert code == 0
    once = dict.fromkeys(range(60 * size), 1)
    lives = [life for life in slurm.accounted() if life[3].partition("-")[0] in nonces(work)]
    ended = Counter(state.split()[0] for _, state, _, _ in lives)
    print(f"\n{deaths} deaths; accounted by Slurm: {len(lives)} lives of jobs and elements, {dict(ended)}")
    assert work.said("begin") == work.said("end") == once
    assert set(ended) == {"COMPLETED"}
    assert len(lives) >= 60 * size
    assert work.causes() == []


def nonces(work: Work) -> set[str]:
    return {event.nonce for event in work.events(ev.Submitting)}
