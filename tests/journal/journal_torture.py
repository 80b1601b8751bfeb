"""Crash a journal at a chosen call, then check: acknowledged <= recovered <= attempted, as prefixes, and go on.

check(seed=3, faults={17: "crash"}, power=True, outcome=2)      raises Violation
"""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable, Iterator

import msgspec
from journal_simulation import CALLS, KINDS, Crash, Disk, NoLock, SimFiles

from journal import Journal, JournalError, frames


class Rec(msgspec.Struct, frozen=True, tag_field="k", tag="rec"):
    """One record of the tests: a number that counts up and some padding."""

    i: int
    x: str = ""


class Violation(AssertionError):
    """The journal broke its promise."""


class Progress:
    """What a workload may have written (`tried`) and what it was told is there (`acked`)."""

    def __init__(self, tried: int = 0, acked: int = 0) -> None:
        self.tried, self.acked = tried, acked


PATH = "/j"
Make = Callable[..., SimFiles]
_sessions = itertools.count()


def open_journal(files: SimFiles, segment_bytes: int = 1500, durability: str = "commit") -> Journal[Rec]:
    return Journal.open(
        PATH,
        Rec,
        files=files,
        lock=NoLock(),
        clock=lambda: 1.5e9,
        segment_bytes=segment_bytes,
        durability=durability,
        session=f"s{next(_sessions)}",
    )


def recovered(disk: Disk) -> int:
    """How many records a reader sees; Violation when they are not the ones that were written, in order."""
    try:
        found = [record for frame in frames(PATH, Rec, files=SimFiles(disk)) for record in frame.records]
    except JournalError as error:
        if not any(name.endswith(".jsonl") for name in disk.names):
            return 0
        raise Violation(f"a reader says: {error}") from error
    numbers = [record.i for record in found if isinstance(record, Rec)]
    if numbers != list(range(len(numbers))):
        raise Violation(f"records out of order: {numbers[:20]}")
    return len(numbers)


def settle(disk: Disk, progress: Progress) -> int:
    """Check the promise; what is there from now on counts as acknowledged."""
    found = recovered(disk)
    if not progress.acked <= found <= progress.tried:
        raise Violation(f"{progress.acked} acknowledged, {found} recovered, {progress.tried} attempted")
    return found


def work(files: SimFiles, progress: Progress, rng: random.Random, commits: int, close: bool = True) -> str:
    """A writer's life; how it ended."""
    try:
        journal = open_journal(files)
        progress.acked = progress.tried = max(progress.acked, recovered(files.disk))
        try:
            for _ in range(commits):
                _commit(journal, progress, rng)
        except (Crash, JournalError, OSError, KeyboardInterrupt):
            journal.close()
            raise
        if close:
            journal.close()
    except Crash:
        return "crashed"
    except JournalError as error:
        return type(error).__name__
    except OSError:
        return "OSError"
    except KeyboardInterrupt:
        return "interrupted"
    return "done"


def _commit(journal: Journal[Rec], progress: Progress, rng: random.Random) -> None:
    for _ in range(rng.choice([1, 1, 2, 5])):
        journal.append(Rec(progress.tried, "x" * rng.choice([0, 10, 200, 700])))
        progress.tried += 1
    try:
        journal.commit()
    except OSError:  # nothing happened; one record more, and again
        journal.append(Rec(progress.tried, "after an error"))
        progress.tried += 1
        journal.commit()
    progress.acked = progress.tried


