"""The two ports to the simulated cluster: a dialect whose questions are JSON, and a context that answers them.

SimulatedQueue().observe([Query("dsim1")], place)   ->  ShellText('{"op":"observe","nonces":["dsim1"]}')
SimulatedPlace(cluster).run(that)                ->  Reply(0, '{"dsim1":{"native":"running", …}}')
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from dispatcher.core.errors import Unreachable
from dispatcher.core.model import ResourcesSpec
from dispatcher.core.ports import (
    Accepted,
    Answer,
    Call,
    Deferral,
    EarlierAttempt,
    FileEntry,
    Item,
    JobScript,
    Native,
    Observation,
    Observations,
    Place,
    Query,
    Reply,
    ShellText,
    SubmitRequest,
    Unclear,
)
from dispatcher.core.possession import Possession

from .cluster import STALE, Cluster
from .hosts import Host, Process


class SimulatedQueue:
    """The dialect of the simulated cluster: questions are JSON instead of shell text."""

    name = "Simulated"
    absence_timeout = 20.0
    min_poll_interval = 1.0
    max_submit_batch = 4
    native_id = "$ID"
    restarts = "0"
    element = ""
    context = ""

    def header(self, resources: ResourcesSpec, name: str, log: str, elements: int) -> list[str]:
        """No directives."""
        return []

    def elements(self, resources: ResourcesSpec, tasks: int) -> int:
        """No arrays."""
        return 0

    def fence(self, job: JobScript, elements: int) -> str:
        """The simulated cluster has its own claims."""
        return ""

    def closing(self, job: JobScript) -> str:
        """And its own markers."""
        return ""

    def check(self, resources: ResourcesSpec) -> None:
        """Everything can be expressed."""

    def directive(self, line: str, key: str) -> str:
        """No directives."""
        return ""

    def submit(self, requests: Sequence[SubmitRequest], place: Place) -> ShellText:
        """All requests in one call."""
        rows = [
            {
                "nonce": a.nonce,
                "script": "".join(a.files.values()),
                "withdrawals": list(a.withdrawals),
                "asked": a.asked,
            }
            for a in requests
        ]
        return _call("submit", requests=rows)

    def submitted(self, reply: Reply, requests: Sequence[SubmitRequest]) -> dict[str, Answer]:
        """Accepted, a deferral, an earlier attempt or a doubt for each."""
        rows = msgspec.json.decode(reply.out)
        words: dict[str, Any] = {
            "accepted": Accepted,
            "later": Deferral,
            "earlier": EarlierAttempt,
            "asked": lambda why: Unclear(why, known=True),
        }
        return {nonce: words[word](text) for nonce, word, text in rows}

    def observe(self, queries: Sequence[Query], place: Place) -> ShellText:
        """All jobs in one call."""
        return _call("observe", nonces={query.nonce: query.asked for query in queries})

    def observed(self, reply: Reply, queries: Sequence[Query]) -> Observations:
        """Every answer of the simulated cluster is whole."""
        return Observations(msgspec.json.decode(reply.out, type=dict[str, Observation]))

    def account(self, queries: Sequence[Query], place: Place) -> ShellText:
        """All jobs in one call."""
        return _call("account", ids=_ids(queries))

    def accounted(self, reply: Reply, queries: Sequence[Query]) -> Observations:
        """Ended with a cause, or nothing."""
        return Observations(msgspec.json.decode(reply.out, type=dict[str, Observation]))

    def kill(self, queries: Sequence[Query], place: Place) -> ShellText:
        """All jobs in one call."""
        return _call("kill", ids=_ids(queries))

    def killed(self, reply: Reply, queries: Sequence[Query]) -> str:
        """Whoever is still there is asked to be ended again."""
        return ""


def _ids(queries: Sequence[Query]) -> dict[str, str]:
    return {query.nonce: query.id for query in queries}


class SimulatedPlace:
    """The context of the simulated cluster; every verb passes the world's `step` before and after its effect.

    `process` is the dispatcher that asks; `watch(process, what, request)` hears every question before it has an effect.
    """

    def __init__(
        self,
        cluster: Cluster,
        process: Process | None = None,
        audit: Callable[[Process, str, Any], None] = lambda process, what, request: None,
    ) -> None:
        self.cluster, self.process, self._audit = cluster, process or Process(Host("here"), 1), audit
        self.place = Place(local="/local", remote_root="/R", control="/R/.dispatcher/x/jobs")
        self._before: dict[str, tuple[float, Any]] = {}

    def _step(self, point: str) -> None:
        self.process.step(self.cluster.conditions, point)

    def run(self, call: Call) -> Reply:
        """Do what the question says; Unreachable when the world loses it, before or after the effect."""
        assert isinstance(call, ShellText), "questions to the simulation are text"
        request = msgspec.json.decode(call.text)
        what = request.pop("op")
        self._audit(self.process, what, request)
        self.cluster.calls.append(what)
        conditions = self.cluster.conditions
        self._step(f"before {what}")
        if conditions.call_lost(what):
            raise Unreachable(f"{what}: the call was lost")
        if what == "submit" and (delay := conditions.call_late(what)):
            self.cluster.late.append((self.cluster.now + delay, lambda: self.cluster.submit(request["requests"])))
            raise Unreachable(f"{what}: no answer in time")
        if what in ("submit", "observe") and conditions.restarts():
            self.cluster.restart()
        answer = self._done(what, request)
        self._step(f"after {what}")
        if conditions.reply_lost(what):
            raise Unreachable(f"{what}: the reply was lost")
        return Reply(0, msgspec.json.encode(answer).decode())

    def _done(self, what: str, request: dict[str, Any]) -> Any:
        """What is answered: to this question, or what was true a moment ago, in whatever order."""
        conditions, now = self.cluster.conditions, self.cluster.now
        answer = getattr(self, f"_{what}")(**request)
        if conditions.call_doubled(what):
            answer = getattr(self, f"_{what}")(**request)
        if what == "observe":
            at, before = self._before.get(what, (now, answer))
            self._before[what] = now, answer
            if now - at < STALE and before.keys() >= answer.keys() and conditions.answer_old(what):
                answer = before
        if answer and conditions.answer_shuffled(what):
            answer = _shuffled(answer)
        return answer

    def _submit(self, requests: list[dict[str, Any]]) -> Any:
        return self.cluster.submit(requests)

    def _observe(self, nonces: dict[str, int]) -> dict[str, Observation]:
        unasked = {nonce: asked if self.cluster.withdraws(nonce, asked) else 0 for nonce, asked in nonces.items()}
        self.cluster.told_unasked.update((nonce, asked) for nonce, asked in unasked.items() if asked)
        return {nonce: msgspec.structs.replace(self._one(nonce), unasked=unasked[nonce]) for nonce in nonces}

    def _one(self, nonce: str) -> Observation:
        cluster, copy = self.cluster, self.cluster.listed(nonce)
        claim = cluster.seen(nonce)
        receipt = cluster.receipts.get(nonce, "")
        found = receipt or (claim.owner if claim else "") or (copy.id if copy else "")
        how = "receipt" if receipt else "claim" if claim and claim.owner else "queue" if copy else ""
        return Observation(copy.state if copy else Native.absent, id=found, how=how, claim=claim)

    def _account(self, ids: dict[str, str]) -> dict[str, Observation]:
        if not self.cluster.conditions.accounting():
            raise Unreachable("the accounting is down")
        copies = {nonce: self.cluster.known(id, nonce) for nonce, id in ids.items()}
        return {nonce: Observation(copy.state, id=copy.id, cause=copy.cause) for nonce, copy in copies.items() if copy}

    def _kill(self, ids: dict[str, str]) -> None:
        self.cluster.kill(ids)

    def put(self, items: Sequence[Item], replace: bool) -> None:
        """Every item is there afterwards, or this breaks off in the middle of one, which then is not."""
        self._audit(self.process, "put", None)
        self.cluster.calls.append("put")
        for item in items:
            self._step(f"put {item.target}")
            if self.cluster.conditions.upload_cut():
                self.cluster.files[f"{item.target}.part"] = item.size // 2
                raise Unreachable(f"put: broke off in the middle of {item.target}")
            self.cluster.files.setdefault(item.target, item.size)
        self._step("after put")

    def tree(self, paths: Sequence[str]) -> list[FileEntry]:
        """What is there below these paths."""
        self._audit(self.process, "tree", None)
        self.cluster.calls.append("tree")
        self._step("tree")
        return [
            FileEntry(name, size)
            for name, size in self.cluster.files.items()
            if any(name == path or name.startswith(f"{path}/") for path in paths)
        ]

    def own(self, record: str) -> Possession:
        """The first record stays; the claims are what attempts leave."""
        self._audit(self.process, "own", None)
        self.cluster.owner = self.cluster.owner or record
        return Possession(self.cluster.owner, tuple(f"{nonce}.claim" for nonce in self.cluster.claims))

    def get(self, items: Sequence[Item]) -> list[Item]:
        """Everything arrives, or this breaks off between two."""
        self._audit(self.process, "get", None)
        self.cluster.calls.append("get")
        for item in items:
            self._step(f"get {item.source}")
            if self.cluster.conditions.download_cut():
                raise Unreachable(f"get: broke off before {item.source}")
            self.cluster.fetched.add(item.source)
        return [msgspec.structs.replace(item, digest="00") for item in items]

    def remove(self) -> None:
        """Nothing is left there."""
        self._audit(self.process, "remove", None)
        self.cluster.calls.append("remove")
        self._step("before remove")
        self.cluster.removed.update(name for name in self.cluster.files if name.endswith("/out"))
        self.cluster.files.clear()
        self._step("after remove")

    def close(self) -> None:
        """Nothing to let go of."""


def _shuffled(answer: Any) -> Any:
    """The other way round, and the last line once more: lists only, a mapping has no line twice."""
    return dict(reversed(answer.items())) if isinstance(answer, dict) else [*reversed(answer), answer[-1]]


def _call(op: str, **what: Any) -> ShellText:
    return ShellText(msgspec.json.encode({"op": op, **what}).decode())
