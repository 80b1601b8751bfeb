"""The local side's files: what is there, what it contains, and when it is on the disk.

    tree(Path("/proj/runs"), ["t1", "common.json"])  ->  [FileEntry("t1/in.dat", 812), FileEntry("t1/tmp", -1), …]
    digest("/proj/runs/t1/in.dat")                   ->  "9f86d081884c7d65…"                  (SHA-256)

How a file takes its name: `incoming`. Names that start with `.dispatcher` are
ours: they are not listed with the directory they are in, so neither a journal
nor the remains of a copy are ever taken for input.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import msgspec

from ..core.errors import DispatcherError, InputMissing, TransferFailed
from ..core.names import CONTROL
from ..core.ports import FileEntry

#: So many files are made durable one by one; more of them all at once.
SINGLY = 64
_SMALL, _CHUNK = 1 << 14, 1 << 20
#: What says that names cannot be synced here: a file system without that, a directory that is closed to us or gone.
_NO_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.ENOENT})
_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})
_ADVICE = {
    errno.ENOSPC: "free some space there, then run the same command again",
    errno.EDQUOT: "your quota is used up: free some space there, then run the same command again",
    errno.EACCES: "check its permissions and those of the directories above it, then run the same command again",
    errno.EPERM: "check who owns it, then run the same command again",
    errno.EROFS: "choose a directory that can be written",
    errno.EISDIR: "a directory has the name of a file: rename one of them; directories are never removed",
    errno.ENOTDIR: "a file has the name of a directory: rename one of them",
    errno.EEXIST: "a file has the name of a directory: rename one of them",
    errno.ENOENT: "it was there a moment ago: put it back, then run the same command again",
}


class Content(NamedTuple):
    """What a file holds: its size in bytes and the SHA-256 of its bytes."""

    size: int
    digest: str


#: The directories above one, innermost first, as (device, inode): what a link must not lead back to.
_Above = tuple[tuple[int, int], "_Above | None"]
_Found = dict[str, "Stamp | None"]


def failed(doing: str, path: object, error: OSError) -> TransferFailed:
    """The error to raise for a system error: what was being done to which file, why it failed, what to do."""
    advice = _ADVICE.get(error.errno or 0, "run the same command again when that is repaired")
    return TransferFailed(f"cannot {doing} {path}: {error.strerror or error}; {advice}")


class Stamp(msgspec.Struct, frozen=True, gc=False):
    """What tells that a file was written to since: size in bytes, last change of bytes and of anything (ns), inode."""

    size: int
    mtime: int
    ctime: int
    inode: int


def stamp_of(status: os.stat_result) -> Stamp:
    """That of a file whose status this is."""
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def tree(root: Path, paths: Sequence[str], error: type[DispatcherError] = InputMissing) -> list[FileEntry]:
    """What `stamped` finds, by path and size."""
    return entries(stamped(root, paths, error))


def entries(found: Mapping[str, Stamp | None]) -> list[FileEntry]:
    """What was found, by path and size."""
    return [FileEntry(path, -1 if stamp is None else stamp.size) for path, stamp in found.items()]


def stamped(root: Path, paths: Sequence[str], error: type[DispatcherError] = InputMissing) -> dict[str, Stamp | None]:
    """What is there: each path (relative to root) as a file, or everything below it as a directory.

    Links are followed, but never into a directory that is being listed; an empty directory is None;
    what does not exist, leads nowhere or is no file (a socket, a pipe) gives nothing. What cannot be read
    raises `error`, for what lies below it would be lost without a word.
    """
    found: dict[str, Stamp | None] = {}
    for path in paths:
        try:
            status = os.stat(f"{root}/{path}")  # noqa: PTH116 (a Path for each of 100,000 files costs more than stat)
        except OSError as why:
            _must_be_absence(why, f"{root}/{path}", error)
            continue
        if stat.S_ISREG(status.st_mode):
            found[path] = stamp_of(status)
        elif stat.S_ISDIR(status.st_mode):
            _walk(f"{root}", path, ((status.st_dev, status.st_ino), None), found, error)
    return found


def _must_be_absence(why: OSError, path: str, error: type[DispatcherError]) -> None:
    if why.errno not in _NOT_THERE:
        raise error(f"cannot read {path}: {why.strerror}; {_ADVICE.get(why.errno or 0, 'repair that first')}") from why


def _walk(root: str, top: str, above: _Above, found: _Found, error: type[DispatcherError]) -> None:
    """Everything below `top`; a stack and not recursion, for directories may be nested deeper than calls."""
    stack: list[tuple[str, _Above]] = [(top, above)]
    while stack:
        path, above = stack.pop()
        try:
            with os.scandir(f"{root}/{path}") as entries:
                listed = sorted(
                    (entry for entry in entries if not entry.name.startswith(CONTROL)), key=lambda e: e.name
                )
        except OSError as why:
            _must_be_absence(why, f"{root}/{path}", error)
            continue
        if not listed:
            found[path] = None
        below = [_entered(entry, _join(path, entry.name), above, found, error) for entry in listed]
        stack.extend(filter(None, reversed(below)))


def _entered(
    entry: os.DirEntry[str], path: str, above: _Above, found: _Found, error: type[DispatcherError]
) -> tuple[str, _Above] | None:
    """Note a file; give back a directory to be walked."""
    try:
        status = entry.stat()
    except OSError as why:
        _must_be_absence(why, entry.path, error)
        return None
    if stat.S_ISREG(status.st_mode):
        found[path] = stamp_of(status)
    me = (status.st_dev, status.st_ino)
    if not stat.S_ISDIR(status.st_mode) or _is_above(me, above):
        return None
    return path, (me, above)


def _is_above(me: tuple[int, int], above: _Above | None) -> bool:
    while above:
        if above[0] == me:
            return True
        above = above[1]
    return False


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def digest(path: str | Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits; memory stays flat. Raises OSError."""
    seen, size = sha256(), _SMALL
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)  # for small files a file object costs more than the system calls
    try:
        while piece := os.read(fd, size):
            seen.update(piece)
            size = _CHUNK
    finally:
        os.close(fd)
    return seen.hexdigest()


