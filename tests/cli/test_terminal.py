"""A run on a real terminal (a pseudo-terminal): progress is redrawn in place, and nothing is left behind."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from fcntl import ioctl
from typing import Any

import pytest

pytestmark = pytest.mark.slow

_CODE = re.compile(r"\x1b\[(\??)([0-9;]*)([A-Za-z])")


def heed_signals() -> None:
    """As started from a terminal, whatever these tests are started from (a background job ignores Ctrl-C)."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_DFL)


class Terminal:
    """A command on a terminal of its own; `screen()` is what a person sees."""

    def __init__(self, work: Any, *words: str, columns: int = 80, rows: int = 30) -> None:
        self.columns = columns
        self.master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dispatcher", *words],
            cwd=work.path,
            env={**environment, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=heed_signals,
        )
        os.close(slave)
        self.raw = ""

    def read(self, until: Callable[[str], bool] = lambda text: False) -> str:
        """What was written, until it satisfies or ends."""
        end = time.monotonic() + 300
        while not until(self.raw) and time.monotonic() < end:
            if not select.select([self.master], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(self.master, 65536)
            except OSError:  # the other end is closed: that is how a pseudo-terminal ends
                break
            if not data:
                break
            self.raw += data.decode()
        return self.raw

    def close(self) -> int:
        """Read to the end; the exit code."""
        self.read()
        os.close(self.master)
        return self.process.wait(60)

    def screen(self) -> list[str]:
        """The lines on the screen, as long as nothing scrolls."""
        lines, row, column, at = [""], 0, 0, 0
        while at < len(self.raw):
            if found := _CODE.match(self.raw, at):
                at = found.end()
                row, column = self._obey(found, lines, row, column)
                continue
            letter, at = self.raw[at], at + 1
            if letter == "\r":
                column = 0
            elif letter == "\n" or column == self.columns:
                row, column = row + 1, 0
                lines += [""] * (row + 1 - len(lines))
            if letter not in "\r\n":
                lines[row] = lines[row].ljust(column)[:column] + letter + lines[row][column + 1 :]
                column += 1
        return [line.rstrip() for line in lines]

    @staticmethod
    def _obey(found: re.Match[str], lines: list[str], row: int, column: int) -> tuple[int, int]:
        private, number, code = found.groups()
        assert code in "mAKlh", f"nobody taught this terminal {found[0]!r}"
        assert not private or number == "25"  # showing and hiding the cursor
        if code == "A":
            row -= int(number or 1)
        if code == "K":
            lines[row] = "" if number == "2" else lines[row][:column]
        return row, column


@pytest.mark.parametrize("columns", [80, 120])
def test_progress_is_drawn_and_gone_at_the_end(work: Any, columns: int) -> None:
    work.ask("true", "until [ -e go ]; do sleep 0.1; done")
    terminal = Terminal(work, "submit", "submission.json", columns=columns)
    terminal.read(lambda text: "1/2 tasks" in text and "1 finished" in text)
    drawn = "\n".join(terminal.screen())
    assert re.search(r"[⠀-⣿] [0-9a-f]{12} ━+╸?╺?━* 1/2 tasks  \d+s", drawn), drawn
    assert re.search(r"\n  jobs: 1 running, 1 finished   (looking|next look in \d+s)", drawn), drawn
    (work.near / "t1/go").touch()
    assert terminal.close() == 0
    lines = [line for line in terminal.screen() if line]
    assert lines[0].startswith("finished      2 jobs; 2 of 2 tasks done, in "), terminal.screen()
    assert not [line for line in lines if "━" in line or "jobs:" in line]
    assert terminal.raw.rfind("\x1b[?25h") > terminal.raw.rfind("\x1b[?25l")  # the cursor is back


def test_ctrl_c_is_answered_on_the_terminal(work: Any) -> None:
    work.ask("until [ -e go ]; do sleep 0.1; done")
    terminal = Terminal(work, "submit", "submission.json")
    terminal.read(lambda text: "1 running" in text)
    os.killpg(terminal.process.pid, signal.SIGINT)
    assert terminal.close() == 130
    text = "\n".join(terminal.screen())
    assert "dispatcher: error: interrupted: the jobs run on. Run the same command again" in text
    assert "Traceback" not in text
    (work.near / "t0/go").touch()
    assert work.run("submit", "submission.json").code == 0


def test_a_replay_in_colour_fits(told: Any) -> None:
    terminal = Terminal(told, "replay", "runs", rows=100)
    assert terminal.close() == 0
    assert "\x1b[32m" in terminal.raw
    rows = terminal.screen()
    assert max(len(row) for row in rows) <= 80
    assert any(row.endswith("unsubmitted → waiting     4211") for row in rows)
