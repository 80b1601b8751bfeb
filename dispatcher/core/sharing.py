"""What ports have that can be shared by several submissions of one process: optional, for questions of one machine.

    call = scheduler.observe_all([Asking(queries, place), …])     one text for submissions of the same machine
    scheduler.apart(context.run(call), …)  ->  [Reply, …]         as if each had been asked alone

A dialect without these, or a context that does not say which machine it reaches, is asked for each submission apart.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from .ports import Call, Place, Query, Reply


class Asking(NamedTuple):
    """The jobs of one submission, and where its control directory is."""

    queries: Sequence[Query]
    place: Place


@runtime_checkable
class Mergeable(Protocol):
    """A dialect that can look at the jobs of several submissions in one call. Pure, as all of a dialect."""

    def settings(self) -> Hashable:
        """Equal for two dialects of which one can ask for the other, too."""

    def observe_all(self, asked: Sequence[Asking]) -> Call:
        """One call: the queue, once for all, and the receipts and claims of each in its own directory."""

    def apart(self, reply: Reply, asked: Sequence[Asking]) -> list[Reply]:
        """For each what `observed` reads; Purged when the directory that it was run in is not there.

        An answer that breaks off is broken for all; a control directory that is not there concerns its owner alone.
        """


@runtime_checkable
class Sited(Protocol):
    """A context that says which machine it reaches, and as whom; `str` names it for people, without a secret."""

    @property
    def site(self) -> Hashable:
        """Equal for two contexts of one process of which one can ask for the other, too."""
