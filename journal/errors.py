"""What can go wrong with a journal, each named for what the caller does next.

JournalError
├── JournalMissing     no journal there
├── JournalNotOurs     somebody else made it, or may write there: nothing in it is obeyed
├── JournalBusy        another process writes it: wait, or stop that one
├── JournalCorrupt     bytes that no torn write explains: look, restore, never go on by itself
├── JournalPoisoned    an fsync failed: what is on the disk is unknown; open it anew
├── JournalFenced      another writer took over: stop
└── JournalGone        somebody deleted it under its writer
"""

from __future__ import annotations

from pathlib import Path


class JournalError(Exception):
    """Base of every error of this package."""


class JournalMissing(JournalError):
    """There is no journal at this path."""


class JournalNotOurs(JournalError):
    """The directory, or something in it, is not what only its owner, who asks, can have put there."""

    def __init__(self, path: Path, why: str) -> None:
        self.path = path
        super().__init__(f"{path} is not used: {why}")


class JournalBusy(JournalError):
    """Another process holds the journal open for writing. `holder` says who, as far as it could be read.

    `elsewhere`: it is on another host, where it may be out of reach.
    """

    def __init__(self, path: Path, holder: str, elsewhere: bool = False) -> None:
        self.path, self.holder, self.elsewhere = path, holder, elsewhere
        advice = "wait for it, or stop it"
        if elsewhere:
            advice += f"; if its host is out of reach, `python -m journal unlock {path}` shuts it out, and run again"
        super().__init__(f"{path} is being written by {holder or 'another process'}; {advice}")


class JournalCorrupt(JournalError):
    """Acknowledged bytes, or bytes that no torn write explains, do not verify. Nothing was changed."""

    def __init__(self, path: Path, segment: int, offset: int, reason: str) -> None:
        self.path, self.segment, self.offset, self.reason = path, segment, offset, reason
        super().__init__(f"{path}: segment {segment:08d}.jsonl, byte {offset}: {reason}")


class JournalPoisoned(JournalError):
    """An fsync failed. It is never tried again; open the journal anew to find out what is on the disk."""


class JournalFenced(JournalError):
    """Another writer took this journal over although the lock was held; this one must stop."""


class JournalGone(JournalError):
    """The files of this journal were deleted while it was being written; what is in memory is all there is of it."""
