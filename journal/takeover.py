"""Before a writer may write: freeze what was there, read it, and make it as durable as it looks.

    take_over(reader, codec, replay)
        00000003.frozen            a writer that still lives finds it before it acknowledges, and stops
        every frame -> replay      verified from the first byte
        unacknowledged bytes       written again as they are, synced

Every step may crash and be repeated. The seal itself is the opening record of
the next segment (see `writer`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import JournalFenced
from .files import Files
from .format import VERSION, Codec, Frame, Open
from .reader import Reader, decoded
from .segment import discard

_TEMPORARY = re.compile(r"([0-9]{8})\.jsonl\..*\.tmp")


def take_over(reader: Reader, codec: Codec[Any], replay: Callable[[Frame[Any]], None] | None) -> None:
    """Leave `reader` at the end of the journal; JournalFenced when another writer was doing the same."""
    before = reader.segments()
    last = before[-1] if before else 0
    if before:  # before it is read: what is acknowledged from now on is refused, what was acknowledged will be read
        reader.files.touch(f"{reader.path}/{before[-1]:08d}.frozen")
        reader.files.sync_dir(str(reader.path))
    for frame in decoded(reader, codec):
        if replay is not None:
            replay(frame)
    # A client of a file server may list a directory as it was before: what was read must be what is frozen.
    if reader.segments() != before or reader.end[0] != last:
        raise JournalFenced(f"{reader.path}: another writer opened it at the same time; the lock does not exclude")
    if before:
        harden(reader)


def harden(reader: Reader) -> None:
    """Write the unacknowledged bytes again as they are, and sync.

    After a failed fsync the cache may show what the disk never got; only a page that is written again is
    certain to be flushed, and so what was read here is what is on the disk.
    """
    files, (segment, end) = reader.files, reader.end
    sure = reader.head.end if reader.head and reader.head.segment == segment else 0
    start = min(sure, reader.last_start, end)
    fd = files.update(reader.name(segment))
    try:
        if data := files.read(reader.name(segment))[start:end]:
            pwrite_all(files, fd, data, start)
        files.sync(fd)
    finally:
        files.close(fd)


def tidy(reader: Reader) -> None:
    """Remove what crashed writers left behind: drafts of segments that exist, which nobody can publish any more."""
    path = str(reader.path)
    for name in reader.files.names(path):
        if (found := _TEMPORARY.fullmatch(name)) and int(found[1]) <= reader.end[0] + 1:
            discard(reader.files, f"{path}/{name}")


def pwrite_all(files: Files, fd: int, data: bytes, at: int) -> None:
    """Write on at a position until everything is written."""
    written = files.pwrite(fd, data, at)
    while written < len(data):
        written += files.pwrite(fd, data[written:], at + written)


def introduction(
    session: str, application: str, rules: str, schema: str, durability: str, needs: tuple[str, ...]
) -> Open:
    """What the opening record of every segment says about its writer."""
    return Open(
        v=VERSION,
        journal="",
        seg=0,
        host=os.uname().nodename,
        pid=os.getpid(),
        boot=_boot(),
        session=session,
        application=application,
        rules=rules,
        schema=schema,
        durability=durability,
        needs=needs,
    )


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
