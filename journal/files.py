"""The calls to the file system that a journal makes; a test hands in its own.

files = Files()
fd = files.create("/p/00000002.jsonl.x.tmp")     0600, appended to, must not exist
files.write(fd, data); files.datasync(fd)
files.link(tmp, "/p/00000002.jsonl")             appears whole, or fails if a rival was first
files.sync_dir("/p")
"""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from .errors import JournalNotOurs
from .ownership import doubt, make_private, strange_entry

#: Tenths of a second for which a file that is listed may be remembered as absent.
_LAG = 50
#: Bytes of a file that is read whole at most: a segment has 64 MiB and one frame more.
LARGEST = 1 << 30
_SAFELY = os.O_CLOEXEC | os.O_NOFOLLOW


class NotAFile(OSError):
    """A name under which no plain file of a sensible size lies: a link, a pipe, a device, a giant."""


class Files:
    """The real thing. Paths are strings; every call may raise OSError."""

    def make_dir(self, path: str) -> None:
        """A directory for its owner only, with a durable name; its parents need not exist.

        It may exist; JournalNotOurs when it is somebody else's, or holds what is no file.
        """
        parent = path.rpartition("/")[0] or "/"
        if not os.path.isdir(parent):  # noqa: PTH112 (paths are strings here)
            self.make_parent(parent)
        made = make_private(path)
        if why := "" if made else doubt(path):
            raise JournalNotOurs(Path(path), why)
        if name := "" if made else strange_entry(path):
            raise JournalNotOurs(Path(path), f"{name} in it is not a file: remove it")
        with suppress(PermissionError):  # somebody else's directory: its names are his to keep
            self.sync_dir(parent)

    def make_parent(self, path: str) -> None:
        """A directory above the journal's, as the umask has it."""
        above = path.rpartition("/")[0] or "/"
        if not os.path.isdir(above):  # noqa: PTH112
            self.make_parent(above)
        with suppress(FileExistsError):
            os.mkdir(path)  # noqa: PTH102
        with suppress(PermissionError):
            self.sync_dir(above)

    def create(self, path: str) -> int:
        """A new file to append to."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | _SAFELY, 0o600)

    def touch(self, path: str) -> None:
        """An empty file; it may exist."""
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | _SAFELY, 0o600))

    def update(self, path: str, make: bool = False) -> int:
        """A file to be written at any position."""
        return os.open(path, os.O_RDWR | _SAFELY | (os.O_CREAT if make else 0), 0o600)

    def write(self, fd: int, data: bytes) -> int:
        """May write less than given."""
        return os.write(fd, data)

    def pwrite(self, fd: int, data: bytes, at: int) -> int:
        """Write at a position."""
        return os.pwrite(fd, data, at)

    def truncate(self, fd: int, size: int) -> None:
        """Cut to this size."""
        os.ftruncate(fd, size)

    def size(self, fd: int) -> int:
        """Bytes in the file."""
        return os.fstat(fd).st_size

    def links(self, fd: int) -> int:
        """Names that the file has."""
        return os.fstat(fd).st_nlink

    def sync(self, fd: int) -> None:
        """fsync."""
        os.fsync(fd)

    def datasync(self, fd: int) -> None:
        """Flush data and size (fdatasync where it exists)."""
        getattr(os, "fdatasync", os.fsync)(fd)

    def close(self, fd: int) -> None:
        """Close."""
        os.close(fd)

    def read(self, path: str, size: int = -1) -> bytes:
        """The whole file, or at most its first bytes; waits a moment for one that is listed and cannot be found.

        Raises NotAFile for anything but a plain file.
        """
        for _ in range(_LAG):
            with suppress(FileNotFoundError), open(_opened(path), "rb") as file:
                if size < 0 and (found := os.fstat(file.fileno()).st_size) > LARGEST:
                    raise NotAFile(
                        errno.EFBIG, f"{found} bytes are more than the {LARGEST} of any journal's file", path
                    )
                return file.read(size)
            if not self.exists(path):
                break
            time.sleep(0.1)  # the client of a file server remembers that it was not there
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)

    def length(self, path: str) -> int:
        """Bytes in the file of this name."""
        return os.stat(path).st_size  # noqa: PTH116

    def link(self, old: str, new: str) -> None:
        """A second name; fails when the name is taken."""
        os.link(old, new)

    def unlink(self, path: str) -> None:
        """Remove a name."""
        os.unlink(path)  # noqa: PTH108

    def names(self, path: str) -> list[str]:
        """Names in a directory."""
        return os.listdir(path)  # noqa: PTH208

    def exists(self, path: str) -> bool:
        """Whether the name exists; lists its directory when it seems not to.

        File servers' clients remember absence: NFS until the directory is opened anew, FUSE mounts for a time.
        """
        directory, _, name = path.rpartition("/")
        fd = os.open(directory, os.O_RDONLY)
        try:
            os.stat(name, dir_fd=fd)
        except FileNotFoundError:
            return name in os.listdir(fd)  # noqa: PTH208
        finally:
            os.close(fd)
        return True

    def sync_dir(self, path: str) -> None:
        """Make the names in a directory durable."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _opened(path: str) -> int:
    """To be read; never waits for what is no file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | _SAFELY)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise NotAFile(errno.ELOOP, "is a link, and links are not followed here", path) from None
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise NotAFile(errno.EINVAL, "is not a plain file", path)
    return fd
