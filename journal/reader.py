"""Reading without a lock: verified frames, a verdict on whatever does not verify, never a repair.

    for frame in frames("…/journal", Event):
        for record in frame.records: …

The torn tail of the last segment ends the reading quietly (a writer died, or
is just writing); anything else that does not verify is JournalCorrupt. What
seems missing, short or damaged is opened once more before it is judged: the
client of a file server may be behind the server.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha1
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from .errors import JournalCorrupt, JournalMissing
from .files import Files, NotAFile
from .format import SECTOR, VERSION, ZERO, Bad, Codec, Entry, Frame, Header, Open, later_frame, parse_frame
from .head import Head, decode_head

E = TypeVar("E")
_SEGMENT = re.compile(r"([0-9]{8})\.jsonl")
_OPENING = 8192  # bytes that hold an opening frame, unless it needs very much
_read_open = msgspec.json.Decoder(Open).decode


class Reader:
    """A pass over a journal; afterwards the attributes say what was found, and `walk` again goes on from there.

    `end`: (segment, byte) after the last good frame; `digest`, `frames`, `records` so far; `torn`: bytes after it;
    `identity` of the journal; `warnings`: bytes that were written behind a seal.
    """

    def __init__(self, path: Path, files: Files | None = None) -> None:
        self.path, self.files = Path(path), files or Files()
        self.digest, self.frames, self.records = ZERO, 0, 0
        self.end = (0, 0)
        self.last_start = 0
        self.torn = 0
        self.bytes = 0
        self.identity = ""
        self.needs: tuple[str, ...] = ()
        self.warnings: list[str] = []
        self.head: Head | None = None

    def segments(self) -> list[int]:
        """Numbers of the segments, in order; JournalMissing when there is no such directory."""
        try:
            names = self.files.names(str(self.path))
        except (FileNotFoundError, NotADirectoryError):
            raise JournalMissing(f"there is no journal at {self.path}") from None
        return sorted(int(found[1]) for found in map(_SEGMENT.fullmatch, names) if found)

    def name(self, segment: int) -> str:
        """Path of a segment."""
        return f"{self.path}/{segment:08d}.jsonl"

    def grown(self) -> bool:
        """Whether there may be more than has been walked; looks at sizes and names only."""
        segment, end = self.end
        if not segment:
            return True
        return self.files.length(self.name(segment)) != end or self.files.exists(self.name(segment + 1))

    def walk(self) -> Iterator[tuple[int, int, Header, bytes]]:
        """Every verified frame not walked before, as (segment, byte, header, payload)."""
        self.head = self.read_head()  # before the listing: the other order takes a live writer for a loss
        segments = self._listed()
        for segment in segments[max(self.end[0] - 1, 0) :]:
            yield from self._segment(segment, last=segment == segments[-1])

    def read_head(self) -> Head | None:
        """The acknowledged watermark, None when it cannot be read."""
        try:
            return decode_head(self.files.read(f"{self.path}/HEAD", 2 * SECTOR))
        except OSError:
            return None

    def _listed(self) -> list[int]:
        missing = 0
        for _ in range(2):
            found = self.segments()
            missing = next((nth for nth, segment in enumerate(found, 1) if segment != nth), 0)
            if not missing and self.head and self.head.segment > len(found):
                missing = self.head.segment
            if not missing:
                return found
        raise JournalCorrupt(self.path, missing, 0, "the segment is missing")

    def _segment(self, segment: int, last: bool) -> Iterator[tuple[int, int, Header, bytes]]:
        start = self._seen(segment)
        data = self._load(segment, last)
        if start > len(data):
            raise JournalCorrupt(self.path, segment, len(data), f"{start - len(data)} bytes seen here are gone")
        again = False
        self.end, self.torn = (segment, start), 0
        while start < len(data):
            try:
                header, payload, after = parse_frame(data, start)
            except Bad as bad:
                if not (why := self._verdict(segment, data, start, bad, last)):
                    self.torn = len(data) - start
                    break
                if again:
                    raise JournalCorrupt(self.path, segment, start, why) from None
                again, data = True, self._load(segment, last)
                continue
            self._chain(segment, start, header, payload)
            self.last_start, start = start, after
            self.end = (segment, after)
            self.bytes += after - self.last_start
            yield segment, self.last_start, header, payload
        self._acknowledged(segment, start)

    def _seen(self, segment: int) -> int:
        return self.end[1] if segment == self.end[0] else 0

    def _load(self, segment: int, last: bool) -> bytes:
        """The bytes of a segment that count, opened once more when it is missing or short."""
        seal = None if last else self._seal(segment)
        acknowledged = self.head.end if self.head and self.head.segment == segment else 0
        least = max(seal.prev_end if seal else acknowledged, self._seen(segment))
        data = b""
        for judge in (False, True):
            try:
                data = self._bytes(segment)
            except FileNotFoundError:
                if judge:
                    raise JournalCorrupt(self.path, segment, 0, "the segment is missing") from None
            if len(data) >= least:
                break
        return data if seal is None else self._sealed(segment, data, seal)

    def _bytes(self, segment: int, size: int = -1) -> bytes:
        try:
            return self.files.read(self.name(segment), size)
        except NotAFile as error:
            raise JournalCorrupt(self.path, segment, 0, str(error.strerror)) from None

    def _seal(self, segment: int) -> Open:
        """The opening record of the next segment: it says where this one ends."""
        why: Exception | None = None
        for size in (_OPENING, -1):
            try:
                return _read_open(parse_frame(self._bytes(segment + 1, size), 0)[1])
            except (Bad, ValueError, RecursionError, FileNotFoundError) as error:
                why = error
        raise JournalCorrupt(self.path, segment + 1, 0, f"the opening frame: {why}")

    def _sealed(self, segment: int, data: bytes, seal: Open) -> bytes:
        missing, foreign = seal.prev_end - len(data), len(data) - seal.prev_end - seal.prev_lost
        if missing > 0:
            raise JournalCorrupt(self.path, segment, len(data), f"{missing} bytes are missing that were sealed")
        if foreign > 0:
            warning = f"segment {segment:08d}.jsonl: {foreign} bytes were written after it was sealed"
            self.warnings += [warning] if warning not in self.warnings else []
        return data[: seal.prev_end]

    def _verdict(self, segment: int, data: bytes, start: int, bad: Bad, last: bool) -> str:
        """Why the bytes at `start` are corrupt, "" when they are a torn tail."""
        if not last:
            return f"{bad.reason}, inside the sealed part"
        if self.head and self.head.segment == segment and start < self.head.end:
            return f"{bad.reason}, in acknowledged bytes"
        if later_frame(data, start):
            return f"{bad.reason}, and a valid frame follows"
        return "" if bad.torn else f"{bad.reason}; not the shape of a torn write"

    def _acknowledged(self, segment: int, end: int) -> None:
        if self.head and self.head.segment == segment and end < self.head.end:
            raise JournalCorrupt(self.path, segment, end, f"{self.head.end - end} acknowledged bytes are missing")

    def _chain(self, segment: int, start: int, header: Header, payload: bytes) -> None:
        if (header.f, header.s, header.p) != (self.frames, self.records, self.digest):
            raise JournalCorrupt(self.path, segment, start, f"the chain is broken: frame {header.f} is not the next")
        if self.head and self.head.frames == header.f + 1 and self.head.digest != header.d:
            raise JournalCorrupt(self.path, segment, start, "another frame was acknowledged here")
        if start == 0:
            self._opening(segment, payload)
        self.frames, self.records, self.digest = header.f + 1, header.s + header.n, header.d

    def _opening(self, segment: int, payload: bytes) -> None:
        try:
            opening = _read_open(payload)
        except (ValueError, RecursionError) as error:
            raise JournalCorrupt(self.path, segment, 0, f"the opening record: {error}") from None
        if opening.v > VERSION:
            raise JournalCorrupt(self.path, segment, 0, f"format version {opening.v} is newer than {VERSION}: update")
        if opening.seg != segment or (self.identity and opening.journal != self.identity):
            raise JournalCorrupt(self.path, segment, 0, "the segment belongs to another journal or place")
        self.identity = opening.journal
        self.needs = tuple(dict.fromkeys((*self.needs, *opening.needs)))


def fingerprint(path: Path | str) -> str:
    """40 hexadecimal digits that differ as soon as anything was added to a journal; nothing of it is decoded.

    Raises OSError.
    """
    seen = sha1(usedforsecurity=False)
    with os.scandir(path) as entries:
        for name, size in sorted((e.name, e.stat().st_size) for e in entries if _SEGMENT.fullmatch(e.name)):
            seen.update(f"{name} {size}\n".encode())
    with suppress(FileNotFoundError, NotAFile):
        seen.update(Files().read(f"{path}/HEAD", 2 * SECTOR))
    return seen.hexdigest()


def frames(path: Path | str, kind: Any, *, files: Files | None = None) -> Iterator[Frame[Any]]:
    """Verified frames in order, without a lock. Raises JournalMissing, JournalCorrupt."""
    reader = Reader(Path(path), files)
    yield from decoded(reader, Codec(kind))
    if not reader.end[0]:
        raise JournalMissing(f"{path} holds no segment of a journal")


def decoded(reader: Reader, codec: Codec[Any]) -> Iterator[Frame[Any]]:
    """The frames of a reader with their records; a payload that cannot be read is JournalCorrupt."""
    for segment, start, header, payload in reader.walk():
        try:
            records = codec.decode(payload)
        except (ValueError, RecursionError) as error:
            raise JournalCorrupt(reader.path, segment, start, f"a record cannot be read: {error}") from None
        if len(records) != header.n:
            raise JournalCorrupt(reader.path, segment, start, f"{len(records)} records instead of {header.n}")
        yield Frame(header.f, header.s, header.t, segment, start, records)


def read(path: Path | str, kind: Any) -> Iterator[Entry[Any]]:
    """Every record with its number and time. Raises JournalMissing, JournalCorrupt."""
    for frame in frames(path, kind):
        for nth, record in enumerate(frame.records):
            yield Entry(frame.first + nth, frame.at, record)


def follow(path: Path | str, kind: Any, *, poll: float = 0.2, stop: Callable[[], bool]) -> Iterator[Frame[Any]]:
    """Frames as they are committed, until `stop()`; looks every `poll` seconds. Raises JournalMissing, JournalCorrupt.

    A look costs two calls while nothing is new; then the last segment is read, and only new frames are verified.
    """
    reader, codec = Reader(Path(path)), Codec[Any](kind)
    while True:
        ended = stop()
        if reader.grown():
            yield from decoded(reader, codec)
        if ended:
            return
        time.sleep(poll)
