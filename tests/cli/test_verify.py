"""`dispatcher verify`: whole or not, legal or not, and exit codes that CI can use."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from dispatcher.core import events as ev
from journal import Journal


@pytest.fixture
def copied(reported: Any, work: Any) -> Any:
    """A copy of the told journal, to be damaged."""
    shutil.copytree(reported.local / ".dispatcher", work.local / ".dispatcher")
    return work


def test_whole_and_legal(reported: Any, golden: Any) -> None:
    done = reported.run("verify", "runs")
    assert (done.code, done.err) == (0, "")
    golden("verify-clean", done.out, reported.path)
    (found,) = reported.run("verify", "runs", "--json").lines()
    assert (found["status"], found["legal"], found["records"]) == ("clean", True, 33)


def test_an_expected_position(reported: Any) -> None:
    (found,) = reported.run("verify", "runs", "--json").lines()
    assert reported.run("verify", "runs", "--expect", found["position"]).code == 0
    done = reported.run("verify", "runs", "--expect", f"40:{'0' * 32}")
    assert (done.code, "is not in this journal" in done.out) == (1, True)


def test_the_tail_of_a_killed_writer_is_whole(copied: Any, golden: Any) -> None:
    segment = copied.journal / "00000002.jsonl"
    with segment.open("ab") as file:
        file.write(b'{"f":33,"s":33,"n":1,"b":80,"t":179')
    done = copied.run("verify", "runs")
    assert done.code == 0
    golden("verify-torn", done.out, copied.path)


def test_damage(copied: Any, golden: Any) -> None:
    segment = copied.journal / "00000001.jsonl"
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(bytes(data))
    done = copied.run("verify", "runs")
    assert done.code == 1
    assert "segment 00000001.jsonl, byte " in done.out
    assert copied.run("verify", "runs", "--json").lines()[0]["status"] == "corrupt"


def test_a_whole_journal_of_an_impossible_history(copied: Any) -> None:
    with Journal.open(copied.journal, ev.Event) as log:
        log.append(ev.Running("a1" * 20))
    done = copied.run("verify", "runs")
    assert done.code == 1
    assert "illegal       record 34 (segment 00000003.jsonl, byte " in done.out
    (found,) = copied.run("verify", "runs", "--json").lines()
    assert (found["status"], found["legal"]) == ("clean", False)


def test_nothing_to_read(work: Any) -> None:
    assert work.run("verify", "runs").code == 2
    assert work.run("verify", "nowhere").code == 2


def test_a_copied_file_alone(reported: Any, work: Any) -> None:
    shutil.copyfile(reported.journal / "00000001.jsonl", work.path / "audit.jsonl")
    done = work.run("verify", "audit.jsonl")
    assert (done.code, "journal       audit.jsonl" in done.out) == (0, True), done.out


def test_several_submissions_are_listed_and_none_is_called_unreadable(reported: Any, work: Any) -> None:
    for name in ("a" * 40, "b" * 40):
        shutil.copytree(reported.journal.parent, work.local / ".dispatcher" / name)
    done = work.run("verify", "runs")
    assert (done.code, "2 submissions are meant" in done.err) == (2, True)
