"""How a file takes its name on this side, whoever brings it: written beside it, made whole, then renamed.

    with Incoming("/proj/runs/t1/out.nc") as file:       /proj/runs/t1/.dispatcher-1f09c2….tmp
        file.write(b"…")                                 hashed as it comes
        file.publish(0o644, 981173106 * 10**9)           permissions, time, fsync, rename

Until `publish` the file that was there before is still there. One with a name of
its own (`part`) is kept when the other side breaks off, and gone on with later.
Permissions are the sender's, as far as the umask lets them; never setuid.
"""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from secrets import token_hex

from ..core.errors import TransferFailed, Unreachable
from ..core.names import CONTROL
from ..core.ports import Item
from .gate import Way, make_directory
from .local import SINGLY, Content, content_of, digest, failed, pieces

#: Files at least as large are gone on with where they broke off.
LARGE = 1 << 20
#: Seconds after which a half-written file that nobody has touched has no owner any more.
_ABANDONED = 3600.0
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Incoming:
    """A file on its way to its name. Raises TransferFailed that says which file, why, and what to do."""

    def __init__(self, target: str | Path, part: str = "", start: int | None = None, doing: str = "write") -> None:
        """`part`: the name, beside the target, under which it is gone on with; `start`: 0 forgets what lies there."""
        self.target, self._doing = str(target), doing
        folder = self.target.rpartition("/")[0] or "."
        self.path = f"{folder}/{part or beside()}"
        self._kept, self._published = bool(part), False
        self._seen, self.size = sha256(), 0
        try:
            if os.path.isdir(self.target):  # noqa: PTH112 (a Path costs more than the system call)
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            _sweep(folder)
            own = 0 if part and start is None else os.O_TRUNC if part else os.O_EXCL
            self.file = open(os.open(self.path, _FLAGS | own, 0o600), "rb+", buffering=0)  # noqa: SIM115, PTH123
            for piece in pieces(self.file) if part else ():
                self._note(piece)
        except OSError as why:
            raise failed(self._doing, self.target, why) from why

    def _note(self, data: bytes | memoryview) -> None:
        self._seen.update(data)
        self.size += len(data)

    def write(self, data: bytes | memoryview) -> None:
        """Add to the end."""
        self._note(data)
        try:
            left = memoryview(data)
            while left:
                left = left[self.file.write(left) :]
        except OSError as why:
            raise failed(self._doing, self.target, why) from why

    def restart(self) -> None:
        """Forget what has come."""
        self._seen, self.size = sha256(), 0
        self.file.seek(0)
        self.file.truncate()

    @property
    def content(self) -> Content:
        """Size and SHA-256 of what has come."""
        return Content(self.size, self._seen.hexdigest())

    def read_back(self) -> None:
        """Raise TransferFailed when the file does not hold what was written."""
        # through the open file and not by name: its mode bits may forbid us to open it again
        self.file.seek(0)
        if content_of(self.file) != self.content:
            raise TransferFailed(
                f"cannot write {self.target}: what was read back is not what was sent; check that disk"
            )

    def publish(self, mode: int, mtime_ns: int | None = None, durable: bool = True) -> None:
        """Give it its mode bits, its time and its name; on the disk when this returns, if `durable`."""
        try:
            fd = self.file.fileno()
            os.fchmod(fd, mode & 0o777 & ~_umask())
            if mtime_ns is not None:
                os.utime(fd, ns=(mtime_ns, mtime_ns))
            if durable:
                os.fsync(fd)
            os.rename(self.path, self.target)  # noqa: PTH104 (a Path costs more than the system call)
            self._published = True
        except OSError as why:
            raise failed(self._doing, self.target, why) from why

    def __enter__(self) -> Incoming:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.file.close()
        broke_off = kind is not None and issubclass(kind, (BrokeOff, Unreachable, KeyboardInterrupt))
        if not self._published and not (self._kept and broke_off and self.size >= LARGE):
            with suppress(OSError):
                os.unlink(self.path)  # noqa: PTH108 (as above)


class BrokeOff(TransferFailed):
    """The sender stopped before the end; what has come is worth keeping."""


