"""Real processes on real files: killed at random moments, contending for one journal, read while they write."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from journal_torture import Rec

from journal import JournalCorrupt, JournalMissing, frames, verify

CHILD = str(Path(__file__).with_name("journal_child.py"))
KILLS = 20
pytestmark = pytest.mark.slow


def child(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, CHILD, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_sigkill_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    rng, acknowledged, grown = random.Random(seed), 0, 0
    for _ in range(KILLS):
        process = child("write", tmp_path / "journal", acknowledged)
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(rng.randrange(1, 12))]
        time.sleep(rng.random() * 0.02)
        os.kill(process.pid, signal.SIGKILL)
        out, _ = process.communicate()
        told += [int(line) for line in out.splitlines(keepends=True) if line.endswith("\n")]
        there = [r.i for f in frames(tmp_path / "journal", Rec) for r in f.records if isinstance(r, Rec)]
        assert there == list(range(len(there)))
        assert len(there) >= told[-1], "an acknowledged record is lost"
        grown += len(there) > acknowledged
        acknowledged = len(there)
    assert verify(tmp_path / "journal").status in ("clean", "torn")
    assert grown >= KILLS // 2


@pytest.mark.parametrize("mode", ["lock", "nolock"])
def test_three_writers_contend_while_a_reader_verifies(tmp_path: Path, mode: str) -> None:
    """Until each has written its share, however long that takes here, and the reader has seen some of it."""
    path, enough = tmp_path / "journal", tmp_path / "enough"
    processes = [child("contend", path, me, enough, mode) for me in range(3)]
    looks, failed = 0, list[str]()
    while any(process.poll() is None for process in processes):
        try:
            seen = Counter(int(r.x) for f in frames(path, Rec) for r in f.records if isinstance(r, Rec))
            looks += 1
            if len(seen) == 3 and min(seen.values()) >= 100 and looks >= 20:
                enough.touch()
        except JournalMissing:
            pass
        except JournalCorrupt as error:
            failed.append(str(error))
        time.sleep(0.01)
    results = [(json.loads(out), err) for out, err in (process.communicate() for process in processes)]
    there = defaultdict(list)
    for frame in frames(path, Rec):
        for record in frame.records:
            if isinstance(record, Rec):
                there[int(record.x)].append(record.i)
    for result, said in results:
        found = there[result["me"]]
        assert found == sorted(found)
        assert not set(result["told"]) - set(found), "an acknowledged record is lost"
        assert mode == "nolock" or (result["refused"], said) == (0, "")
    assert sum(len(result["told"]) for result, _ in results) > 10
    assert failed == []
    assert verify(path).status in ("clean", "foreign")
