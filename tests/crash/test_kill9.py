"""kill -9 of the real dispatcher at random moments of a real run: no task twice, none lost."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dispatcher.core.lifecycle import State
from dispatcher.run.store import read_history, stored_journals
from journal import verify

pytestmark = pytest.mark.slow

CHILD = Path(__file__).with_name("child.py")


def live(work: Path, context: str, seconds: float) -> int:
    """One life of a dispatcher of at most so many seconds; its exit code, -9 when it was killed."""
    process = subprocess.Popen([sys.executable, str(CHILD), str(work), context], stderr=subprocess.PIPE, text=True)
    try:
        _, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        _, err = process.communicate()
    if process.returncode not in (0, -9):
        raise AssertionError(err)
    return process.returncode


@pytest.mark.parametrize("context", ["LazyLocal", "Local"])
def test_killed_at_25_random_moments(tmp_path: Path, child: Any, context: str) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rng, kills = random.Random(seed), 0
    for round_number in range(40):
        work = tmp_path / str(round_number)
        child.lay_out(work)
        while live(work, context, rng.uniform(0.25, 1.2) if kills < 25 else 300) != 0:
            kills += 1
        ran = Counter((work / "log").read_text().split())
        assert ran == Counter(str(index) for index in range(child.TASKS)), f"seed {seed}, round {round_number}"
        for index in range(child.TASKS):
            assert (work / "local" / "w" / f"t{index}" / "out").read_text() == f"input {index}\n"
        [journal] = stored_journals(work / "local" / "w")
        assert verify(journal).status == "clean"
        assert {job.state for job in read_history(journal).jobs.values()} == {State.finished}
        if kills >= 25:
            break
    assert kills >= 25, "too few kills to say anything"


def test_two_dispatchers_on_one_submission(tmp_path: Path, child: Any) -> None:
    """The second is refused, with who holds it; nothing runs twice."""
    child.lay_out(tmp_path)
    (tmp_path / "hold").touch()
    both = [
        subprocess.Popen([sys.executable, str(CHILD), str(tmp_path), "LazyLocal"], stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    while all(process.poll() is None for process in both):
        time.sleep(0.05)
    (tmp_path / "hold").unlink()
    errors = [process.communicate()[1] for process in both]
    assert sorted(process.returncode == 0 for process in both) == [False, True]
    refused = next(error for error, process in zip(errors, both, strict=True) if process.returncode)
    winner = next(process.pid for process in both if process.returncode == 0)
    assert "SubmissionBusy" in refused
    assert f"process {winner} on " in refused
    assert Counter((tmp_path / "log").read_text().split()) == Counter(str(i) for i in range(child.TASKS))


def test_a_holder_that_wakes_up_after_another_took_over(tmp_path: Path, child: Any) -> None:
    """Suspended, and the lock does not exclude (as across nodes of some mounts): it can write and submit no more."""
    child.lay_out(tmp_path)
    command = [sys.executable, str(CHILD), str(tmp_path), "LazyLocal"]
    stale = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "log").exists():
        time.sleep(0.02)
    stale.send_signal(signal.SIGSTOP)
    [journal] = stored_journals(tmp_path / "local" / "w")
    (journal / "LOCK").unlink()
    assert live(tmp_path, "LazyLocal", 300) == 0
    stale.send_signal(signal.SIGCONT)
    _, err = stale.communicate(timeout=300)
    assert stale.returncode != 0
    assert "another writer" in err, err
    assert Counter((tmp_path / "log").read_text().split()) == Counter(str(i) for i in range(child.TASKS))
    assert verify(journal).status in ("clean", "torn", "foreign")
    assert {job.state for job in read_history(journal).jobs.values()} == {State.finished}
