"""The mistakes made while the format was built (each number is the one of the design notes), one test for each."""

from __future__ import annotations

import errno
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import journal_torture as torture
import msgspec
import pytest
from journal_simulation import Disk, SimFiles
from journal_torture import Rec

from journal import Journal, JournalBusy, JournalCorrupt, JournalFenced, JournalPoisoned, frames, verify
from journal.files import Files
from journal.format import Bad, Codec, encode_frame, parse_frame
from journal.lock import Lock


class Typed(msgspec.Struct, frozen=True, tag_field="k", tag="typed"):
    text: str = ""
    number: float = 0.0
    raw: Any = None


def test_1_bytes_that_are_not_utf8_are_corrupt_and_not_a_unicode_error(tmp_path: Path) -> None:
    with Journal.open(tmp_path, Rec) as writer:
        writer.append(Rec(1, "hello"))
    for target in (b'"f"', b"hello"):
        file = tmp_path / "00000001.jsonl"
        whole = file.read_bytes()
        at = whole.rindex(target) + 1
        file.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
        assert verify(tmp_path).status == "corrupt"
        with pytest.raises(JournalCorrupt):
            list(frames(tmp_path, Rec))
        file.write_bytes(whole)
    frame, _ = encode_frame(0, 0, 1, b'{"k":"rec","i":1,"x":"\xff"}\n', "0" * 32, 1.0)  # the digest is right
    with pytest.raises(ValueError, match=r"(?i)utf-8"):
        Codec[Rec](Rec).decode(parse_frame(frame, 0)[1])


@pytest.mark.parametrize(
    "record",
    [
        Typed(text=5),  # type: ignore[arg-type]
        Typed(number=float("nan")),
        Typed(number=float("inf")),
        Typed(text="\udcff from stderr"),
        Typed(raw=msgspec.Raw(b'{"a":\n1}')),
        Typed(raw=(1, 2)),
        Typed(raw={1: 2}),
        Rec(1),
    ],
    ids=["type", "nan", "inf", "surrogate", "raw line end", "tuple", "key", "another kind"],
)
def test_2_what_would_not_read_back_is_refused_at_append_and_leaves_nothing(tmp_path: Path, record: Any) -> None:
    with Journal.open(tmp_path, Typed) as writer:
        writer.append(Typed("before"))
        with pytest.raises((ValueError, TypeError)):
            writer.append(Typed("with it"), record)
        writer.append(Typed("after"))
        writer.commit()
    found = [r.text for frame in frames(tmp_path, Typed) for r in frame.records if isinstance(r, Typed)]
    assert found == ["before", "after"]


def test_3_rotation_comes_before_a_commit_and_never_fails_one_that_is_durable() -> None:
    disk = Disk()
    files = SimFiles(disk)
    writer = torture.open_journal(files, segment_bytes=600)
    writer.append(Rec(0, "x" * 700))
    writer.commit()
    calls = files.calls[-4:]
    assert calls == ["datasync", "size", "exists", "pwrite"], "nothing may follow the acknowledgement"
    files.faults = {len(files.calls) + 1: "eio"}  # the first call of the rotation
    writer.append(Rec(1))
    with pytest.raises(OSError, match="simulated"):
        writer.commit()
    writer.commit()
    writer.close()
    assert torture.recovered(disk) == 2


def test_4_an_error_while_the_old_segment_is_closed_does_not_publish_twice() -> None:
    disk = Disk()
    files = SimFiles(disk)
    writer = torture.open_journal(files, segment_bytes=600)
    for nth in range(3):
        writer.append(Rec(nth, "x" * 700))
        files.before = lambda number: _fail_closing(files)
        writer.commit()
    files.before = None
    writer.close()
    assert torture.recovered(disk) == 3
    assert sorted(name for name in disk.copy() if name.endswith(".jsonl"))[-1] == "00000004.jsonl"


def _fail_closing(files: SimFiles) -> None:
    if files.calls[-1] == "close":
        files.faults[len(files.calls)] = "eio"


