"""What a journal holds, as events: of a run that is over, or that is at work now.

for record in dispatcher.replay("runs"):
    print(record.at, record.event)          1790000000.2 Submitted(job='5f1c…', id='4211')
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from os import PathLike, fspath
from pathlib import Path
from typing import Any, NamedTuple

from ..core.errors import ConfigError
from ..core.names import JOURNAL

_log = logging.getLogger("dispatcher")


class Recorded(NamedTuple):
    """A record: its number from 0, when it was written (seconds since the epoch), and the event of `core.events`."""

    number: int
    at: float
    event: Any


def replay(path: str | PathLike[str]) -> Iterator[Recorded]:
    """Every event of a journal, in order. `path`: a work directory with one submission, or a journal.

    A copy of a journal will do; nothing else is needed, and no lock is taken. Raises ConfigError when there is no
    journal, or more than one, JournalDamaged when it cannot be trusted.
    """
    return recorded(_journal(Path(fspath(path))))


def recorded(journal: Path) -> Iterator[Recorded]:
    """Every event of the journal at this path, as far as it is written."""
    from ..run.store import events_of

    return (Recorded(*record) for record in events_of(journal))


def unbreakable(observer: Callable[[Any], object]) -> Callable[[Any], None]:
    """An observer whose mistakes are its own: the first one is logged, and no run ends by it."""
    failed = False

    def heard(event: Any) -> None:
        nonlocal failed
        try:
            observer(event)
        except Exception:
            if not failed:
                _log.exception("on_event raised for %s; the run goes on, and this is told once", type(event).__name__)
            failed = True

    return heard


def _journal(path: Path) -> Path:
    from ..run.store import begun, stored_journals

    for one in (path, path / JOURNAL):
        if begun(one):
            return one
    found = stored_journals(path)
    if len(found) != 1:
        names = ", ".join(journal.parent.name[:12] for journal in found)
        raise ConfigError(f"{path}: {f'{len(found)} journals, name one: {names}' if found else 'there is no journal'}")
    return found[0]
