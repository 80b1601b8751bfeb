"""A cluster in memory: a queue, jobs that claim and run their tasks, markers, a clock. It outlives every dispatcher.

    cluster = Cluster(World())
    scheduler, context = SimulatedQueue(), SimulatedPlace(cluster)
    … an Engine runs on them as on real ones …
    cluster.runs   ->  [Run(job="5f1c…", task=0, nonce="d0001"), …]       every task body that was started

What can go wrong is asked of a `World`: its answers decide what is lost, late,
killed or forgotten. The default world is a good one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from ..errors import Unreachable
from ..events import Cause
from ..model import ResourcesSpec
from ..ports import (
    Accepted,
    Answer,
    Ask,
    Claim,
    FileEntry,
    Item,
    Later,
    Look,
    Looks,
    Native,
    Place,
    Reply,
    Shell,
    Watch,
)

_TASK = re.compile(r"^dsp_task_(\d+)\(\) \{$", re.MULTILINE)
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


class World:
    """What the surroundings do. Override to make them worse; every method is asked at one point of the simulation."""

    def step(self, point: str) -> None:
        """Called before and after every effect; may raise to kill the dispatcher there."""

    def reply_lost(self, what: str) -> bool:
        """The effect happened, its answer does not arrive."""
        return False

    def call_lost(self, what: str) -> bool:
        """The call never arrives: no effect, no answer."""
        return False

    def call_late(self, what: str) -> float:
        """Seconds after which a call, whose answer is lost, has its effect; 0: at once."""
        return 0.0

    def call_doubled(self, what: str) -> bool:
        """The call has its effect twice."""
        return False

    def refuses(self) -> bool:
        """The queue says "not now"."""
        return False

    def forgets(self) -> bool:
        """The controller loses a job that it has just accepted, and gives its id to the next one."""
        return False

    def stale(self) -> bool:
        """A claim is shown as it was before its last change."""
        return False

    def visible_after(self) -> float:
        """Seconds until an accepted job is listed."""
        return 0.0

    def starts_after(self) -> float:
        """Seconds until a job starts, from when it is accepted."""
        return 1.0

    def runs_for(self) -> float:
        """Seconds that a job runs."""
        return 3.0

    def exit_code(self, job: str, task: int, attempt: int) -> int:
        """How the nth start (from 1) of a task ends."""
        return 0

    def fate(self) -> str:
        """What becomes of a running job: "ends", "killed" (no marker), "requeued" (starts again under the same id)."""
        return "ends"

    def accounting(self) -> bool:
        """Whether the accounting answers."""
        return True


class Copy:
    """One accepted submission: a job script in the queue."""

    def __init__(self, id: str, nonce: str, script: str, at: float, world: World) -> None:
        self.id, self.nonce = id, nonce
        found = _JOB.search(script)
        self.job = found[1] if found else ""
        self.tasks = [int(index) for index in _TASK.findall(script)]
        self.state = Native.waiting
        self.visible = at + world.visible_after()
        self.due = at + world.starts_after()
        self.cause: Cause | None = None
        self.restarts = 0


class Cluster:
    """The queue and the shared file system. Time moves by `sleep`; nothing else does."""

    def __init__(self, world: World, now: float = 1_790_000_000.0) -> None:
        self.world, self.now = world, now
        self.copies: dict[str, Copy] = {}
        self.scripts: dict[str, str] = {}
        self.receipts: dict[str, str] = {}
        self.claims: dict[str, Claim] = {}
        self.older: dict[str, tuple[float, Claim | None]] = {}
        self.late: list[tuple[float, list[Mapping[str, Any]]]] = []
        self.fetched: set[str] = set()
        self.published: set[tuple[str, int]] = set()
        self.repeated: list[Run] = []
        self.files: dict[str, int] = {}
        self.runs: list[Run] = []
        self.calls: list[str] = []
        self._next = 4000

    def sleep(self, seconds: float) -> None:
        """Let time pass, and everything happen that falls into it, in order."""
        end = self.now + seconds
        while True:
            self._arrive(end)
            live = [copy for copy in self.copies.values() if copy.state in (Native.waiting, Native.running)]
            due = min(live, key=lambda copy: (copy.due, copy.id), default=None)
            if due is None or due.due > end:
                break
            self.now = max(self.now, due.due)
            self._start(due) if due.state is Native.waiting else self._end(due)
        self.now = end

    def _arrive(self, end: float) -> None:
        """Submissions that were under way arrive."""
        due = [late for late in self.late if late[0] <= end]
        self.late = [late for late in self.late if late[0] > end]
        for at, asks in due:
            self.now = max(self.now, at)
            self.submit(asks)

    def write(self, nonce: str, claim: Claim) -> None:
        """Change a claim; a stale look may still show what was there before."""
        self.older[nonce] = (self.now, self.claims.get(nonce))
        self.claims[nonce] = claim

    # -- what a job does ----------------------------------------------------------------------------------------

    def _start(self, copy: Copy) -> None:
        if not self._claims(copy):
            copy.state = Native.ended
            return
        copy.state, copy.due = Native.running, self.now + self.world.runs_for()
        done = {index for index, code, _ in self.claims[copy.nonce].tasks if code == 0}
        runs = [Run(copy.job, i, copy.nonce, copy.id, copy.restarts) for i in copy.tasks if i not in done]
        self.repeated += [run for run in runs if (run.job, run.task) in self.published]
        self.runs += runs

    def _claims(self, copy: Copy) -> bool:
        """The fence at the head of the script: the first copy has it, a later life of the same id takes it over."""
        claim = self.claims.get(copy.nonce)
        mine = Claim(owner=copy.id, node="n1", restarts=copy.restarts)
        if claim is None:
            self.write(copy.nonce, mine)
        elif claim.owner == copy.id and claim.restarts < copy.restarts:
            carried = tuple(task for task in claim.tasks if task[1] == 0)
            self.write(copy.nonce, msgspec.structs.replace(mine, tasks=carried))
        else:
            self.write(copy.nonce, msgspec.structs.replace(claim, fenced=(*claim.fenced, copy.id)))
            return False
        return True

    def _end(self, copy: Copy) -> None:
        fate = self.world.fate()
        if fate == "requeued":
            copy.restarts += 1
            copy.state, copy.due = Native.waiting, self.now + self.world.starts_after()
            return
        copy.state = Native.ended
        claim = self.claims[copy.nonce]
        if fate == "killed":
            copy.cause = Cause("node", "the node went down", native="NODE_FAIL")
        elif claim.owner == copy.id:
            self.write(copy.nonce, self._marked(copy, claim))

    def _marked(self, copy: Copy, claim: Claim) -> Claim:
        done = {index for index, code, _ in claim.tasks if code == 0}
        results = [(index, self._code(copy, index), self.now) for index in copy.tasks if index not in done]
        self.published.update((copy.job, index) for index, code, _ in results if code == 0)
        worst = int(any(code for _, code, _ in results))
        return msgspec.structs.replace(claim, tasks=(*claim.tasks, *results), ended=worst)

    def _code(self, copy: Copy, index: int) -> int:
        starts = sum(1 for run in self.runs if (run.job, run.task) == (copy.job, index))
        return self.world.exit_code(copy.job, index, starts)

    # -- what it is asked ---------------------------------------------------------------------------------------

    def submit(self, asks: Sequence[Mapping[str, Any]]) -> list[list[str]]:
        """Accept each job that has no receipt and no claim yet; rows of nonce, word, text."""
        rows = []
        for ask in asks:
            nonce = ask["nonce"]
            for old in ask["revoke"]:
                self.write(old, Claim(owner=""))
            self.scripts[nonce] = ask["script"]
            if nonce not in self.receipts and nonce not in self.claims:
                if self.world.refuses():
                    rows.append([nonce, "later", "the queue is full"])
                    continue
                self._next += 1
                self.receipts[nonce] = str(self._next)
                if self.world.forgets():
                    self._next -= 1
                else:
                    self.copies[str(self._next)] = Copy(str(self._next), nonce, ask["script"], self.now, self.world)
            rows.append([nonce, "accepted", self.receipts.get(nonce) or self.claims[nonce].owner])
        return rows

    def listed(self, nonce: str) -> Copy | None:
        """What the queue shows of a job: its newest copy that is visible and not over."""
        copies = [c for c in self.copies.values() if c.nonce == nonce and c.visible <= self.now]
        live = [copy for copy in copies if copy.state is not Native.ended]
        return live[-1] if live else None

    def seen(self, nonce: str) -> Claim | None:
        """A claim as a file server's client shows it: for a while after a change, perhaps as it was before."""
        changed, before = self.older.get(nonce, (0.0, None))
        fresh = self.now - changed >= STALE or not self.world.stale()
        return self.claims.get(nonce) if fresh else before

    def kill(self, ids: Sequence[str]) -> None:
        """End these jobs."""
        for copy in (self.copies[id] for id in ids if id in self.copies):
            if copy.state is not Native.ended:
                copy.state, copy.cause = Native.ended, Cause("scheduler", "killed")


