"""A world that misbehaves by a seed: every fault is one decision, counted, so that a failing run can be cut short.

world = Faulty(seed=17)                  draws its own rates, then decides at every point
world.faults  ->  [(0, "reply lost: submit"), (1, "killed: before journal write"), …]
Faulty(seed=17, allowed={1})             the same run with only the second fault
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection

from .cluster import STALE
from .conditions import Conditions
from .hosts import Killed

__all__ = ["RATES", "Faulty", "Killed", "Neighbourly"]

#: What may befall a dispatcher at any point, and how often at most; a seed draws its own rates below these.
DEEDS = {
    "killed": 0.01,
    "host lost": 0.004,
    "host cut off": 0.003,
    "suspended": 0.004,
    "second started": 0.008,
    "clock jumps": 0.02,
}
#: How often each other kind of fault happens at most, where it can.
RATES = DEEDS | {
    "other host": 0.6,
    "unlocked": 0.8,
    "reply lost": 0.15,
    "call lost": 0.15,
    "call late": 0.08,
    "call doubled": 0.1,
    "answer old": 0.1,
    "answer shuffled": 0.1,
    "upload cut": 0.05,
    "download cut": 0.05,
    "queue full": 0.2,
    "job forgotten": 0.05,
    "queue restarted": 0.03,
    "receipt lost": 0.1,
    "listed late": 0.1,
    "node lost": 0.12,
    "node cut off": 0.06,
    "requeued": 0.12,
    "task fails": 0.1,
    "accounting down": 0.3,
    "stale claim": 0.2,
    "stale listing": 0.1,
    "torn": 0.5,
    "disk": 0.01,
}


#: What people do to the files of their submissions, at any step or between two commands.
PEOPLE = {
    "place purged": 0.008,
    "input edited": 0.01,
    "results deleted": 0.006,
    "journal deleted": 0.006,
    "journal kept": 0.01,
    "journal put back": 0.01,
}
#: What befalls several submissions of the same tasks.
NEIGHBOURS = PEOPLE | {
    "killed": 0.008,
    "second started": 0.02,
    "reply lost": 0.1,
    "call lost": 0.05,
    "call late": 0.03,
    "call doubled": 0.05,
    "answer old": 0.05,
    "queue full": 0.1,
    "receipt lost": 0.1,
    "node lost": 0.08,
    "requeued": 0.08,
    "task fails": 0.08,
    "accounting down": 0.2,
    "read late": 0.5,
}


class Faulty(Conditions):
    """Draws rates and faults from one seed. After `calm` faults it becomes a good world, so that every run ends."""

    #: How often each kind happens at most; those that may happen at any step.
    possible, at_any_step = RATES, tuple(DEEDS)

    def __init__(self, seed: int, allowed: Collection[int] | None = None, calm: int = 60) -> None:
        self.rng = random.Random(seed)
        self.rates = {kind: rate * self.rng.choice([0, 0.3, 1]) for kind, rate in self.possible.items()}
        self.slow = self.rng.choice([0.0, 5.0, STALE])
        self.excludes = self.rng.random() < 0.6
        self.switches = self.rng.choice([0.05, 0.3])
        self.allowed, self.calm = allowed, calm
        self.faults: list[tuple[int, str]] = []
        self.drawn = 0
        self.deeds: dict[str, Callable[[], None]] = {}
        self.passed: Callable[[], None] = lambda: None
        self.delay = 0.0
        self.history = seed % 4 != 3

    def happens(self, kind: str, what: str = "") -> bool:
        """Whether a fault of this kind happens here."""
        if self.rng.random() >= self.rates.get(kind, 0.0) or self.drawn >= self.calm:
            return False
        self.drawn += 1
        if self.allowed is not None and self.drawn - 1 not in self.allowed:
            return False
        self.faults.append((self.drawn - 1, f"{kind}{': ' if what else ''}{what}"))
        return True

    def step(self, point: str) -> None:
        """Whatever may befall a dispatcher; then perhaps another one goes on."""
        self.passed()
        for kind in self.at_any_step:
            if self.happens(kind, point):
                self.deeds[kind]()
        if "others" in self.deeds and self.rng.random() < self.switches:
            self.deeds["others"]()

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

    def answer_old(self, what: str) -> bool:
        """What was true a moment ago."""
        return self.happens("answer old", what)

    def answer_shuffled(self, what: str) -> bool:
        """In another order, a line twice."""
        return self.happens("answer shuffled", what)

    def upload_cut(self) -> bool:
        """In the middle of a file."""
        return self.happens("upload cut")

    def download_cut(self) -> bool:
        """Between two files."""
        return self.happens("download cut")

    def refuses(self) -> bool:
        """Not now."""
        return self.happens("queue full")

    def forgets(self) -> bool:
        """The controller crashes behind the answer: the job is gone, its id is given away again."""
        return self.happens("job forgotten")

    def restarts(self) -> bool:
        """The controller comes back with nothing."""
        return self.happens("queue restarted")

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
        for kind, fate in (("node lost", "killed"), ("node cut off", "cut off"), ("requeued", "requeued")):
            if self.happens(kind):
                return fate
        return "ends"

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

    def stale_listing(self) -> bool:
        """A file server's client lists a directory as it was before."""
        return self.happens("stale listing")

    def torn(self) -> bool:
        """In the middle."""
        return self.happens("torn")

    def disk(self) -> str:
        """What the journal's disk does."""
        return self.rng.choice(["full", "error", "short", "unsynced", "dropped"]) if self.happens("disk") else ""


class Neighbourly(Faulty):
    """What befalls several submissions and their users. `forgetful`: journals are deleted or put back in this world."""

    possible, at_any_step = NEIGHBOURS, ("killed", "second started", *PEOPLE)

    def __init__(self, seed: int, allowed: Collection[int] | None = None, calm: int = 30) -> None:
        super().__init__(seed, allowed, calm)
        self.forgetful = bool(self.rates["journal deleted"] or self.rates["journal put back"])

    def reads_late(self) -> bool:
        """A task that runs has not read its input yet."""
        return self.happens("read late")

    def between(self) -> None:
        """What people do while nobody is at work is likelier than at any one step."""
        for kind in PEOPLE:
            if self.rng.random() < 0.2 and self.rng.random() < self.rates[kind] * 100:
                self.rates[kind], rate = 1.0, self.rates[kind]
                if self.happens(kind, "between"):
                    self.deeds[kind]()
                self.rates[kind] = rate
