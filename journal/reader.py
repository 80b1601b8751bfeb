"""Reading without a lock: verified frames, a verdict on whatever does not verify, never a repair.

    for frame in frames("…/journal", Event):
        for record in frame.records: …

The torn tail of the last segment ends the reading quietly (a writer died, or
is just writing); anything else that does not verify is JournalCorrupt.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from .errors import JournalCorrupt, JournalMissing
from .files import Files
from .format import VERSION, ZERO, Bad, Codec, Entry, Frame, Header, Open, later_frame, parse_frame
from .head import Head, decode_head

E = TypeVar("E")
_SEGMENT = re.compile(r"^(\d{8})\.jsonl$")
_read_open = msgspec.json.Decoder(Open).decode


class Reader:
    """One pass over a journal; afterwards the attributes say what was found.

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
        return sorted(int(found[1]) for found in map(_SEGMENT.match, names) if found)

    def name(self, segment: int) -> str:
        """Path of a segment."""
        return f"{self.path}/{segment:08d}.jsonl"

    def walk(self) -> Iterator[tuple[int, int, Header, bytes]]:
        """Every verified frame as (segment, byte, header, payload)."""
        self.head = self.read_head()  # before the listing: the other order takes a live writer for a loss
        segments = self.segments()
        for nth, segment in enumerate(segments):
            if segment != nth + 1:
                raise JournalCorrupt(self.path, nth + 1, 0, "the segment is missing")
            yield from self._segment(segment, last=segment == segments[-1])
        if self.head and self.head.segment > len(segments):
            raise JournalCorrupt(self.path, self.head.segment, 0, "the segment was acknowledged and is missing")

    def read_head(self) -> Head | None:
        """The acknowledged watermark, None when it cannot be read."""
        try:
            return decode_head(self.files.read(f"{self.path}/HEAD"))
        except OSError:
            return None

    def _segment(self, segment: int, last: bool) -> Iterator[tuple[int, int, Header, bytes]]:
        data = self.files.read(self.name(segment))
        limit = len(data) if last else self._sealed_at(segment, len(data))
        data, start = data[:limit], 0
        self.end = (segment, 0)
        while start < limit:
            try:
                header, payload, after = parse_frame(data, start)
            except Bad as bad:
                self._judge(segment, data, start, bad, last)
                self.torn = limit - start
                break
            self._chain(segment, start, header, payload)
            yield segment, start, header, payload
            self.last_start, start = start, after
            self.end = (segment, after)
        self.bytes += start
        if self.head and self.head.segment == segment and start < self.head.end:
            raise JournalCorrupt(self.path, segment, start, f"{self.head.end - start} acknowledged bytes are missing")

    def _sealed_at(self, segment: int, size: int) -> int:
        """Where the next segment's opening record says that this one ends."""
        data = self.files.read(self.name(segment + 1))
        try:
            opening = _read_open(parse_frame(data, 0)[1])
        except (Bad, ValueError) as error:
            raise JournalCorrupt(self.path, segment + 1, 0, f"the opening frame: {error}") from None
        if opening.prev_end > size:
            missing = opening.prev_end - size
            raise JournalCorrupt(self.path, segment, size, f"{missing} bytes are missing that were sealed")
        foreign = size - opening.prev_end - opening.prev_lost
        if foreign > 0:
            self.warnings.append(f"segment {segment:08d}.jsonl: {foreign} bytes were written after it was sealed")
        return opening.prev_end

    def _judge(self, segment: int, data: bytes, start: int, bad: Bad, last: bool) -> None:
        """Returns when the bytes at `start` are a torn tail, raises JournalCorrupt for all else."""
        if not last:
            why = f"{bad.reason}, inside the sealed part"
        elif self.head and self.head.segment == segment and start < self.head.end:
            why = f"{bad.reason}, in acknowledged bytes"
        elif later_frame(data, start):
            why = f"{bad.reason}, and a valid frame follows"
        elif not bad.torn:
            why = f"{bad.reason}; not the shape of a torn write"
        else:
            return
        raise JournalCorrupt(self.path, segment, start, why)

    def _chain(self, segment: int, start: int, header: Header, payload: bytes) -> None:
        if (header.f, header.s, header.p) != (self.frames, self.records, self.digest):
            raise JournalCorrupt(self.path, segment, start, f"the chain is broken: frame {header.f} is not the next")
        if start == 0:
            self._opening(segment, payload)
        self.frames, self.records, self.digest = header.f + 1, header.s + header.n, header.d

    def _opening(self, segment: int, payload: bytes) -> None:
        try:
            opening = _read_open(payload)
        except ValueError as error:
            raise JournalCorrupt(self.path, segment, 0, f"the opening record: {error}") from None
        if opening.v > VERSION:
            raise JournalCorrupt(self.path, segment, 0, f"format version {opening.v} is newer than {VERSION}: update")
        if opening.seg != segment or (self.identity and opening.journal != self.identity):
            raise JournalCorrupt(self.path, segment, 0, "the segment belongs to another journal or place")
        self.identity = opening.journal
        self.needs = (*self.needs, *opening.needs)


def frames(path: Path | str, kind: Any, *, files: Files | None = None) -> Iterator[Frame[Any]]:
    """Verified frames in order, without a lock. Raises JournalMissing, JournalCorrupt."""
    yield from decoded(Reader(Path(path), files), Codec(kind))


def decoded(reader: Reader, codec: Codec[Any]) -> Iterator[Frame[Any]]:
    """The frames of a reader with their records; a payload that cannot be read is JournalCorrupt."""
    for segment, start, header, payload in reader.walk():
        try:
            records = codec.decode(payload)
        except ValueError as error:
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
    """Frames as they are committed, until `stop()`; looks every `poll` seconds.

    Only bytes that were not seen before are verified again: the pass starts at the segment it stopped in.
    """
    seen = 0
    while True:
        ended = stop()
        for frame in frames(path, kind):
            if frame.number >= seen:
                seen = frame.number + 1
                yield frame
        if ended:
            return
        time.sleep(poll)
