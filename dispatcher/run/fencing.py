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

from ..contexts.delegating import Delegating
from ..core.errors import NotOurs
from ..core.ports import Context, Guarded, Item
from ..core.possession import Possession
from .store import journal_errors


class Fenced(Delegating):
    """The same verbs; each raises SubmissionBusy, and does nothing, when another process has taken over.

    What fetches or removes asks first whose the place is: `owned` judges what it says, else NotOurs.
    """

    def __init__(self, context: Context, journal: Journal[Any], owned: Callable[[Possession], bool]) -> None:
        super().__init__(context)
        self._journal, self._owned = journal, owned
        if isinstance(context, Guarded):
            context.guard(self._confirm)

    def _confirm(self) -> None:
        with journal_errors(self._journal.path):
            self._journal.confirm()

    def reached(self) -> Context:
        """The context itself, once it is known that nobody has taken over."""
        self._confirm()
        return self._context

    def _ours(self) -> Context:
        """The context, once the place has said that it is still ours."""
        context = self.reached()
        if not self._owned(context.own("")):
            raise NotOurs(
                f"{context.place.remote_root} does not say any more that it belongs to this submission: nothing was "
                "fetched or removed there. Look what became of it"
            )
        return context

    def get(self, items: Sequence[Item]) -> list[Item]:
        """See Context.get."""
        return self._ours().get(items)

    def remove(self) -> None:
        """See Context.remove."""
        self._ours().remove()
