"""What others wrote (jobs, sites, strangers' files and journals) cannot speak to a terminal, whatever the verb."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from dispatcher.cli import main
from dispatcher.cli.say import paint, say
from dispatcher.core import events as ev
from dispatcher.core.errors import ConfigError, InputMissing
from dispatcher.core.model import TaskSpec
from dispatcher.core.printable import escaped, harmless
from journal import Journal
from journal.__main__ import main as journal_main

#: Clears the screen; writes into the clipboard; the same with C1; reads backwards; ends a line; rings; deletes.
HOSTILE = "\x1b[2J \x1b]52;c;cm0=\x07 \x9b2J \u202egnp.exe\u2066 \u2028 \x08 \x7f end"
JOB = "a1" * 20


def printable(text: str) -> bool:
    return all(letter.isprintable() or letter in "\n\t" for letter in text)


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A work directory whose journal says it in every field that a site or a stranger can fill."""
    place = tmp_path / "runs"
    with Journal.open(place / ".dispatcher" / ("ab" * 20) / "journal", ev.Event, application=HOSTILE) as log:
        machine = {"batch_type": HOSTILE, "context_type": HOSTILE, "remote_root": HOSTILE}
        task = TaskSpec(HOSTILE, HOSTILE)
        cause = ev.Cause("task", HOSTILE, 1, native=HOSTILE, node=HOSTILE, task=0, stderr=HOSTILE, source=HOSTILE)
        log.append(ev.Opened("ab" * 20, "p", HOSTILE, machine, {"group_size": HOSTILE}, HOSTILE))
        log.append(ev.Planned(JOB, (0,), (task,)), ev.Submitting(JOB, 1, "n1"), ev.Deferred(JOB, HOSTILE))
        log.append(ev.Submitting(JOB, 1, "n1"), ev.Submitted(JOB, "4211", HOSTILE), ev.Running(JOB, HOSTILE))
        log.append(ev.Waiting(JOB, HOSTILE), ev.OwnerChanged(JOB, "4212", HOSTILE), ev.Terminated(JOB, cause))
        log.append(ev.Note(HOSTILE, JOB), ev.Delivered((), 0, 0, (HOSTILE,)), ev.Concluded(HOSTILE, 1))
        log.commit()
    (place / ".dispatcher" / ("ab" * 20) / "journal" / "LOCK.holder").write_text(
        json.dumps({"host": HOSTILE, "pid": 1, "session": HOSTILE, "since": 1.0})
    )
    return place


@pytest.mark.parametrize("words", [
    ("replay",), ("replay", "--format", "json"), ("replay", "--format", "jsonl"),
    ("status",), ("status", "--json"), ("verify",), ("verify", "--json"),
], ids=" ".join)  # fmt: skip
@pytest.mark.parametrize("debug", [(), ("--debug",)], ids=["plain", "debug"])
def test_every_verb(
    hostile: Path, words: tuple[str, ...], debug: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    main([words[0], str(hostile), *words[1:], *debug])
    said = capsys.readouterr()
    assert said.out
    assert printable(said.out + said.err)
    if words[-1] in ("--json", "jsonl"):
        assert [json.loads(line) for line in said.out.splitlines()]


def test_json_says_the_same(hostile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(hostile), "--format", "jsonl"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert HOSTILE in {row.get("why") for row in rows}


@pytest.mark.parametrize("words", [("cat",), ("verify",), ("verify", "--json"), ("unlock",)], ids=" ".join)
def test_the_journals_own_command(hostile: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    journal_main([words[0], str(hostile / ".dispatcher" / ("ab" * 20) / "journal"), *words[1:]])
    said = capsys.readouterr()
    assert said.out
    assert printable(said.out + said.err)


@pytest.mark.parametrize("debug", [(), ("--debug",)], ids=["plain", "debug"])
def test_mistakes_and_their_tracebacks(
    tmp_path: Path, debug: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "submission.json"
    file.write_text(json.dumps({"work_base": "x", HOSTILE: 1, "machine": {"batch_type": HOSTILE}}))
    assert main(["submit", str(file), *debug]) == 2
    said = capsys.readouterr().err
    assert ("Traceback" in said) is bool(debug)
    assert printable(said)


def test_errors_that_python_prints() -> None:
    for kind in (ConfigError, InputMissing):
        assert printable(str(kind(HOSTILE)))


def test_only_our_own_colours(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.modules["dispatcher.cli.say"], "on_terminal", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    say(paint("ok", "finished") + " \x1b[31m \x00" + "0" * 16 + "31\x00")
    assert capsys.readouterr().out == f"\x1b[32mok\x1b[0m ?[31m ?{'0' * 16}31?"


def test_json_is_spelt_in_other_letters() -> None:
    data: Any = {"a": HOSTILE, "b": "\U000e0001ü\udc80"}
    text = escaped(json.dumps(data, ensure_ascii=False))
    assert json.loads(text) == data
    assert printable(text)
    assert "ü" in text
    assert printable(harmless(HOSTILE))
