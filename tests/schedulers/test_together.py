"""Two submissions looked at in one call see what each would have seen alone, whatever the batch system."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from dispatcher import schedulers
from dispatcher.contexts.local.lazy_local import LazyLocalConnection
from dispatcher.core.errors import Purged, Unreachable
from dispatcher.core.model import MachineSpec, ResourcesSpec
from dispatcher.core.ports import Accepted, Query, Reply, SubmitRequest
from dispatcher.core.sharing import Asking, Mergeable
from dispatcher.testing.batch import install
from tests.simulation.dialects import KITS

pytestmark = pytest.mark.slow

NONCES = ("dq3v81kx0mza", "da9w0c7eflpr")


class Two:
    """A job each of two submissions, in directories of their own on one machine."""

    def __init__(self, name: str, top: Path) -> None:
        self.scheduler: Any = schedulers.load(name)
        assert isinstance(self.scheduler, Mergeable)
        self.contexts, self.asked = [], []
        for nth, nonce in enumerate(NONCES):
            (top / f"w{nth}").mkdir()
            context = LazyLocalConnection.open(MachineSpec(name, "LazyLocal", str(top)), {}, str(nth) * 40, f"w{nth}")
            resources, file = ResourcesSpec(1, 1, 0, "", 1), f"{nonce}.sub"
            header = self.scheduler.header(resources, nonce, "/dev/null", 0)
            script = "\n".join(["#!/bin/bash", *header, "sleep 60"])
            request = SubmitRequest(nonce, nonce, file, {file: script}, resources)
            reply = context.run(self.scheduler.submit([request], context.place))
            answer = self.scheduler.submitted(reply, [request])[nonce]
            assert isinstance(answer, Accepted), answer
            claim = f"claim {answer.id} 0 node{nth} 1 1\ntask 0 0 1790000123 .\nerr 0 @@{NONCES[1 - nth]} done\n"
            (Path(context.place.control) / f"{nonce}.claim").write_text(claim)
            self.contexts.append(context)
            self.asked.append(Asking([Query(nonce, answer.id, time.time())], context.place))

    def alone(self, nth: int) -> Any:
        queries, place = self.asked[nth]
        return self.scheduler.observed(self.contexts[nth].run(self.scheduler.observe(queries, place)), queries)

    def reply(self) -> Reply:
        return self.contexts[0].run(self.scheduler.observe_all(self.asked))

    def together(self, reply: Reply) -> list[Any]:
        """What each reads, or the error that it meets."""
        return [self._read(*pair) for pair in zip(self.scheduler.apart(reply, self.asked), self.asked, strict=True)]

    def _read(self, reply: Reply, asked: Asking) -> Any:
        try:
            return self.scheduler.observed(reply, asked.queries)
        except Unreachable as error:
            return error

    def end(self) -> None:
        for context, (queries, place) in zip(self.contexts, self.asked, strict=True):
            Path(place.control).mkdir(parents=True, exist_ok=True)
            context.run(self.scheduler.kill(queries, place))


@pytest.mark.parametrize("name", ["Shell", *KITS])
def test_together_as_alone(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name != "Shell":
        site = install(KITS[name], tmp_path / "site")
        site.faults(slots=1, banner=True)
        monkeypatch.setenv("PATH", site.path())
    two = Two(name, tmp_path)
    try:
        alone = [two.alone(0), two.alone(1)]
        reply = two.reply()
        assert two.together(reply) == alone
        assert [seen.jobs[nonce].claim.node for seen, nonce in zip(alone, NONCES, strict=True)] == ["node0", "node1"]
        assert not alone[0].trouble
        _breaks_for_all(two, reply)
        shutil.rmtree(two.asked[1].place.control)
        first, second = two.together(two.reply())
        assert first == alone[0] and isinstance(second, Purged), second
        assert two.asked[1].place.control in str(second)
        if name != "Shell":
            site.faults(down=True)
            first, _ = two.together(two.reply())
            assert first.trouble and first.jobs[NONCES[0]].claim == alone[0].jobs[NONCES[0]].claim
    finally:
        two.end()
        if name != "Shell":
            site.end()


def _breaks_for_all(two: Two, reply: Reply) -> None:
    cut = reply.out.rstrip("\n").rpartition("\n")[0]
    assert [type(seen) for seen in two.together(Reply(reply.code, cut, reply.err))] == [Unreachable] * 2
    with pytest.raises(Purged):
        two.together(Reply(97, "", "No such file"))


def test_only_what_has_the_same_settings_is_asked_together() -> None:
    def dialect(*prologue: str) -> Any:
        return schedulers.chosen("Slurm", ResourcesSpec(1, 1, 0, "", 1, kwargs={"scheduler_prologue": list(prologue)}))

    assert dialect().settings() == dialect().settings() != dialect("module load slurm").settings()
    assert dialect().settings() != schedulers.load("SlurmJobArray").settings()  # type: ignore[attr-defined]
