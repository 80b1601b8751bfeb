"""hypothesis: open, append, commit, close, kill, power loss and faults, in any order."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

import journal_torture as torture
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from journal_simulation import Crash, Disk, SimFiles
from journal_torture import Rec

from journal import Journal, JournalError


class Lives(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        logging.disable(logging.WARNING)
        self.disk = Disk()
        self.files = SimFiles(self.disk)
        self.progress = torture.Progress()
        self.writer: Journal[Rec] | None = None

    def teardown(self) -> None:
        self.settle()
        logging.disable(logging.NOTSET)

    def settle(self, power: bool = False) -> None:
        """What is found stays for good after a power loss; before one, only what was acknowledged does.

        A killed process may have written a record and not synced it: the next writer does, when it takes over.
        """
        found = torture.settle(self.disk, self.progress)
        self.writer, self.progress = None, torture.Progress(found, found if power else self.progress.acked)

    def stop(self, seed: int) -> None:
        """The process is killed, or the machine loses its power."""
        power = bool(seed % 2)
        (self.disk.lost_power if power else self.disk.killed)(random.Random(seed))
        self.settle(power)

    def attempt(self, act: Callable[[], None], seed: int = 0) -> None:
        try:
            act()
        except Crash:
            self.stop(seed)
        except JournalError:
            self.settle()
        except OSError:
            if self.writer is None:
                self.settle()

    @precondition(lambda self: self.writer is None)
    @rule(size=st.sampled_from([400, 2000, 1 << 20]), seed=st.integers(0, 9))
    def open(self, size: int, seed: int) -> None:
        self.files = SimFiles(self.disk, {}, random.Random(seed))

        def act() -> None:
            self.writer = torture.open_journal(self.files, segment_bytes=size)
            found = torture.recovered(self.disk)
            self.progress = torture.Progress(found, found)

        self.attempt(act, seed)

    @precondition(lambda self: self.writer is None)
    @rule(
        at=st.integers(1, 30),
        kind=st.sampled_from(["crash", "crash_after", "eio", "interrupt"]),
        seed=st.integers(0, 99),
    )
    def open_and_fail(self, at: int, kind: str, seed: int) -> None:
        torture.work(SimFiles(self.disk, {at: kind}), self.progress, random.Random(seed), commits=0)
        self.stop(seed)

    @precondition(lambda self: self.writer is not None)
    @rule(count=st.integers(1, 20), size=st.sampled_from([0, 30, 600]))
    def append(self, count: int, size: int) -> None:
        assert self.writer is not None
        for _ in range(count):
            self.writer.append(Rec(self.progress.tried, "x" * size))
            self.progress.tried += 1

    @precondition(lambda self: self.writer is not None)
    @rule(seed=st.integers(0, 99))
    def commit(self, seed: int) -> None:
        def act() -> None:
            assert self.writer is not None
            self.writer.commit()
            self.progress.acked = self.progress.tried

        self.attempt(act, seed)

    @precondition(lambda self: self.writer is not None)
    @rule(seed=st.integers(0, 99))
    def close(self, seed: int) -> None:
        def act() -> None:
            writer, self.writer = self.writer, None
            assert writer is not None
            writer.close()
            self.progress.acked = self.progress.tried
            self.settle()

        self.attempt(act, seed)

    @precondition(lambda self: self.writer is not None)
    @rule(seed=st.integers(0, 99))
    def kill(self, seed: int) -> None:
        self.files.gone = True
        self.disk.killed(random.Random(seed))
        self.settle()

    @rule(seed=st.integers(0, 10**6))
    def power(self, seed: int) -> None:
        self.files.gone = True
        self.disk.lost_power(random.Random(seed))
        self.settle(power=True)

    @precondition(lambda self: self.writer is not None)
    @rule(
        at=st.integers(1, 12),
        kind=st.sampled_from(["crash", "crash_after", "crash_mid", "short", "enospc", "eio_sync"]),
    )
    def fault(self, at: int, kind: str) -> None:
        self.files.faults[len(self.files.calls) + at] = kind

    @rule()
    def read(self) -> None:
        assert self.progress.acked <= torture.recovered(self.disk) <= self.progress.tried


TestLives = Lives.TestCase
TestLives.settings = settings(
    stateful_step_count=30, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


def test_what_a_killed_process_did_not_sync_may_be_lost_with_the_power() -> None:
    """Found by the machine above: written, killed before the sync, not acknowledged; no writer came in between."""
    lives = Lives()
    lives.open(400, 0)
    lives.append(1, 0)
    lives.fault(2, "crash_after")
    lives.close(0)
    assert (lives.progress.acked, lives.progress.tried) == (0, 1)
    lives.power(0)
    lives.teardown()