def _umask() -> int:
    """What this process takes from the permissions of new files: it can be asked only by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def beside() -> str:
    """A new name for something that is on its way to its own name; short, for names may have 255 bytes."""
    return f"{CONTROL}-{token_hex(6)}.tmp"


@lru_cache(maxsize=65536)
def _sweep(directory: str) -> None:
    """Remove what processes that were killed left half-written here; looked for once by each process.

    One that only slept for an hour finds its file gone and says so; nothing else can happen to it.
    """
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.startswith(f"{CONTROL}-") and entry.name.endswith(".tmp"):
                with suppress(OSError):
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > _ABANDONED:
                        os.unlink(entry.path)  # noqa: PTH108 (as above)


# -- ways to fill one -----------------------------------------------------------------------------------------------


def write_atomic(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a small file so that a reader sees the old content or all of the new; directories above it are made."""
    make_directory(path.parent)
    with Incoming(path) as file:
        file.write(data)
        file.publish(mode)


def copy(source: Path, target: Path, expected: str = "", durable: bool = True) -> Content:
    """Copy a file with its mode bits and time; it takes its name once what was written has been read back and agrees.

    `expected` is the SHA-256 that the source must have, "" when not known. TransferFailed says which file and
    why; then what was there before is still there.
    """
    try:
        with Incoming(target, doing=f"copy {source} to") as file, source.open("rb", buffering=0) as there:
            for piece in pieces(there):
                file.write(piece)
            if expected and file.content.digest != expected:
                raise TransferFailed(
                    f"cannot send {source}: it changed since it was listed; run the same command again when it is still"
                )
            file.read_back()
            status = os.fstat(there.fileno())
            file.publish(stat.S_IMODE(status.st_mode), status.st_mtime_ns, durable)
            return file.content
    except OSError as why:
        raise failed(f"copy {source} to", target, why) from why


def link(source: Path, target: Path) -> None:
    """Make a symbolic link; a file or link of that name is replaced."""
    tmp = target.with_name(beside())
    try:
        tmp.symlink_to(source)
        tmp.replace(target)
    finally:
        tmp.unlink(missing_ok=True)
    if target.readlink() != source or not os.path.isfile(target):  # noqa: PTH113 (Path.is_file raises where it is closed)
        raise TransferFailed(f"{target} does not lead to {source} after it was linked; look who else writes there")


# -- what a `get` brings --------------------------------------------------------------------------------------------


class Arrivals:
    """The items of one `get` on this side: which are here already, where the others go, and what is told of them.

    arrivals = Arrivals(local, items)                        directories are made, names pass the gate
    arrivals.has(item, digest)                               here already, with the same bytes: nothing to fetch
    with arrivals.incoming(item) as file: …; arrivals.take(item, file, 0o644, 981173106 * 10**9)
    arrivals.items()                                         as asked, with the sizes and digests that arrived
    """

    def __init__(self, here: Path, items: Sequence[Item]) -> None:
        self._requested, self._way = items, Way(here)
        self.files = {item.source: item for item in items if item.size >= 0}
        self.done: dict[str, Item] = {}
        #: Few files are made durable one by one; of many, `local.settle` does all at once.
        self.durable = len(self.files) <= SINGLY
        for item in items:
            if item.size < 0 and not (here / (path := self._way.name(item.target))).is_dir():
                self._way.directory(path)

    def missing(self) -> list[Item]:
        """What has not arrived yet."""
        return [item for source, item in self.files.items() if source not in self.done]

    def path(self, item: Item) -> str:
        """Where it is to be."""
        return self._way.to(item.target)

    def has(self, item: Item, expected: str, size: int = -1) -> bool:
        """Whether it is here with this SHA-256 (and size, -1: any); then it counts as arrived."""
        target = Path(self.path(item))
        with suppress(OSError):
            if target.is_file() and (size < 0 or target.stat().st_size == size) and digest(target) == expected:
                self.note(item, Content(target.stat().st_size, expected))
        return item.source in self.done

    def incoming(self, item: Item, part: str = "", start: int | None = None) -> Incoming:
        """The file that it is to become; see Incoming."""
        return Incoming(self.path(item), part, start)

    def take(self, item: Item, file: Incoming, mode: int, mtime_ns: int | None) -> None:
        """It is whole and right: it takes its name."""
        file.publish(mode, mtime_ns, self.durable)
        self.note(item, file.content)

    def note(self, item: Item, content: Content) -> None:
        """It is here."""
        self.done[item.source] = Item(item.source, item.target, *content)

    def items(self) -> list[Item]:
        """Everything that was asked for, in that order."""
        return [self.done.get(item.source, item) if item.size >= 0 else item for item in self._requested]
