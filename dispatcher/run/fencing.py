"""A context that is used only while this process still owns the journal.

    Fenced(context, journal).put(items, replace=True)     confirmed: nobody has taken over; then context.put(…)

A dispatcher that was suspended, or cut off from the file system, may wake up
long after another one took over. Its journal refuses its next record; this
refuses its next word to the outside, looks and transfers included.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from journal import Journal

from ..core.ports import Call, Context, FileEntry, Guarded, Item, Place, Reply
from .store import journal_errors


class Fenced:
    """The same verbs; each raises SubmissionBusy, and does nothing, when another process has taken over."""

    def __init__(self, context: Context, journal: Journal[Any]) -> None:
        self._context, self._journal = context, journal
        self.place: Place = context.place
        if isinstance(context, Guarded):
            context.guard(self._confirm)

    def _confirm(self) -> None:
        with journal_errors(self._journal.path):
            self._journal.confirm()

    def _confirmed(self) -> Context:
        self._confirm()
        return self._context

    def run(self, call: Call) -> Reply:
        """See Context.run."""
        return self._confirmed().run(call)

    def put(self, items: Sequence[Item], replace: bool) -> None:
        """See Context.put."""
        self._confirmed().put(items, replace)

    def tree(self, paths: Sequence[str]) -> list[FileEntry]:
        """See Context.tree."""
        return self._confirmed().tree(paths)

    def get(self, items: Sequence[Item]) -> list[Item]:
        """See Context.get."""
        return self._confirmed().get(items)

    def remove(self) -> None:
        """See Context.remove."""
        self._confirmed().remove()

    def close(self) -> None:
        """See Context.close; always done."""
        self._context.close()
