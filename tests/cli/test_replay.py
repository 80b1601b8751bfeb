"""`dispatcher replay`: what is told of a journal, in every format, of damaged and of living ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from dispatcher.cli import table
from dispatcher.cli.telling import Replay
from dispatcher.core import events as ev
from journal import Journal, frames


def test_the_table(reported: Any, golden: Any) -> None:
    done = reported.run("replay", "runs")
    assert (done.code, done.err) == (0, "")
    golden("replay-table", done.out, reported.path)
    assert "\x1b" not in done.out


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_the_terminal(reported: Any, golden: Any, width: int) -> None:
    text = "".join(table.lines(Replay().rows(frames(reported.journal, ev.Event)), width))
    assert max(map(len, text.splitlines())) <= width
    golden(f"replay-table-{width}", text, reported.path)


def test_one_job(reported: Any, golden: Any) -> None:
    golden("replay-job", reported.run("replay", "runs", "--job", "c3c3").out, reported.path)
    done = reported.run("replay", "runs", "--job", "dddd")
    assert (done.code, "no job of this submission has a hash that starts so" in done.err) == (2, True)


def test_json_is_one_document(reported: Any) -> None:
    found = json.loads(reported.run("replay", "abababab", "--format", "json").out)
    assert [row["number"] for row in found["rows"]] == list(range(33))
    assert found["asked"]["machine"]["batch_type"] == "Slurm"
    assert found["tally"]["jobs"] == {"finished": 1, "terminated": 2}
    assert (found["outcome"], found["verify"]["status"], found["problem"]) == ("failed", "clean", "")


def test_jsonl_is_a_row_a_line(reported: Any) -> None:
    rows = reported.run("replay", "runs", "--format", "jsonl", "--job", "a1").lines()
    assert [row["event"] for row in rows][:4] == ["planned", "submitting", "submitted", "running"]
    ended = next(row for row in rows if row["event"] == "terminated")
    assert ended["tasks"] == [[0, 0, 5.0], [1, 3, 6.0]]
    assert (ended["source"], ended["target"], ended["attempt"], ended["run"]) == ("running", "terminated", 1, 1)


def test_the_ways_to_name_a_submission(reported: Any) -> None:
    ours = "runs/.dispatcher"
    outputs = {
        reported.run("verify", name).out for name in (f"{ours}/{'ab' * 20}", f"{ours}/{'ab' * 20}/journal", ours)
    }
    assert len({out.replace("./", "") for out in outputs}) == 1
    assert reported.run("verify", "ab" * 20).code == 0


def test_a_name_that_means_several_lists_them(work: Any) -> None:
    for name in ("a" * 40, "b" * 40):
        Journal.open(work.local / ".dispatcher" / name / "journal", ev.Event).close()
    done = work.run("cancel", "runs")
    assert done.code == 2
    assert "2 submissions are meant" in done.err
    assert f"\n  runs/.dispatcher/{'a' * 40}" in done.err
    done = work.run("replay", "runs")
    assert (done.code, "the newest of 2 submissions" in done.err) == (0, True), "whoever only reads gets the newest"


@pytest.fixture
def copied(reported: Any, work: Any) -> Any:
    """A copy of the told journal, to be damaged."""
    shutil.copytree(reported.local / ".dispatcher", work.local / ".dispatcher")
    return work


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("form", ["table", "json", "jsonl"])
def test_damage_is_told_after_what_comes_before_it(copied: Any, form: str) -> None:
    segment = copied.journal / "00000001.jsonl"
    _flip(segment, segment.stat().st_size // 2)
    done = copied.run("replay", "runs", "--format", form)
    assert done.code == 4
    assert "segment 00000001.jsonl, byte " in done.err
    assert "submitting" in done.out
    if form == "json":
        assert "00000001.jsonl" in json.loads(done.out)["problem"]


def test_a_record_that_cannot_follow_is_told_with_its_place(copied: Any) -> None:
    with Journal.open(copied.journal, ev.Event) as log:
        log.append(ev.Finished("a1" * 20))
    done = copied.run("replay", "runs")
    assert done.code == 4
    assert "record 34 (segment 00000003.jsonl, byte " in done.err
    assert "finished is not possible while finished" in done.err


def test_following_a_run_to_its_end(work: Any) -> None:
    work.prepare("until [ -e go ]; do sleep 0.1; done")
    process = work.start("submit", "submission.json")
    work.await_records("running")
    follower = work.start("replay", "runs", "--follow", "--format", "jsonl")
    assert json.loads(follower.stdout.readline())["event"] == "open"
    (work.local / "t0/go").touch()
    assert work.ended(process).code == 0
    done = work.ended(follower)
    assert (done.code, done.lines()[-1]["event"]) == (0, "close")
