"""The screen of `top`: submissions above, what is to be known of the chosen one, and its tasks below.

    SUBMISSION    STATE    DONE     FAILED  BEGAN                WHERE
    1f2e3d4c5b6a  failed   163/200      37  2026-11-23 04:12:01  runs
    ── 37 jobs failed: python: command not found; first c13, attempt 4 of 4, not tried again
    POS  TASK  STATE       TRY  CODE  JOB           ID    CAUSE
     13  c13   terminated    4   127  5f1c0a2b3c4d  4299  python: command not found

A thread reads the journals; the screen shows what it hands over. Only this module and `dialogs` import textual.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.events import Resize
from textual.widgets import DataTable, Footer, Static

from ..core.printable import harmless
from . import list as listing
from . import tasks as task_list
from .dialogs import Question, VerbOutput
from .followed import Following, View
from .telling import SHORT, count

#: Columns that are left out where there is not room for all: below so many columns of the terminal.
_NARROW = {listing.HEAD: (100, ("BEGAN",)), task_list.HEAD: (100, ("JOB", "TRY", "POS", "ID"))}
_DARK = {"finished": "#5fc795", "terminated": "#f58f62", "running": "#74b6f2", "waiting": "#e0c25c"}
_LIGHT = {"finished": "#1c7048", "terminated": "#b03a08", "running": "#1f65ad", "waiting": "#7a5c00"}
_KINDS = {"failure": "terminated", "outage": "waiting", "waiting": "waiting", "postponed": "waiting"}
_LOOK = 1.0


class Top(App[None]):
    """`passed_on`: options that the verbs which reach the execution side are given."""

    TITLE = "dispatcher top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #submissions { height: 30%; min-height: 4; }
    #told { height: auto; max-height: 30%; padding: 0 1; border-top: solid $primary; border-bottom: solid $primary; }
    #tasks { height: 1fr; }
    DataTable { scrollbar-size-horizontal: 0; }
    Question, VerbOutput { align: center middle; }
    .window { background: $surface; border: round $primary; }
    .question { width: 70%; min-width: 40; height: auto; padding: 1 2; }
    .output { width: 95%; height: 90%; }
    .title { text-style: bold; padding: 0 1; }
    """
    BINDINGS = [
        Binding("f", "failed", "failed"),
        Binding("l", "verb('logs')", "logs"),
        Binding("i", "verb('info')", "info"),
        Binding("c", "change('cancel')", "cancel"),
        Binding("r", "change('retry')", "retry"),
        Binding("q", "quit", "quit"),
        Binding("h", "change('hold')", "hold"),
        Binding("u", "change('release')", "release"),
        Binding("d", "ground", "dark/light"),
    ]

    def __init__(self, where: str, passed_on: Sequence[str] = (), light: bool = False) -> None:
        super().__init__()
        self._following, self._passed_on = Following(where), list(passed_on)
        self._chosen: Path | None = None
        self._failed = False
        self._view: View | None = None
        self._looking = self._again = False
        self.theme = "textual-light" if light else "textual-dark"

    def compose(self) -> ComposeResult:
        """Two tables and what is to be known between them."""
        yield DataTable(id="submissions", cursor_type="row", zebra_stripes=True)
        yield Static(id="told")
        yield DataTable(id="tasks", cursor_type="row", zebra_stripes=True)
        yield Footer()

    def on_mount(self) -> None:
        """Look now, and then again and again."""
        self._next_look()
        self.set_interval(_LOOK, self._next_look)

    # -- reading ------------------------------------------------------------------------------------------------

    def _next_look(self) -> None:
        """One look at a time."""
        self._again = self._looking
        if not self._looking:
            self._looking = True
            self._read(self._chosen, self._failed)

    @work(thread=True)
    def _read(self, chosen: Path | None, failed: bool) -> None:
        view = self._following.look(chosen, failed)
        if self.is_running:
            self.call_from_thread(self._show, view)

    def _show(self, view: View) -> None:
        self._view, self._looking = view, False
        self._draw()
        if self._again:
            self._next_look()

    # -- drawing ------------------------------------------------------------------------------------------------

    def _draw(self) -> None:
        view = self._view
        if view is None:
            return
        rows = [(str(path), cells) for path, cells in view.submissions]
        self._fill("#submissions", listing.HEAD, rows, listing.COLOURS)
        self._fill("#tasks", task_list.HEAD, [(f"#{t.position}", task_list.row_of(t)) for t in view.tasks], {})
        lines = [
            Text(harmless(text).replace("\n", " "), self._colour(_KINDS.get(kind, ""))) for kind, text in view.told
        ]
        if view.problem:
            lines.append(self._line(view.problem, "terminated"))
        if view.more:
            lines.append(Text(f"{count(view.more, 'task')} more: `dispatcher tasks` lists all", "dim"))
        self.query_one("#told", Static).update(Text("\n").join(lines) if lines else Text("no submission"))

    def _line(self, text: str, word: str) -> Text:
        return Text(harmless(text).replace("\n", " "), self._colour(word))

    def _fill(
        self, name: str, head: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]], colours: dict[str, str]
    ) -> None:
        """The rows; the cursor stays on its row, and nothing is drawn anew that has not changed."""
        table: DataTable[Text] = self.query_one(name, DataTable)
        below, left_out = _NARROW[tuple(head)]
        shown = [nth for nth, word in enumerate(head) if self.size.width >= below or word not in left_out]
        content = [(key, [harmless(cells[nth]).replace("\n", " ") for nth in shown]) for key, cells in rows]
        if (now := (self.theme, shown, content)) == getattr(table, "shown", None):
            return
        table.shown = now  # type: ignore[attr-defined]
        before, scrolled = self._key(name), table.scroll_offset
        table.clear(columns=True)
        table.add_columns(*(head[nth] for nth in shown))
        for key, cells in content:
            styled = (Text(text, self._colour(colours.get(text, text)), no_wrap=True) for text in cells)
            table.add_row(*styled, key=key)
        keys = [key for key, _ in content]
        if before in keys:
            table.move_cursor(row=keys.index(before), animate=False, scroll=False)
            table.scroll_to(*scrolled, animate=False)

    def _colour(self, word: str) -> str:
        return (_LIGHT if self.theme == "textual-light" else _DARK).get(word, "")

    def _key(self, name: str) -> str:
        """The row that the cursor is on; "" when there is none."""
        table: DataTable[Text] = self.query_one(name, DataTable)
        if not table.row_count or not table.is_valid_row_index(table.cursor_row):
            return ""
        return str(table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value)

    def on_resize(self, event: Resize) -> None:
        """Other columns may fit."""
        self._draw()

    # -- keys ---------------------------------------------------------------------------------------------------

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Another submission: its tasks."""
        key = event.row_key.value if event.row_key else None
        if event.data_table.id == "submissions" and event.data_table.has_focus and key and key != str(self._chosen):
            self._chosen = Path(key)
            self._next_look()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Enter: from a submission to its tasks, from a task to its logs."""
        if event.data_table.id == "submissions":
            self.query_one("#tasks").focus()
        else:
            self.action_verb("logs")

    def action_failed(self) -> None:
        """Only tasks that failed, or all again."""
        self._failed = not self._failed
        self._next_look()

    def action_ground(self) -> None:
        """Dark or light."""
        self.theme = "textual-dark" if self.theme == "textual-light" else "textual-light"
        self._draw()

    def action_verb(self, verb: str) -> None:
        """A verb that only reads, on the task under the cursor; logs of a submission are those of what failed."""
        if path := self._submission():
            names = [self._key("#tasks")] if self._on_tasks() or verb != "logs" else []
            options = self._passed_on if verb == "logs" else []
            self._open([verb, "--in", path, *options, *filter(None, names)])

    def action_change(self, verb: str) -> None:
        """A verb that does something, once the user has said yes: to one job, or to all that it may concern."""
        path, key = self._submission(), self._key("#tasks") if self._on_tasks() else ""
        named = {f"#{task.position}": task.name or task.path for task in (self._view.tasks if self._view else ())}
        if not path:
            return
        place = [path] if verb == "cancel" else ["--in", path]
        words = [verb, *place, *self._passed_on, *([key] if key else [])]
        all_jobs = {"cancel": "all jobs that are not over", "retry": "all failed jobs"}.get(verb, "all waiting jobs")
        what = f"the job of task {named.get(key, key)}" if key else all_jobs
        question = f"{verb.capitalize()} {what} of submission {Path(path).name[:SHORT]}?"

        def answered(yes: bool | None) -> None:
            if yes:
                self._open(words)

        self.push_screen(Question(question), answered)

    def _open(self, words: list[str]) -> None:
        shown = ["…" if word == self._submission() else word for word in words]
        self.push_screen(VerbOutput(words, f"dispatcher {' '.join(shown)}"), self._after)

    def _after(self, nothing: Any) -> None:
        self._next_look()

    def _submission(self) -> str:
        chosen = self._view.chosen if self._view else None
        return str(chosen.path.parent) if chosen else ""

    def _on_tasks(self) -> bool:
        return bool(self.query_one("#tasks").has_focus)
