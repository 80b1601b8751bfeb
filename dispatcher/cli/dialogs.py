"""What `top` lays over its tables: a question before something is done, and what a verb prints while it works.

`Question("Cancel the job of c13?")      ->  True or False`
`VerbOutput(["logs", "--in", …])        the verb in a process of its own: closing the window, or top, does not end it`
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Footer, RichLog, Static

from ..core.printable import harmless


class Question(ModalScreen[bool]):
    """Yes or no; no by default."""

    BINDINGS = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape,q", "answer(False)", "no", key_display="n"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = harmless(question)

    def compose(self) -> ComposeResult:
        """The question above the two keys."""
        with Vertical(classes="window question"):
            yield Static(Text(f"{self._question}\n\ny yes    n no"))

    def action_answer(self, yes: bool) -> None:
        """Go back with it."""
        self.dismiss(yes)


class VerbOutput(ModalScreen[None]):
    """The lines of a verb as it prints them."""

    BINDINGS = [Binding("escape,q", "close", "close", key_display="Esc")]

    def __init__(self, words: Sequence[str], title: str) -> None:
        super().__init__()
        self._words, self._title = words, title

    def compose(self) -> ComposeResult:
        """A window as wide as there is room."""
        with Vertical(classes="window output"):
            yield Static(Text(self._title, no_wrap=True, overflow="ellipsis"), classes="title")
            yield RichLog(wrap=True, min_width=20)
            yield Footer()

    def on_mount(self) -> None:
        """Begin."""
        self._carry_out()

    @work(thread=True)
    def _carry_out(self) -> None:
        process = subprocess.Popen(
            [sys.executable, "-m", "dispatcher", *self._words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        assert process.stdout is not None
        for line in process.stdout:
            self._tell(line.rstrip("\n"))
        if code := process.wait():
            self._tell(f"(exit code {code})")

    def _tell(self, line: str) -> None:
        if self.is_attached:
            self.app.call_from_thread(self._write, line)

    def _write(self, line: str) -> None:
        if self.is_attached:
            self.query_one(RichLog).write(Text(harmless(line)))

    def action_close(self) -> None:
        """What was begun goes on."""
        self.dismiss()
