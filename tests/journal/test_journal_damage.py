"""Every byte of a small journal cut, flipped, zeroed, moved: what was acknowledged is read, or its damage reported."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import journal_torture as torture
import msgspec
import pytest
from journal_simulation import Disk, SimFiles
from journal_torture import PATH, Rec

import journal.format
from journal import Journal, JournalCorrupt, JournalMissing, frames, verify
from journal.files import Files
from journal.reader import Reader, decoded


class Memory(Files):
    """Files that are only read."""

    def __init__(self, held: dict[str, bytes]) -> None:
        self.held = held

    def names(self, path: str) -> list[str]:
        return list(self.held)

    def read(self, path: str, size: int = -1) -> bytes:
        try:
            data = self.held[path.rpartition("/")[2]]
        except KeyError:
            raise FileNotFoundError(path) from None
        return data if size < 0 else data[:size]


def small() -> dict[str, bytes]:
    """Two sessions, three segments, 9 records; the last segment is not closed, as of a writer that is alive."""
    disk = Disk()
    first = torture.open_journal(SimFiles(disk), segment_bytes=900)
    for nth in range(6):
        first.append(Rec(nth, "ab @" * (nth % 3)))
        if nth % 2:
            first.commit()
    first.close()
    last = torture.open_journal(SimFiles(disk))
    last.append(Rec(6), Rec(7))
    last.commit()
    last.append(Rec(8))
    last.commit()
    return {name: data for name, data in disk.copy().items() if name.endswith(".jsonl") or name == "HEAD"}


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    return small()


CODEC = journal.format.Codec[Rec](Rec)


def look(held: dict[str, bytes]) -> tuple[str, list[int]]:
    """The verdict of a reader, and the records it saw."""
    reader, seen = Reader(Path(PATH), Memory(held)), list[int]()
    try:
        for frame in decoded(reader, CODEC):
            seen += [record.i for record in frame.records if isinstance(record, Rec)]
    except JournalCorrupt:
        return "corrupt", seen
    return ("foreign" if reader.warnings else "torn" if reader.torn else "clean"), seen


EVERYTHING = list(range(9))


def verdicts(held: dict[str, bytes], name: str, change: str) -> Counter[str]:
    """What every change of one kind, at every byte of one file, leads to; anything but harm reported fails here."""
    found: Counter[str] = Counter()
    data = held[name]
    for at in range(len(data)):
        for damaged in changed(data, at, change):
            verdict, seen = look({**held, name: damaged})
            found[verdict] += 1
            assert verdict == "corrupt" or seen == EVERYTHING, (name, at, change, verdict, seen)
    return found


def changed(data: bytes, at: int, change: str) -> list[bytes]:
    if change == "cut":
        return [data[:at]]
    values = [data[at] ^ 1 << bit for bit in range(8)] + [0, 255]
    return [data[:at] + bytes([value]) + data[at + 1 :] for value in values if value != data[at]]


@pytest.mark.parametrize("name", ["00000001.jsonl", "00000002.jsonl", "00000003.jsonl"])
@pytest.mark.parametrize("change", ["cut", "flip"])
def test_every_byte_of_a_segment(whole: dict[str, bytes], name: str, change: str) -> None:
    assert look(whole) == ("clean", EVERYTHING)
    assert set(verdicts(whole, name, change)) == {"corrupt"}


@pytest.mark.parametrize("change", ["cut", "flip"])
def test_every_byte_of_the_watermark_is_harmless_or_reported(whole: dict[str, bytes], change: str) -> None:
    found = verdicts(whole, "HEAD", change)
    assert found["clean"] > 0


def test_without_the_watermark_a_cut_is_a_shorter_history_and_never_a_wrong_one(whole: dict[str, bytes]) -> None:
    held = {name: data for name, data in whole.items() if name != "HEAD"}
    data = held["00000003.jsonl"]
    found: Counter[str] = Counter()
    for at in range(len(data)):
        verdict, seen = look({**held, "00000003.jsonl": data[:at]})
        found[verdict] += 1
        assert seen == EVERYTHING[: len(seen)]
    assert found["torn"] > 300 and found["clean"] >= 2 and found["corrupt"] > 300  # corrupt: the opening frame is cut


def test_without_the_watermark_every_flip_is_reported_or_torn_at_the_last_frame(whole: dict[str, bytes]) -> None:
    held = {name: data for name, data in whole.items() if name != "HEAD"}
    data, last = held["00000003.jsonl"], held["00000003.jsonl"].rfind(b'{"f":')
    for at in range(len(data)):
        for damaged in changed(data, at, "flip"):
            verdict, seen = look({**held, "00000003.jsonl": damaged})
            assert seen == EVERYTHING[: len(seen)]
            assert verdict == "corrupt" or (verdict == "torn" and at >= last), (at, verdict)


def frames_of(data: bytes) -> list[bytes]:
    starts = [at for at in range(len(data)) if data.startswith(b'{"f":', at) and data[at - 1 : at] in (b"", b"\n")]
    return [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]


@pytest.mark.parametrize("name", ["00000001.jsonl", "00000002.jsonl", "00000003.jsonl"])
def test_frames_deleted_doubled_or_swapped(whole: dict[str, bytes], name: str) -> None:
    parts = frames_of(whole[name])
    assert len(parts) >= 2
    for nth in range(len(parts)):
        deleted = parts[:nth] + parts[nth + 1 :]
        assert look({**whole, name: b"".join(deleted)})[0] == "corrupt"
        doubled = look({**whole, name: b"".join(parts[: nth + 1] + parts[nth:])})
        assert doubled[0] == "corrupt" or (doubled == ("foreign", EVERYTHING) and nth == len(parts) - 1)
        for other in range(nth):
            swapped = list(parts)
            swapped[nth], swapped[other] = swapped[other], swapped[nth]
            assert look({**whole, name: b"".join(swapped)})[0] == "corrupt"


def test_segments_removed_swapped_or_doubled(whole: dict[str, bytes]) -> None:
    names = [name for name in whole if name.endswith(".jsonl")]
    for name in names:
        assert look({other: data for other, data in whole.items() if other != name})[0] == "corrupt"
        for other in names:
            if other != name:
                assert look({**whole, name: whole[other], other: whole[name]})[0] == "corrupt"
                assert look({**whole, name: whole[other]})[0] == "corrupt"
    assert look({**whole, "00000004.jsonl": whole["00000003.jsonl"]})[0] == "corrupt"


def test_a_last_segment_that_never_was_acknowledged_may_be_missing_and_an_expected_position_tells(
    tmp_path: Path, whole: dict[str, bytes]
) -> None:
    for name in ("00000001.jsonl", "00000002.jsonl"):
        (tmp_path / name).write_bytes(whole[name])
    reader = Reader(Path(PATH), Memory(whole))
    assert len(list(reader.walk())) > 5
    assert verify(tmp_path).status == "clean"
    report = verify(tmp_path, expect=f"{reader.records}:{reader.digest}")
    assert report.status == "corrupt" and "not in this journal" in report.problem


@pytest.mark.parametrize("junk", [b"\0" * 600, b"garbage\n", b'{"f":1}\n', os.urandom(700), b"\n", b"x"])
def test_bytes_appended(whole: dict[str, bytes], junk: bytes) -> None:
    assert look({**whole, "00000001.jsonl": whole["00000001.jsonl"] + junk}) == ("foreign", EVERYTHING)
    verdict, seen = look({**whole, "00000003.jsonl": whole["00000003.jsonl"] + junk})
    assert verdict in ("torn", "corrupt") and seen == EVERYTHING


def test_sectors_zeroed(whole: dict[str, bytes]) -> None:
    for name, data in whole.items():
        for start in range(0, len(data), 512):
            hole = data[:start] + bytes(len(data[start : start + 512])) + data[start + 512 :]
            verdict, seen = look({**whole, name: hole})
            assert verdict == "corrupt" or (name == "HEAD" and seen == EVERYTHING)


def test_a_torn_tail_of_every_length_is_kept_sealed_and_ignored_for_good(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal.open(path, Rec) as writer:
        writer.append(Rec(0))
    sealed = (path / "00000001.jsonl").read_bytes()
    frame, _ = journal.format.encode_frame(3, 3, 1, b'{"k":"rec","i":1}\n', writer.position.digest, 1.0)
    for nth, length in enumerate(range(1, len(frame), 40), 1):
        last = path / f"{nth:08d}.jsonl"
        torn = frame[:length]
        with last.open("ab") as file:
            file.write(torn)
        assert verify(path).status == "torn" and verify(path).torn_bytes == length
        with Journal.open(path, Rec) as writer:
            assert writer.torn_bytes == length
        assert last.read_bytes().endswith(torn)
        assert verify(path).status == "clean"
    assert (path / "00000001.jsonl").read_bytes().startswith(sealed)


def test_a_torn_opening_frame_of_the_only_segment_is_sealed_and_of_a_later_one_is_corrupt(tmp_path: Path) -> None:
    """An opening frame is synced before it has its name: only storage that lied can tear it."""
    (tmp_path / "00000001.jsonl").write_bytes(b'{"f":0,"s":0')
    with Journal.open(tmp_path, Rec) as writer:
        assert writer.torn_bytes == 12
        writer.append(Rec(0))
    assert verify(tmp_path).status == "clean"
    (tmp_path / "00000003.jsonl").write_bytes(b"")
    with pytest.raises(JournalCorrupt, match=r"segment 00000003\.jsonl, byte 0: the opening frame"):
        Journal.open(tmp_path, Rec)
    for name in ("00000003.jsonl", "00000003.frozen"):  # by hand, after a look
        (tmp_path / name).unlink()
    Journal.open(tmp_path, Rec).close()


def test_acknowledged_bytes_cut_at_a_frame_are_reported_with_their_place(tmp_path: Path) -> None:
    writer = Journal.open(tmp_path, Rec)
    writer.append(Rec(0))
    before = writer.commit()
    size = (tmp_path / "00000001.jsonl").stat().st_size
    writer.append(Rec(1))
    writer.commit()
    with (tmp_path / "00000001.jsonl").open("r+b") as file:
        file.truncate(size)
    report = verify(tmp_path)
    assert report.status == "corrupt" and "acknowledged bytes are missing" in report.problem
    assert report.position == str(before)
    with pytest.raises(JournalCorrupt) as caught:
        list(frames(tmp_path, Rec))
    assert (caught.value.segment, caught.value.offset) == (1, size)
    writer._let_go()


def test_another_frame_than_the_acknowledged_one_is_corrupt(tmp_path: Path) -> None:
    writer = Journal.open(tmp_path, Rec, clock=lambda: 1.5e9)
    file, before = tmp_path / "00000001.jsonl", writer.position
    size = file.stat().st_size
    writer.append(Rec(1))
    writer.commit()
    forged, _ = journal.format.encode_frame(1, 1, 1, b'{"k":"rec","i":2,"x":""}\n', before.digest, 1.5e9)
    file.write_bytes(file.read_bytes()[:size] + forged)
    assert "another frame was acknowledged here" in verify(tmp_path).problem
    writer._let_go()


def test_nothing_there(tmp_path: Path) -> None:
    assert verify(tmp_path).status == verify(tmp_path / "no").status == "unreadable"
    for path in (tmp_path, tmp_path / "no"):
        with pytest.raises(JournalMissing):
            list(frames(path, Rec))


def unacknowledged(last: bytes) -> tuple[str, str]:
    """Status and reason for a journal without HEAD whose last segment holds an opening and then `last`."""
    opening = msgspec.json.encode(journal.Open(1, "j", 1)) + b"\n"
    first, digest = journal.format.encode_frame(0, 0, 1, opening, journal.format.ZERO, 1.0)
    payload = b"".join(b'{"k":"rec","i":%d,"x":"%s"}\n' % (nth, b"x" * 90) for nth in range(20))
    second, digest = journal.format.encode_frame(1, 1, 20, payload, digest, 1.0)
    third, _ = journal.format.encode_frame(2, 21, 20, payload, digest, 1.0)
    parts = {b"2": second, b"3": third}
    data = first + b"".join(parts.get(bytes([byte]), b"") for byte in last if byte in b"23")
    if b"h" in last:  # a hole in the first of them
        data = data[:1024] + bytes(512) + data[1536:]
    if b"s" in last:  # the end is missing
        data = data[:-700]
    if b"d" in last:  # a byte is another one
        data = data[:1200] + b"?" + data[1201:]
    if b"l" in last:  # the length is another one
        at = data.index(b'"b":', len(first)) + 4
        data = data[:at] + b"9" + data[at + 1 :]
    reader = Reader(Path(PATH), Memory({"00000001.jsonl": data}))
    try:
        list(reader.walk())
    except JournalCorrupt as error:
        return "corrupt", error.reason
    return ("torn" if reader.torn else "clean"), ""


@pytest.mark.parametrize(
    ("last", "status", "reason"),
    [
        (b"23", "clean", ""),
        (b"23s", "torn", ""),
        (b"2s", "torn", ""),
        (b"2h", "torn", ""),
        (b"23h", "corrupt", "and a valid frame follows"),
        (b"2d", "corrupt", "not the shape of a torn write"),
        (b"2l", "corrupt", "the checksum of the header is wrong"),
        (b"23d", "corrupt", "and a valid frame follows"),
    ],
)
def test_the_table_of_torn_and_corrupt_without_a_watermark(last: bytes, status: str, reason: str) -> None:
    found = unacknowledged(last)
    assert found[0] == status and reason in found[1]


def test_a_sealed_segment_cut_between_frames_says_how_much_is_missing(whole: dict[str, bytes]) -> None:
    held = {name: data for name, data in whole.items() if name != "HEAD"}
    cut = held["00000001.jsonl"][: -len(frames_of(held["00000001.jsonl"])[-1])]
    with pytest.raises(JournalCorrupt, match="bytes are missing that were sealed"):
        list(Reader(Path(PATH), Memory({**held, "00000001.jsonl": cut})).walk())


def test_a_reader_that_goes_on_reports_what_it_saw_and_is_gone(whole: dict[str, bytes]) -> None:
    held = {name: data for name, data in whole.items() if name != "HEAD"}
    reader = Reader(Path(PATH), Memory(held))
    assert list(reader.walk()) and not list(reader.walk())
    held["00000003.jsonl"] = held["00000003.jsonl"][:-1]
    with pytest.raises(JournalCorrupt, match="bytes seen here are gone"):
        list(reader.walk())


def test_a_segment_that_says_it_is_another_one_is_corrupt() -> None:
    opening = msgspec.json.encode(journal.Open(1, "j", 2)) + b"\n"
    data, _ = journal.format.encode_frame(0, 0, 1, opening, journal.format.ZERO, 1.0)
    with pytest.raises(JournalCorrupt, match="belongs to another journal or place"):
        list(Reader(Path(PATH), Memory({"00000001.jsonl": data})).walk())
