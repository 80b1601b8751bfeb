"""The one way anything is believed: refused if illegal, written, then applied.

recorder.record(ev.Submitting("5f1c…", 1, "dq3v81kx0mza"))      checked, buffered, folded
recorder.commit()                                               on disk: now the job may be submitted
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..core.history import History


class Log(Protocol):
    """A journal as it is used here: buffered appends, durable commits."""

    def append(self, *records: Any) -> None:
        """Buffer records; they are not durable yet."""

    def commit(self) -> Any:
        """Make everything appended durable; raises when that is not certain."""


class Recorder:
    """A history and the journal it is the fold of. When `commit` raises, memory is ahead of the disk: stop."""

    def __init__(self, history: History, log: Log, changed: Callable[[], None] = lambda: None) -> None:
        self.history, self.log, self.changed = history, log, changed

    def record(self, *events: Any) -> None:
        """Refuse before writing (IllegalTransition), write before believing."""
        for event in events:
            step = self.history.check(event)
            self.log.append(event)
            step()

    def commit(self) -> None:
        """Make what was recorded durable, then say that something changed."""
        self.log.commit()
        self.changed()
