"""Tar archives that are made and read as they pass by: no copy of them lies anywhere, on either side.

    packed([Entry("t1/in.dat", "/proj/t1/in.dat", 812)])  ->  header, 812 bytes, padding, …, two empty blocks
    members(blocks)  ->  Member("t1/out.nc", size=4096, …), whose `content` is to be read before the next one

Reading trusts nothing: only plain files come out, under relative names without
`..`; links other than to an earlier file of the same archive, devices and
damaged headers raise TransferFailed. Where a member goes is for the caller to
say, by its name: an archive never names a place on this disk.
"""

from __future__ import annotations

import os
import re
import stat
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..core.errors import InputMissing, TransferFailed
from . import gate
from .incoming import BrokeOff

_BLOCK = 512
_READ = 1 << 20
#: Small files are handed on together, so that each does not cost a packet of its own.
_GATHER = 1 << 17
#: A longer name or extended header is no file name but an attack on our memory.
_LONGEST = 1 << 16
_LATEST = 1 << 34
#: Headers that bring no file (directories, long names), one after the other: more are no archive but a way to keep us.
_EMPTY = 1_000_000
_PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)


class ArchiveEntry(NamedTuple):
    """A file to be packed: its name in the archive, where it is, and the size it must have."""

    name: str
    source: str
    size: int


def packed(entries: Iterable[ArchiveEntry]) -> Iterator[bytes]:
    """The bytes of an archive, in pieces; memory stays flat.

    InputMissing names a file that is gone, TransferFailed one that is not what was listed.
    """
    gathered = bytearray()
    for entry in entries:
        for piece in _member(entry):
            if len(gathered) + len(piece) > _GATHER:
                yield bytes(gathered)
                gathered.clear()
            if len(piece) >= _GATHER:
                yield piece
            else:
                gathered += piece
    yield bytes(gathered + bytes(2 * _BLOCK))


def _member(entry: ArchiveEntry) -> Iterator[bytes]:
    try:
        with Path(entry.source).open("rb", buffering=0) as file:
            yield _header(entry, file.fileno())
            rest = entry.size
            while rest and (data := file.read(min(_READ, rest))):
                rest -= len(data)
                yield data
            if rest or file.read(1):
                raise changed(entry.source)
    except OSError as why:
        if isinstance(why, InputMissing):
            raise
        raise missing(entry.source, why) from why
    yield bytes(-entry.size % _BLOCK)


def _header(entry: ArchiveEntry, fd: int) -> bytes:
    status = os.fstat(fd)
    info = tarfile.TarInfo(entry.name)
    info.size, info.mode, info.mtime = entry.size, stat.S_IMODE(status.st_mode) & 0o777, max(int(status.st_mtime), 0)
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def changed(source: str) -> TransferFailed:
    """The error for a file that is not what it was when it was listed."""
    return TransferFailed(f"cannot send {source}: it changed since it was listed; run the same command again")


def missing(source: str, why: OSError) -> InputMissing:
    """The error for a file that cannot be read any more."""
    return InputMissing(
        f"forward file {source} cannot be read any more: {why.strerror}; repair that, then run the same command again"
    )


class Source:
    """Bytes that arrive in pieces of any size, read in pieces of the size that is needed."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")

    def some(self, most: int) -> memoryview:
        """At most so many bytes, at least one; none at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return self._rest
            self._rest = memoryview(piece)
        taken, self._rest = self._rest[:most], self._rest[most:]
        return taken

    def exactly(self, count: int) -> bytes:
        """So many bytes, or what there is before the end."""
        found = bytearray()
        while len(found) < count and (piece := self.some(count - len(found))):
            found += piece
        return bytes(found)


class Cut(BrokeOff):
    """The archive ended before its end."""