class SimulatedQueue:
    """The dialect of the simulated cluster: questions are JSON instead of shell text."""

    name = "Simulated"
    grace = 20.0
    pace = 1.0
    batch = 4
    native_id = "$ID"
    restarts = "0"
    element = ""

    def header(self, resources: ResourcesSpec, name: str, log: str, elements: int) -> list[str]:
        """No directives."""
        return []

    def elements(self, resources: ResourcesSpec, tasks: int) -> int:
        """No arrays."""
        return 0

    def check(self, resources: ResourcesSpec) -> None:
        """Everything can be expressed."""

    def submit(self, asks: Sequence[Ask], place: Place) -> Shell:
        """All asks in one call."""
        rows = [{"nonce": a.nonce, "script": "".join(a.files.values()), "revoke": list(a.revoke)} for a in asks]
        return _call("submit", asks=rows)

    def submitted(self, reply: Reply, asks: Sequence[Ask]) -> dict[str, Answer]:
        """Accepted or Later for each."""
        rows = msgspec.json.decode(reply.out)
        return {nonce: Accepted(text) if word == "accepted" else Later(text) for nonce, word, text in rows}

    def look(self, watches: Sequence[Watch], place: Place) -> Shell:
        """All jobs in one call."""
        return _call("look", nonces=[watch.nonce for watch in watches])

    def looked(self, reply: Reply, watches: Sequence[Watch]) -> Looks:
        """Every answer of the simulated cluster is whole."""
        return Looks(msgspec.json.decode(reply.out, type=dict[str, Look]))

    def account(self, watches: Sequence[Watch], place: Place) -> Shell:
        """All jobs in one call."""
        return _call("account", ids={watch.nonce: watch.id for watch in watches})

    def accounted(self, reply: Reply, watches: Sequence[Watch]) -> Looks:
        """Ended with a cause, or nothing."""
        return Looks(msgspec.json.decode(reply.out, type=dict[str, Look]))

    def kill(self, watches: Sequence[Watch], place: Place) -> Shell:
        """All jobs in one call."""
        return _call("kill", ids=[watch.id for watch in watches])


