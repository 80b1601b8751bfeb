"""What a writer promises: busy, poisoned, fenced, full disk, interrupts, modes, positions, durability."""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Union

import journal_torture as torture
import msgspec
import pytest
from journal_simulation import Disk, NoLock, SimFiles
from journal_torture import Rec

from journal import (
    Close,
    Journal,
    JournalBusy,
    JournalCorrupt,
    JournalError,
    JournalFenced,
    JournalGone,
    JournalMissing,
    JournalPoisoned,
    Open,
    Unknown,
    follow,
    frames,
    read,
    read_holder,
    unlock,
    verify,
)
from journal.files import Files
from journal.format import Frame
from journal.lock import Lock, mount_warning
from journal.reader import Reader


class Other(msgspec.Struct, frozen=True, tag_field="k", tag="other"):
    y: int


def numbers(path: Path) -> list[int]:
    return [entry.record.i for entry in read(path, Rec) if isinstance(entry.record, Rec)]


def test_what_was_committed_is_read_with_its_numbers_and_opens_again(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal"
    with Journal.open(path, Rec, application="tests 1", rules="abc", clock=lambda: 5.25) as writer:
        writer.append(Rec(0), Rec(1))
        position = writer.commit()
        assert position == writer.commit() == writer.position
    entries = list(read(path, Rec))
    assert [type(entry.record) for entry in entries] == [Open, Rec, Rec, Close]
    assert [entry.number for entry in entries] == [0, 1, 2, 3] and {entry.at for entry in entries} == {5.25}
    opening = entries[0].record
    assert (opening.v, opening.application, opening.rules, opening.pid) == (1, "tests 1", "abc", os.getpid())
    assert verify(path, expect=str(position)).status == "clean"
    seen: list[Frame[Any]] = []
    with Journal.open(path, Rec, replay=seen.append) as writer:
        assert [frame.number for frame in seen] == [0, 1, 2] and writer.records == 5
    assert {entry.record.journal for entry in read(path, Rec) if isinstance(entry.record, Open)} == {opening.journal}


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        path = tmp_path / "journal"
        with Journal.open(path, Rec) as writer:
            writer.append(Rec(1))
            writer.commit()
            files = [path / name for name in os.listdir(path)]
            assert {"LOCK", "LOCK.holder", "HEAD", "00000001.jsonl"} <= {file.name for file in files}
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
            assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
        Journal.open(path, Rec).close()
        assert stat.S_IMODE((path / "00000001.frozen").stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_the_directory_itself_is_durable(tmp_path: Path) -> None:
    synced: list[str] = []

    class Recording(Files):
        def sync_dir(self, path: str) -> None:
            synced.append(os.path.relpath(path, tmp_path))
            super().sync_dir(path)

    Journal.open(tmp_path / "a/b/c", Rec, files=Recording()).close()
    assert synced == [".", "a", "a/b", "a/b/c"]


def test_a_second_writer_hears_who_holds_it(tmp_path: Path) -> None:
    assert read_holder(tmp_path) is None
    with Journal.open(tmp_path, Rec, session="s1"):
        with pytest.raises(JournalBusy) as caught:
            Journal.open(tmp_path, Rec)
        said = f"process {os.getpid()} on {re.escape(os.uname().nodename)} since [0-9-]+ [0-9:]+"
        assert re.search(f"is being written by {said}; wait for it, or stop it", str(caught.value))
        holder = read_holder(tmp_path)
        assert holder is not None and (holder.pid, holder.session) == (os.getpid(), "s1")
        assert not list(tmp_path.glob("*.frozen")), "a refused writer touches nothing"
    assert read_holder(tmp_path) is None
    Journal.open(tmp_path, Rec).close()


def test_a_writer_waits_for_the_lock(tmp_path: Path) -> None:
    first = Journal.open(tmp_path, Rec)
    timer = threading.Timer(0.2, first.close)
    timer.start()
    Journal.open(tmp_path, Rec, timeout=30).close()
    timer.join()


@pytest.mark.parametrize("kind", [dict, Union[int, str], list])  # noqa: UP007
def test_a_failed_open_gives_the_lock_back(tmp_path: Path, kind: Any) -> None:
    with pytest.raises(TypeError, match="tag_field"):
        Journal.open(tmp_path, kind)

    def refuse(frame: Frame[Any]) -> None:
        raise KeyError("no")

    Journal.open(tmp_path, Rec).close()
    with pytest.raises(KeyError):
        Journal.open(tmp_path, Rec, replay=refuse)
    with pytest.raises(ValueError, match="durability"):
        Journal.open(tmp_path, Rec, durability="hope")
    Journal.open(tmp_path, Rec).close()


def broken(call: str, code: int, when: Callable[[str], bool] = lambda path: True) -> type[Files]:
    """Real files whose `call` fails while `on` is set."""

    def fail(self: Any, *arguments: Any) -> Any:
        if type(self).on:
            raise OSError(code, "injected")
        return getattr(Files, call)(self, *arguments)

    return type("Broken", (Files,), {call: fail, "on": False})


def test_a_failed_sync_poisons_for_good(tmp_path: Path) -> None:
    kind = broken("datasync", errno.EIO)
    writer = Journal.open(tmp_path, Rec, files=kind())
    kind.on = True  # type: ignore[attr-defined]
    writer.append(Rec(0))
    with pytest.raises(JournalPoisoned, match=r"fsync failed.*unknown"):
        writer.commit()
    kind.on = False  # type: ignore[attr-defined]
    for act in (writer.commit, lambda: writer.append(Rec(1))):
        with pytest.raises(JournalPoisoned):
            act()
    head = Reader(tmp_path).read_head()
    assert head is not None and head.poisoned and head.frames == 1
    writer.close()
    with Journal.open(tmp_path, Rec) as writer:
        writer.append(Rec(1))
    assert numbers(tmp_path) == [0, 1]


def test_a_directory_that_cannot_be_synced_is_never_acknowledged(tmp_path: Path) -> None:
    kind = broken("sync_dir", errno.EIO)
    writer = Journal.open(tmp_path, Rec, files=kind(), segment_bytes=10)
    before, head = writer.position, Reader(tmp_path).read_head()
    kind.on = True  # type: ignore[attr-defined]
    writer.append(Rec(0))
    with pytest.raises(JournalPoisoned, match="cannot be synced"):
        writer.commit()
    after = Reader(tmp_path).read_head()
    assert head is not None and after == msgspec.structs.replace(head, poisoned=True)
    assert writer.position == before
    writer.close()


def test_a_full_disk_leaves_nothing_and_the_writer_goes_on(tmp_path: Path) -> None:
    kind = broken("write", errno.ENOSPC)
    with Journal.open(tmp_path, Rec, files=kind()) as writer:
        writer.append(Rec(0))
        size = (tmp_path / "00000001.jsonl").stat().st_size
        kind.on = True  # type: ignore[attr-defined]
        for _ in range(2):
            with pytest.raises(OSError, match="injected"):
                writer.commit()
        kind.on = False  # type: ignore[attr-defined]
        assert (tmp_path / "00000001.jsonl").stat().st_size == size
        writer.append(Rec(1))
        writer.commit()
    assert numbers(tmp_path) == [0, 1]


def test_what_was_taken_back_is_off_the_disk_before_the_next_try() -> None:
    """Else a power loss could mix the first try with a second one that differs from it."""
    disk = Disk()
    files = SimFiles(disk)
    writer = torture.open_journal(files)
    writer.append(Rec(0, "x" * 900))
    files.faults = {len(files.calls) + 2: "enospc"}
    with pytest.raises(OSError, match="simulated"):
        writer.commit()
    segment = disk.names[f"{torture.PATH}/00000001.jsonl"]
    assert files.calls[-2:] == ["truncate", "datasync"]
    assert segment.cache == segment.disk and not segment.dirty


@pytest.mark.parametrize("call", ["size", "exists"])
def test_an_error_after_the_write_is_no_invitation_to_try_again(tmp_path: Path, call: str) -> None:
    kind = broken(call, errno.ESTALE)
    files = kind()
    writer = Journal.open(tmp_path, Rec, files=files)
    writer.append(Rec(0))
    files.datasync = lambda fd: setattr(kind, "on", True)  # type: ignore[method-assign]
    with pytest.raises(JournalPoisoned):
        writer.commit()
    kind.on = False  # type: ignore[attr-defined]
    with pytest.raises(JournalPoisoned):
        writer.commit()
    writer.close()


def test_a_writer_that_was_taken_over_is_fenced_at_its_next_commit(tmp_path: Path) -> None:
    class Nothing(Lock):
        def acquire(self, timeout: float, session: str) -> None:
            return

    first = Journal.open(tmp_path, Rec, lock=Nothing(tmp_path))
    first.append(Rec(0))
    first.commit()
    with Journal.open(tmp_path, Rec, lock=Nothing(tmp_path)) as second:
        first.append(Rec(1))
        with pytest.raises(JournalFenced, match="took over"):
            first.commit()
        with pytest.raises(JournalFenced):
            first.append(Rec(2))
        first.close()
        second.append(Rec(3))
    assert numbers(tmp_path) == [0, 3]
    report = verify(tmp_path)
    assert report.status == "foreign" and "written after it was sealed" in report.warnings[0]


def test_an_interrupt_in_the_middle_of_a_commit_ends_the_writer_and_loses_nothing(tmp_path: Path) -> None:
    class Interrupted(Files):
        def datasync(self, fd: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Journal.open(tmp_path, Rec, files=Interrupted()) as writer:
        writer.append(Rec(0))
        writer.commit()
    assert numbers(tmp_path) == [0]
    with pytest.raises(JournalPoisoned, match="interrupted"):
        writer.append(Rec(1))


def test_an_error_of_the_body_is_the_one_that_is_raised_and_its_name_is_the_last_record(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), Journal.open(tmp_path, Rec) as writer:
        writer.append(Rec(0))
        raise ZeroDivisionError
    assert [e.record for e in read(tmp_path, Rec)][1:] == [Rec(0), Close("ZeroDivisionError")]
    writer.close()
    with pytest.raises(JournalError, match="is closed"):
        writer.append(Rec(1))


def test_a_thousand_buffered_records_are_committed(tmp_path: Path) -> None:
    with Journal.open(tmp_path, Rec) as writer:
        for nth in range(999):
            writer.append(Rec(nth))
        assert writer.position.records == 1
        writer.append(Rec(999))
        assert writer.position.records == 1001


def test_records_of_a_newer_version_are_handed_over_and_those_that_changed_are_not(tmp_path: Path) -> None:
    with Journal.open(tmp_path, Union[Rec, Other], needs=["other", "other"]) as writer:  # noqa: UP007
        writer.append(Rec(0), Other(5), Rec(1))
    found = [r for f in frames(tmp_path, Rec) for r in f.records][1:-1]
    assert found == [Rec(0), Unknown("other", b'{"k":"other","y":5}'), Rec(1)]
    assert verify(tmp_path).needs == ("other",)

    class Changed(msgspec.Struct, frozen=True, tag_field="k", tag="other"):
        y: str

    with pytest.raises(JournalCorrupt, match="a record cannot be read"):
        list(frames(tmp_path, Union[Rec, Changed]))  # noqa: UP007
    assert [r for f in frames(tmp_path, dict) for r in f.records][2] == {"k": "other", "y": 5}


def test_a_newer_format_is_refused(tmp_path: Path) -> None:
    Journal.open(tmp_path, Rec).close()
    from journal.format import ZERO, encode_frame

    payload = msgspec.json.encode(Open(2, "j", 1)) + b"\n"
    (tmp_path / "00000001.jsonl").write_bytes(encode_frame(0, 0, 1, payload, ZERO, 1.0)[0])
    (tmp_path / "HEAD").unlink()
    assert "format version 2 is newer than 1" in verify(tmp_path).problem


@pytest.mark.parametrize("level", ["process", "commit", "paranoid"])
def test_durability_levels(level: str) -> None:
    disk = Disk()
    files = SimFiles(disk)
    writer = torture.open_journal(files, durability=level, segment_bytes=700)
    start = len(files.calls)
    writer.append(Rec(0, "x" * 700))
    writer.commit()
    made = files.calls[start:]
    assert (made.count("datasync"), made.count("sync")) == {"process": (0, 0), "commit": (1, 0), "paranoid": (1, 1)}[
        level
    ]
    start = len(files.calls)
    writer.append(Rec(1))
    writer.commit()  # into a new segment: what it seals is on the disk, whatever the level
    made = files.calls[start:]
    assert "datasync" in made[: made.index("link")] or level != "process"
    files.gone = True
    assert torture.recovered(disk) == 2
    assert next(frames(torture.PATH, Rec, files=SimFiles(disk))).records[0].durability == level


def test_follow_yields_what_is_committed_and_looks_only_at_sizes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    plain = Files.read

    def counted(self: Files, path: str, size: int = -1) -> bytes:
        reads.append(path)
        return plain(self, path, size)

    monkeypatch.setattr(Files, "read", counted)
    writer = Journal.open(tmp_path, Rec, segment_bytes=600)
    seen: list[int] = []
    looks: list[int] = []

    def stop() -> bool:
        looks.append(len(reads))
        if len(looks) in (4, 8, 12):
            writer.append(Rec(len(looks), "x" * 400))
            writer.commit()
        return len(looks) == 16

    for frame in follow(tmp_path, Rec, poll=0, stop=stop):
        seen += [record.i for record in frame.records if isinstance(record, Rec)]
    writer.close()
    assert seen == [4, 8, 12]
    quiet = [b - a for a, b in pairwise(looks)]
    assert quiet[1:3] == quiet[5:7] == quiet[9:11] == [0, 0], "nothing new, nothing read"


def test_follow_finishes_a_torn_tail_when_it_is_completed(tmp_path: Path) -> None:
    writer = Journal.open(tmp_path, Rec)
    segment = tmp_path / "00000001.jsonl"
    writer.append(Rec(0, "x" * 2000))
    writer.commit()
    whole = segment.read_bytes()
    (tmp_path / "HEAD").unlink()
    segment.write_bytes(whole[:1024] + bytes(512) + whole[1536:])  # the size is right, the bytes are not there yet
    steps = iter([False, False, True, False])

    def stop() -> bool:
        step = next(steps, None)
        if step:
            segment.write_bytes(whole)
        return step is None

    assert [type(f.records[0]) for f in follow(tmp_path, Rec, poll=0, stop=stop)] == [Open, Rec]
    writer.close()


def test_what_a_file_server_shows_late_is_opened_once_more(tmp_path: Path) -> None:
    with Journal.open(tmp_path, Rec, segment_bytes=600) as writer:
        for nth in range(4):
            writer.append(Rec(nth, "x" * 300))
            writer.commit()

    class Behind(Files):
        """The first look at each name is stale."""

        def __init__(self, stale: Callable[[bytes], bytes]) -> None:
            self.stale, self.looked = stale, set[str]()

        def read(self, path: str, size: int = -1) -> bytes:
            data = super().read(path, size)
            if path in self.looked or path.endswith("HEAD"):
                return data
            self.looked.add(path)
            return self.stale(data)

        def names(self, path: str) -> list[str]:
            found = super().names(path)
            if "names" not in self.looked:
                self.looked.add("names")
                found = [name for name in found if not name.startswith("00000002")]
            return found

    def gone(data: bytes) -> bytes:
        raise FileNotFoundError(errno.ENOENT, "not yet here")

    for stale in (
        lambda data: data[: len(data) // 2],
        lambda data: b"",
        lambda data: data[:40] + bytes(len(data) - 40),
        gone,
    ):
        found = [r.i for f in frames(tmp_path, Rec, files=Behind(stale)) for r in f.records if isinstance(r, Rec)]
        assert found == [0, 1, 2, 3]


def test_a_link_whose_answer_was_lost_is_no_rival(tmp_path: Path) -> None:
    class Retransmitted(Files):
        def link(self, old: str, new: str) -> None:
            super().link(old, new)
            raise FileExistsError(errno.EEXIST, "the server had done it already")

    with Journal.open(tmp_path, Rec, files=Retransmitted()) as writer:
        writer.append(Rec(0))
    assert numbers(tmp_path) == [0]


MOUNTS = """\
22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:30 / /home rw shared:2 - nfs4 srv:/home rw,vers=4.2,local_lock=none,addr=1.2.3.4
31 22 0:31 / /old rw - nfs srv:/old rw,vers=3,nolock,local_lock=all
32 22 0:32 / /flocal rw - nfs srv:/f rw,vers=3,local_lock=flock
33 22 0:33 / /scratch rw - lustre 1@tcp:/s rw,flock,lazystatfs
34 22 0:34 / /work rw - lustre 1@tcp:/w rw,localflock
35 22 0:35 / /bare rw - lustre 1@tcp:/b rw,lazystatfs
36 22 0:36 / /with\\040space rw - nfs srv:/x rw,nolock
37 22 0:37 / /home/auto rw - autofs systemd-1 rw
38 22 0:38 / /home/auto rw - nfs srv:/auto rw,nolock
39 22 0:39 / /far rw - fuse.sshfs me@far:/ rw,user_id=1000
40 22 0:40 / /bound rw - fuse /disk rw
41 22 0:41 / /gluster rw - fuse.glusterfs srv:/v rw
42 22 8:42 / /stick rw - fuseblk /dev/sdb1 rw
a line that is none
"""


@pytest.mark.parametrize(
    ("path", "warned"),
    [
        ("/somewhere/x", ""),
        ("/home/u/x", ""),
        ("/homes/x", ""),
        ("/old/x", "/old (nfs)"),
        ("/flocal", "/flocal (nfs)"),
        ("/scratch/x", ""),
        ("/work/x", "/work (lustre)"),
        ("/bare/x", "/bare (lustre)"),
        ("/with space/x", "/with space (nfs)"),
        ("/home/auto/x", "/home/auto (nfs)"),
        ("/far/x", "/far (fuse.sshfs)"),
        ("/bound/x", "/bound (fuse)"),
        ("/gluster/x", ""),
        ("/stick/x", ""),
    ],
)
def test_mounts_where_a_lock_is_local(path: str, warned: str) -> None:
    said = mount_warning(Path(path), MOUNTS)
    assert said == (
        f"locks on {warned} exclude only processes of one node; do not start a second run elsewhere" if warned else ""
    )


class Backwards(Files):
    """A listing that goes back in time: of the names made since the first one, only the second shows any."""

    def __init__(self) -> None:
        self.first: list[str] | None = None
        self.asked = 0

    def names(self, path: str) -> list[str]:
        self.asked += 1
        self.first = super().names(path) if self.first is None else self.first
        return super().names(path) if self.asked == 2 else self.first


def test_what_is_read_is_what_was_frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rival begins a segment behind a listing that does not show it: nothing of it may be sealed while it writes."""
    Journal.open(tmp_path, Rec).close()
    files, touch, rival = Backwards(), Files.touch, list[Journal[Any]]()

    def meanwhile(self: Files, path: str) -> None:
        touch(self, path)
        if self is files and not rival:
            rival.append(Journal.open(tmp_path, Rec, lock=NoLock()))
            rival[0].append(Rec(1))
            rival[0].commit()

    monkeypatch.setattr(Files, "touch", meanwhile)
    with pytest.raises(JournalFenced, match="at the same time"):
        Journal.open(tmp_path, Rec, lock=NoLock(), files=files)
    rival[0].append(Rec(2))
    rival[0].commit()
    rival[0].close()
    assert numbers(tmp_path) == [1, 2]
    assert verify(tmp_path).status == "clean"


def test_unlock_shuts_the_holder_out_and_lets_the_next_one_in(tmp_path: Path) -> None:
    holder = Journal.open(tmp_path, Rec, session="s1")
    holder.append(Rec(1))
    holder.commit()
    told = unlock(tmp_path)
    assert told is not None and (told.pid, told.session) == (os.getpid(), "s1")
    with pytest.raises(JournalFenced, match="another writer"):
        holder.confirm()
    with Journal.open(tmp_path, Rec) as after:
        after.append(Rec(3))
    with pytest.raises(JournalFenced):
        holder.commit()
    holder.close()
    assert read_holder(tmp_path) is None
    assert numbers(tmp_path) == [1, 3]
    with pytest.raises(JournalMissing):
        unlock(tmp_path / "nowhere")


def test_unlock_takes_hard_link_claims_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where flock is unknown: the claim of a host that died is never broken by age, only by an operator."""
    from filelock import FileLock

    def unknown(self: Any, **_: Any) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(FileLock, "acquire", unknown)
    holder = Journal.open(tmp_path, Rec)
    with pytest.raises(JournalBusy):
        Journal.open(tmp_path, Rec)
    unlock(tmp_path)
    with Journal.open(tmp_path, Rec) as after:
        after.append(Rec(1))
    assert numbers(tmp_path) == [1]
    with pytest.raises(JournalFenced):
        holder.confirm()


def test_a_holder_on_another_host_can_be_shut_out(tmp_path: Path) -> None:
    with Journal.open(tmp_path, Rec):
        kept = (tmp_path / "LOCK.holder").read_text()
        (tmp_path / "LOCK.holder").write_text(kept.replace(os.uname().nodename, "login9"))
        with pytest.raises(JournalBusy) as caught:
            Journal.open(tmp_path, Rec)
    assert caught.value.elsewhere
    assert "on login9 since" in str(caught.value)
    assert f"`python -m journal unlock {tmp_path}` shuts it out" in str(caught.value)


def test_a_journal_that_is_deleted_under_its_writer(tmp_path: Path) -> None:
    """Noticed before the world is touched, and at the next commit; the writer ends there."""
    with suppress(JournalGone), Journal.open(tmp_path / "j", Rec) as log:
        log.append(Rec(1))
        log.commit()
        shutil.rmtree(tmp_path / "j")
        with pytest.raises(JournalGone, match="was deleted while it was being written"):
            log.confirm()
        with pytest.raises(JournalGone):
            log.append(Rec(2))
    assert not (tmp_path / "j").exists()
