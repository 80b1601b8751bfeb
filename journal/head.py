"""HEAD: how far the journal was acknowledged, in two slots of 512 bytes, written in turn.

    41 1 20513 56b6…40fe 0 3824e159        frame number, segment, byte, digest, poisoned, CRC32

A log alone cannot show that acknowledged frames at its very end have
vanished; with this second witness it is reported. HEAD is written after each
commit and never synced: it may lag, it never leads.
"""

from __future__ import annotations

import zlib

import msgspec

from .format import SECTOR

_SLOT = 96


class Head(msgspec.Struct, frozen=True):
    """`frames` were acknowledged, the last one ends at byte `end` of `segment`."""

    frames: int
    segment: int
    end: int
    digest: str
    poisoned: bool = False


def encode_head(head: Head) -> tuple[bytes, int]:
    """The bytes of a slot and where they go."""
    line = f"{head.frames} {head.segment} {head.end} {head.digest} {int(head.poisoned)}".encode()
    return (line + b" %08x\n" % zlib.crc32(line)).ljust(_SLOT), (head.frames & 1) * SECTOR


def decode_head(data: bytes) -> Head | None:
    """The newest slot that verifies, None when there is none."""
    slots = (_slot(data[start : start + _SLOT]) for start in (0, SECTOR))
    return max((slot for slot in slots if slot), key=lambda slot: (slot.frames, slot.poisoned), default=None)


def _slot(data: bytes) -> Head | None:
    parts = data.rstrip(b"\0 \n").split(b" ")
    if len(parts) != 6 or parts[5] != b"%08x" % zlib.crc32(b" ".join(parts[:5])):
        return None
    try:
        return Head(int(parts[0]), int(parts[1]), int(parts[2]), parts[3].decode(), parts[4] == b"1")
    except ValueError:
        return None
