"""What only some batch systems can: keep waiting jobs from starting, and let them go again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from .ports import Call, Place, Query, Reply


@runtime_checkable
class Holding(Protocol):
    """A scheduler that has commands for it."""

    def hold(self, queries: Sequence[Query], place: Place, release: bool = False) -> Call:
        """One call that holds those of these jobs that wait (or releases those that are held).

        ConfigError when this batch system has none after all.
        """
        ...

    def held(self, reply: Reply, queries: Sequence[Query]) -> str:
        """Why some of them may not have been, "" when there is no reason to think so."""
        ...
