"""What others made, or may change, is not obeyed; what is no plain file is never waited for, nor read without end."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from journal import Journal, JournalCorrupt, JournalNotOurs, frames, read_holder, unlock, verify
from journal.__main__ import main


class Rec(msgspec.Struct, frozen=True, tag_field="k", tag="rec"):
    n: int


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A whole journal of ours."""
    with Journal.open(tmp_path / "journal", Rec) as journal:
        journal.append(Rec(1))
    return tmp_path / "journal"


def test_made_for_us_alone_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with Journal.open(tmp_path / "journal", Rec):
            modes = {path.stat().st_mode & 0o777 for path in (tmp_path / "journal").iterdir()}
    finally:
        os.umask(before)
    assert modes == {0o600}
    assert (tmp_path / "journal").stat().st_mode & 0o7777 == 0o700


def _linked(place: Path) -> None:
    place.rename(place.with_name("elsewhere"))
    place.symlink_to("elsewhere")


@pytest.mark.parametrize("attack, why", [
    (lambda place: place.chmod(0o770), "others may write there"),
    (lambda place: place.chmod(0o707), "others may write there"),
    (_linked, "it is a link"),
], ids=["group", "world", "link"])  # fmt: skip
def test_a_directory_that_is_not_ours_alone(place: Path, attack: Callable[[Path], None], why: str) -> None:
    attack(place)
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    for act in (lambda: Journal.open(place, Rec), lambda: unlock(place)):
        with pytest.raises(JournalNotOurs, match=f"{place} is not used: {why}"):
            act()
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before
    assert verify(place).status == "clean"  # reading obeys nothing


@pytest.mark.parametrize("name", ["LOCK", "LOCK.holder", "HEAD", "00000001.frozen", "00000002.jsonl", "anything"])
@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_an_entry_that_is_no_file(place: Path, name: str, kind: str) -> None:
    (place / name).unlink(missing_ok=True)
    victim = place.parent / "victim"
    victim.write_text("precious")
    (place / name).symlink_to(victim) if kind == "link" else os.mkfifo(place / name)
    with pytest.raises(JournalNotOurs, match=f"{name} in it is not a file"):
        Journal.open(place, Rec)
    assert victim.read_text() == "precious"


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _link(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _giant(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 42)


def _directory(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("plant", [_pipe, _link, _giant], ids=["pipe", "link", "giant"])
def test_a_segment_that_is_no_file_of_a_sensible_size(
    place: Path, plant: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    segment = place / "00000001.jsonl"
    segment.unlink()
    plant(segment)
    report = verify(place)
    assert report.status == "corrupt"
    assert "00000001.jsonl" in report.problem
    assert any(word in report.problem for word in ("plain file", "links are not followed", "bytes are more than"))
    with pytest.raises(JournalCorrupt):
        list(frames(place, Rec))
    assert main(["verify", str(place)]) == 2
    assert main(["cat", str(place)]) == 2
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("plant", [_pipe, _link, _giant, _directory], ids=["pipe", "link", "giant", "directory"])
@pytest.mark.parametrize("name", ["HEAD", "LOCK.holder"])
def test_a_witness_that_is_no_file(place: Path, name: str, plant: Callable[[Path], Any]) -> None:
    (place / name).unlink(missing_ok=True)
    plant(place / name)
    assert verify(place).status == "clean"
    assert read_holder(place) is None
