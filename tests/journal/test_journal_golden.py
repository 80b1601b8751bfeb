"""What version 1 wrote stays readable: fixtures/journals/v1 is never regenerated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from dispatcher.core.events import Concluded, Event, Note
from dispatcher.run.store import read_history
from journal import Close, Journal, JournalCorrupt, Open, Unknown, frames, read, verify

GOLDEN = Path(__file__).parents[2] / "fixtures" / "journals" / "v1"
NAMES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())


def test_the_golden_journals_are_all_there() -> None:
    assert NAMES == ["clean", "corrupt", "every-kind", "torn", "torn-sealed"]


@pytest.mark.parametrize("name", NAMES)
def test_the_report_is_the_one_that_was_kept(name: str) -> None:
    kept = json.loads((GOLDEN / f"{name}.report.json").read_text())
    report = msgspec.to_builtins(verify(GOLDEN / name))
    report["problem"] = report["problem"].partition(": ")[2]
    report.pop("path")
    assert report == {**kept, "warnings": tuple(kept["warnings"]), "needs": tuple(kept["needs"])}


@pytest.mark.parametrize("name", NAMES)
def test_the_records_are_those_that_were_kept(name: str) -> None:
    kept = [json.loads(line) for line in (GOLDEN / f"{name}.jsonl").read_text().splitlines()]
    found = []
    entries = read(GOLDEN / name, dict)
    try:
        for entry in entries:
            found.append({"n": entry.number, "t": entry.at, "r": entry.record})
    except JournalCorrupt:
        assert name == "corrupt"
    assert found == kept and len(found) > 5


@pytest.mark.parametrize("name", ["clean", "every-kind", "torn", "torn-sealed"])
def test_todays_events_read_them_and_a_writer_goes_on(name: str, tmp_path: Path) -> None:
    path = shutil.copytree(GOLDEN / name, tmp_path / name)
    before = [record for frame in frames(path, Event) for record in frame.records]
    assert not any(isinstance(record, Unknown) for record in before)
    torn = verify(path).torn_bytes
    with Journal.open(path, Event) as writer:
        assert writer.torn_bytes == torn
        writer.append(Note("later"))
    after = [record for frame in frames(path, Event) for record in frame.records]
    assert after[: len(before)] == before
    assert isinstance(after[-3], Open) and after[-2:] == [Note("later"), Close()]
    assert after[-3].journal == before[0].journal
    assert verify(path).status == "clean"


def test_what_every_kind_says_is_still_possible() -> None:
    history = read_history(GOLDEN / "every-kind")
    assert {job.state.value for job in history.jobs.values()} == {"terminated"}
    assert (history.cleaned, history.lacking, history.place[:8]) == (True, frozenset({"c1/out"}), "9b2d41c0")
    assert history.concluded == Concluded("failed", 2)
