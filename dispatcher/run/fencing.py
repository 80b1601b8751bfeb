"""A context that is used only while this process still owns the journal.

    Fenced(context, journal).put(items, replace=True)     confirmed: nobody has taken over; then context.put(…)

A dispatcher that was suspended, or cut off from the file system, may wake up
long after another one took over. Its journal refuses its next record; this
refuses its next word to the outside, looks and transfers included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from journal import Journal

from ..core.errors import NotOurs
from ..core.ports import Call, Context, FileEntry, Guarded, Item, Place, Reply
from ..core.possession import Possession
from .store import journal_errors


class Fenced:
    """The same verbs; each raises SubmissionBusy, and does nothing, when another process has taken over.

    What fetches or removes asks first whose the place is: `owned` judges what it says, else NotOurs.
    """

    def __init__(self, context: Context, journal: Journal[Any], owned: Callable[[Possession], bool]) -> None:
        self._context, self._journal, self._owned = context, journal, owned
        self.place: Place = context.place
        if isinstance(context, Guarded):
            context.guard(self._confirm)

    def _confirm(self) -> None:
        with journal_errors(self._journal.path):
            self._journal.confirm()

    def confirmed(self) -> Context:
        """The context itself, once it is known that nobody has taken over."""
        self._confirm()
        return self._context

    def _ours(self) -> Context:
        """The context, once the place has said that it is still ours."""
        context = self.confirmed()
        if not self._owned(context.own("")):
            raise NotOurs(
                f"{context.place.remote_root} does not say any more that it belongs to this submission: nothing was "
                "fetched or removed there. Look what became of it"
            )
        return context

    def own(self, record: str) -> Possession:
        """See Context.own."""
        return self.confirmed().own(record)

    def run(self, call: Call) -> Reply:
        """See Context.run."""
        return self.confirmed().run(call)

    def put(self, items: Sequence[Item], replace: bool) -> None:
        """See Context.put."""
        self.confirmed().put(items, replace)

    def tree(self, paths: Sequence[str]) -> list[FileEntry]:
        """See Context.tree."""
        return self.confirmed().tree(paths)

    def get(self, items: Sequence[Item]) -> list[Item]:
        """See Context.get."""
        return self._ours().get(items)

    def remove(self) -> None:
        """See Context.remove."""
        self._ours().remove()

    def close(self) -> None:
        """See Context.close; always done."""
        self._context.close()
