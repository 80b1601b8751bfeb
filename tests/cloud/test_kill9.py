"""kill -9 of the real dispatcher at random moments; the server's own record shows each job once."""

from __future__ import annotations

import importlib.util
import json
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dispatcher.kept import kept_journals, read_history
from dispatcher.lifecycle import State
from journal import verify

if TYPE_CHECKING:
    from .conftest import Cloud

pytestmark = pytest.mark.slow

CHILD = Path(__file__).with_name("child.py")
KILLS = 8


@pytest.fixture
def child() -> Any:
    made = importlib.util.spec_from_file_location("cloud_child", CHILD)
    assert made
    assert made.loader
    module = importlib.util.module_from_spec(made)
    made.loader.exec_module(module)
    return module


def live(work: Path, kind: str, profile: dict[str, Any], seconds: float) -> int:
    """One life of a dispatcher of at most so many seconds; its exit code, -9 when it was killed."""
    command = [sys.executable, str(CHILD), str(work), kind]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        _, err = process.communicate(json.dumps(profile), timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        _, err = process.communicate()
    if process.returncode not in (0, -9):
        raise AssertionError(err)
    return process.returncode


def test_killed_at_random_moments(cloud: Cloud, kind: str, child: Any, tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rng, kills = random.Random(seed), 0
    for round_number in range(60):  # as many as it takes: how long a life is depends on the machine
        work = tmp_path / str(round_number)
        child.lay_out(work)
        while live(work, kind, cloud.profile(kind), rng.uniform(0.3, 1.0) if kills < KILLS else 90) != 0:
            kills += 1
        assert Counter((work / "log").read_text().split()) == Counter(str(i) for i in range(child.TASKS)), (
            f"seed {seed}"
        )
        for index in range(child.TASKS):
            assert (work / "near" / "w" / f"t{index}" / "out").read_text() == f"input {index}\n"
        [journal] = kept_journals(work / "near" / "w")
        assert verify(journal).status == "clean"
        assert {job.state for job in read_history(journal).jobs.values()} == {State.finished}
        ran = Counter(job["name"][:12] for job in cloud.told()["jobs"] if job["starts"])
        assert len(ran) == child.TASKS * (round_number + 1)
        assert set(ran.values()) == {1}, "the server has run each job once"
        if kills >= KILLS:
            break
    assert kills >= KILLS, "too few kills to say anything"
