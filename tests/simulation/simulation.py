"""Whole runs on a simulated cluster under faults drawn from a seed: the engine, the rules and the journal as they are.

    python -m tests.simulation.simulation --seeds 2000        every seed, or the first that breaks a promise
    python -m tests.simulation.simulation --seed 17           one seed; a failure becomes a short script
    python -m tests.simulation.simulation --dialect PBS --seeds 20      its shell text run by sh; a second each
    python -m tests.simulation.simulation --neighbours --seeds 2000     several submissions and their users

A life is one dispatcher process; a seed kills and starts as many as it likes,
on two hosts, one after the other or at once (see `fleet`). What is promised,
and when it is looked at: see `promises`.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Collection
from contextlib import ExitStack
from functools import partial
from multiprocessing import Pool
from pathlib import Path

from . import neighbours as shared
from .dialects import KITS
from .faults import Faulty
from .fleet import Fleet
from .hosts import BrokenPromise
from .promises import check_verdicts
from .shrink import shortest
from .simulated import Simulated, submission


def simulate(
    seed: int, allowed: Collection[int] | None = None, tasks: int | None = None, dialect: str = ""
) -> tuple[Simulated, Faulty]:
    """Run one seed to its end. Raises BrokenPromise; its `faults` say what happened.

    `allowed`: only these of its faults, by number; `tasks`: that many instead of what the seed draws; `dialect`: in
    the words of this batch system instead of the simulation's own.
    """
    conditions = Faulty(seed, allowed)
    drawn, group, limit = (
        conditions.rng.randint(1, 7),
        conditions.rng.randint(0, 3),
        conditions.rng.choice([None, None, 1, 2]),
    )
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        simulated = Simulated(Path(folder), submission(tasks or drawn, group, 2, limit), conditions, dialect)
        try:
            with simulated.auditor.listening():
                simulated.auditor.ended(Fleet(simulated, conditions).run())
            if not conditions.rates["listed late"]:
                check_verdicts(simulated.records(), simulated.cluster)
        except BrokenPromise as broken:
            broken.faults = conditions.faults
            raise
        finally:
            simulated.close()
        return simulated, conditions


def main() -> int:
    """Many seeds, or one in full."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.simulation", description=(__doc__ or "")[:118])
    parser.add_argument("--seeds", type=int, default=2000, help="how many seeds to run (default 2000)")
    parser.add_argument("--first", type=int, default=0, help="the first seed (default 0)")
    parser.add_argument("--seed", type=int, help="only this one; a failure is made as short as it gets")
    parser.add_argument("--neighbours", action="store_true", help="several submissions, and people (see `neighbours`)")
    parser.add_argument("--processes", type=int, default=1, help="so many at once, each with seeds of its own")
    parser.add_argument("--dialect", choices=list(KITS), default="", help="a real dialect on the simulated cluster")
    requested = parser.parse_args()
    seeds = (
        [requested.seed] if requested.seed is not None else range(requested.first, requested.first + requested.seeds)
    )
    run = neighbours if requested.neighbours else partial(one, dialect=requested.dialect)
    started, faults, runs = time.monotonic(), 0, 0
    with ExitStack() as stack:
        pool = stack.enter_context(Pool(requested.processes)) if requested.processes > 1 else None
        for seed, found in pool.imap(run, seeds) if pool else map(run, seeds):
            if isinstance(found, str):
                sys.stdout.write(f"seed {seed}: {found}\nmaking it short; this takes a while\n\n")
                sys.stdout.flush()
                world = shared.simulate if requested.neighbours else simulate
                sys.stdout.write(shortest(seed, world, requested.dialect))
                return 1
            faults, runs = faults + found[0], runs + found[1]
    seconds = time.monotonic() - started
    sys.stdout.write(f"{len(seeds)} seeds, {faults} faults, {runs} task bodies, {seconds:.0f} s: no promise broken\n")
    return 0


def one(seed: int, dialect: str = "") -> tuple[int, tuple[int, int] | str]:
    """Faults and task bodies of a seed, or the promise it breaks."""
    try:
        simulated, conditions = simulate(seed, dialect=dialect)
    except BrokenPromise as broken:
        return seed, str(broken)
    return seed, (len(conditions.faults), len(simulated.cluster.runs))


def neighbours(seed: int) -> tuple[int, tuple[int, int] | str]:
    """The same, of several submissions."""
    logging.getLogger("journal").setLevel(logging.ERROR)
    try:
        world, conditions = shared.simulate(seed)
    except BrokenPromise as broken:
        return seed, str(broken)
    return seed, (len(conditions.faults), len(world.ledger.bodies))


if __name__ == "__main__":
    sys.exit(main())
