"""Whole runs on a simulated cluster under faults drawn from a seed: the engine, the rules and the journal as they are.

    python -m dispatcher.testing.simulation --seeds 2000        every seed, or the first that breaks a promise
    python -m dispatcher.testing.simulation --seed 17           one seed, told step by step, made as short as it gets
    python -m dispatcher.testing.simulation --dialect PBS --seeds 20      its shell text run by sh; a second each

A life is one dispatcher process; a seed kills and starts as many as it likes.
After the last one the promises are checked: no task was started again after
its success was published, and not twice in one life of a job; none is lost;
the journal is whole and legal; what is believed is what is written; nothing
was removed before it was fetched; every run ends in success or in a failure
that is reported.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from journal import Journal, JournalBusy, JournalError, frames, verify

from .. import events as ev
from ..errors import DispatcherError, JobsFailed
from ..history import History
from ..kept import fold
from ..lifecycle import State
from ..model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec
from ..plan import plan
from ..ports import Item
from ..session import Session, begin, real_outside
from .cluster import Cluster, World
from .dialects import KITS, DialectPlace, FarSide
from .faults import Faulty, FaultyFiles, Killed
from .ports import SimulatedPlace, SimulatedQueue

#: Rounds and lives after which a run that has not ended is a broken promise.
LIVES = 400
ROUNDS = 20_000


class BrokenPromise(AssertionError):
    """What must never happen has happened."""


class Simulated:
    """One submission on a simulated cluster: `run()` is one life of a dispatcher; what it leaves is in `path`."""

    def __init__(self, path: Path, spec: SubmissionSpec, world: World, dialect: str = "") -> None:
        self.path, self.spec, self.world = path / "journal", spec, world
        self.cluster = Cluster(world)
        self.far = FarSide(self.cluster, dialect, path / "far") if dialect else None
        self.jobs = plan(spec)
        self.nonces = (f"d{number:08d}sim" for number in itertools.count())

    def now(self) -> float:
        """The clock on the wall, as the world has set it."""
        return self.cluster.now + float(getattr(self.world, "skew", 0.0))

    def sleep(self, seconds: float) -> None:
        """Let the cluster's time pass; BrokenPromise when a run goes round for ever."""
        self.cluster.sleep(seconds)
        if self.cluster.rounds > ROUNDS:
            raise BrokenPromise(f"not over after {ROUNDS} rounds")

    def run(self, outside: dict[str, Any] | None = None, **how: Any) -> History:
        """From the start of a process to its end, whatever that is; see Session.run for `how`."""
        history = History()
        log: Journal[Any] = Journal.open(
            self.path,
            ev.Event,
            replay=lambda frame: fold(history, frame),
            files=FaultyFiles(self.world),
            clock=self.now,
            durability="commit",
        )
        world = {"now": self.now, "elapsed": lambda: self.cluster.now, "sleep": self.sleep}
        settings = {**world, "nonce": lambda: next(self.nonces), **(outside or {})}
        uploads = [Item("/near/in", "in", 3, "00")]
        session = Session(
            self.spec,
            self.jobs,
            "sim",
            self.far.scheduler if self.far else SimulatedQueue(),
            lambda: DialectPlace(self.far) if self.far else SimulatedPlace(self.cluster),
            log,
            history,
            real_outside(**settings),
            uploads,
        )
        with session:
            begin(session, {"in": "00"})
            session.run(check_interval=8.0, **how)
        return history

    def close(self) -> None:
        """Let go of the machine that the commands of a dialect are typed on."""
        if self.far:
            self.far.close()
            self.far = None

    def records(self) -> list[Any]:
        """Every record of the journal."""
        return [record for frame in frames(self.path, ev.Event) for record in frame.records]

    def replayed(self) -> History:
        """The history as the journal tells it."""
        history = History()
        for frame in frames(self.path, ev.Event):
            fold(history, frame)
        return history


def submission(tasks: int = 5, group_size: int = 2, retries: int = 2, max_running: int | None = None) -> SubmissionSpec:
    """A small submission."""
    return SubmissionSpec(
        work_base="w",
        machine=MachineSpec("Simulated", "Simulated", "/near", retry_count=retries, max_running=max_running),
        resources=ResourcesSpec(1, 1, 0, "", group_size),
        tasks=tuple(TaskSpec(f"run {i}", f"t{i}", ("in",), ("out",)) for i in range(tasks)),
    )


def simulate(seed: int, allowed: Collection[int] | None = None, dialect: str = "") -> tuple[Simulated, Faulty]:
    """Run one seed to its end, in the simulation's own words or in those of a dialect. Raises BrokenPromise."""
    world = Faulty(seed, allowed)
    spec = submission(world.rng.randint(1, 7), world.rng.randint(0, 3), 2, world.rng.choice([None, None, 1, 2]))
    shared = Path("/dev/shm")  # noqa: S108 (memory when there is some; every write is simulated to fail anyway)
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        simulated = Simulated(Path(folder), spec, world, dialect)
        world.rival = lambda: _rival(simulated.path)
        try:
            _check(simulated, _live(simulated, world))
        finally:
            simulated.close()
        return simulated, world


def _live(simulated: Simulated, world: Faulty) -> bool:
    """Life after life, until one ends by itself; whether that one reported failed jobs."""
    for _ in range(LIVES):
        try:
            history = simulated.run()
        except Killed:
            continue
        except JobsFailed:
            return True
        except (DispatcherError, JournalError, OSError) as error:
            if world.drawn >= world.calm and not world.faults:
                raise BrokenPromise(f"a good world, and yet: {error}") from error
            continue
        if simulated.replayed().jobs != history.jobs:
            raise BrokenPromise("what was believed is not what is written")
        return False
    raise BrokenPromise(f"not over after {LIVES} lives")