class Member:
    """A file of an archive that is passing by. `same_as` names the earlier file it is a hard link to, "" if none."""

    __slots__ = ("_left", "_source", "mode", "mtime_ns", "name", "same_as", "size")

    def __init__(self, info: tarfile.TarInfo, name: str, same_as: str, source: Source) -> None:
        self.name, self.same_as = name, same_as
        self.size = 0 if same_as else info.size
        # a time that no file system has is no time
        self.mode, self.mtime_ns = info.mode & 0o777, int(info.mtime * 1e9) if 0 <= info.mtime < _LATEST else 0
        self._source, self._left = source, self.size

    def content(self) -> Iterator[memoryview]:
        """Its bytes; Cut when the archive breaks off in between."""
        while self._left:
            piece = self._source.some(min(self._left, _READ))
            if not piece:
                raise Cut(f"the archive broke off in {self.name}; run the same command again")
            self._left -= len(piece)
            yield piece


def members(pieces: Iterable[bytes]) -> Iterator[Member]:
    """The files of an archive, or of several one behind the other; each is to be read before the next is asked for."""
    source = Source(pieces)
    reported: dict[str, str] = {}
    empty = 0
    while (block := source.exactly(_BLOCK)) and (len(block) == _BLOCK or _cut()):
        if (empty := empty + 1) > _EMPTY:
            raise _unsafe("an archive", f"more than {_EMPTY} headers without a file")
        if not any(block):
            continue
        info = _read_header(block)
        if info.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE):
            reported |= _extension(info, source)
            continue
        member = _plain(info, reported, source)
        reported = {}
        if member is None:
            continue
        empty = 0
        yield member
        for _ in member.content():
            pass
        source.exactly(-member.size % _BLOCK)


def _cut() -> bool:
    raise Cut("the archive broke off; run the same command again")


def _read_header(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError as why:
        raise TransferFailed(f"what arrived is not an archive ({why}); run the same command again") from None


def _extension(info: tarfile.TarInfo, source: Source) -> dict[str, str]:
    """What a header says of the member behind it: names and sizes that do not fit in its own."""
    if info.size > _LONGEST:
        raise _unsafe(info.name, f"a header of {info.size} bytes")
    data = source.exactly(info.size)
    source.exactly(-info.size % _BLOCK)
    if info.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": _text(data)}
    if info.type == tarfile.GNUTYPE_LONGLINK:
        return {"linkpath": _text(data)}
    return dict(_records(data)) if info.type == tarfile.XHDTYPE else {}


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "surrogateescape")


def _records(data: bytes) -> Iterator[tuple[str, str]]:
    """The records of a POSIX extended header: `30 path=t1/out.nc` and a newline, the length counting all of it."""
    while data:
        length, _, _ = data.partition(b" ")
        if not length.isdigit() or len(length) > 6 or not 0 < int(length) <= len(data):
            raise _unsafe("an extended header", "a length that cannot be")
        key, _, value = data[len(length) + 1 : int(length) - 1].partition(b"=")
        yield key.decode("utf-8", "replace"), value.decode("utf-8", "surrogateescape")
        data = data[int(length) :]


def _plain(info: tarfile.TarInfo, reported: dict[str, str], source: Source) -> Member | None:
    """A plain file as a member, nothing for a directory; anything else is refused."""
    if info.type == tarfile.DIRTYPE:
        return None
    name = safe(reported.get("path", info.name))
    if "size" in reported:
        info.size = int(reported["size"]) if re.fullmatch("[0-9]{1,18}", reported["size"]) else -1
    if info.size < 0 or "GNU.sparse.major" in reported:
        raise _unsafe(name, "a size that cannot be, or holes")
    if info.type == tarfile.LNKTYPE:
        return Member(info, name, safe(reported.get("linkpath", info.linkname)), source)
    if info.type not in _PLAIN:
        raise _unsafe(name, f"no plain file (type {info.type!r})")
    return Member(info, name, "", source)


def safe(name: str) -> str:
    """A member's name as a path below the receiving directory; TransferFailed when it could lead elsewhere."""
    return gate.inside(name, "an archive", "unpack")


def _unsafe(name: str, why: str) -> TransferFailed:
    return gate.refused(name, "an archive", why, "unpack")
