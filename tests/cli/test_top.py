"""The whole terminal: what is on it, dark and light, what the keys do, and that nothing is done without a yes."""

from __future__ import annotations

import asyncio
import builtins
import shutil
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, RichLog

from dispatcher.cli import top
from dispatcher.cli.dialogs import Question, VerbOutput
from dispatcher.cli.followed import Following
from dispatcher.cli.screen import Top
from dispatcher.core import events as ev
from dispatcher.core.errors import ConfigError, Unsupported
from journal import Journal


async def until(pilot: Pilot[Any], wanted: Any) -> None:
    end = time.monotonic() + 120
    while not wanted():
        assert time.monotonic() < end
        await pilot.pause(0.05)


def column(app: Top, name: str, nth: int) -> list[str]:
    table = app.query_one(name, DataTable)
    return [str(table.get_row_at(row)[nth]) for row in range(table.row_count)]


def head(app: Top, name: str) -> list[str]:
    return [str(one.label) for one in app.query_one(name, DataTable).ordered_columns]


def test_what_it_shows_and_what_the_keys_do(reported: Any) -> None:
    async def look() -> None:
        app = Top(str(reported.path), (), light=False)
        async with app.run_test(size=(60, 24)) as pilot:
            await until(pilot, lambda: column(app, "#tasks", 0))
            assert column(app, "#submissions", 0) == ["ab" * 6] and column(app, "#submissions", 1) == ["failed"]
            assert head(app, "#tasks") == ["TASK", "STATE", "CODE", "CAUSE"]
            assert column(app, "#tasks", 0) == ["t2", "t3", "t0", "t1"]  # what failed comes first
            await pilot.resize_terminal(200, 40)
            await until(pilot, lambda: len(head(app, "#tasks")) == 8)
            told = str(app.query_one("#told").render())
            assert "2 of 4 tasks done" in told and "Invalid account" in told
            await pilot.press("f", "d", "tab")
            await until(pilot, lambda: column(app, "#tasks", 1) == ["t2", "t3"])
            assert app.theme == "textual-light"
            await pilot.press("down", "r")
            assert isinstance(app.screen, Question)
            await pilot.press("n")
            assert not isinstance(app.screen, Question)
            await pilot.press("i")
            assert isinstance(app.screen, VerbOutput)
            log = app.screen.query_one(RichLog)
            await until(pilot, lambda: any("Invalid account" in line.text for line in log.lines))
            await pilot.press("escape", "q")

    before = reported.text()
    asyncio.run(look())
    assert reported.text() == before


def test_a_journal_is_followed_and_a_damaged_one_told(reported: Any, tmp_path: Path) -> None:
    shutil.copytree(reported.local, tmp_path / "runs")
    (path,) = (tmp_path / "runs").glob(".dispatcher/*/journal")
    following = Following(str(tmp_path))
    assert following.look(None, failed=True).tasks[-1].path == "t3"
    with Journal.open(path, ev.Event) as log:
        log.append(ev.Retried("c3" * 20, fresh=True))
        log.commit()
        view = following.look(path, failed=True)
    assert ([task.path for task in view.tasks], view.submissions[0][1][1]) == (["t2"], "at work")
    segment = max(path.glob("*.jsonl"))
    segment.write_bytes(segment.read_bytes()[:-300])
    view = following.look(path, failed=False)
    assert (view.submissions[0][1][1], "gone" in view.problem) == ("damaged", True), view.problem


def test_what_is_missing_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **named: Any) -> Any:
        if name.partition(".")[0] == "textual":
            raise ModuleNotFoundError("no textual", name="textual")
        return real(name, *args, **named)

    with pytest.raises(ConfigError, match="dispatcher status"):
        top.run(Namespace(path=".", machine=None, allow_ref=False, light=False))
    monkeypatch.setattr(builtins, "__import__", without)
    for name in ("dispatcher.cli.screen", "dispatcher.cli.dialogs"):
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(Unsupported, match=r"pip install 'dispatcher-hpc\[top\]'"):
        top.run(Namespace(path=".", machine=None, allow_ref=False, light=False))


@pytest.mark.slow
def test_in_a_real_terminal_a_failed_task_is_retried_after_a_yes(work: Any) -> None:
    """In tmux, at 60, 80 and 200 columns; nothing is left on the screen that does not fit."""
    work.prepare("[ -e ../heal ] || { echo because >&2; exit 3; }", "true")
    assert work.run("submit", "submission.json", "--check-interval", "1").code == 1
    (work.local / "heal").touch()
    socket = ["tmux", "-S", str(work.path / "tmux")]

    def tmux(*words: str) -> str:
        return subprocess.run([*socket, *words], cwd=work.path, capture_output=True, text=True, check=True).stdout

    def screen(*there: str, gone: str = "\0") -> None:
        def fits() -> bool:
            text = tmux("capture-pane", "-p", "-t", "t")
            return all(one in text for one in there) and gone not in text

        work.await_that(fits, f"{there} on the screen")

    tmux("new-session", "-d", "-s", "t", "-x", "60", "-y", "24", f"{sys.executable} -m dispatcher top .")
    try:
        for columns in ("60", "80", "200"):
            tmux("resize-window", "-t", "t", "-x", columns, "-y", "24")
            screen("because", "1/2", "terminated", "q quit")
        tmux("send-keys", "-t", "t", "Tab", "Enter")
        screen("dispatcher logs", "==> t0/err", "because")
        tmux("send-keys", "-t", "t", "Escape")
        screen("f failed", gone="Esc close")
        tmux("send-keys", "-t", "t", "r")
        screen("Retry the job of task t0")
        tmux("send-keys", "-t", "t", "y")
        screen("1 job to be tried again", "2 of 2 tasks done")
        tmux("send-keys", "-t", "t", "Escape")
        screen("2/2", "finished", gone="Esc close")
        tmux("send-keys", "-t", "t", "q")
        work.await_that(
            lambda: subprocess.run([*socket, "has-session"], capture_output=True).returncode != 0, "its end"
        )
    finally:
        subprocess.run([*socket, "kill-server"], capture_output=True)