def check(seed: int, faults: dict[int, str], power: bool, outcome: int, make: Make = SimFiles) -> tuple[list[str], str]:
    """One life, one crash, a second life, one more power loss; the calls of the first life and how it ended."""
    disk, progress = Disk(), Progress()
    files = make(disk, faults, random.Random(outcome * 13 + 1))
    ended = work(files, progress, random.Random(seed), commits=5)
    (disk.lost_power if power else disk.killed)(random.Random(outcome * 7 + 3))
    found = settle(disk, progress)
    again = Progress(found, found)
    how = work(
        make(disk, {}, random.Random(outcome)), again, random.Random(seed + 1), commits=2, close=bool(outcome % 2)
    )
    if how != "done":
        raise Violation(f"the second life ended in {how}")
    disk.lost_power(random.Random(outcome * 11 + 5))
    if settle(disk, again) != again.acked:
        raise Violation("more than what was acknowledged after a life in order")
    return files.calls, ended


def states(seed: int, outcomes: int) -> Iterator[tuple[dict[int, str], bool, int]]:
    """Every call of the workload times every fault times kill and some power losses."""
    calls, _ = check(seed, {}, False, 0)
    for number, call in enumerate(calls, 1):
        for kind in KINDS.get(call, CALLS):
            yield {number: kind}, False, seed
            for outcome in range(outcomes):
                yield {number: kind}, True, outcome


def explore(seed: int, outcomes: int, make: Make = SimFiles) -> Iterator[str]:
    """For each crash state "" or the violation with all that is needed to see it again."""
    for faults, power, outcome in states(seed, outcomes):
        try:
            check(seed, faults, power, outcome, make)
        except Violation as error:
            yield f"check({seed}, {faults}, {power}, {outcome}): {error}"
        else:
            yield ""


def rivals(make: Make = SimFiles) -> Iterator[str]:
    """At every call of one writer's life a second writer comes, without any lock: nobody loses what he was told."""
    calls, _ = _rivalry(0, make)
    for number in range(1, calls + 1):
        yield "; ".join(_rivalry(number, make)[1])


def rotations(make: Make = SimFiles) -> Iterator[str]:
    """At every call of a second writer's opening the first one, not locked out, commits into a new segment."""
    number, calls = 0, 1
    while (number := number + 1) <= calls:
        disk, told = Disk(), list[int]()
        first = open_journal(make(disk), segment_bytes=10)
        second = make(disk)

        def commit(first: Journal[Rec] = first, told: list[int] = told) -> None:
            try:
                first.append(Rec(len(told)))
                first.commit()
                told.append(len(told))
            except JournalError:
                return

        def rival(call: int, at: int = number, commit: Callable[[], None] = commit) -> None:
            if call == at:
                commit()

        commit()
        second.before = rival
        with contextlib.suppress(JournalError):
            open_journal(second)
        first.segment_bytes = 1 << 20
        commit()
        calls = max(calls, len(second.calls))
        try:
            found = recovered(disk)
        except Violation as error:
            yield f"commit at call {number} of the opening: {error}"
            continue
        yield f"commit at call {number} of the opening: {len(told)} told, {found} found" if found < len(told) else ""


def _rivalry(at: int, make: Make) -> tuple[int, list[str]]:
    disk = Disk()
    told: list[tuple[int, int]] = []
    first, second = make(disk), make(disk)

    def life(files: SimFiles, who: int) -> None:
        try:
            journal = open_journal(files, segment_bytes=900)
            for nth in range(4):
                journal.append(Rec(who * 100 + nth, "y" * 200))
                journal.commit()
                told.append((who, nth))
            journal.close()
        except (JournalError, OSError):
            return

    def come(number: int) -> None:
        if number == at:
            life(second, 2)

    first.before = come
    life(first, 1)
    try:
        found = [r for f in frames(PATH, Rec, files=SimFiles(disk)) for r in f.records if isinstance(r, Rec)]
    except JournalError as error:
        return len(first.calls), [f"rival at call {at}: {error}"]
    seen = [divmod(record.i, 100) for record in found]
    lost = [each for each in told if each not in seen]
    problems = [f"rival at call {at} ({first.calls[at - 1]}): lost {lost}"] if lost else []
    problems += [f"rival at call {at}: doubled"] if len(set(seen)) != len(seen) else []
    return len(first.calls), problems
