"""The one writer of a journal.

    with Journal.open(path, Event, replay=fold) as journal:      lock, freeze, verify, seal, new segment
        journal.append(event)                                    buffered, read back
        journal.commit()                                         one frame, one write, one fdatasync

Nothing that was written is ever overwritten or cut. Each session opens a new
segment, whose first record seals the one before at its last good byte: a torn
tail stays where it is and is ignored for good. Before it reads that segment a
new writer freezes it (an empty file `<k>.frozen`); a writer looks for that
file after its sync and before it acknowledges. So even where the lock does
not exclude, no acknowledged record is lost: the older writer is refused.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

from .errors import JournalError, JournalFenced, JournalPoisoned
from .files import Files
from .format import VERSION, ZERO, Close, Codec, Frame, Open, Position, encode_frame
from .head import Head, encode_head
from .lock import Lock, mount_warning
from .reader import Reader, decoded

E = TypeVar("E")
_log = logging.getLogger(__name__)

#: Most records that wait for a commit.
BUFFER = 1000
SEGMENT = 64 << 20


class Journal(Generic[E]):
    """A journal open for writing; made by `Journal.open`."""

    def __init__(self, path: Path, codec: Codec[E], files: Files, lock: Lock, clock: Callable[[], float]) -> None:
        self.path, self._codec, self._files, self._lock, self._clock = path, codec, files, lock, clock
        self._buffer: list[bytes] = []
        self._waiting = 0
        self._fd, self._head_fd = -1, -1
        self._segment, self._end, self._digest, self._frames = 0, 0, ZERO, 0
        self._dead = ""
        self._tries = 0
        self._opening = Open(VERSION, "", 0)
        self.records = 0
        self.torn_bytes = 0
        self.warnings: list[str] = []
        self.segment_bytes = SEGMENT
        self.durability = "commit"

    # -- opening ------------------------------------------------------------------------------------------------

    @classmethod
    def open(
        cls,
        path: Path | str,
        kind: Any,
        *,
        application: str = "",
        rules: str = "",
        needs: Sequence[str] = (),
        replay: Callable[[Frame[Any]], None] | None = None,
        timeout: float = 0.0,
        durability: str = "commit",
        files: Files | None = None,
        lock: Lock | None = None,
        clock: Callable[[], float] = time.time,
        session: str | None = None,
        segment_bytes: int = SEGMENT,
    ) -> Journal[Any]:
        """Take the lock, verify what is there, seal it and open a new segment.

        `kind` is the union of the records' structs; `replay` is called with every frame found, in order.
        `application`, `rules` (a digest of the rules records are judged by) and `needs` (kinds a reader must know)
        stand in the opening record. `durability`: process (no sync), commit (fdatasync at each commit), paranoid
        (HEAD is synced too). `timeout` in seconds is how long to wait for the lock.

        Raises JournalBusy, JournalCorrupt, JournalFenced, OSError; ValueError for an unknown durability.
        """
        if durability not in ("process", "commit", "paranoid"):
            raise ValueError(f"durability {durability!r}: one of process, commit, paranoid")
        where = Path(path).absolute()
        where.mkdir(mode=0o700, parents=True, exist_ok=True)
        session = session or secrets.token_hex(8)
        held = lock or Lock(where)
        held.acquire(timeout, session)
        journal: Journal[Any] = cls(where, Codec(kind), files or Files(), held, clock)
        journal.durability, journal.segment_bytes = durability, segment_bytes
        journal._opening = journal._introduction(session, application, rules, tuple(needs))
        try:
            journal._recover(replay)
        except BaseException:
            journal._let_go()
            raise
        return journal

    def _introduction(self, session: str, application: str, rules: str, needs: tuple[str, ...]) -> Open:
        return Open(
            v=VERSION,
            journal="",
            seg=0,
            host=os.uname().nodename,
            pid=os.getpid(),
            boot=_boot(),
            session=session,
            application=application,
            rules=rules,
            schema=self._codec.schema(),
            durability=self.durability,
            needs=needs,
        )

    def _recover(self, replay: Callable[[Frame[Any]], None] | None) -> None:
        self.warnings += [warning] if (warning := mount_warning(self.path)) else []
        reader = Reader(self.path, self._files)
        before = reader.segments()
        if before:  # frozen before it is read: a writer that still lives finds out before it acknowledges
            self._files.touch(f"{self.path}/{before[-1]:08d}.frozen")
            self._files.sync_dir(str(self.path))
        for frame in decoded(reader, self._codec):
            if replay is not None:
                replay(frame)
        if reader.segments() != before:
            raise JournalFenced(f"{self.path}: another writer opened it at the same time; the lock does not exclude")
        self.warnings += reader.warnings
        self.torn_bytes = reader.torn
        self._digest, self._frames, self.records = reader.digest, reader.frames, reader.records
        self._opening = _replace(self._opening, journal=reader.identity or secrets.token_hex(8))
        self._head_fd = self._files.update(f"{self.path}/HEAD")
        if before:
            self._harden(reader)
        self._new_segment(len(before) + 1, reader.end[1] if before else 0, reader.torn)

    def _harden(self, reader: Reader) -> None:
        """Write the unacknowledged bytes again as they are, and sync.

        After a failed fsync the cache may show what the disk never got; only a page that is written again is
        certain to be flushed, and so what was read here is what is on the disk.
        """
        segment, end = reader.end
        head = reader.head
        sure = head.end if head and head.segment == segment else 0
        start = min(sure, reader.last_start, end)
        fd = self._files.update(reader.name(segment))
        try:
            data = self._files.read(reader.name(segment))[start:end]
            if data:
                self._files.pwrite(fd, data, start)
            self._files.sync(fd)
        finally:
            self._files.close(fd)

    def _new_segment(self, segment: int, prev_end: int, prev_lost: int) -> None:
        """Publish the next segment, whole, under its name; JournalFenced when a rival was first."""
        now = self._clock()
        opening = _replace(
            self._opening, seg=segment, prev_end=prev_end, prev_lost=prev_lost, wall=now, mono=time.monotonic()
        )
        data, digest = encode_frame(self._frames, self.records, 1, self._codec.encode([opening]), self._digest, now)
        name = f"{self.path}/{segment:08d}.jsonl"
        self._tries += 1  # a new name every time: an error may have left the last one behind
        temporary = f"{name}.{opening.session}.{self._tries}.tmp"
        fd = self._files.create(temporary)
        try:
            self._write(fd, data)
            self._files.sync(fd)
            self._files.link(temporary, name)
        except OSError as error:
            self._discard(fd, temporary)
            if isinstance(error, FileExistsError):
                raise self._die(JournalFenced, f"another writer published {name}; the lock does not exclude") from None
            raise
        self._adopt(fd, temporary, segment, len(data), digest)

    def _adopt(self, fd: int, temporary: str, segment: int, end: int, digest: str) -> None:
        old, self._fd = self._fd, fd
        self._segment, self._end, self._digest = segment, end, digest
        self._frames, self.records = self._frames + 1, self.records + 1
        try:
            self._files.unlink(temporary)
            self._files.sync_dir(str(self.path))
        except OSError as error:
            raise self._die(JournalPoisoned, f"the directory {self.path} cannot be synced: {error}") from error
        if old >= 0:
            self._close(old)
        self._acknowledge()

    # -- writing ------------------------------------------------------------------------------------------------

    @property
    def position(self) -> Position:
        """What has been acknowledged: print it, keep it, and a later `verify --expect` proves it is all there."""
        return Position(self.records, self._digest)

    def append(self, *records: E) -> None:
        """Buffer records for the next commit; TypeError or ValueError for one that would not read back.

        At 1000 buffered records a commit is made.
        """
        self._alive()
        self._hold(records)
        if self._waiting >= BUFFER:
            self.commit()

    def _hold(self, records: Sequence[Any]) -> None:
        if records:
            self._buffer.append(self._codec.encode(records))
            self._waiting += len(records)

    def commit(self) -> Position:
        """Make everything appended durable as one frame; returns only when it is.

        OSError from the write (disk full): nothing was written, the buffer is kept, try again later.
        JournalPoisoned from the sync, JournalFenced when another writer took over: this writer is dead.
        """
        self._alive()
        if not self._buffer:
            return self.position
        if self._end >= self.segment_bytes:  # at the start of a commit, never after an acknowledgement
            self._new_segment(self._segment + 1, self._end, 0)
        payload, count = b"".join(self._buffer), self._waiting
        data, digest = encode_frame(self._frames, self.records, count, payload, self._digest, self._clock())
        self._put(data)
        self._buffer.clear()
        self._waiting = 0
        self._end, self._digest = self._end + len(data), digest
        self._frames, self.records = self._frames + 1, self.records + count
        self._acknowledge()
        return self.position

    def _put(self, data: bytes) -> None:
        self._expect(self._end, "it grew under us")
        try:
            self._write(self._fd, data)
        except OSError as error:
            self._undo(error)
            raise
        if self.durability != "process":
            self._sync()
        self._expect(self._end + len(data), "it does not hold what was written")
        if self._files.exists(f"{self.path}/{self._segment:08d}.frozen"):
            raise self._die(JournalFenced, f"another writer took over {self.path}")

    def _write(self, fd: int, data: bytes) -> None:
        written = self._files.write(fd, data)
        while written < len(data):
            written += self._files.write(fd, data[written:])

    def _undo(self, error: OSError) -> None:
        """Take back a partial write of bytes that nobody was told of."""
        try:
            self._files.truncate(self._fd, self._end)
        except OSError as second:
            raise self._die(JournalPoisoned, f"{self.path}: {error}, and it cannot be undone: {second}") from second

    def _sync(self) -> None:
        try:
            self._files.datasync(self._fd)
        except OSError as error:
            poisoned = self._die(JournalPoisoned, f"{self.path}: fsync failed: {error}; the disk's state is unknown")
            self._acknowledge(poisoned=True)
            raise poisoned from error

    def _expect(self, size: int, why: str) -> None:
        found = self._files.size(self._fd)
        if found != size:
            raise self._die(
                JournalFenced, f"{self.path}/{self._segment:08d}.jsonl has {found} bytes, not {size}: {why}"
            )

    def _acknowledge(self, poisoned: bool = False) -> None:
        """Move the watermark. It is a witness, not the truth: an error is only logged."""
        data, at = encode_head(Head(self._frames, self._segment, self._end, self._digest, poisoned))
        try:
            self._files.pwrite(self._head_fd, data, at)
            if self.durability == "paranoid":
                self._files.sync(self._head_fd)
        except OSError as error:
            _log.warning("%s/HEAD cannot be written: %s", self.path, error)

    # -- ending -------------------------------------------------------------------------------------------------

    def _alive(self) -> None:
        if self._dead:
            raise JournalPoisoned(self._dead)

    def _die(self, kind: type[JournalError], why: str) -> JournalError:
        self._dead = why
        return kind(why)

    def _discard(self, fd: int, temporary: str) -> None:
        self._close(fd)
        try:
            self._files.unlink(temporary)
        except OSError as error:
            _log.warning("%s is left behind: %s", temporary, error)

    def _close(self, fd: int) -> None:
        try:  # everything in it is synced: an error here loses nothing
            self._files.close(fd)
        except OSError as error:
            _log.warning("closing a segment of %s: %s", self.path, error)

    def _let_go(self) -> None:
        for fd in (self._fd, self._head_fd):
            if fd >= 0:
                self._close(fd)
        self._fd = self._head_fd = -1
        self._dead = self._dead or f"{self.path} is closed"
        self._lock.release()

    def close(self, reason: str = "") -> None:
        """Commit what is buffered and a closing record, then give the lock back. More than once does no harm."""
        try:
            if not self._dead:
                self._hold([Close(reason)])
                self.commit()
        finally:
            self._let_go()

    def __enter__(self) -> Journal[E]:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            self.close(kind.__name__ if kind else "")
        except (JournalError, OSError) as second:
            if error is None:
                raise
            _log.warning("closing %s: %s", self.path, second)  # the first error is the one that counts


def _replace(opening: Open, **changes: Any) -> Open:
    import msgspec

    return msgspec.structs.replace(opening, **changes)


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
