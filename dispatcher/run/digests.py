"""What forward files held when they were last read, kept beside the journal: what has not changed is not read again.

    looked = look(place, plan, stamps)         SHA-256 of every file; only what is new or may have changed is read
    looked.keep(journal.parent)                for next time

    {"version":1,"plan":"2c26…","began":1790000000000000000,"took":1200000,"check":"77de…"}
    {"t0/in":[812,1789999000000000000,1789999000000000000,4711,"9f86…"],…}

A stamp is size, times of change and inode. A file that was written shortly before it was read may have been written
again under the same stamp, for clocks of file systems tick slowly: it is read once more (as git does). A record that is
somebody else's, damaged or of another version is made anew.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import sha1
from pathlib import Path

import msgspec

from journal.files import LARGEST

from ..core.errors import TransferFailed
from ..core.names import CONTROL, INPUTS
from ..files import local
from ..files.incoming import write_atomic

_VERSION = 1
#: Coarsest tick of a file system's clock (FAT), ns.
_TICK = 2 * 10**9


class KnownFile(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A file as it was before it was read, and the SHA-256 of what was read."""

    size: int
    mtime: int
    ctime: int
    inode: int
    digest: str


class _Header(msgspec.Struct, frozen=True):
    """`began`: when the files were looked at, by our clock (ns); `took`: ns from then until this was written."""

    version: int
    plan: str
    began: int
    took: int
    check: str


class Looked(msgspec.Struct, frozen=True):
    """A look at the forward files of a plan; `read` of them were read, the others had not changed.

    `stamps` were taken before the files were read.
    """

    plan: str
    began: int
    started: int
    stamps: Mapping[str, local.Stamp]
    known: dict[str, KnownFile]
    read: int

    def keep(self, directory: Path) -> None:
        """Write it down for next time; where that cannot be done everything is read again then."""
        if not self.read:
            return
        body = msgspec.json.encode(self.known)
        took = time.monotonic_ns() - self.started
        header = _Header(_VERSION, self.plan, self.began, took, _check(body))
        with suppress(TransferFailed):
            write_atomic(directory / INPUTS, msgspec.json.encode(header) + b"\n" + body)


def look(place: Path, plan: str, stamps: Mapping[str, local.Stamp]) -> Looked:
    """The digest of each of these files (by path below `place`, with its stamp). Raises InputMissing."""
    began, started = time.time_ns(), time.monotonic_ns()
    before = _remembered(place, plan)
    known: dict[str, KnownFile] = {}
    for path, stamp in stamps.items():
        was = before.get(path)
        if was is not None and _is(was, stamp):
            known[path] = was
    new = [path for path in stamps if path not in known]
    for path, digest in local.digests(place, new).items():
        stamp = stamps[path]
        known[path] = KnownFile(stamp.size, stamp.mtime, stamp.ctime, stamp.inode, digest)
    return Looked(plan, began, started, stamps, known, len(new))


def _is(known: KnownFile, stamp: local.Stamp) -> bool:
    return (known.mtime, known.size, known.ctime, known.inode) == (stamp.mtime, stamp.size, stamp.ctime, stamp.inode)


def _remembered(place: Path, plan: str) -> dict[str, KnownFile]:
    """What the newest record of this plan holds, without the files that changed so late that they may have again."""
    newest = max(_records(place, plan), key=lambda found: found[0], default=None)
    if newest is None:
        return {}
    written, header, body = newest
    if _check(body) != header.check:
        return {}
    try:
        known = msgspec.json.decode(body, type=dict[str, KnownFile])
    except (ValueError, RecursionError):
        return {}
    # by the clock of the file system and by our own: neither is to be trusted alone
    until = min(header.began, written - header.took) - _TICK
    return {path: file for path, file in known.items() if file.mtime < until and file.ctime < until}


def _records(place: Path, plan: str) -> Iterator[tuple[int, _Header, bytes]]:
    """The records of this plan that are ours, each with the time at which its file was written (ns)."""
    with suppress(OSError), os.scandir(place / CONTROL) as entries:
        for entry in entries:
            with suppress(OSError, ValueError, RecursionError):
                fd = os.open(f"{entry.path}/{INPUTS}", os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
                with open(fd, "rb") as file:  # noqa: PTH123
                    status = os.fstat(fd)
                    ours = status.st_uid == os.geteuid() and not status.st_mode & 0o022
                    if stat.S_ISREG(status.st_mode) and ours and status.st_size <= LARGEST:
                        header = msgspec.json.decode(file.readline(1000), type=_Header)
                        if (header.version, header.plan) == (_VERSION, plan):
                            yield status.st_mtime_ns, header, file.read()


def _check(body: bytes) -> str:
    return sha1(body, usedforsecurity=False).hexdigest()
