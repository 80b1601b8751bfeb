"""Bytes and frames, without any I/O.

A segment is a text file. Every line is JSON. A commit is one frame: a header
line and `n` record lines.

    {"f":7,"s":123,"n":2,"b":117,"t":1795342361.644751,"p":"0b69…8ee6","c":"3824e159","d":"56b6…40fe"}
    {"k":"submitted","job":"c386…","id":"4000000"}
    {"k":"submitted","job":"91aa…","id":"4000001"}

    f frame number     s number of its first record     n records     b bytes of the records
    t wall clock       p digest of the frame before     c CRC32 of the header up to here
    d first 32 hex digits of SHA-256(header up to and with c, records): integrity and chain in one

The CRC of the header alone keeps a damaged length from being taken for a torn
write. docs/journal-format.md has every rule.
"""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Annotated, Any, Generic, TypeVar, Union, cast, get_args

import msgspec

E = TypeVar("E")

#: The name of the first segment: where it is, there is a journal. A directory alone is what a death leaves that came
#: while one was being made.
FIRST = "00000001.jsonl"
VERSION = 1
#: The last second that calendars have: a frame is not written later, and one that says so is damaged.
LATEST = 253_402_214_400.0
ZERO = "0" * 32
SECTOR = 512
_MAX_HEADER = 512
_D_TAIL = len(',"d":""}\n') + 32
_C_TAIL = len(',"c":""') + 8 + _D_TAIL


class Header(msgspec.Struct, frozen=True, gc=False):
    """The header line of a frame."""

    f: int
    s: int
    n: int
    b: int
    t: Annotated[float, msgspec.Meta(ge=0, le=LATEST)]
    p: str
    c: str
    d: str


class Open(msgspec.Struct, frozen=True, tag_field="k", tag="open", omit_defaults=True):
    """First record of a segment: who writes it, and how much of the segment before counts.

    The segment before is valid up to byte `prev_end`; the `prev_lost` bytes after it were torn and are ignored.
    """

    v: int
    journal: str
    seg: int
    prev_end: int = 0
    prev_lost: int = 0
    host: str = ""
    pid: int = 0
    boot: str = ""
    session: str = ""
    wall: float = 0.0
    mono: float = 0.0
    application: str = ""
    rules: str = ""
    schema: str = ""
    durability: str = "commit"
    needs: tuple[str, ...] = ()


class Close(msgspec.Struct, frozen=True, tag_field="k", tag="close", omit_defaults=True):
    """Last record of a writer that ended in order."""

    reason: str = ""


class Unknown(msgspec.Struct, frozen=True):
    """A record of a kind this reader does not know: its kind and its line."""

    kind: str
    raw: bytes


class Frame(msgspec.Struct, Generic[E], frozen=True, gc=False):
    """A verified commit: its number, the number of its first record, when, where, and its records."""

    number: int
    first: int
    at: float
    segment: int
    offset: int
    records: list[Any]


class Entry(msgspec.Struct, Generic[E], frozen=True):
    """One record with its number and the time of its commit (seconds since the epoch)."""

    number: int
    at: float
    record: Any


class Position(msgspec.Struct, frozen=True):
    """How far a journal reaches: the number of records and the digest of the last frame."""

    records: int
    digest: str

    def __str__(self) -> str:
        return f"{self.records}:{self.digest}"


class Bad(Exception):
    """Bytes that are no frame. `torn`: a write that stopped can look like this."""

    def __init__(self, torn: bool, reason: str) -> None:
        self.torn, self.reason = torn, reason
        super().__init__(reason)


_read_header = msgspec.json.Decoder(Header).decode


def encode_frame(number: int, first: int, records: int, payload: bytes, prev: str, at: float) -> tuple[bytes, str]:
    """The bytes of a frame and its digest."""
    at = min(max(at, 0.0), LATEST)  # whatever a clock says that was never set
    head = f'{{"f":{number},"s":{first},"n":{records},"b":{len(payload)},"t":{at:.6f},"p":"{prev}"'.encode()
    head += b',"c":"%08x"' % zlib.crc32(head)
    digest = sha256(head)
    digest.update(payload)
    name = digest.hexdigest()[:32]
    return b'%b,"d":"%b"}\n%b' % (head, name.encode(), payload), name