def _rival(path: Path) -> None:
    """Somebody else tries to write the journal of a run that is going on."""
    try:
        with Journal.open(path, ev.Event):
            raise BrokenPromise("two writers had the journal")
    except JournalBusy:
        return


def _check(simulated: Simulated, failed: bool) -> None:
    history, report = simulated.replayed(), verify(simulated.path)
    if report.status not in ("clean", "torn"):
        raise BrokenPromise(f"the journal is {report.status}: {report.problem}")
    states = {job.state for job in history.jobs.values()}
    if not states <= {State.finished, State.terminated} or (State.terminated in states) is not failed:
        raise BrokenPromise(f"ended with jobs {sorted(state.value for state in states)}, failure reported: {failed}")
    _check_runs(simulated, history)
    _check_verdicts(simulated)
    if early := simulated.cluster.removed - simulated.cluster.fetched:
        raise BrokenPromise(f"removed before it was fetched: {sorted(early)}")
    if simulated.cluster.removed and failed:
        raise BrokenPromise("something was removed although jobs failed")


def _check_runs(simulated: Simulated, history: History) -> None:
    """No success was repeated, no life of a job ran a task twice, and every finished task did run."""
    lives = Counter((run.job, run.task, run.nonce, run.id, run.life) for run in simulated.cluster.runs)
    if twice := [run for run, count in lives.items() if count > 1]:
        raise BrokenPromise(f"run twice in one life: {twice}")
    for again in simulated.cluster.repeated:
        raise BrokenPromise(f"started again after its success was published: {again}")
    for name, job in history.jobs.items():
        done = {(name, task) for task in range(job.size) if job.done >> task & 1}
        if lost := done - simulated.cluster.published:
            raise BrokenPromise(f"believed to be done, and is not: {sorted(lost)}")
        if job.state is State.finished and len(done) != job.size:
            raise BrokenPromise(f"job {name} is finished without all of its tasks")


def _check_verdicts(simulated: Simulated) -> None:
    """Where the queue lists jobs before the grace is over, no attempt is called terminated that did not go wrong."""
    if getattr(simulated.world, "rates", {}).get("listed late"):
        return
    verdicts = Counter(record.job for record in simulated.records() if isinstance(record, ev.Terminated))
    for job, count in verdicts.items():
        if count > simulated.cluster.mishaps[job]:
            raise BrokenPromise(
                f"job {job} was called terminated {count} times, and {simulated.cluster.mishaps[job]} "
                "attempts went wrong"
            )


def shortest(seed: int, dialect: str = "") -> list[tuple[int, str]]:
    """The faults that are needed for this seed to break a promise; [] when it breaks none."""
    try:
        simulate(seed, dialect=dialect)
    except BrokenPromise:
        needed = set(range(Faulty(seed).calm))
    else:
        return []
    for fault in sorted(needed, reverse=True):
        if _breaks(seed, needed - {fault}, dialect):
            needed -= {fault}
    world = Faulty(seed, needed)
    return [(number, name) for number, name in _faults(seed, needed, world, dialect) if number in needed]


def _breaks(seed: int, allowed: Collection[int], dialect: str) -> bool:
    try:
        simulate(seed, allowed, dialect)
    except BrokenPromise:
        return True
    return False


def _faults(seed: int, allowed: Collection[int], world: Faulty, dialect: str) -> list[tuple[int, str]]:
    spec = submission(world.rng.randint(1, 7), world.rng.randint(0, 3), 2, world.rng.choice([None, None, 1, 2]))
    with tempfile.TemporaryDirectory() as folder:
        simulated = Simulated(Path(folder), spec, world, dialect)
        world.rival = lambda: _rival(simulated.path)
        try:
            _check(simulated, _live(simulated, world))
        except BrokenPromise as broken:
            return [*world.faults, (-1, str(broken))]
        finally:
            simulated.close()
    return world.faults


def main() -> int:
    """Many seeds, or one in full."""
    parser = argparse.ArgumentParser(prog="python -m dispatcher.testing.simulation", description=(__doc__ or "")[:118])
    parser.add_argument("--seeds", type=int, default=2000, help="how many seeds to run (default 2000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--seed", type=int, help="only this one; a failure is made as short as it gets")
    parser.add_argument("--dialect", choices=list(KITS), default="", help="a real dialect on the simulated cluster")
    asked = parser.parse_args()
    seeds = [asked.seed] if asked.seed is not None else range(asked.first, asked.first + asked.seeds)
    logging.disable()  # the journal's warnings of faults that are made here
    started, faults, runs = time.monotonic(), 0, 0
    for seed in seeds:
        try:
            simulated, world = simulate(seed, dialect=asked.dialect)
        except BrokenPromise as broken:
            sys.stdout.write(f"seed {seed}: {broken}\nit takes these faults:\n")
            sys.stdout.writelines(f"  {number:4} {name}\n" for number, name in shortest(seed, asked.dialect))
            return 1
        faults, runs = faults + len(world.faults), runs + len(simulated.cluster.runs)
    seconds = time.monotonic() - started
    sys.stdout.write(f"{len(seeds)} seeds, {faults} faults, {runs} task bodies, {seconds:.0f} s: no promise broken\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
