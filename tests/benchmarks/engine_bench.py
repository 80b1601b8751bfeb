"""What the dispatcher itself costs: planning, resuming, and 1,000 one-task jobs on this machine.

    python tests/benchmarks/engine_bench.py [--quick]

Times are CPU seconds of this process, so that other work on the machine counts as little as possible; the ratios
and counts are what to compare.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dispatcher.contexts.local.lazy_local import LazyLocalConnection
from dispatcher.core import events as ev
from dispatcher.core.history import History
from dispatcher.core.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec, plan_hash
from dispatcher.core.plan import plan
from dispatcher.core.ports import Call, Reply
from dispatcher.run.session import open_session
from dispatcher.run.store import fold
from journal import Journal
from journal.files import Files


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory that is gone afterwards."""
    path = Path(tempfile.mkdtemp())
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def spec(tasks: int, root: Path, command: str = "true") -> SubmissionSpec:
    """One-task jobs with two forward files and one backward file."""
    return SubmissionSpec(
        "w",
        MachineSpec("Shell", "LazyLocal", str(root), retry_count=0),
        ResourcesSpec(1, 1, 0, "", 1),
        tuple(TaskSpec(command, f"t{i}", ("a", "b"), ("log",)) for i in range(tasks)),
    )


def planning(sizes: list[int]) -> None:
    """Plan and hash: the cost of a job must not depend on how many there are."""
    costs = []
    for size in sizes:
        requested = spec(size, Path("/p"))
        start = time.process_time()
        plan(requested)
        plan_hash(requested)
        costs.append((time.process_time() - start) / size)
        say(f"plan + hash of {size:>7} one-task jobs: {costs[-1] * size:6.2f} CPU s, {costs[-1] * 1e6:5.1f} us a job")
    say(f"  growth: {costs[-1] / costs[0]:.2f} x the cost of a job from {sizes[0]} to {sizes[-1]} jobs (1 is linear)")


def resuming(jobs: int) -> None:
    """Open a journal of a run in the middle: verify, decode, check every transition, fold."""
    with scratch() as path:
        with Journal.open(path / "journal", ev.Event, durability="process") as log:
            log.append(ev.Opened("s", "p", "w", {}, {}, "/p"))
            for number in range(jobs):
                job = f"{number:040x}"
                task = TaskSpec("true", f"t{number}", ("a", "b"), ("log",))
                log.append(
                    ev.Planned(job, (number,), (task,)),
                    ev.Submitting(job, 1, f"d{number:011d}"),
                    ev.Submitted(job, str(number)),
                    ev.Running(job),
                )
        history = History()
        start = time.process_time()
        with Journal.open(path / "journal", ev.Event, replay=lambda frame: fold(history, frame)):
            cost = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        say(f"resume {jobs} jobs: {cost:.2f} CPU s, peak memory {peak:.0f} MiB, {len(history.jobs)} jobs known again")


class Counting(Files):
    """Counts the syncs of the journal."""

    def __init__(self) -> None:
        self.syncs = 0

    def datasync(self, fd: int) -> None:
        """Count, then do it."""
        self.syncs += 1
        super().datasync(fd)

    def sync(self, fd: int) -> None:
        """Count, then do it."""
        self.syncs += 1
        super().sync(fd)


def running(jobs: int) -> None:
    """One-task jobs on the Shell queue: our CPU, our calls, our syncs, our files."""
    calls: Counter[str] = Counter()
    files = Counting()
    request, opened = LazyLocalConnection.run, Journal.open

    def counted(self: Any, call: Call) -> Reply:
        calls["submit" if "dsp_submit" in call.text else "observe"] += 1
        return request(self, call)

    LazyLocalConnection.run = counted  # type: ignore[method-assign]
    Journal.open = lambda *a, **k: opened(*a, **{**k, "files": files})  # type: ignore[method-assign]
    with scratch() as root:
        for number in range(jobs):
            task = root / "w" / f"t{number}"
            task.mkdir(parents=True)
            (task / "a").write_text("a")
            (task / "b").write_text("b")
        wall, cpu = time.time(), time.process_time()
        with open_session(spec(jobs, root), {}) as session:
            session.run(check_interval=5)
        wall, cpu = time.time() - wall, time.process_time() - cpu
        left = sum(
            1
            for path in (root / "w").rglob("*")
            if path.is_file() and ".dispatcher" in path.parts and "journal" not in path.parts
        )
    say(
        f"{jobs} one-task jobs on Shell: {cpu:.2f} CPU s of ours, {wall:.1f} s wall, {calls['submit']} submit calls, "
        f"{calls['observe']} looks, {files.syncs} syncs, {left} files left after clean"
    )


def main() -> None:
    """Run all of them."""
    parser = argparse.ArgumentParser(description="Benchmarks of the dispatcher itself.")
    parser.add_argument("--quick", action="store_true", help="a tenth of the sizes")
    scale = 10 if parser.parse_args().quick else 1
    planning([10_000 // scale, 100_000 // scale])
    resuming(100_000 // scale)
    running(1000 // scale)


if __name__ == "__main__":
    main()
