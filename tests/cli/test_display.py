"""What the displays make of a run, given as values."""

from __future__ import annotations

import io
import json
import signal
import time
from typing import Any

import pytest
from rich.console import Console

from dispatcher.cli.display import JsonLines, PlainLines
from dispatcher.cli.live import Live
from dispatcher.cli.monitor import Monitor, Snapshot
from dispatcher.cli.report import Tally

TALLY = Tally({"waiting": 1200, "running": 2, "terminated": 1}, 4, 1500, 0)
TROUBLE = "squeue: error: Unable to contact slurm controller\x1b[2J\nsecond line"


def seen(**changes: Any) -> Snapshot:
    given = {"tally": TALLY, "failed": 1, "trouble": "", "next_query": 0.0, "over": False}
    return Snapshot(**{**given, **changes})


def test_plain_lines_only_when_something_changed(capsys: pytest.CaptureFixture[str]) -> None:
    display = PlainLines()
    for each in (seen(), seen(), seen(trouble=TROUBLE), seen(trouble=TROUBLE), seen()):
        display.update(each)
    lines = [line[10:] for line in capsys.readouterr().out.split("\n")]
    assert lines == [
        "4 of 1,500 tasks done; jobs: 1,200 waiting, 2 running, 1 terminated",
        "no good answer: squeue: error: Unable to contact slurm controller?[2J second line; asking again",
        "answers are good again",
        "",
    ]


def test_json_lines_say_the_same_in_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    display = JsonLines()
    for each in (seen(), seen(), seen(trouble="why")):
        display.update(each)
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["jobs"] == {"waiting": 1200, "running": 2, "terminated": 1}
    assert (first["done"], first["tasks"], first["trouble"], second["trouble"]) == (4, 1500, "", "why")


def drawn(display: Live, columns: int) -> list[str]:
    out = io.StringIO()
    Console(file=out, width=columns, force_terminal=False).print(display._drawn())
    return out.getvalue().splitlines()


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_the_terminal_shows_trouble_in_lines_that_fit(columns: int) -> None:
    display = Live()
    assert "checking and staging the files" in drawn(display, columns)[0]
    display.opened("ab" * 20, "", TALLY)
    display.update(seen(trouble=TROUBLE, next_query=time.monotonic() + 11.5))
    lines = drawn(display, columns)
    assert len(lines) == 3
    assert max(map(len, lines)) <= columns
    assert lines[2].startswith("  no good answer: squeue: error:")
    if columns == 120:
        assert "abababababab" in lines[0]
        assert lines[0].rstrip().endswith("4/1,500 tasks  0s")
        assert lines[1] == "  jobs: 1,200 waiting, 2 running, 1 terminated   next look in 12s"


def test_the_terminal_says_what_comes_after_the_jobs_and_after_a_signal() -> None:
    display = Live()
    monitor = Monitor(display)
    display._monitor = monitor
    display.update(seen(over=True))
    assert drawn(display, 120)[1].endswith("bringing the results back")
    monitor.signum = signal.SIGINT
    assert drawn(display, 120)[2].startswith("  stopping when what is under way is done; the jobs run on")
