"""A world that misbehaves by a seed: every fault is one decision, counted, so that a failing run can be cut short.

world = Faulty(seed=17)                  draws its own rates, then decides at every point
world.faults  ->  [(0, "reply lost: submit"), (1, "killed before journal write"), …]
Faulty(seed=17, allowed={1})             the same run with only the second fault
"""

from __future__ import annotations

import errno
import os
import random
from collections.abc import Callable, Collection

from journal.files import Files

from .cluster import World


class Killed(BaseException):
    """The dispatcher was killed at this point."""


#: How often each kind of fault happens at most, per point where it can; a seed draws its own rates below these.
RATES = {
    "killed": 0.03,
    "reply lost": 0.15,
    "call lost": 0.15,
    "call late": 0.08,
    "call doubled": 0.1,
    "queue full": 0.2,
    "job forgotten": 0.05,
    "receipt lost": 0.1,
    "listed late": 0.1,
    "node lost": 0.12,
    "requeued": 0.12,
    "task fails": 0.1,
    "accounting down": 0.3,
    "stale claim": 0.2,
    "clock jumps": 0.05,
    "disk": 0.01,
    "rival": 0.02,
}


class Faulty(World):
    """Draws rates and faults from one seed. After `calm` faults it becomes a good world, so that every run ends."""

    def __init__(self, seed: int, allowed: Collection[int] | None = None, calm: int = 60) -> None:
        self.rng = random.Random(seed)  # noqa: S311 (faults, not secrets)
        self.rates = {kind: rate * self.rng.choice([0, 0.3, 1]) for kind, rate in RATES.items()}
        self.slow = self.rng.choice([0.0, 5.0, 15.0])
        self.allowed, self.calm = allowed, calm
        self.faults: list[tuple[int, str]] = []
        self.drawn = 0
        self.rival: Callable[[], None] = lambda: None
        self.skew = self.delay = 0.0
        self.history = seed % 4 != 3

    def happens(self, kind: str, what: str = "") -> bool:
        """Whether a fault of this kind happens here."""
        if self.rng.random() >= self.rates[kind] or self.drawn >= self.calm:
            return False
        self.drawn += 1
        if self.allowed is not None and self.drawn - 1 not in self.allowed:
            return False
        self.faults.append((self.drawn - 1, f"{kind}{': ' if what else ''}{what}"))
        return True

    def step(self, point: str) -> None:
        """Maybe somebody else tries to write the journal, maybe the clock jumps, maybe the dispatcher dies."""
        if self.happens("rival", point):
            self.rival()
        if self.happens("clock jumps", point):
            self.skew += self.rng.uniform(-7200, 7200)
        if self.happens("killed", point):
            raise Killed

    def reply_lost(self, what: str) -> bool:
        """The effect without the answer."""
        return self.happens("reply lost", what)

    def call_lost(self, what: str) -> bool:
        """Neither effect nor answer."""
        return self.happens("call lost", what)

    def call_late(self, what: str) -> float:
        """The answer is lost and the effect comes after so many seconds, perhaps when nobody expects it any more."""
        return self.rng.uniform(1, 300) if self.happens("call late", what) else 0.0

    def call_doubled(self, what: str) -> bool:
        """The call has its effect twice."""
        return self.happens("call doubled", what)

    def refuses(self) -> bool:
        """Not now."""
        return self.happens("queue full")

    def forgets(self) -> bool:
        """The controller crashes behind the answer: the job is gone, its id is given away again."""
        return self.happens("job forgotten")

    def keeps_receipt(self) -> bool:
        """The far side dies between the queue's answer and its receipt."""
        return not self.happens("receipt lost")

    def visible_after(self) -> float:
        """Late, but before the grace is over; or so late that it has long been given up."""
        self.delay = self.rng.uniform(60, 400) if self.happens("listed late") else self.rng.uniform(0, self.slow)
        return self.delay

    def starts_after(self) -> float:
        """Not before it is visible."""
        return self.delay + self.rng.uniform(0, 20)

    def runs_for(self) -> float:
        """Seconds."""
        return self.rng.uniform(0.5, 40)

    def fate(self) -> str:
        """How a life of a job ends."""
        return "killed" if self.happens("node lost") else "requeued" if self.happens("requeued") else "ends"

    def exit_code(self, job: str, task: int, attempt: int) -> int:
        """A failing task."""
        return 1 if self.happens("task fails", f"{job[:6]}/{task}") else 0

    def accounting(self) -> bool:
        """Whether it answers."""
        return not self.happens("accounting down")

    def keeps_history(self) -> bool:
        """A quarter of the worlds forgets what has ended."""
        return self.history

    def stale(self) -> bool:
        """A file server's client shows a claim as it was before."""
        return self.happens("stale claim")

    def disk(self) -> str:
        """What the journal's disk does: "", "full", "error", "short", "unsynced"."""
        return self.rng.choice(["full", "error", "short", "unsynced"]) if self.happens("disk") else ""


class FaultyFiles(Files):
    """The journal's file system in such a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._trouble: Callable[[], str] = getattr(world, "disk", lambda: "")

    def write(self, fd: int, data: bytes) -> int:
        """Write, or a part of it, or nothing."""
        self.world.step("before journal write")
        trouble = self._trouble()
        if trouble in ("full", "error"):
            super().write(fd, data[: len(data) // 2])
            code = errno.ENOSPC if trouble == "full" else errno.EIO
            raise OSError(code, os.strerror(code))
        done = super().write(fd, data[: max(1, len(data) // 2)] if trouble == "short" else data)
        self.world.step("after journal write")
        return done

    def datasync(self, fd: int) -> None:
        """Sync, or fail for good."""
        self.world.step("before sync")
        if self._trouble() == "unsynced":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().datasync(fd)
        self.world.step("after sync")
