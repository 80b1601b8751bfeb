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

One rule for errors: an OSError left nothing behind and the writer lives; a
JournalError, or an interrupt in the middle of a commit, ends it for good.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

import msgspec

from . import takeover
from .errors import JournalError, JournalFenced, JournalGone, JournalPoisoned
from .files import Files
from .format import VERSION, ZERO, Close, Codec, Frame, Open, Position, encode_frame
from .head import Head, encode_head
from .lock import Lock, mount_warning
from .reader import Reader
from .segment import Segment, close

E = TypeVar("E")
_log = logging.getLogger(__name__)
_own = Codec[Any](Close)  # for the records of this package

#: Most records that wait for a commit.
BUFFER = 1000
SEGMENT = 64 << 20


class Journal(Generic[E]):
    """A journal open for writing; made by `Journal.open`. For one thread."""

    def __init__(self, path: Path, codec: Codec[E], files: Files, lock: Lock, clock: Callable[[], float]) -> None:
        self.path, self._codec, self._files, self._lock, self._clock = path, codec, files, lock, clock
        self._buffer: list[bytes] = []
        self._waiting = 0
        self._segment = Segment(files, str(path))
        self._head, self._head_fd = Head(0, 0, 0, ZERO), -1
        self._digest, self._frames = ZERO, 0
        self._dead: JournalError | None = None
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
        stand in the opening record. `durability`: process (no sync: outlives the process, not the machine), commit
        (fdatasync at each commit), paranoid (HEAD is synced too). `timeout`: seconds to wait for the lock.

        Raises JournalBusy, JournalCorrupt, JournalFenced, JournalPoisoned, OSError; ValueError for an unknown
        durability, TypeError for a kind that is not tagged.
        """
        if durability not in ("process", "commit", "paranoid"):
            raise ValueError(f"durability {durability!r}: one of process, commit, paranoid")
        codec = Codec[Any](kind)
        if not codec.tagged:
            raise TypeError(f"records to be written are structs with tag_field 'k', or a union of such, not {kind!r}")
        where, files, session = Path(path).absolute(), files or Files(), session or secrets.token_hex(8)
        files.make_dir(str(where))
        held = lock or Lock(where)
        held.acquire(timeout, session)
        journal: Journal[Any] = cls(where, codec, files, held, clock)
        journal.durability, journal.segment_bytes = durability, segment_bytes
        try:
            journal._opening = takeover.introduction(
                session, application, rules, codec.schema(), durability, tuple(needs)
            )
            journal._recover(replay)
        except BaseException:
            journal._let_go()
            raise
        return journal

    def _recover(self, replay: Callable[[Frame[Any]], None] | None) -> None:
        self.warnings += [warning] if (warning := mount_warning(self.path)) else []
        reader = Reader(self.path, self._files)
        takeover.take_over(reader, self._codec, replay)
        self.warnings += reader.warnings
        self.torn_bytes = reader.torn
        self._digest, self._frames, self.records = reader.digest, reader.frames, reader.records
        self._opening = msgspec.structs.replace(self._opening, journal=reader.identity or secrets.token_hex(8))
        self._head_fd = self._files.update(f"{self.path}/HEAD", make=True)
        self._segment = Segment(self._files, str(self.path), *reader.end)
        self._new_segment(reader.torn)
        takeover.tidy(reader)

    def _new_segment(self, lost: int) -> None:
        """Publish the next segment: its opening record seals this one, after which `lost` bytes were torn."""
        now, old = self._clock(), self._segment
        opening = msgspec.structs.replace(
            self._opening, seg=old.number + 1, prev_end=old.end, prev_lost=lost, wall=now, mono=time.monotonic()
        )
        data, digest = encode_frame(self._frames, self.records, 1, _own.encode([opening]), self._digest, now)
        self._tries += 1  # a new name every time: an error may have left the last one behind
        draft = f"{opening.session}.{self._tries}"
        self._segment = Segment.publish(self._files, old.path, opening.seg, draft, data)
        self._digest, self._frames, self.records = digest, self._frames + 1, self.records + 1
        self._acknowledge()
        old.close()

    # -- writing ------------------------------------------------------------------------------------------------

    @property
    def position(self) -> Position:
        """What has been acknowledged: print it, keep it, and a later `verify --expect` proves it is all there."""
        return Position(self.records, self._digest)

    def append(self, *records: E) -> None:
        """Buffer records for the next commit; TypeError or ValueError for one that would not read back.

        At 1000 buffered records a commit is made; when that one fails with OSError the records stay buffered.
        """
        self._alive()
        self._hold(self._codec, records)
        if self._waiting >= BUFFER:
            self.commit()

    def _hold(self, codec: Codec[Any], records: Sequence[Any]) -> None:
        if records:
            self._buffer.append(codec.encode(records))
            self._waiting += len(records)

    def commit(self) -> Position:
        """Make everything appended durable as one frame; returns only when it is.

        OSError (disk full): nothing was written, the buffer is kept, try again later.
        JournalPoisoned (a sync failed), JournalFenced (another writer took over): this writer is dead.
        """
        self._alive()
        if not self._buffer:
            return self.position
        self._dead = JournalPoisoned(f"{self.path}: a commit was interrupted; open it anew to see how far it came")
        try:
            self._write_frame()
        except OSError:
            self._dead = None
            raise
        except JournalError as error:
            self._dead = error
            if isinstance(error, JournalPoisoned):
                self._head = msgspec.structs.replace(self._head, poisoned=True)
                self._write_head()
            raise
        self._dead = None
        return self.position

    def confirm(self) -> None:
        """To be asked before the world is touched: JournalFenced when another writer has taken over.

        Costs three calls to the file system. OSError: it cannot be known now.
        """
        self._alive()
        try:
            self._segment.check_frozen()
            self._segment.check_deleted()
        except (JournalFenced, JournalGone) as error:
            self._dead = error
            raise

    def _write_frame(self) -> None:
        if self._segment.end >= self.segment_bytes:  # at the start of a commit, never after an acknowledgement
            self._rotate()
        payload, count = b"".join(self._buffer), self._waiting
        data, digest = encode_frame(self._frames, self.records, count, payload, self._digest, self._clock())
        self._segment.put(data, sync=self.durability != "process")
        self._buffer.clear()
        self._waiting = 0
        self._digest, self._frames, self.records = digest, self._frames + 1, self.records + count
        self._acknowledge()

    def _rotate(self) -> None:
        if self.durability == "process":  # whatever the level: a sealed segment is on the disk
            self._segment.sync()
        self._new_segment(0)

    def _acknowledge(self) -> None:
        self._head = Head(self._frames, self._segment.number, self._segment.end, self._digest)
        self._write_head()

    def _write_head(self) -> None:
        """Move the watermark. It is a witness, not the truth: an error is only logged."""
        data, at = encode_head(self._head)
        try:
            self._files.pwrite(self._head_fd, data, at)
            if self.durability == "paranoid":
                self._files.sync(self._head_fd)
        except OSError as error:
            _log.warning("%s/HEAD cannot be written: %s", self.path, error)

    # -- ending -------------------------------------------------------------------------------------------------

    def _alive(self) -> None:
        if self._dead is not None:
            raise type(self._dead)(*self._dead.args)

    def _let_go(self) -> None:
        self._segment.close()
        close(self._files, self._head_fd, f"{self.path}/HEAD")
        self._head_fd = -1
        self._dead = self._dead or JournalError(f"{self.path} is closed")
        self._lock.release()

    def close(self, reason: str = "") -> None:
        """Commit what is buffered and a closing record, then give the lock back. More than once does no harm."""
        try:
            if self._dead is None:
                self._hold(_own, [Close(reason)])
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
