"""No acknowledged record is lost, at whatever call the process or the machine stops; and the check itself can fail."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import journal_torture as torture
import pytest
from journal_simulation import Disk, SimFiles
from journal_torture import Rec

import journal.format
import journal.reader
import journal.segment
import journal.takeover
import journal.writer
from journal import Journal, JournalBusy
from journal.lock import Lock
from journal.segment import Segment

pytestmark = pytest.mark.slow

SEEDS = (1, 2, 3)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.WARNING)  # simulated errors are logged by the thousand
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_call_times_every_fault_times_kill_and_power_loss(seed: int) -> None:
    found = list(torture.explore(seed, outcomes=3))
    print(f"seed {seed}: {len(found)} crash states")
    assert len(found) > 1000
    assert [each for each in found if each] == []


@pytest.mark.parametrize("seed", range(100, 104))
def test_two_faults_in_one_life(seed: int) -> None:
    rng = random.Random(seed)
    plain = list(torture.states(seed, outcomes=1))
    for _ in range(100):
        (first, power, outcome), (second, _, _) = rng.choice(plain), rng.choice(plain)
        torture.check(seed, {**first, **second}, power, outcome)


def test_a_second_writer_at_every_call_without_any_lock() -> None:
    found = list(torture.rivals())
    assert len(found) > 50
    assert [each for each in found if each] == []


def test_a_living_writer_rotates_at_every_call_of_a_second_ones_opening() -> None:
    found = list(torture.rotations())
    assert len(found) > 10
    assert [each for each in found if each] == []


@pytest.mark.parametrize("fault", ["eio", "interrupt", "crash"])
def test_a_crash_at_every_call_of_the_first_open_ever_leaves_a_journal_that_opens(fault: str) -> None:
    probe = SimFiles(Disk())
    torture.open_journal(probe).close()
    for number in range(1, len(probe.calls) + 1):
        for power in (False, True):
            disk, progress = Disk(), torture.Progress()
            torture.work(SimFiles(disk, {number: fault}), progress, random.Random(1), commits=0)
            (disk.lost_power if power else disk.killed)(random.Random(number))
            again = torture.Progress()
            assert torture.work(SimFiles(disk), again, random.Random(2), commits=2) == "done", (number, fault, power)
            assert torture.settle(disk, again) == again.acked


# -- the harness must notice a broken writer

Patch = Callable[[pytest.MonkeyPatch], Any]


def _without(*calls: str) -> type[SimFiles]:
    """Files whose calls of these names do nothing: as if the writer did not make them."""
    return type("Without", (SimFiles,), {call: lambda self, *_: None for call in calls})


def _no_sync(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Segment, "sync", lambda self: None)


def _no_directory_sync(patch: pytest.MonkeyPatch) -> type[SimFiles]:
    return _without("sync_dir")


def _no_sync_of_a_new_segment(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(journal.segment, "_sync", lambda files, fd, name: None)


def _failed_sync_tried_again(patch: pytest.MonkeyPatch) -> None:
    def sync(self: Segment) -> None:
        try:
            self._files.datasync(self._fd)
        except OSError:
            self._files.datasync(self._fd)

    patch.setattr(Segment, "sync", sync)


def _partial_write_left(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Segment, "undo", lambda self, error: None)
    patch.setattr(Segment, "_expect", lambda self, size, why: None)


def _short_write_believed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(journal.segment, "write_all", lambda files, fd, data: files.write(fd, data))
    patch.setattr(Segment, "_expect", lambda self, size, why: None)


def _acknowledged_before_the_sync(patch: pytest.MonkeyPatch) -> None:
    put = Segment.put

    def late(self: Segment, data: bytes, sync: bool) -> None:
        self.sync()
        put(self, data, sync=False)

    patch.setattr(Segment, "put", late)


def _watermark_ahead(patch: pytest.MonkeyPatch) -> None:
    put = Segment.put

    def lead(self: Segment, data: bytes, sync: bool) -> None:
        head = journal.head.Head(10**6, self.number, self.end + len(data), "0" * 32)
        for fd, (inode, append) in list(self._files.open.items()):  # type: ignore[attr-defined]
            if not append and inode is self._files.disk.names["/j/HEAD"]:  # type: ignore[attr-defined]
                self._files.pwrite(fd, *journal.head.encode_head(head))
        put(self, data, sync)

    patch.setattr(Segment, "put", lead)


def _tail_not_hardened(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(journal.takeover, "harden", lambda reader: None)


def _tail_synced_and_not_written_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(journal.takeover, "pwrite_all", lambda files, fd, data, at: None)


def _digest_not_checked(patch: pytest.MonkeyPatch) -> None:
    class Constant:
        def __init__(self, data: bytes = b"") -> None:
            return

        def update(self, data: bytes) -> None:
            return

        def hexdigest(self) -> str:
            return "0" * 64

    patch.setattr(journal.format, "sha256", Constant)


def _hole_not_recognised(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(journal.format, "_torn", lambda data, start, end, short: short)


def _seal_not_honoured(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(journal.reader.Reader, "_sealed", lambda self, segment, data, seal: data)


def _poison_forgotten(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Segment, "_expect", lambda self, size, why: None)
    patch.setattr(Journal, "_alive", lambda self: setattr(self, "_dead", None))
    patch.setattr(torture, "_commit", _stubborn(torture._commit))


def _stubborn(commit: Callable[..., None]) -> Callable[..., None]:
    def again(writer: Journal[Rec], progress: torture.Progress, rng: random.Random) -> None:
        try:
            commit(writer, progress, rng)
        except journal.JournalPoisoned:
            writer.commit()
            progress.acked = progress.tried

    return again


MUTANTS: list[Patch] = [
    _no_sync,
    _no_directory_sync,
    _no_sync_of_a_new_segment,
    _failed_sync_tried_again,
    _partial_write_left,
    _short_write_believed,
    _acknowledged_before_the_sync,
    _watermark_ahead,
    _tail_not_hardened,
    _tail_synced_and_not_written_again,
    _digest_not_checked,
    _hole_not_recognised,
    _seal_not_honoured,
    _poison_forgotten,
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__.strip("_"))
def test_the_crash_check_catches(mutant: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    make = mutant(monkeypatch) or SimFiles
    assert next((each for seed in (1, 2, 3) for each in _safely(torture.explore(seed, 4, make)) if each), "") != ""


def _safely(found: Iterator[str]) -> Iterator[str]:
    """A mutant that falls over is caught as well."""
    try:
        yield from found
    except torture.Violation as error:
        yield str(error)


def _freeze_not_checked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Segment, "check_frozen", lambda self: None)
    patch.setattr(Segment, "_expect", lambda self, size, why: None)


def _freeze_not_written(patch: pytest.MonkeyPatch) -> type[SimFiles]:
    return _without("touch")


def _published_by_overwriting(patch: pytest.MonkeyPatch) -> type[SimFiles]:
    def link(self: SimFiles, old: str, new: str) -> None:
        self.disk.rename(new, self.disk.names[old])

    return type("Overwriting", (SimFiles,), {"link": link})


@pytest.mark.parametrize(
    "mutant",
    [_freeze_not_checked, _freeze_not_written, _published_by_overwriting],
    ids=lambda mutant: mutant.__name__.strip("_"),
)
def test_the_check_with_a_rival_catches(mutant: Patch, monkeypatch: pytest.MonkeyPatch) -> None:
    make = mutant(monkeypatch) or SimFiles
    assert any(torture.rivals(make))


def test_the_check_with_rotations_catches_one_who_does_not_list_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def take_over(reader: journal.reader.Reader, codec: Any, replay: Any) -> None:
        before = reader.segments()
        if before:
            reader.files.touch(f"{reader.path}/{before[-1]:08d}.frozen")
        for _ in journal.reader.decoded(reader, codec):
            pass

    monkeypatch.setattr(journal.takeover, "take_over", take_over)
    assert any(torture.rotations())


class ReleasedEarly(Lock):
    def acquire(self, timeout: float, session: str) -> None:
        super().acquire(timeout, session)
        self.release()


def _second_is_refused(path: Path, kind: type[Lock]) -> bool:
    with Journal.open(path, Rec, lock=kind(path)):
        try:
            Journal.open(path, Rec, lock=kind(path)).close()
        except JournalBusy:
            return True
        except journal.JournalError:
            return False
    return False


def test_the_check_of_the_lock_catches_one_that_is_released_early(tmp_path: Path) -> None:
    assert _second_is_refused(tmp_path / "a", Lock)
    try:
        refused = _second_is_refused(tmp_path / "b", ReleasedEarly)
    except journal.JournalFenced:  # the first writer, at its closing: the freeze did what the lock did not
        refused = False
    assert not refused
