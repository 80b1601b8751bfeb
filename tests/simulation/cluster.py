"""A cluster in memory: a queue, jobs that claim and run their tasks, markers, a clock. It outlives every dispatcher.

    cluster = Cluster(World())
    scheduler, context = SimulatedQueue(), SimulatedPlace(cluster)      (see `ports`)
    … an Engine runs on them as on real ones …
    cluster.runs   ->  [Run(job="5f1c…", task=0, nonce="d0001"), …]       every task body that was started

What can go wrong is asked of a `World`: its answers decide what is lost, late,
killed or forgotten.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from dispatcher.core.events import Cause, CauseKind
from dispatcher.core.ports import Claim, Native

from .conditions import Conditions

_TASK = re.compile(r"^dsp_task (\d+) ('[^']*'|\S+) ", re.MULTILINE)
_JOB = re.compile(r"^# job (\w+):", re.MULTILINE)


#: Seconds that a changed file may be shown as it was; shorter than the grace, which is what the promise assumes.
STALE = 15.0


class Run(NamedTuple):
    """A task body that was started, and by which copy of its job."""

    job: str
    task: int
    nonce: str
    id: str
    life: int = 0


class Copy:
    """One accepted submission: a job script in the queue."""

    def __init__(self, id: str, nonce: str, script: str, at: float, conditions: Conditions) -> None:
        self.id, self.nonce = id, nonce
        found = _JOB.search(script)
        self.job = found[1] if found else ""
        self.where = {int(index): directory.strip("'") for index, directory in _TASK.findall(script)}
        self.tasks = list(self.where)
        self.state = Native.waiting
        self.visible = at + conditions.visible_after()
        self.due = at + conditions.starts_after()
        self.cause: Cause | None = None
        self.restarts = 0
        self.began: float | None = None
        self.ghosts: list[tuple[float, int]] = []  # lives on cut-off nodes: when they end, and which they are


class Cluster:
    """The queue and the shared file system. Time moves by `sleep`; nothing else does."""

    def __init__(self, conditions: Conditions, now: float = 1_790_000_000.0) -> None:
        self.conditions, self.now = conditions, now
        self.copies: dict[str, Copy] = {}
        self.scripts: dict[str, str] = {}
        self.receipts: dict[str, str] = {}
        self.claims: dict[str, Claim] = {}
        self.requests: dict[tuple[str, int], str] = {}
        self.made: set[tuple[str, int]] = set()
        self.told_unasked: set[tuple[str, int]] = set()
        self.owner = ""
        self.older: dict[str, tuple[float, Claim | None]] = {}
        self.late: list[tuple[float, Callable[[], object]]] = []
        self.fetched: set[str] = set()
        self.published: set[tuple[str, int]] = set()
        self.repeated: list[Run] = []
        self.unready: list[Run] = []
        self.mishaps: Counter[str] = Counter()
        self.removed: set[str] = set()
        self.files: dict[str, int] = {}
        self.runs: list[Run] = []
        self.calls: list[str] = []
        self.rounds = 0
        self.named: Callable[[int], str] = str
        self._next = 4000

    def sleep(self, seconds: float) -> None:
        """Let time pass, and everything happen that falls into it, in order."""
        end = self.now + seconds
        self.rounds += 1
        while True:
            self._arrive(end)
            coming = [event for copy in self.copies.values() for event in self._coming(copy)]
            at, _, happen = min(coming, key=lambda event: event[:2], default=(end, "", None))
            if happen is None or at > end:
                break
            self.now = max(self.now, at)
            happen()
        self.now = end

    def _coming(self, copy: Copy) -> list[tuple[float, str, Callable[[], None]]]:
        """What will happen to a copy of a job next, and when."""
        events: list[tuple[float, str, Callable[[], None]]] = []
        if copy.state is Native.waiting:
            events.append((copy.due, copy.id, lambda: self._start(copy)))
        if copy.state is Native.running:
            events.append((copy.due, copy.id, lambda: self._end(copy)))
        return events + [(ghost[0], copy.id, lambda ghost=ghost: self._vanish(copy, ghost)) for ghost in copy.ghosts]

    def _arrive(self, end: float) -> None:
        """Submissions that were under way arrive."""
        due = [late for late in self.late if late[0] <= end]
        self.late = [late for late in self.late if late[0] > end]
        for at, arrive in due:
            self.now = max(self.now, at)
            arrive()

    def write(self, nonce: str, claim: Claim) -> None:
        """Change a claim; a stale look may still show what was there before."""
        self.older[nonce] = (self.now, self.claims.get(nonce))
        self.claims[nonce] = claim

    # -- what a job does ----------------------------------------------------------------------------------------

    def _start(self, copy: Copy) -> None:
        copy.began = self.now
        if not self._claims(copy):
            copy.state = Native.ended
            return
        copy.state, copy.due = Native.running, self.now + self.conditions.runs_for()
        done = {index for index, code, _ in self.claims[self.fence(copy)].tasks if code == 0}
        runs = [Run(copy.job, i, copy.nonce, copy.id, copy.restarts) for i in copy.tasks if i not in done]
        self.repeated += [run for run in runs if (run.job, run.task) in self.published]
        self.unready += [run for run in runs if not self.files.get(f"{copy.where[run.task]}/in")]
        self.runs += runs

    def fence(self, copy: Copy) -> str:
        """Under what name a copy looks for its claim: one that all copies of an attempt see."""
        return copy.nonce

    def _claims(self, copy: Copy) -> bool:
        """The fence at the head of the script: the first copy has it, a later life of the same id takes it over."""
        name = self.fence(copy)
        claim = self.claims.get(name)
        mine = Claim(owner=copy.id, node="n1", restarts=copy.restarts, lines=1)
        if claim is None:
            self.write(name, mine)
        elif claim.owner == copy.id and claim.restarts < copy.restarts:
            carried = tuple(task for task in claim.tasks if task[1] == 0)
            self.write(name, msgspec.structs.replace(mine, tasks=carried, lines=1 + len(carried)))
        else:
            self.write(name, msgspec.structs.replace(claim, fenced=(*claim.fenced, copy.id)))
            return False
        return True

    def _end(self, copy: Copy) -> None:
        fate = self.conditions.fate()
        if fate in ("requeued", "cut off"):
            if fate == "cut off":
                copy.ghosts.append((self.now + self.conditions.runs_for(), copy.restarts))
            copy.restarts += 1
            copy.state, copy.due = Native.waiting, self.now + self.conditions.starts_after()
            return
        copy.state = Native.ended
        claim = self.claims[self.fence(copy)]
        if fate == "killed":
            self.mishaps[copy.job] += 1
            copy.cause = Cause(CauseKind.node, "the node went down", native="NODE_FAIL")
        elif claim.owner == copy.id:
            self.write(self.fence(copy), self._marked(copy, claim))

    def _vanish(self, copy: Copy, ghost: tuple[float, int]) -> None:
        """A life on a cut-off node ends: it publishes only if no later life has taken its claim over."""
        copy.ghosts.remove(ghost)
        claim = self.claims[self.fence(copy)]
        if claim.owner == copy.id and claim.restarts == ghost[1] and claim.ended is None:
            self.write(self.fence(copy), self._marked(copy, claim))

    def _marked(self, copy: Copy, claim: Claim) -> Claim:
        done = {index for index, code, _ in claim.tasks if code == 0}
        results = [(index, self._code(copy, index), self.now) for index in copy.tasks if index not in done]
        for index in (index for index, code, _ in results if code == 0):
            self.published.add((copy.job, index))
            self.files[f"{copy.where[index]}/out"] = 1
        self.mishaps[copy.job] += any(code for _, code, _ in results)
        worst = int(any(code for _, code, _ in results))
        tasks = (*claim.tasks, *results)
        return msgspec.structs.replace(claim, tasks=tasks, ended=worst, lines=2 + len(tasks))

    def _code(self, copy: Copy, index: int) -> int:
        starts = sum(1 for run in self.runs if (run.job, run.task) == (copy.job, index))
        return self.conditions.exit_code(copy.job, index, starts)

    # -- what it is asked ---------------------------------------------------------------------------------------

    def submit(self, requests: Sequence[Mapping[str, Any]]) -> list[list[str]]:
        """Accept each job that has no receipt and no claim yet; rows of nonce, word, text."""
        rows = []
        for request in requests:
            nonce = request["nonce"]
            if turned := [old for old, lines in request["withdrawals"] if not self._revoked(old, lines)]:
                rows.append([nonce, "earlier", turned[0]])
                continue
            self.scripts[nonce] = request["script"]
            if nonce not in self.receipts and nonce not in self.claims:
                if (nonce, request["asked"]) in self.requests:
                    rows.append([nonce, "asked", "another call has asked for it"])
                    continue
                self.requests[nonce, request["asked"]] = "asked"
                self.made.add((nonce, request["asked"]))
                if self.conditions.refuses():
                    rows.append([nonce, "later", "the queue is full"])
                    continue
                stored = self.conditions.keeps_receipt()
                id = self.accept(nonce, request["script"])
                if stored:
                    self.receipts[nonce] = id
            receipt = self.receipts.get(nonce) or (self.claims[nonce].owner if nonce in self.claims else "")
            rows += [[nonce, "accepted", receipt]] if receipt else []
        return rows

    def withdraws(self, nonce: str, asked: int) -> bool:
        """Whether this request was withdrawn: now, or by an earlier look."""
        return asked > 0 and self.requests.setdefault((nonce, asked), "withdrawn") == "withdrawn"

    def accept(self, nonce: str, script: str) -> str:
        """Take a job, or lose it behind the answer and give its id away again; the id."""
        self._next += 1
        id = self.named(self._next)
        if self.conditions.forgets():
            self._next -= 1
            self.mishaps.update(_JOB.findall(script))
        else:
            self.copies[id] = Copy(id, nonce, script, self.now, self.conditions)
        return id

    def _revoked(self, nonce: str, lines: int) -> bool:
        """Withdraw the claim of an earlier attempt, unless more of it is there than is known."""
        claim = self.claims.get(nonce)
        if claim and claim.owner and claim.lines > lines:
            return False
        self.write(nonce, Claim(owner=""))
        return True

    def listed(self, nonce: str) -> Copy | None:
        """What the queue shows of a job: its newest copy that is visible and not over."""
        copies = [c for c in self.copies.values() if c.nonce == nonce and c.visible <= self.now]
        live = [copy for copy in copies if copy.state is not Native.ended]
        return live[-1] if live else None

    def seen(self, nonce: str) -> Claim | None:
        """A claim as a file server's client shows it: for a while after a change, perhaps as it was before."""
        changed, before = self.older.get(nonce, (0.0, None))
        fresh = self.now - changed >= STALE or not self.conditions.stale()
        return self.claims.get(nonce) if fresh else before

    def known(self, id: str, nonce: str) -> Copy | None:
        """The job of this id, if it is the one that is meant: ids are given away again."""
        copy = self.copies.get(id)
        return copy if copy and copy.nonce == nonce else None

    def restart(self) -> None:
        """The controller has lost its jobs: those that wait are gone and their ids free, those that run unlisted."""
        waiting = [copy for copy in self.copies.values() if copy.state is Native.waiting]
        for copy in waiting:
            self.mishaps[copy.job] += 1
            copy.state = Native.ended
            if not copy.restarts:
                del self.copies[copy.id]
        for copy in self.copies.values():
            copy.visible = float("inf")
            self.mishaps[copy.job] += copy.state is Native.running
        self._next = max([4000, *(int(id.partition(".")[0]) for id in self.copies)])

    def kill(self, ids: Mapping[str, str]) -> None:
        """End these jobs: native ids by nonce. What the queue does not list it does not know."""
        for copy in (self.known(id, nonce) for nonce, id in ids.items()):
            if copy and copy.state is not Native.ended and copy.visible <= self.now:
                copy.began = copy.began if copy.state is Native.running else None
                copy.state, copy.cause = Native.ended, Cause(CauseKind.scheduler, "killed")
