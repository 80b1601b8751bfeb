"""An append-only, crash-safe file of typed records, one writer at a time, readable with grep and jq.

    with Journal.open("runs/journal", Event) as journal:
        journal.append(Submitted("4211"))
        journal.commit()                          # durable now
    for entry in read("runs/journal", Event): …   # no lock needed
    verify("runs/journal").status                 # "clean"

The format is docs/journal-format.md. This package knows nothing about jobs.
"""

from .errors import (
    JournalBusy,
    JournalCorrupt,
    JournalError,
    JournalFenced,
    JournalGone,
    JournalMissing,
    JournalNotOurs,
    JournalPoisoned,
)
from .format import FIRST, Close, Entry, Frame, Open, Position, Unknown
from .lock import Lock, read_holder, unlock
from .reader import fingerprint, follow, frames, read
from .report import Report, verify
from .writer import Journal

__all__ = [
    "FIRST",
    "Close",
    "Entry",
    "Frame",
    "Journal",
    "JournalBusy",
    "JournalCorrupt",
    "JournalError",
    "JournalFenced",
    "JournalGone",
    "JournalMissing",
    "JournalNotOurs",
    "JournalPoisoned",
    "Lock",
    "Open",
    "Position",
    "Report",
    "Unknown",
    "fingerprint",
    "follow",
    "frames",
    "read",
    "read_holder",
    "unlock",
    "verify",
]