def test_5_every_try_to_publish_has_a_new_name(tmp_path: Path) -> None:
    class LinkFails(Files):
        failures = 2
        drafts: list[str] = []

        def link(self, old: str, new: str) -> None:
            self.drafts.append(old)
            if self.failures and new.endswith("2.jsonl"):
                self.failures -= 1
                raise OSError(errno.EIO, "injected")
            super().link(old, new)

        def unlink(self, path: str) -> None:
            if self.failures:
                raise OSError(errno.EIO, "injected: the draft stays")
            super().unlink(path)

    files = LinkFails()
    writer = Journal.open(tmp_path, Rec, files=files, segment_bytes=10)
    writer.append(Rec(0))
    for _ in range(2):
        with pytest.raises(OSError, match="injected"):
            writer.commit()
    writer.commit()
    writer.close()
    assert len(set(files.drafts)) == len(files.drafts) >= 4
    assert list(tmp_path.glob("*.tmp"))
    Journal.open(tmp_path, Rec).close()
    assert not list(tmp_path.glob("*.tmp")), "the next writer tidies up"
    assert verify(tmp_path).status == "clean"


def test_6_what_a_failed_sync_left_in_the_cache_is_written_again_before_it_is_sealed() -> None:
    for seed in range(40):
        disk = Disk()
        files = SimFiles(disk)
        writer = torture.open_journal(files)
        writer.append(Rec(0, "x" * 900))
        files.faults = {len(files.calls) + 3: "eio_sync"}
        with pytest.raises(JournalPoisoned):
            writer.commit()
        assert files.calls[len(files.calls) - 2] == "datasync"
        files.gone = True  # killed
        again = torture.open_journal(SimFiles(disk))
        there = torture.recovered(disk)
        again.append(Rec(there))
        again.commit()
        disk.lost_power(random.Random(seed))
        assert torture.recovered(disk) == there + 1


@pytest.mark.parametrize("nth", [1, 2])
def test_7_a_short_write_that_was_reported_as_whole_is_not_acknowledged(nth: int) -> None:
    disk = Disk()
    files = SimFiles(disk)
    if nth == 1:  # of the opening frame
        files.before = lambda number: files.faults.update({number: "lie"}) if files.calls[-1] == "write" else None
        with pytest.raises(JournalPoisoned, match="does not hold what was written"):
            torture.open_journal(files)
        return
    writer = torture.open_journal(files)
    writer.append(Rec(0, "x" * 100))
    files.faults = {len(files.calls) + 2: "lie"}
    with pytest.raises(JournalFenced, match="does not hold what was written"):
        writer.commit()
    assert writer.position.records == 1
    assert torture.recovered(disk) == 0


def test_8_the_watermark_is_read_before_the_listing() -> None:
    disk = Disk()
    writer = torture.open_journal(SimFiles(disk), segment_bytes=10)

    class Slow(SimFiles):
        def names(self, path: str) -> list[str]:
            found = super().names(path)
            writer.append(Rec(0))
            writer.commit()  # a new segment, acknowledged, after this reader's listing
            return found

    assert len(list(frames(torture.PATH, Rec, files=Slow(disk)))) >= 1


def test_9_a_sector_of_one_byte_is_no_torn_write() -> None:
    """A frame starts with { and ends with a line end, neither of which is one bit from NUL."""
    frame, _ = encode_frame(0, 0, 1, b'{"k":"rec","i":1}\n', "0" * 32, 1.0)
    for lead in (512 - len(frame) + 1, 511):  # the last byte, then the first, alone in its sector
        for at in (0, len(frame) - 1):
            for bit in range(8):
                damaged = frame[:at] + bytes([frame[at] ^ 1 << bit]) + frame[at + 1 :]
                whole = b" " * lead + damaged + b"\n" * 512
                with pytest.raises(Bad) as caught:
                    parse_frame(whole, lead)
                assert not caught.value.torn


def test_10_where_flock_is_unknown_claims_by_hard_links_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    from filelock import SoftFileLock, StrictSoftFileLock

    def unknown(fd: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", unknown)
    lock = Lock(tmp_path)
    with Journal.open(tmp_path, Rec, lock=lock):
        assert type(lock._lock) is StrictSoftFileLock and not isinstance(lock._lock, SoftFileLock)
        with pytest.raises(JournalBusy, match="is being written by process"):
            Journal.open(tmp_path, Rec)
    Journal.open(tmp_path, Rec).close()


def test_11_reading_loads_no_lock() -> None:
    code = "import sys, journal, journal.__main__; sys.exit(any(n.split('.')[0] == 'filelock' for n in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=False).returncode == 0