def content_of(file: FileIO) -> Content:
    """What an open file holds from here to its end."""
    seen, size = sha256(), 0
    for piece in pieces(file):
        seen.update(piece)
        size += len(piece)
    return Content(size, seen.hexdigest())


def pieces(file: FileIO) -> Iterator[memoryview]:
    """What is in a file, piece by piece in one buffer: a small one for a small file, or clearing it would cost most."""
    buffer = bytearray(min(_CHUNK, max(4096, os.fstat(file.fileno()).st_size + 1)))
    while count := file.readinto(buffer):
        yield memoryview(buffer)[:count]


def digests(root: Path, paths: Iterable[str]) -> dict[str, str]:
    """SHA-256 of each file, by the path it was asked by (below root, or absolute); InputMissing names a bad one."""
    found: dict[str, str] = {}
    for path in paths:
        where = path if path.startswith("/") else f"{root}/{path}"
        try:
            found[path] = digest(where)
        except OSError as why:
            advice = _ADVICE.get(why.errno or 0, "repair that, then run the same command again")
            raise InputMissing(f"cannot read forward file {where}: {why.strerror}; {advice}") from why
    return found


def settle(root: Path, files: Iterable[str]) -> None:
    """Make the names of these files durable, by their paths below root, and of the directories that lead to them.

    Many files (more than SINGLY) are written to the disk all at once, contents included: no sync of each is needed.
    """
    names = list(files)
    if len(names) > SINGLY:
        os.sync()
        return
    for directory in dict.fromkeys(above for file in names for above in Path(file).parents):
        try:
            fd = os.open(root / directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        except OSError as why:
            if why.errno not in _NO_SYNC:
                raise failed("write", root / directory, why) from why
