"""The simulated cluster over real directories: claims and receipts are files, inputs are read, results are written.

    cluster = DirectoryCluster(conditions, ledger)
    kinds(world)["LocalContext"].open(machine, profile, submission, work_base)     the real context, its jobs simulated

So whatever is removed, put back or edited there has its effect as it would have: a job that starts in a purged
directory ends, one that runs puts its claim back, a task reads what lies there at some moment while it runs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import msgspec

from dispatcher.contexts.local.lazy_local import LazyLocalConnection
from dispatcher.contexts.local.local import LocalConnection
from dispatcher.core.errors import Purged, Unreachable
from dispatcher.core.events import Cause, CauseKind
from dispatcher.core.names import OWNER
from dispatcher.core.ports import Call, Claim, FileEntry, Item, Native, Place, Reply, ShellText
from dispatcher.core.possession import Possession

from .cluster import Cluster, Copy
from .faults import Neighbourly
from .ledger import Attempt, Body, Ledger
from .ports import SimulatedPlace

if TYPE_CHECKING:
    from .neighbours import World

_TASK = re.compile(r"^dsp_task (\d+) (\S+) \S+ \S+ '([^']*)'", re.MULTILINE)
#: What every task reads: its own file, and one that all share.
OWN, COMMON, RESULT = "in", "pot", "out"
_Kept = TypeVar("_Kept")


class Kept(MutableMapping[str, _Kept], Generic[_Kept]):
    """A file for each nonce, in the control directory of its place; what is removed there is gone here."""

    def __init__(
        self,
        places: Mapping[str, Place],
        suffix: str,
        encode: Callable[[_Kept], bytes],
        decode: Callable[[bytes], _Kept],
    ) -> None:
        self._places, self._suffix, self._encode, self._decode = places, suffix, encode, decode

    def _path(self, nonce: str) -> str:
        return f"{self._places[nonce].control}/{nonce}.{self._suffix}"

    def __getitem__(self, nonce: str) -> _Kept:
        try:
            with open(self._path(nonce), "rb") as file:
                return self._decode(file.read())
        except FileNotFoundError:
            raise KeyError(nonce) from None

    def __setitem__(self, nonce: str, value: _Kept) -> None:
        Path(self._path(nonce)).write_bytes(self._encode(value))

    def __delitem__(self, nonce: str) -> None:
        os.unlink(self._path(nonce))

    def __iter__(self) -> Iterator[str]:
        return (nonce for nonce in self._places if os.path.exists(self._path(nonce)))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _as_file(claim: Claim) -> bytes:
    return msgspec.json.encode(claim) if claim.owner else b"revoked\n"


def _as_claim(data: bytes) -> Claim:
    return Claim(owner="") if data == b"revoked\n" else msgspec.json.decode(data, type=Claim)


def read_inputs(root: str, directory: str) -> str:
    """What a task finds when it reads: the digests of both its inputs."""
    return " ".join(_digest(f"{root}/{path}") for path in (f"{directory}/{OWN}", COMMON))


def _digest(path: str) -> str:
    try:
        return sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return "nothing"


class DirectoryCluster(Cluster):
    """The queue of one machine; `ledger` hears of every task body."""

    def __init__(self, conditions: Neighbourly, ledger: Ledger) -> None:
        super().__init__(conditions)
        self._reads_late, self.ledger = conditions.reads_late, ledger
        self.places: dict[str, Place] = {}
        self.claims = Kept(self.places, "claim", _as_file, _as_claim)  # type: ignore[assignment]
        self.receipts = Kept(self.places, "id", str.encode, bytes.decode)  # type: ignore[assignment]
        self.bodies: dict[str, list[Body]] = {}
        #: What each copy writes into, whatever becomes of the name.
        self._held: dict[str, Claim] = {}

    def submit(self, requests: Sequence[Mapping[str, Any]]) -> list[list[str]]:
        """The scripts are written first; where there is no directory any more nothing is asked."""
        for request in requests:
            control = self.places[request["nonce"]].control
            for old, _ in request["withdrawals"]:
                self.places.setdefault(old, self.places[request["nonce"]])
            if not os.path.isdir(control):
                return []
            script = Path(control, f"{request['nonce']}.sub")
            script.write_text(request["script"])
            os.utime(script, (self.now, self.now))
        return super().submit(requests)

    # -- what a job does ----------------------------------------------------------------------------------------

    def _start(self, copy: Copy) -> None:
        place = self.places[copy.nonce]
        copy.began = self.now
        if not os.path.isdir(place.control) or not self._claims(copy):
            copy.state = Native.ended
            return
        self._held[copy.id] = claim = self.claims[copy.nonce]
        copy.state, copy.due = Native.running, self.now + self.conditions.runs_for()
        done = {index for index, code, _ in claim.tasks if code == 0}
        said = {int(index): (where, command) for index, where, command in _TASK.findall(self.scripts[copy.nonce])}
        self.bodies[copy.id] = []
        for index in (index for index in copy.tasks if index not in done):
            where, command = said[index]
            if not os.path.isdir(f"{place.remote_root}/{where}"):
                continue  # it cannot even be entered: nothing of the task is run
            body = Body(self.ledger.attempts[copy.nonce], where, command, index, copy.nonce, self.now)
            body.read = read_inputs(place.remote_root, where)
            self.bodies[copy.id].append(body)
            self.ledger.started(body)

    def edited(self) -> None:
        """Inputs have changed: of the tasks that run, some had not read them yet."""
        for copy in self.copies.values():
            for body in self.bodies.get(copy.id, ()) if copy.state is Native.running else ():
                if self._reads_late():
                    body.read = read_inputs(body.place.remote_root, body.where)

    def _end(self, copy: Copy) -> None:
        fate = self.conditions.fate()
        if fate == "ends":
            self._publish(copy)
        for body in self.bodies.get(copy.id, ()):
            body.over = True
        if fate == "requeued":
            copy.restarts += 1
            copy.state, copy.due = Native.waiting, self.now + self.conditions.starts_after()
            return
        copy.state = Native.ended
        if fate == "killed":
            self.mishaps[copy.job] += 1
            copy.cause = Cause(CauseKind.node, "the node went down", native="NODE_FAIL")

    def _publish(self, copy: Copy) -> None:
        """Results where the tasks run, then the marker: into the file that it holds open, put back if its name is gone.

        Once somebody else's file has the name, nothing is told.
        """
        mine = self._held[copy.id]
        carried = {index for index, code, _ in mine.tasks if code == 0}
        good = {body.index: body for body in self.bodies[copy.id] if self._ends_well(copy, body)}
        ends = [(index, int(index not in good), self.now) for index in copy.tasks if index not in carried]
        worst = int(any(code for _, code, _ in ends))
        self.mishaps[copy.job] += worst
        tasks = (*mine.tasks, *ends)
        there = self.claims.get(copy.nonce)
        if there is not None and (there.owner, there.restarts) != (copy.id, copy.restarts):
            return
        os.makedirs(self.places[copy.nonce].control, mode=0o700, exist_ok=True)
        self.write(copy.nonce, msgspec.structs.replace(mine, tasks=tasks, ended=worst, lines=2 + len(tasks)))
        for body in good.values():
            body.published = True

    def _ends_well(self, copy: Copy, body: Body) -> bool:
        """A task that ends with code 0 has left its result, unless its directory is gone."""
        if "nothing" in body.read or self.conditions.exit_code(copy.job, body.index, 1):
            return False
        try:
            Path(body.there).write_text(body.result)
        except OSError:
            return False
        return True

    def kill(self, ids: Mapping[str, str]) -> None:
        """What is killed is over at once."""
        super().kill(ids)
        for copy in (self.known(id, nonce) for nonce, id in ids.items()):
            for body in self.bodies.get(copy.id, ()) if copy and copy.state is Native.ended else ():
                body.over = True


class _Simulated:
    """The verbs of a context of this machine; what is asked of the batch system is answered by the cluster."""

    world: ClassVar[World]
    place: Place

    def _asked(self, what: str) -> None:
        conditions = self.world.conditions
        self.world.me.step(conditions, f"before {what}")
        if conditions.call_lost(what):
            raise Unreachable(f"{what}: the call was lost")

    def _answered(self, what: str) -> None:
        self.world.me.step(self.world.conditions, f"after {what}")

    def own(self, record: str) -> Possession:
        """As `contexts.owner` has it in shell."""
        self._asked("own")
        home = Path(self.place.control).parent
        if not home.is_dir():
            raise Purged("our directory is not there any more")
        file = home / OWNER
        if record and not (file.exists() and file.stat().st_size):
            file.write_text(f"{record}\n")
        found = file.read_text().rstrip("\n") if file.exists() else ""
        names = tuple(sorted(os.listdir(self.place.control))) if os.path.isdir(self.place.control) else ()
        self._answered("own")
        return Possession(found, names)

    def run(self, call: Call) -> Reply:
        """A question of the simulated dialect; any other text is really run."""
        world, place = self.world, self.place
        for directory in (place.remote_root, place.control):
            if not os.path.isdir(directory):
                raise Purged(f"{directory} is not there")
        assert isinstance(call, ShellText)
        if not call.text.startswith("{"):
            self._asked("run")
            return super().run(call)  # type: ignore[misc,no-any-return]
        request = msgspec.json.decode(call.text)
        for one in request.get("requests", ()):
            world.cluster.places.setdefault(one["nonce"], place)
            world.ledger.attempts.setdefault(one["nonce"], Attempt(place, world.sessions[world.me].journal.path))
        return SimulatedPlace(world.cluster, world.me).run(call)

    def put(self, items: Sequence[Item], replace: bool) -> None:
        self._asked("put")
        super().put(items, replace)  # type: ignore[misc]
        self._answered("put")

    def tree(self, paths: Sequence[str]) -> list[FileEntry]:
        self._asked("tree")
        return super().tree(paths)  # type: ignore[misc,no-any-return]

    def get(self, items: Sequence[Item]) -> list[Item]:
        self._asked("get")
        arrived: list[Item] = super().get(items)  # type: ignore[misc]
        self._answered("get")
        return arrived

    def remove(self) -> None:
        self._asked("remove")
        self.world.ledger.removing(self.place)
        super().remove()  # type: ignore[misc]
        self._answered("remove")


def kinds(world: World) -> dict[str, type[Any]]:
    """The contexts of this machine, by name, in this world."""
    real = {"LazyLocalContext": LazyLocalConnection, "LocalContext": LocalConnection}
    return {name: type(name, (_Simulated, kind), {"world": world}) for name, kind in real.items()}
