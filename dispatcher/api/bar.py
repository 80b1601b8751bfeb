"""How far a run is, for whoever sits before it: a bar on the terminal, or a line in a notebook that is drawn anew.

    1f2e3d4c5b6a ━━━━━━━━━━━━━━━━━━╺━━━━━━━ 12/40 tasks   3 waiting, 2 running, 5 finished   0:03:12

All runs of a process share one terminal, a bar each. A bar that cannot be drawn is given up, and no run ends by it.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..core.errors import ConfigError

if TYPE_CHECKING:
    from rich.progress import Progress as Screen

_log = logging.getLogger("dispatcher")
#: Seconds between two drawings at least.
_EVERY = 0.25
#: Characters of the submission's hash that are shown.
_SHORT = 12


class HowFar(NamedTuple):
    """What is drawn: tasks done, all of them, and the states of the jobs in words."""

    done: int
    total: int
    jobs: str


class Drawn(Protocol):
    """Somewhere to draw."""

    def draw(self, seen: HowFar) -> None:
        """This far it is now."""

    def close(self) -> None:
        """It ends."""


class RunBar:
    """Watches an engine, and draws now and then."""

    def __init__(self, kind: type[NotebookBar] | type[TerminalBar] | type[LineBar] | None) -> None:
        self._kind, self._drawn, self._last, self._at = kind, None, HowFar(0, 0, ""), 0.0
        self._engine: Any = None

    _drawn: Drawn | None

    def changed(self, engine: Any) -> None:
        """Something may have changed."""
        self._engine, now = engine, time.monotonic()
        if self._kind is not None and now - self._at >= _EVERY:
            self._at = now
            self._try(self._draw)

    def close(self) -> None:
        """The last drawing, of how it ended."""
        if self._kind is not None and self._engine is not None:
            self._try(self._draw)
        if self._drawn is not None:
            self._try(self._drawn.close)

    def _draw(self) -> None:
        seen = how_far(self._engine)
        if self._drawn is None and self._kind is not None:
            self._drawn = self._kind(self._engine.recorder.history.opened.submission[:_SHORT])
        if self._drawn is not None and seen != self._last:
            self._last = seen
            self._drawn.draw(seen)

    def _try(self, drawing: Any) -> None:
        try:
            drawing()
        except Exception:
            self._kind = None
            _log.exception("progress cannot be shown; the run goes on")


@contextmanager
def bar_for(progress: bool | str) -> Iterator[RunBar]:
    """What was asked for: True, False, or "auto". ConfigError for another word."""
    if progress not in (True, False, "auto"):
        raise ConfigError(f"progress: {progress!r} is not known; use True, False or 'auto'")
    bar = RunBar(_kind(progress))
    try:
        yield bar
    finally:
        bar.close()


def how_far(engine: Any) -> HowFar:
    """Of an engine."""
    states = Counter(job.state.value for job in engine.jobs.values())
    total = sum(job.size for job in engine.jobs.values())
    return HowFar(engine.done_tasks(), total, ", ".join(f"{number:,} {state}" for state, number in states.items()))


def _kind(progress: bool | str) -> type[NotebookBar] | type[TerminalBar] | type[LineBar] | None:
    if progress is False:
        return None
    if _in_notebook():
        return NotebookBar
    if sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return TerminalBar
    return LineBar if progress is True and sys.stderr is not None else None


def _in_notebook() -> bool:
    """Whether this process is the kernel of one; IPython in a terminal is a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None


class LineBar:
    """Lines on stderr, for whoever asked for them and has no terminal."""

    def __init__(self, name: str) -> None:
        self._name = name

    def draw(self, seen: HowFar) -> None:
        """A line."""
        sys.stderr.write(f"{self._name}  {seen.done:,}/{seen.total:,} tasks  {seen.jobs}\n")

    def close(self) -> None:
        """The lines stay."""


class TerminalBar:
    """A bar of the one screen that this process has."""

    _lock = threading.Lock()
    _screen: Screen | None = None
    _users = 0

    def __init__(self, name: str) -> None:
        kind = TerminalBar
        with kind._lock:
            if kind._screen is None:
                kind._screen = _new_screen()
                kind._screen.start()
            kind._users += 1
            self._own = kind._screen
            self._task = self._own.add_task(name, jobs="")

    def draw(self, seen: HowFar) -> None:
        """Its bar."""
        self._own.update(self._task, total=seen.total, completed=seen.done, jobs=seen.jobs, refresh=True)

    def close(self) -> None:
        """The bar goes, and the screen with the last one."""
        kind = TerminalBar
        with kind._lock:
            self._own.remove_task(self._task)
            kind._users -= 1
            if kind._users == 0:
                self._own.stop()
                kind._screen = None


def _new_screen() -> Screen:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("[dim]{task.description}", markup=True),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("tasks  {task.fields[jobs]}", markup=False),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=Console(stderr=True), transient=True)


class NotebookBar:
    """A line below the cell, as rich draws it."""

    def __init__(self, name: str) -> None:
        self._name, self._began = name, time.monotonic()
        self._shown: Any = None

    def draw(self, seen: HowFar) -> None:
        """Put into its place, or made."""
        ipython: Any = import_module("IPython.display")  # it is there: this is its kernel
        html = ipython.HTML(_html(self._name, seen, time.monotonic() - self._began))
        if self._shown is None:
            self._shown = ipython.display(html, display_id=True)
        else:
            self._shown.update(html)

    def close(self) -> None:
        """It stays in the notebook as it was last."""


def _html(name: str, seen: HowFar, elapsed: float) -> str:
    """The same bar as on the terminal, in HTML."""
    from io import StringIO

    from rich.console import Console
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 1))
    bar = ProgressBar(total=max(seen.total, 1), completed=seen.done, width=30)
    counts = Text(f"{seen.done:,}/{seen.total:,} tasks  {seen.jobs}  {int(elapsed)}s")
    grid.add_row(Text(name, "dim"), bar, counts)
    console = Console(file=StringIO(), record=True, width=120, force_jupyter=False, force_terminal=True)
    console.print(grid)
    return console.export_html(inline_styles=True, code_format='<pre style="margin:0">{code}</pre>')