def parse_frame(data: bytes, start: int) -> tuple[Header, bytes, int]:
    """The frame at byte `start`: header, records as bytes, byte after it. Raises Bad."""
    newline = data.find(b"\n", start, start + _MAX_HEADER)
    if newline < 0:
        raise Bad(_torn(data, start, len(data), len(data) - start < _MAX_HEADER), "no header line")
    line = data[start : newline + 1]
    if line[6 - _C_TAIL : 14 - _C_TAIL] != b"%08x" % zlib.crc32(line[:-_C_TAIL]):
        raise Bad(_torn(data, start, newline + 1, False), "the checksum of the header is wrong")
    try:  # bytes are checked before they are parsed: invalid UTF-8 is a UnicodeDecodeError to msgspec
        header = _read_header(line)
    except ValueError as error:
        raise Bad(False, f"the header cannot be read: {error}") from None
    end = newline + 1 + header.b
    if end > len(data):
        raise Bad(True, f"{end - len(data)} bytes are missing")
    payload = data[newline + 1 : end]
    digest = sha256(line[:-_D_TAIL])
    digest.update(payload)
    if digest.hexdigest()[:32] != header.d:
        raise Bad(_torn(data, start, end, False), "the digest is wrong")
    return header, payload, end


def _torn(data: bytes, start: int, end: int, short: bool) -> bool:
    """A torn write leaves missing bytes or whole sectors of zeros; NUL is never legal in JSON text."""
    while start < end:
        after = min(end, (start // SECTOR + 1) * SECTOR)
        if not any(data[start:after]):
            return True
        start = after
    return short


def later_frame(data: bytes, start: int) -> bool:
    """Whether any byte after `start` begins a frame that verifies: then nothing before it was torn."""
    found = data.find(b'{"f":', start + 1)
    while found >= 0:
        try:
            parse_frame(data, found)
        except Bad:
            found = data.find(b'{"f":', found + 1)
        else:
            return True
    return False


class Codec(Generic[E]):
    """Records to lines and back, for the kinds of one application.

    `kind` is a struct with tag_field "k" or a union of such. For reading alone any other type will do, dict or
    msgspec.Raw for instance: then every record is read as that.
    """

    def __init__(self, kind: Any) -> None:
        self._encode = msgspec.json.Encoder().encode_lines
        members = get_args(kind) or (kind,)
        configs = [getattr(member, "__struct_config__", None) for member in members]
        self.tagged = all(config is not None and config.tag_field == "k" for config in configs)
        self._tags = {config.tag for config in configs if config} | {"open", "close"}
        whole = Union[tuple([*members, Open, Close])] if self.tagged else kind  # noqa: C409, UP007
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(whole)

    def encode(self, records: Sequence[Any]) -> bytes:
        """Lines that have been read back: what cannot be read again raises TypeError or ValueError here."""
        payload = self._encode(records)
        if payload.count(b"\n") != len(records) or self._decoder.decode_lines(payload) != list(records):
            raise ValueError("a record does not read back as it was written (a wrong type, NaN, or a line end in it)")
        return payload

    def decode(self, payload: bytes) -> list[Any]:
        """The records of a verified frame; those of a kind nobody knows as Unknown. Raises ValueError."""
        try:
            return self._decoder.decode_lines(payload)
        except msgspec.ValidationError:
            if not self.tagged:
                raise
            return [self._line(line) for line in payload.split(b"\n")[:-1]]

    def _line(self, line: bytes) -> Any:
        try:
            return self._decoder.decode(line)
        except msgspec.ValidationError:
            record = msgspec.json.decode(line)
            kind = record.get("k", "") if isinstance(record, dict) else ""
            # known and not readable: to skip it would be to lose it
            if not isinstance(kind, str) or kind in self._tags:
                raise
            return Unknown(kind, line)

    def schema(self) -> str:
        """SHA-256 of the JSON schema of the records, for the opening record; "" for a type that has none."""
        return _schema(cast("Hashable", self._decoder.type))


@lru_cache(maxsize=8)
def _schema(kind: Hashable) -> str:
    try:
        text = msgspec.json.encode(msgspec.json.schema(kind))
    except TypeError:
        return ""
    return sha256(text).hexdigest()[:16]
