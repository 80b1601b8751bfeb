"""A context that stands before another one, and may refuse or delay each verb.

class Fenced(Delegating):
    def reached(self) -> Context: …       what is asked before every verb; the context behind
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from ..core.ports import Call, Context, FileEntry, Item, Place, Reply
from ..core.possession import Possession


class Delegating(ABC):
    """The same verbs as the context behind it, `_context`; closing it is always done."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.place: Place = context.place

    @abstractmethod
    def reached(self) -> Context:
        """The context behind, once the verb may go on."""

    def own(self, record: str) -> Possession:
        """See Context.own."""
        return self.reached().own(record)

    def run(self, call: Call) -> Reply:
        """See Context.run."""
        return self.reached().run(call)

    def put(self, items: Sequence[Item], replace: bool) -> None:
        """See Context.put."""
        self.reached().put(items, replace)

    def tree(self, paths: Sequence[str]) -> list[FileEntry]:
        """See Context.tree."""
        return self.reached().tree(paths)

    def get(self, items: Sequence[Item]) -> list[Item]:
        """See Context.get."""
        return self.reached().get(items)

    def remove(self) -> None:
        """See Context.remove."""
        self.reached().remove()

    def close(self) -> None:
        """See Context.close."""
        self._context.close()
