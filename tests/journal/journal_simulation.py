"""A file system in memory with an adversarial model of crashes, handed to the journal in place of journal.files.Files.

disk = Disk(); files = SimFiles(disk, faults={17: "crash"}, rng=random.Random(1))

- write, pwrite and truncate change the cache; sync makes one file's bytes and size durable, sync_dir the names.
- disk.killed(rng): the cache survives, but what a failed sync dropped may turn up as it is on the disk.
- disk.lost_power(rng): of every file any subset of the unsynced sectors and any size in between; of the names any
  subset of the unsynced changes that keeps the order per name.
- faults: {call number: kind}. After a crash every further call crashes: that process is gone.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from pathlib import Path

from journal.files import Files
from journal.lock import Lock

SECTOR = 512
CALLS = ("crash", "crash_after", "eio", "interrupt", "interrupt_after")
KINDS = {
    "write": ("crash", "crash_after", "crash_mid", "short", "enospc", "eio", "lie", "interrupt_after"),
    "pwrite": ("crash", "crash_after", "crash_mid", "short", "enospc", "interrupt"),
    "sync": ("crash", "crash_after", "eio_sync", "interrupt_after"),
    "datasync": ("crash", "crash_after", "eio_sync", "interrupt_after"),
    "read": ("eio",),
    "names": ("eio",),
    "size": ("eio", "interrupt"),
    "exists": ("eio", "interrupt"),
    "links": ("eio",),
    "length": ("eio",),
}


class Crash(BaseException):
    """The process or the machine stops here."""


class Inode:
    def __init__(self) -> None:
        self.cache, self.disk = bytearray(), bytearray()
        self.dirty: set[int] = set()
        self.dropped: set[int] = set()

    def put(self, at: int, data: bytes) -> None:
        if len(self.cache) < at:
            self.cache.extend(bytes(at - len(self.cache)))
        self.cache[at : at + len(data)] = data
        touched = set(range(at // SECTOR, (at + len(data) - 1) // SECTOR + 1)) if data else set()
        self.dirty |= touched
        self.dropped -= touched

    def flush(self, sector: int) -> None:
        start, end = sector * SECTOR, min((sector + 1) * SECTOR, len(self.cache))
        if end > start:
            self.disk.extend(bytes(max(0, end - len(self.disk))))
            self.disk[start:end] = self.cache[start:end]

    def flush_all(self) -> None:
        for sector in self.dirty:
            self.flush(sector)
        del self.disk[len(self.cache) :]
        self.disk.extend(bytes(len(self.cache) - len(self.disk)))
        self.dirty = set()

    def drop(self, rng: random.Random) -> None:
        """A failed sync: the pages are marked clean all the same, some of them written, some not."""
        for sector in sorted(self.dirty):
            if rng.random() < 0.3:
                self.flush(sector)
            else:
                self.dropped.add(sector)
        self.dirty = set()

    def forget(self, rng: random.Random) -> None:
        """Memory was short: clean pages come from the disk again."""
        for sector in sorted(self.dropped):
            if rng.random() < 0.5:
                start, end = sector * SECTOR, min((sector + 1) * SECTOR, len(self.cache))
                kept = bytes(self.disk[start:end])
                self.cache[start:end] = kept + bytes(max(0, end - start) - len(kept))
        self.dropped = set()

    def lose_power(self, rng: random.Random) -> None:
        before, after, mode = len(self.disk), len(self.cache), rng.random()
        for sector in sorted(self.dirty):
            if mode < 0.2 or (mode < 0.9 and rng.random() < 0.5):
                self.flush(sector)
        low, high = sorted((before, after))
        size = rng.choice([len(self.disk), after, rng.randint(low, high), high])
        size = max(size, before) if before <= after else size
        del self.disk[size:]
        self.disk.extend(bytes(size - len(self.disk)))
        self.cache, self.dirty, self.dropped = bytearray(self.disk), set(), set()


class Disk:
    """What outlives a process: names and files."""

    def __init__(self) -> None:
        self.names: dict[str, Inode] = {}
        self.durable: dict[str, Inode] = {}
        self.pending: list[tuple[str, Inode | None]] = []

    def rename(self, path: str, inode: Inode | None) -> None:
        self.pending.append((path, inode))
        if inode is None:
            del self.names[path]
        else:
            self.names[path] = inode

    def killed(self, rng: random.Random) -> None:
        for inode in self.names.values():
            inode.forget(rng)

    def lost_power(self, rng: random.Random) -> None:
        names = dict(self.durable)
        stopped = {path: rng.random() < 0.4 for path, _ in self.pending}
        for path, inode in self.pending:
            if stopped[path]:
                continue
            if inode is None:
                names.pop(path, None)
            else:
                names[path] = inode
            stopped[path] = rng.random() < 0.3
        for inode in {id(each): each for each in names.values()}.values():
            inode.lose_power(rng)
        self.names, self.durable, self.pending = names, dict(names), []

    def copy(self) -> dict[str, bytes]:
        """Names and bytes as a process sees them."""
        return {path.rpartition("/")[2]: bytes(inode.cache) for path, inode in self.names.items()}


class SimFiles(Files):
    """One process' view of a disk."""

    def __init__(self, disk: Disk, faults: dict[int, str] | None = None, rng: random.Random | None = None) -> None:
        self.disk, self.faults, self.rng = disk, faults or {}, rng or random.Random(0)
        self.calls: list[str] = []
        self.open: dict[int, tuple[Inode, bool]] = {}
        self.fired = self.gone = False
        self.before: Callable[[int], None] | None = None
        self.written: list[str] = []

    # -- faults

    def _call(self, what: str) -> str:
        if self.gone:
            raise Crash
        self.calls.append(what)
        number = len(self.calls)
        if self.before is not None:
            self.before(number)
        kind = self.faults.get(number, "")
        self.fired |= bool(kind)
        if kind == "crash":
            self._crash()
        if kind == "interrupt":
            raise KeyboardInterrupt
        if kind == "eio":
            raise OSError(errno.EIO, f"simulated, in {what}")
        return kind

    def _done(self, kind: str) -> None:
        if kind == "crash_after":
            self._crash()
        if kind == "interrupt_after":
            raise KeyboardInterrupt

    def _crash(self) -> None:
        self.gone = True
        raise Crash

    # -- files

    def _new(self, path: str, append: bool) -> int:
        fd = 3 + len(self.calls)
        self.open[fd] = (self.disk.names[path], append)
        return fd

    def make_dir(self, path: str) -> None:
        self._done(self._call("make_dir"))

    def create(self, path: str) -> int:
        kind = self._call("create")
        if path in self.disk.names:
            raise FileExistsError(errno.EEXIST, path)
        self.disk.rename(path, Inode())
        fd = self._new(path, append=True)
        self._done(kind)
        return fd

    def touch(self, path: str) -> None:
        kind = self._call("touch")
        if path not in self.disk.names:
            self.disk.rename(path, Inode())
        self._done(kind)

    def update(self, path: str, make: bool = False) -> int:
        kind = self._call("update")
        if path not in self.disk.names:
            if not make:
                raise FileNotFoundError(errno.ENOENT, path)
            self.disk.rename(path, Inode())
        fd = self._new(path, append=False)
        self._done(kind)
        return fd

    def _store(self, inode: Inode, data: bytes, at: int, kind: str) -> int:
        given = len(data)
        if kind == "enospc":
            inode.put(at, data[: self.rng.randrange(given)])
            self._write_back(inode)
            raise OSError(errno.ENOSPC, "simulated")
        if kind == "crash_mid":
            inode.put(at, data[: self.rng.randrange(given + 1)])
            self._crash()
        if kind in ("short", "lie") and given > 1:
            data = data[: self.rng.randrange(1, given)]
        inode.put(at, data)
        self._write_back(inode)
        self._done(kind)
        return given if kind == "lie" else len(data)

    def _write_back(self, inode: Inode) -> None:
        """The kernel writes when it likes."""
        if self.rng.random() < 0.2:
            for sector in sorted(inode.dirty):
                if self.rng.random() < 0.5:
                    inode.flush(sector)

    def write(self, fd: int, data: bytes) -> int:
        kind = self._call("write")
        inode, append = self.open[fd]
        assert append
        return self._store(inode, data, len(inode.cache), kind)

    def pwrite(self, fd: int, data: bytes, at: int) -> int:
        kind = self._call("pwrite")
        inode, append = self.open[fd]
        assert not append
        return self._store(inode, data, at, kind)

    def truncate(self, fd: int, size: int) -> None:
        kind = self._call("truncate")
        inode = self.open[fd][0]
        del inode.cache[size:]
        inode.dirty.add(size // SECTOR)
        self._done(kind)

    def size(self, fd: int) -> int:
        self._call("size")
        return len(self.open[fd][0].cache)

    def links(self, fd: int) -> int:
        self._call("links")
        return sum(inode is self.open[fd][0] for inode in self.disk.names.values())

    def _flush(self, what: str, fd: int) -> None:
        kind = self._call(what)
        inode = self.open[fd][0]
        if kind == "eio_sync":
            inode.drop(self.rng)
            raise OSError(errno.EIO, "simulated, in fsync")
        inode.flush_all()
        self._done(kind)

    def sync(self, fd: int) -> None:
        self._flush("sync", fd)

    def datasync(self, fd: int) -> None:
        self._flush("datasync", fd)

    def close(self, fd: int) -> None:
        kind = self._call("close")
        del self.open[fd]
        self._done(kind)

    def read(self, path: str, size: int = -1) -> bytes:
        self._call("read")
        if path not in self.disk.names:
            raise FileNotFoundError(errno.ENOENT, path)
        data = bytes(self.disk.names[path].cache)
        return data if size < 0 else data[:size]

    def length(self, path: str) -> int:
        self._call("length")
        return len(self.disk.names[path].cache)

    # -- names

    def link(self, old: str, new: str) -> None:
        kind = self._call("link")
        if new in self.disk.names:
            raise FileExistsError(errno.EEXIST, new)
        if old not in self.disk.names:
            raise FileNotFoundError(errno.ENOENT, old)
        self.disk.rename(new, self.disk.names[old])
        self._done(kind)

    def unlink(self, path: str) -> None:
        kind = self._call("unlink")
        if path not in self.disk.names:
            raise FileNotFoundError(errno.ENOENT, path)
        self.disk.rename(path, None)
        self._done(kind)

    def names(self, path: str) -> list[str]:
        self._call("names")
        return [name.rpartition("/")[2] for name in self.disk.names]

    def exists(self, path: str) -> bool:
        self._call("exists")
        return path in self.disk.names

    def sync_dir(self, path: str) -> None:
        kind = self._call("sync_dir")
        self.disk.durable, self.disk.pending = dict(self.disk.names), []
        self._done(kind)


class NoLock(Lock):
    """A lock that excludes nobody, as on a mount where flock does nothing."""

    def __init__(self, path: str = "/j") -> None:
        super().__init__(Path(path))

    def acquire(self, timeout: float, session: str) -> None:
        return

    def release(self) -> None:
        return
