"""Hosts, the dispatchers on them, and the file server that all share, as NFS has it.

    server = FileServer(now, world, excludes=False)      flock excludes only processes of one host
    files = HostFiles(server, Process(Host("login2"), 4711))
    files.write(fd, data)      in login2's memory: others see it after files.datasync(fd), or never

What a host has written and not synced, nobody else sees: not even when the
process is killed, if its host dies with it or is cut off. HEAD, which is never
synced, is behind on every other host. A name that was made elsewhere a moment
ago may be missing from a listing. What is assumed is what docs/reliability.md
says: `link` is atomic, and a name is found when its directory is opened anew.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

from journal import JournalBusy
from journal.files import Files
from journal.lock import Holder, Lock

from .cluster import STALE
from .conditions import Conditions

#: Seconds after which a file server gives back the locks of a host that died (NFSv4: its lease).
LEASE = 90.0
_SEGMENT = re.compile(r"\d{8}\.jsonl")


class BrokenPromise(AssertionError):
    """What must never happen has happened; after which faults, numbered."""

    faults: list[tuple[int, str]] = []


class Killed(BaseException):
    """The dispatcher was killed at this point."""


class Host:
    """A machine. `ahead`: seconds that its clock is ahead; `up`: what its steady clock showed at the beginning."""

    def __init__(self, name: str, ahead: float = 0.0, up: float = 0.0) -> None:
        self.name, self.ahead, self.up = name, ahead, up
        self.unwritten: dict[int, bytearray] = {}
        self.marks: dict[int, dict[int, bytes]] = {}
        self.cut_off_until = 0.0


class Process:
    """A dispatcher. `segment` is the one it writes; `shut`: an operator has taken its lock away.

    `fate` is what becomes of the bytes it has not synced when it dies: "" written, "late", or "lost" with its host.
    """

    def __init__(self, host: Host, pid: int) -> None:
        self.host, self.pid, self.segment = host, pid, 0
        self.dead = self.shut = self.suspended = False
        self.fate = ""

    def step(self, conditions: Conditions, point: str) -> None:
        """Pass a point where it may be killed; after that it does nothing any more."""
        if self.dead:
            raise Killed
        try:
            conditions.step(point)
        except Killed:
            self.dead = True
            raise
        if self.dead:
            raise Killed


class FileServer:
    """What all hosts share. `left`: files as dead writers left them; `foreign`: bytes came in behind a seal."""

    def __init__(self, now: Callable[[], float], conditions: Conditions, excludes: bool = True) -> None:
        self.now, self.conditions, self.excludes = now, conditions, excludes
        self.made: dict[str, tuple[float, Host]] = {}
        self.holders: dict[str, tuple[Process, float]] = {}
        self.late: list[tuple[float, int, bytes]] = []
        self.left: dict[str, bytes] = {}
        self.writers: list[Process] = []
        self.foreign = False

    def arrive(self) -> None:
        """What was on its way from a host that was cut off is written now."""
        due = [late for late in self.late if late[0] <= self.now()]
        self.late = [late for late in self.late if late[0] > self.now()]
        for _, fd, data in due:
            os.pwrite(fd, data, os.fstat(fd).st_size)
            os.close(fd)
            self.foreign = True

    def stale(self, process: Process, path: Path) -> bool:
        """Whether another writer has taken over from this one."""
        frozen = (path / f"{process.segment:08d}.frozen").exists()
        return frozen or any(other.segment > process.segment for other in self.writers)

    def take_over(self, process: Process) -> None:
        """A writer freezes what was there; BrokenPromise when the lock should have kept it out.

        One that was shut out in the middle of opening may go on with that: one of the two is refused, no matter which.
        """
        for other in self.writers:
            kept_out = self.excludes or other.host is process.host
            if other is not process and kept_out and not (other.dead or other.shut or process.shut):
                raise BrokenPromise(f"two writers had the journal: {other.pid} and {process.pid}")

    def bury(self, process: Process, files: HostFiles) -> None:
        """The process is dead: what it wrote and did not sync is written now, late, or lost with its host."""
        host = process.host
        for fd, path in files.open.items():
            ino = os.fstat(fd).st_ino
            data, marks = bytes(host.unwritten.pop(ino, b"")), host.marks.pop(ino, {})
            if data and self.conditions.torn():
                data = data[: len(data) // 2]
            if process.fate == "late" and data:
                self.late.append((host.cut_off_until, os.dup(fd), data))
            elif not process.fate:
                files.put(fd, data, marks)
            if _SEGMENT.fullmatch(os.path.basename(path)):
                self.left[path] = Path(path).read_bytes()
            os.close(fd)
        files.open.clear()
        for key, (holder, _) in list(self.holders.items()):
            if holder is process:
                self.holders[key] = process, self.now() + LEASE if process.fate else 0.0
        self.writers = [writer for writer in self.writers if writer is not process]


class HostFiles(Files):
    """The file system as a process sees it from its host. Every call with an effect is a point where it may die."""

    def __init__(
        self, server: FileServer, process: Process, wrote: Callable[[bytes], None] = lambda data: None
    ) -> None:
        self.server, self.process, self.host, self.conditions = server, process, process.host, server.conditions
        self.open: dict[int, str] = {}
        self._wrote = wrote

    def _step(self, point: str) -> None:
        self.process.step(self.conditions, point)
        self.server.arrive()

    def _made(self, path: str) -> None:
        self.server.made.setdefault(path, (self.server.now(), self.host))

    def create(self, path: str) -> int:
        """A new file."""
        self._step("before create")
        fd = super().create(path)
        self.open[fd] = path
        self._made(path)
        return fd

    def touch(self, path: str) -> None:
        """An empty file; freezing a segment is the first deed of a new writer."""
        self._step("before freeze")
        self.server.take_over(self.process)
        super().touch(path)
        self._made(path)
        self._step("after freeze")

    def update(self, path: str, make: bool = False) -> int:
        """A file to be written at any position."""
        self._step("before update")
        fd = super().update(path, make)
        self.open[fd] = path
        self._made(path)
        return fd

    def write(self, fd: int, data: bytes) -> int:
        """Into this host's memory: all, a part, or a part and an error."""
        self._step("before journal write")
        trouble = self.conditions.disk()
        part = data[: max(1, len(data) // 2)] if trouble in ("full", "error", "short") else data
        self._wrote(part)
        self.host.unwritten.setdefault(os.fstat(fd).st_ino, bytearray()).extend(part)
        if trouble in ("full", "error"):
            code = errno.ENOSPC if trouble == "full" else errno.EIO
            raise OSError(code, os.strerror(code))
        self._step("after journal write")
        return len(part)

    def pwrite(self, fd: int, data: bytes, at: int) -> int:
        """HEAD stays in memory until it is synced or closed; elsewhere the bytes are those that are there."""
        self._step("before pwrite")
        self._wrote(data)
        if self.open[fd].endswith("/HEAD"):
            self.host.marks.setdefault(os.fstat(fd).st_ino, {})[at] = data
            return len(data)
        self._flush(fd)
        return super().pwrite(fd, data, at)

    def _flush(self, fd: int) -> None:
        ino = os.fstat(fd).st_ino
        self.put(fd, bytes(self.host.unwritten.pop(ino, b"")), self.host.marks.pop(ino, {}))

    def put(self, fd: int, data: bytes, marks: dict[int, bytes]) -> None:
        """Bytes from a host's memory reach the server."""
        for at, mark in marks.items():
            os.pwrite(fd, mark, at)
        if data:
            os.pwrite(fd, data, os.fstat(fd).st_size)
            self.server.foreign |= os.path.exists(self.open[fd].replace(".jsonl", ".frozen"))

    def datasync(self, fd: int) -> None:
        """Everybody sees it now, or the sync fails: then nobody knows, and perhaps it is gone."""
        self._step("before sync")
        trouble = self.conditions.disk()
        if trouble == "dropped":
            self.host.unwritten.pop(os.fstat(fd).st_ino, None)
        if trouble in ("unsynced", "dropped"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._flush(fd)
        super().datasync(fd)
        self._step("after sync")

    def sync(self, fd: int) -> None:
        """The same."""
        self.datasync(fd)

    def close(self, fd: int) -> None:
        """What a process closes is written; a dead one closes nothing (see `bury`)."""
        if self.process.dead:
            return
        self._flush(fd)
        if self.open.pop(fd).endswith(f"/{self.process.segment:08d}.jsonl"):
            self.server.writers = [writer for writer in self.server.writers if writer is not self.process]
        super().close(fd)

    def truncate(self, fd: int, size: int) -> None:
        """Only a writer's own bytes that nobody was told of may go."""
        self._step("before truncate")
        real, data = os.fstat(fd).st_size, self.host.unwritten.get(os.fstat(fd).st_ino, bytearray())
        del data[max(size - real, 0) :]
        if size < real:
            super().truncate(fd, size)

    def size(self, fd: int) -> int:
        """As this host sees it."""
        return os.fstat(fd).st_size + len(self.host.unwritten.get(os.fstat(fd).st_ino, b""))

    def read(self, path: str, size: int = -1) -> bytes:
        """As this host sees it."""
        self.server.arrive()
        data, ino = super().read(path), os.stat(path).st_ino
        data += bytes(self.host.unwritten.get(ino, b""))
        for at, mark in self.host.marks.get(ino, {}).items():
            data = data[:at].ljust(at, b"\0") + mark + data[at + len(mark) :]
        return data[:size] if size >= 0 else data

    def length(self, path: str) -> int:
        """As this host sees it."""
        return len(self.read(path))

    def link(self, old: str, new: str) -> None:
        """Publish a segment: from now on this is the writer."""
        self._step("before link")
        super().link(old, new)
        self._made(new)
        self.open = {fd: new if path == old else path for fd, path in self.open.items()}
        self.process.segment = int(os.path.basename(new)[:8])
        self.server.writers = [*(writer for writer in self.server.writers if writer is not self.process), self.process]
        self._step("after link")

    def names(self, path: str) -> list[str]:
        """A listing, perhaps without what another host has made a moment ago."""
        self._step("listing")
        names = super().names(path)
        if not self.conditions.stale_listing():
            return names
        return [name for name in names if not self._fresh_elsewhere(f"{path}/{name}")]

    def _fresh_elsewhere(self, path: str) -> bool:
        at, host = self.server.made.get(path, (0.0, self.host))
        return host is not self.host and self.server.now() - at < STALE

    def sync_dir(self, path: str) -> None:
        """Names are the server's."""
        self._step("before directory sync")


class HostLock(Lock):
    """A lock that excludes everybody, or the processes of one host, as the server has it."""

    def __init__(self, server: FileServer, process: Process, path: Path) -> None:
        super().__init__(path)
        self.server, self.process = server, process
        self.key = "" if server.excludes else process.host.name

    def acquire(self, timeout: float, session: str) -> None:
        """Refused, with who holds it, while a process lives that has it, or its host's lease does."""
        self.process.step(self.server.conditions, "before lock")
        other, until = self.server.holders.get(self.key, (self.process, 0.0))
        if (other is not self.process and not other.dead) or self.server.now() < until:
            holder = Holder(other.host.name, other.pid, "", self.server.now())
            raise JournalBusy(self.path, str(holder), other.host is not self.process.host)
        self.server.holders[self.key] = self.process, 0.0

    def release(self) -> None:
        """Give it back, if it is still there; the server does that for the dead."""
        if not self.process.dead and self.server.holders.get(self.key, (None, 0.0))[0] is self.process:
            del self.server.holders[self.key]
