"""What jobs handed over on HDFS: which files, in which archive, and bringing them here.

    jobs/dq3v….end-0      dq3v….end-0:hand dq3v….application_1795_0001.0 4f1c…      the SHA-256 of the list
    out/dq3v….list        @ dq3v….application_1795_0001.0 9f86…    NUL      the SHA-256 of the archive
                          5 2c26…  ./t1/out.nc                     NUL      size, SHA-256, name
                          -1 -  ./t1/empty                         NUL      an empty directory

Nothing is believed that does not agree with the sum that names it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from ...core.errors import TransferFailed
from ...core.limits import MAX_ANSWER
from ...core.ports import FileEntry, Item
from ...files import archive, local
from ...files.gate import make_directory
from ...files.incoming import Arrivals
from ..local.this_machine import remove_tree
from .command import Hadoop, complaint

_HAND = re.compile(r"\w+\.end-\d+:hand (\w+\.application_[0-9]{1,18}_[0-9]{1,9}\.[0-9]{1,9}) ([0-9a-f]{64})")
_RECORD = re.compile(rb"(-1|\d{1,18}) ([0-9a-f]{64}|-)  (.*)", re.DOTALL)


class Left(NamedTuple):
    """A file as a job left it, and the archive it is in."""

    size: int
    sum: str
    key: str


class HdfsResults:
    """The results below `ours`; `stage` is a directory here for archives on their way."""

    def __init__(self, hadoop: Hadoop, ours: str, stage: Path) -> None:
        self._hadoop, self._ours, self._stage = hadoop, ours, stage
        self._files: dict[str, Left] = {}
        self._archives: dict[str, str] = {}

    def tree(self, paths: Sequence[str]) -> list[FileEntry]:
        """Each path as a file, or everything below it."""
        self._observation()
        return [FileEntry(path, left.size) for path, left in self._files.items() if _is_below(path, paths)]

    def get(self, items: Sequence[Item], here: Path) -> list[Item]:
        """Fetch, verify, place; what already is there with the same content is kept."""
        if any(item.source not in self._files for item in items):
            self._observation()
        arrivals = Arrivals(here, items)
        for item in arrivals.missing():
            if item.source not in self._files:
                raise TransferFailed(f"{item.source} was not handed over by any job; run the same command again")
            left = self._files[item.source]
            arrivals.has(item, left.sum, left.size)
        try:
            self._fetch(arrivals)
        finally:
            remove_tree(self._stage)
        return arrivals.items()

    def _observation(self) -> None:
        """Read the exit markers, then the lists that they name."""
        reported = self._hadoop.fs("-cat", f"{self._ours}/jobs/{{ready,*.end-*[!_]}}").decode(errors="replace")
        if "ready:" not in reported:
            raise TransferFailed(f"what lies in {self._ours}/jobs cannot be read whole; run the same command again")
        hands = {found[1]: found[2] for found in map(_HAND.fullmatch, reported.splitlines()) if found}
        self._files, self._archives = {}, {}
        if not hands:
            return
        try:
            self._bring([f"{self._ours}/out/*.list"])
            for key in sorted(hands, key=_age):
                self._read(key, hands[key])
        finally:
            remove_tree(self._stage)

    def _bring(self, sources: Sequence[str]) -> None:
        make_directory(self._stage, 0o700)
        done = self._hadoop.tried("-get", "-f", *sources, ".", here=self._stage)
        if done.returncode:
            raise complaint(("-get",), done.stderr)

    def _read(self, key: str, expected: str) -> None:
        """Take over what one list says; a later one goes over an earlier one."""
        path = self._stage / f"{key}.list"
        fits = path.is_file() and path.stat().st_size <= MAX_ANSWER
        data = path.read_bytes() if fits else b""
        if sha256(data).hexdigest() != expected:
            raise TransferFailed(f"{self._ours}/out/{key}.list is not what its job handed over; look there")
        head, *records = data.split(b"\0")[:-1] or [b""]
        self._archives[key] = head.decode(errors="replace").split(" ")[-1]
        for record in records:
            found = _RECORD.fullmatch(record)
            if found is None:
                raise TransferFailed(f"{self._ours}/out/{key}.list cannot be read: {record[:80]!r}")
            name = archive.safe(found[3].decode("utf-8", "surrogateescape"))
            self._files[name] = Left(int(found[1]), found[2].decode(), key)

    def _fetch(self, arrivals: Arrivals) -> None:
        by_key: dict[str, dict[str, Item]] = {}
        for item in arrivals.missing():
            by_key.setdefault(self._files[item.source].key, {})[item.source] = item
        keys = list(by_key)
        for at in range(0, len(keys), 20):  # a score of archives at a time: they need room here too
            self._bring([f"{self._ours}/out/{key}.tar" for key in keys[at : at + 20]])
            for key in keys[at : at + 20]:
                self._unpack(key, by_key[key], arrivals)

    def _unpack(self, key: str, wanted: Mapping[str, Item], arrivals: Arrivals) -> None:
        path, rest = self._stage / f"{key}.tar", dict(wanted)
        if local.digest(path) != self._archives[key]:
            raise TransferFailed(f"{self._ours}/out/{key}.tar is not what its job handed over; look there")
        with path.open("rb", buffering=0) as file:
            for member in archive.members(map(bytes, local.pieces(file))):
                item = rest.pop(member.name, None)
                if item is not None and member.same_as:
                    raise TransferFailed(f"refused to unpack {member.name!r} from {key}: a link")
                if item is not None:
                    self._place(member, item, arrivals)
        if rest:
            raise TransferFailed(f"{self._ours}/out/{key}.tar lacks {next(iter(rest))}; look there")
        path.unlink()

    def _place(self, member: archive.Member, item: Item, arrivals: Arrivals) -> None:
        with arrivals.incoming(item) as file:
            for piece in member.content():
                file.write(piece)
            if file.content.digest != self._files[item.source].sum:
                raise TransferFailed(f"cannot fetch {item.source}: it is not what its job handed over; look there")
            file.read_back()
            arrivals.take(item, file, member.mode, member.mtime_ns)


def _age(key: str) -> tuple[int, int, int]:
    """Where an application and its life stand in YARN's own order."""
    stamp, number, life = re.findall(r"application_(\d+)_(\d+)\.(\d+)", key)[0]
    return int(stamp), int(number), int(life)


def _is_below(path: str, paths: Sequence[str]) -> bool:
    return any(not top or path == top or path.startswith(f"{top}/") for top in paths)
