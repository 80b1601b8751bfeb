"""A run on a terminal, with rich: a few lines that are redrawn in place.

    ⠹ 1f2e3d4c5b6a  ━━━━━━━━━━━━━━━━━━╺━━━━━━━━━━  12/40 tasks  3m 12s
      3 waiting, 2 running, 5 finished             next look in 12s
      no good answer since 04:12:05 (3m 12s): Unable to contact slurm controller; asked again in 12s, the jobs run on

This is the only module that imports rich.
"""

from __future__ import annotations

import time

from rich.console import Console, Group, RenderableType
from rich.live import Live as Screen
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ..core.printable import harmless
from .monitor import STOPPING, Monitor, Snapshot
from .notices import line_of
from .telling import SHORT, Tally, duration

_STYLES = {"finished": "green", "terminated": "red", "running": "cyan", "completing": "cyan", "waiting": "yellow"}


class Live:
    """Redrawn four times a second by rich's own thread, from the last snapshot."""

    every = 0.25

    def __init__(self) -> None:
        self._seen: Snapshot | None = None
        self._monitor: Monitor | None = None
        self._name = ""
        self._spinner = Spinner("dots")
        self._console = Console(highlight=False)
        self._screen = Screen(console=self._console, get_renderable=self._drawn, refresh_per_second=4, transient=True)

    def start(self, monitor: Monitor) -> None:
        """Begin to draw."""
        self._monitor = monitor
        self._screen.start()

    def opened(self, submission: str, where: str, begun: Tally) -> None:
        """The start of the hash is shown, for whoever wants to look at it from elsewhere."""
        self._name = submission[:SHORT]

    def update(self, seen: Snapshot) -> None:
        """Drawn at the next turn."""
        self._seen = seen

    def interrupted(self, signum: int) -> None:
        """Drawn at the next turn too: the signal is seen in the watch."""

    def stop(self) -> None:
        """Leave the terminal as it was; the summary that follows says the rest."""
        self._screen.stop()

    # -- drawing ------------------------------------------------------------------------------------------------

    def _drawn(self) -> RenderableType:
        seen = self._seen
        lines: list[RenderableType] = [self._bar(seen)]
        if seen is not None:
            lines.append(Text.assemble("  ", *self._states(seen), no_wrap=True, overflow="ellipsis"))
            lines += self._notices(seen)
        if self._monitor is not None and self._monitor.signum:
            lines.append(Text(f"  {STOPPING}", style="bold", no_wrap=True, overflow="ellipsis"))
        return Group(*lines)

    def _notices(self, seen: Snapshot) -> list[RenderableType]:
        """As many as leave the rest of the terminal to what was there before."""
        room = max(self._console.height // 3, 3)
        shown: list[RenderableType] = []
        for notice in seen.notices[:room]:
            text = harmless(line_of(notice, time.time(), seen.next_query - time.monotonic())).replace("\n", " ")
            style = "red" if notice.kind == "failure" else "yellow"
            shown.append(Text(f"  {text}", style=style, no_wrap=True, overflow="ellipsis"))
        more = len(seen.notices) - room
        return [*shown, Text(f"  and {more} more (dispatcher status)", style="dim")] if more > 0 else shown

    def _bar(self, seen: Snapshot | None) -> RenderableType:
        began = self._monitor.began if self._monitor else time.time()
        elapsed = duration(time.time() - began)
        grid = Table.grid(padding=(0, 1))
        for _ in range(4):
            grid.add_column(no_wrap=True)
        if seen is None:
            grid.add_row(self._spinner, Text(f"{self._name} checking and staging the files  {elapsed}".lstrip()))
            return grid
        bar = ProgressBar(total=seen.tally.tasks, completed=seen.tally.done, width=30)
        done = Text(f"{seen.tally.done:,}/{seen.tally.tasks:,} tasks  {elapsed}")
        grid.add_row(self._spinner, Text(self._name, "dim"), bar, done)
        return grid

    def _states(self, seen: Snapshot) -> list[Text]:
        parts = [Text(f"{number:,} {state}", _STYLES.get(state, "")) for state, number in seen.tally.jobs.items()]
        spaced = [piece for part in parts for piece in (part, Text(", "))][:-1]
        return [Text("jobs: "), *spaced, Text(f"   {self._next(seen)}", "dim")]

    def _next(self, seen: Snapshot) -> str:
        if seen.over:
            return "bringing the results back"
        left = seen.next_query - time.monotonic()
        return f"next look in {duration(left + 0.99)}" if left > 0 else "looking"
