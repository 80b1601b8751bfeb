"""The segment that is being written: published whole under its name, then appended to, checked at every step.

    segment = Segment.publish(files, "…/journal", 3, "9f2c…", first_frame)     3 is there, whole, or it is not
    segment.put(frame, sync=True)                                              on the disk, and nobody took over

One rule for errors: an OSError left nothing behind; a JournalError is the end of this writer.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from .errors import JournalFenced, JournalGone, JournalPoisoned
from .files import Files
from .lock import read_holder

_log = logging.getLogger(__name__)


class Segment:
    """A segment: its `number`, and the byte `end` after the last frame that counts. Without `fd` it is not open."""

    def __init__(self, files: Files, path: str, number: int = 0, end: int = 0, fd: int = -1) -> None:
        self.path, self.number, self.end = path, number, end
        self._files, self._fd = files, fd

    @classmethod
    def publish(cls, files: Files, path: str, number: int, draft: str, data: bytes) -> Segment:
        """Make segment `number` appear with `data` in it, by way of a file whose name ends in `draft`.tmp.

        OSError: it has not appeared. JournalFenced: a rival was first. JournalPoisoned: a sync failed.
        """
        name = f"{path}/{number:08d}.jsonl"
        temporary = f"{name}.{draft}.tmp"
        fd = files.create(temporary)
        try:
            write_all(files, fd, data)
            _sync(files, fd, temporary)
            if files.size(fd) != len(data):
                raise JournalPoisoned(f"{temporary} does not hold what was written")
            _link(files, fd, temporary, name)
        except (OSError, JournalPoisoned, JournalFenced):
            close(files, fd, temporary)
            discard(files, temporary)
            raise
        discard(files, temporary)
        try:
            files.sync_dir(path)
        except OSError as error:  # it has its name, and perhaps not for long: nobody may build on it
            close(files, fd, name)
            raise JournalPoisoned(f"the directory {path} cannot be synced: {error}") from error
        return cls(files, path, number, len(data), fd)

    def put(self, data: bytes, sync: bool) -> None:
        """Write, sync, and only then believe it: the size is right, and nobody has taken over meanwhile."""
        self._expect(self.end, "it grew under us")
        try:
            write_all(self._files, self._fd, data)
        except OSError as error:
            self.undo(error)
            raise
        if sync:
            self.sync()
        try:
            self._expect(self.end + len(data), "it does not hold what was written")
            self.check_frozen()
        except OSError as error:
            raise JournalPoisoned(f"{self.path}: written, and then not readable: {error}") from error
        self.end += len(data)

    def sync(self) -> None:
        """Everything written is on the disk; JournalPoisoned when that cannot be known."""
        try:
            self._files.datasync(self._fd)
        except OSError as error:
            raise JournalPoisoned(f"{self.path}: fsync failed: {error}; what is on the disk is unknown") from error

    def undo(self, error: OSError) -> None:
        """Take back a partial write of bytes that nobody was told of, for good: the next try may differ from it."""
        try:
            self._files.truncate(self._fd, self.end)
        except OSError as second:
            raise JournalPoisoned(f"{self.path}: {error}, and it cannot be undone: {second}") from second
        self.sync()

    def check_frozen(self) -> None:
        """JournalFenced when a later writer has begun to read this segment, JournalGone when it was deleted."""
        try:
            frozen = self._files.exists(f"{self.path}/{self.number:08d}.frozen")
        except FileNotFoundError as error:
            raise JournalGone(f"{self.path} was deleted while it was being written") from error
        if frozen:
            holder = read_holder(Path(self.path))
            who = f" ({holder})" if holder and (holder.away or holder.pid != os.getpid()) else ""
            raise JournalFenced(f"another writer{who} took over {self.path}")

    def check_deleted(self) -> None:
        """JournalGone when the segment has no name any more."""
        if self._files.links(self._fd) == 0:
            raise JournalGone(f"{self.path}/{self.number:08d}.jsonl was deleted while it was being written")

    def _expect(self, size: int, why: str) -> None:
        found = self._files.size(self._fd)
        if found != size:
            raise JournalFenced(f"{self.path}/{self.number:08d}.jsonl has {found} bytes, not {size}: {why}")

    def close(self) -> None:
        """Close the file; more than once does no harm."""
        close(self._files, self._fd, f"segment {self.number} of {self.path}")
        self._fd = -1


def _sync(files: Files, fd: int, name: str) -> None:
    try:
        files.sync(fd)
    except OSError as error:
        raise JournalPoisoned(f"{name}: fsync failed: {error}") from error


def _link(files: Files, fd: int, temporary: str, name: str) -> None:
    try:
        files.link(temporary, name)
    except OSError:
        if files.links(fd) > 1:  # it was done, and only the file server's answer was lost
            return
        if files.exists(name):
            raise JournalFenced(f"another writer published {name}; the lock does not exclude") from None
        raise


def discard(files: Files, temporary: str) -> None:
    """Remove a draft; the next writer tries again."""
    try:
        files.unlink(temporary)
    except FileNotFoundError:
        pass
    except OSError as error:
        _log.warning("%s is left behind: %s", temporary, error)


def close(files: Files, fd: int, name: str) -> None:
    """Close a file that is open and whose closing cannot lose anything."""
    if fd < 0:
        return
    try:
        files.close(fd)
    except OSError as error:
        _log.warning("closing %s: %s", name, error)


def write_all(files: Files, fd: int, data: bytes) -> None:
    """Write on until everything is written."""
    written = files.write(fd, data)
    while written < len(data):
        written += files.write(fd, data[written:])
