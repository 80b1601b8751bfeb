"""What version 1 wrote stays readable: fixtures/journals/v1 is never regenerated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest

from dispatcher.core.events import Event, Note
from journal import Close, Journal, JournalCorrupt, Open, Unknown, frames, read, verify

GOLDEN = Path(__file__).parents[2] / "fixtures" / "journals" / "v1"
NAMES = sorted(path.name for path in GOLDEN.iterdir() if path.is_dir())


def test_the_golden_journals_are_all_there() -> None:
    assert NAMES == ["clean", "corrupt", "torn", "torn-sealed"]


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


@pytest.mark.parametrize("name", ["clean", "torn", "torn-sealed"])
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
