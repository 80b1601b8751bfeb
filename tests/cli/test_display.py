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
from dispatcher.cli.notices import Notice
from dispatcher.cli.notices import line_of as notice_line
from dispatcher.cli.telling import Tally, clock

TALLY = Tally({"waiting": 1200, "running": 2, "terminated": 1}, 4, 1500, 0)
TROUBLE = "squeue: error: Unable to contact slurm controller\x1b[2J\nsecond line"


OUTAGE = Notice("outage", TROUBLE, since=1_790_000_000.0)
FAILED = Notice("failure", "python: command not found", 37, "5f" * 20, "c13", 1, 4, 37, 1_790_000_000.0)


def seen(trouble: str = "", **changes: Any) -> Snapshot:
    notices = (OUTAGE,) if trouble else ()
    given = {"tally": TALLY, "failed": 1, "notices": notices, "next_query": 0.0, "over": False}
    return Snapshot(**{**given, **changes})


def test_plain_lines_only_when_something_changed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 1_790_000_012.0)
    display = PlainLines()
    for each in (seen(), seen(), seen(trouble=TROUBLE), seen(trouble=TROUBLE), seen()):
        display.update(each)
    shown = "squeue: error: Unable to contact slurm controller?[2J second line"
    since = f"{clock(1_790_000_000.0)} (12s)"
    lines = [line[10:] for line in capsys.readouterr().out.split("\n")]
    assert lines == [
        "4 of 1,500 tasks done; jobs: 1,200 waiting, 2 running, 1 terminated",
        f"no good answer since {since}: {shown}; asked again now, the jobs run on",
        "answers are good again",
        "",
    ]


def test_json_lines_say_the_same_in_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    display = JsonLines()
    for each in (seen(), seen(), seen(trouble="why")):
        display.update(each)
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["jobs"] == {"waiting": 1200, "running": 2, "terminated": 1}
    assert (first["done"], first["tasks"], first["trouble"], second["trouble"]) == (4, 1500, "", TROUBLE)
    (notice,) = second["notices"]
    assert (notice["kind"], notice["what"], notice["since"]) == ("outage", TROUBLE, 1_790_000_000.0)


def test_a_cause_is_told_when_it_is_new_and_when_it_has_doubled(capsys: pytest.CaptureFixture[str]) -> None:
    display = PlainLines()
    for jobs in (1, 2, 3, 4, 7, 40):
        notice = Notice("failure", f"line {jobs}: no POTCAR", jobs, "5f" * 20, "c13", 1, 4, jobs, 1_790_000_000.0)
        display.update(seen(notices=(notice,)))
    lines = [line[10:] for line in capsys.readouterr().out.splitlines() if "failed" in line]
    assert [line.partition(" ")[0] for line in lines] == ["1", "2", "4", "40"]
    assert lines[0] == "1 job failed: line 1: no POTCAR; first c13, attempt 1 of 4, next try now"


@pytest.mark.parametrize(
    ("notice", "wait", "text"),
    [
        (FAILED, 29.5, "37 jobs failed: python: command not found; first c13, attempt 1 of 4, next try in 30s"),
        (FAILED, None, "37 jobs failed: python: command not found; first c13, attempt 1 of 4, 37 to be tried again"),
        (
            Notice("failure", "oh no", 1, "5f", "c13", 4, 4, 0, 0.0),
            5.0,
            "1 job failed: oh no; first c13, attempt 4 of 4, not tried again",
        ),
        (
            Notice("postponed", "QOSMaxSubmitJobPerUserLimit", 12, since=100.0),
            29.5,
            "12 jobs postponed since {} (12s), no attempt is lost: QOSMaxSubmitJobPerUserLimit; asked again in 30s",
        ),
        (
            Notice("waiting", "PartitionConfig: as it is, it will not start", 1, since=100.0),
            None,
            "1 job waits since {} (12s): PartitionConfig: as it is, it will not start",
        ),
        (
            Notice("outage", "squeue: error", since=100.0),
            None,
            "no good answer since {} (12s): squeue: error; to be asked again, the jobs run on",
        ),
    ],
)
def test_notices_as_sentences(notice: Notice, wait: float | None, text: str) -> None:
    assert notice_line(notice, 112.0, wait) == text.format(clock(100.0))


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
    assert lines[2].startswith("  no good answer since ")
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