class SimulatedPlace:
    """The context of the simulated cluster; every verb passes the world's `step` before and after its effect."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.place = Place(near="/near", root="/R", home="/R/.dispatcher/x/jobs")

    def ask(self, call: Shell) -> Reply:
        """Do what the question says; Unreachable when the world loses it, before or after the effect."""
        request = msgspec.json.decode(call.text)
        what = request.pop("op")
        self.cluster.calls.append(what)
        world = self.cluster.world
        world.step(f"before {what}")
        if world.call_lost(what):
            raise Unreachable(f"{what}: the call was lost")
        if what == "submit" and (delay := world.call_late(what)):
            self.cluster.late.append((self.cluster.now + delay, request["asks"]))
            raise Unreachable(f"{what}: no answer in time")
        answer = getattr(self, f"_{what}")(**request)
        if world.call_doubled(what):
            answer = getattr(self, f"_{what}")(**request)
        world.step(f"after {what}")
        if world.reply_lost(what):
            raise Unreachable(f"{what}: the reply was lost")
        return Reply(0, msgspec.json.encode(answer).decode())

    def _submit(self, asks: list[dict[str, Any]]) -> Any:
        return self.cluster.submit(asks)

    def _look(self, nonces: list[str]) -> dict[str, Look]:
        return {nonce: self._one(nonce) for nonce in nonces}

    def _one(self, nonce: str) -> Look:
        cluster, copy = self.cluster, self.cluster.listed(nonce)
        claim = cluster.seen(nonce)
        receipt = cluster.receipts.get(nonce, "")
        found = receipt or (claim.owner if claim else "") or (copy.id if copy else "")
        how = "receipt" if receipt else "claim" if claim and claim.owner else "queue" if copy else ""
        return Look(copy.state if copy else Native.absent, id=found, how=how, claim=claim)

    def _account(self, ids: dict[str, str]) -> dict[str, Look]:
        if not self.cluster.world.accounting():
            raise Unreachable("the accounting is down")
        copies = {nonce: self.cluster.copies.get(id) for nonce, id in ids.items()}
        return {nonce: Look(copy.state, id=copy.id, cause=copy.cause) for nonce, copy in copies.items() if copy}

    def _kill(self, ids: list[str]) -> None:
        self.cluster.kill(ids)

    def put(self, items: Sequence[Item], replace: bool) -> None:
        """Every item is there afterwards."""
        self.cluster.calls.append("put")
        for item in items:
            self.cluster.world.step(f"put {item.target}")
            self.cluster.files.setdefault(item.target, item.size)
        self.cluster.world.step("after put")

    def tree(self, paths: Sequence[str]) -> list[FileEntry]:
        """What is there below these paths."""
        self.cluster.calls.append("tree")
        self.cluster.world.step("tree")
        return [
            FileEntry(name, size)
            for name, size in self.cluster.files.items()
            if any(name == path or name.startswith(f"{path}/") for path in paths)
        ]

    def get(self, items: Sequence[Item]) -> list[Item]:
        """Everything arrives."""
        self.cluster.calls.append("get")
        self.cluster.world.step("get")
        self.cluster.fetched.update(item.source for item in items)
        return list(items)

    def remove(self) -> None:
        """Nothing is left there."""
        self.cluster.calls.append("remove")
        self.cluster.world.step("before remove")
        self.cluster.files.clear()
        self.cluster.world.step("after remove")

    def close(self) -> None:
        """Nothing to let go of."""


def _call(op: str, **what: Any) -> Shell:
    return Shell(msgspec.json.encode({"op": op, **what}).decode())
