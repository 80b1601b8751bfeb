"""Dialects that can hold and release jobs: each says with which commands.

hold_lines(queries, release=False)    ->  "… | while read -r dsp_id; do dsp_within 30 qhold "$dsp_id" …"
"""

from __future__ import annotations

from collections.abc import Sequence

from ..core.errors import ConfigError
from ..core.ports import Place, Query, Reply, ShellText
from . import framing
from .command_line import CommandDialect


class HoldingDialect(CommandDialect):
    """See `core.holding`."""

    def hold_lines(self, queries: Sequence[Query], release: bool) -> str:
        """Commands that hold those of these jobs that wait, or release those that are held; "" where there are none."""
        raise NotImplementedError

    def hold(self, queries: Sequence[Query], place: Place, release: bool = False) -> ShellText:
        """In one call; ids are told only where the queue lists them under our names."""
        queries = self.trusted(queries)
        lines = self.hold_lines(queries, release)
        if not lines:
            raise ConfigError(f"{self.name} has no command that holds or releases jobs")
        return self._question("hold", lines, queries, place)

    def held(self, reply: Reply, queries: Sequence[Query]) -> str:
        """The words of the command when it failed."""
        heard = framing.heard(framing.whole(reply, framing.mark_of(queries), self.name), "hold")
        return f"{self.name}: {heard.why('the command')}" if heard.code else ""
