"""What the journal costs beside bare write + fdatasync, and how fast a long history is replayed.

    python tests/benchmarks/journal_bench.py [--records 1000000] [--directory DIR]

Appends: records a second at 1, 100 and 1000 per commit, and the ratio to writing the same bytes with os.write and
os.fdatasync, the two alternating, medians of five rounds. Replay: each in a process of its own, records per CPU second
and peak RSS; "verify" checks the chain, "decode" makes the records as well, "fold" applies them to a History (the
legality of every event is checked).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from dispatcher.core import events as ev
from dispatcher.core.history import History
from journal import Close, Journal, Open, frames
from journal.reader import Reader

ROUNDS = 5


def submission(records: int) -> Iterator[Any]:
    """The events of one submission of one-task jobs, six a job, interleaved as batches of 500 jobs are."""
    yield ev.Opened("9b2d41", "p1", "work", {"batch_type": "Slurm"}, {"number_node": 1}, "/home/u")
    for start in range(0, records // 6, 500):
        jobs = [f"{number:012x}" for number in range(start, min(start + 500, records // 6))]
        yield from (ev.Planned(job, (start + nth,), ()) for nth, job in enumerate(jobs))
        yield from (ev.Submitting(job, 1, f"dq{job[-10:]}") for job in jobs)
        yield from (ev.Submitted(job, str(4_000_000 + start + nth)) for nth, job in enumerate(jobs))
        yield from (ev.Running(job, "node07") for job in jobs)
        yield from (ev.Completing(job) for job in jobs)
        yield from (ev.Finished(job, ((0, 0, 1795342361.25),)) for job in jobs)


def appending(directory: Path, per_commit: int, commits: int) -> tuple[float, float]:
    """Records a second through the journal, and of the same bytes without it."""
    events = [ev.Submitted(f"{number:012x}", str(number)) for number in range(per_commit)]
    path = directory / f"append-{per_commit}-{time.monotonic_ns()}"
    with Journal.open(path, ev.Event) as journal:
        start = time.perf_counter()
        for _ in range(commits):
            journal.append(*events)
            journal.commit()  # 1000 were committed by append: then this does nothing
        ours = time.perf_counter() - start
    frame = (path / "00000001.jsonl").read_bytes().splitlines(keepends=True)[2 : 3 + per_commit]
    data = b"".join(frame)
    fd = os.open(directory / "raw", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
    start = time.perf_counter()
    for _ in range(commits):
        os.write(fd, data)
        os.fdatasync(fd)
    raw = time.perf_counter() - start
    os.close(fd)
    return per_commit * commits / ours, per_commit * commits / raw


def replay(path: str, mode: str) -> dict[str, float]:
    """One pass over a journal in this process."""
    base = _rss()
    start = time.process_time()
    reader, history = Reader(Path(path)), History()
    if mode == "verify":
        for _ in reader.walk():
            pass
        count = reader.records
    else:
        count = 0
        for frame in frames(path, ev.Event):
            count += len(frame.records)
            if mode == "fold":
                _fold(history, frame.records)
    return {"records": count, "cpu": time.process_time() - start, "base": base, "rss": _rss()}


def _fold(history: History, records: list[Any]) -> None:
    for record in records:
        if record.__class__ is not Open and record.__class__ is not Close:
            history.fold(record)


def _rss() -> float:
    """Peak so far in MB; of this program alone (ru_maxrss counts what its parent had, too)."""
    found = re.search(r"VmHWM:\s*(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def main() -> None:
    """Run all and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--directory", help="on the file system to be measured; default: a temporary one")
    parser.add_argument("--replay", nargs=2, metavar=("PATH", "MODE"), help=argparse.SUPPRESS)
    requested = parser.parse_args()
    if requested.replay:
        print(json.dumps(replay(*requested.replay)))
        return
    with tempfile.TemporaryDirectory(dir=requested.directory) as name:
        directory = Path(name)
        print("per commit   journal records/s   bare write+fdatasync   ratio")
        for per_commit, commits in ((1, 300), (100, 200), (1000, 100)):
            pairs = [appending(directory, per_commit, commits) for _ in range(ROUNDS)]
            ours, raw = (statistics.median(column) for column in zip(*pairs, strict=True))
            ratio = statistics.median(a / b for a, b in pairs)
            print(f"{per_commit:10} {ours:19,.0f} {raw:22,.0f} {ratio:7.2f}")
        _history(directory / "history", requested.records)


def _history(path: Path, records: int) -> None:
    start = time.process_time()
    with Journal.open(path, ev.Event, durability="process") as journal:
        for event in submission(records):
            journal.append(event)
    size = sum(file.stat().st_size for file in path.glob("*.jsonl"))
    speed = records / (time.process_time() - start)
    print(f"\nwritten one by one: {speed:,.0f} records per CPU second, {size / 1e6:.0f} MB")
    print("replay    records   CPU s   records/CPU s   peak RSS MB   (before MB)")
    for mode in ("verify", "decode", "fold"):
        line = [sys.executable, __file__, "--replay", str(path), mode]
        runs = [json.loads(subprocess.run(line, check=True, capture_output=True).stdout) for _ in range(3)]
        run = sorted(runs, key=lambda each: float(each["cpu"]))[1]
        speed = run["records"] / run["cpu"]
        print(f"{mode:7} {run['records']:9} {run['cpu']:7.2f} {speed:15,.0f} {run['rss']:13.0f}   ({run['base']:.0f})")


if __name__ == "__main__":
    main()
