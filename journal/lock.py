"""Who may write: one lock file for the whole session of a writer.

    LOCK            flock on it; beside it LOCK.holder says who:
    {"host":"login1","pid":4242,"session":"9f2c…","since":1795342361.6}

Where flock is unknown (ENOSYS) hard-link claims take its place. Where it only
excludes processes of one node, as some mounts of NFS and Lustre and those of
sshfs have it, the writer is warned, and the freeze of segments (see `writer`)
is what protects.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from .errors import JournalBusy, JournalNotOurs
from .files import Files
from .ownership import doubt
from .reader import Reader

if TYPE_CHECKING:
    from filelock import BaseFileLock

#: FUSE mounts whose programs hand flock on to their servers; with all others (sshfs, bindfs, rclone) the kernel keeps
#: it to itself (fuse.h, FUSE_FLOCK_LOCKS).
_HANDED_ON = frozenset({"fuse.glusterfs", "fuse.ceph", "fuse.ceph-fuse", "fuse.juicefs"})
#: Bytes of the text that says who holds the lock, at most.
_LONGEST = 4096
_log = logging.getLogger(__name__)


class Holder(msgspec.Struct, frozen=True):
    """Who holds the lock, and since when (seconds since the epoch)."""

    host: str
    pid: int
    session: str
    since: float

    @property
    def away(self) -> bool:
        """Whether that is another host than this one."""
        return self.host != os.uname().nodename

    def __str__(self) -> str:
        try:
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        except (OverflowError, ValueError, OSError):  # written by a clock that was wrong, or by nobody of ours
            since = f"{self.since:g}"
        return f"process {self.pid} on {self.host} since {since}"


class Lock:
    """An exclusive lock on a directory; `acquire` raises JournalBusy when it is held."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: BaseFileLock | None = None
        self._session = ""

    def acquire(self, timeout: float, session: str) -> None:
        """Wait at most `timeout` seconds for the lock, then say who holds it."""
        from filelock import FileLock, StrictSoftFileLock, Timeout

        kinds = (
            FileLock(self.path / "LOCK", fallback_to_soft=False, is_singleton=False, thread_local=False, mode=0o600),
            StrictSoftFileLock(self.path / "LOCK.soft", is_singleton=False, thread_local=False, mode=0o600),
        )
        for lock in kinds:
            try:
                lock.acquire(timeout=timeout)
            except Timeout:
                holder = self.holder()
                raise JournalBusy(self.path, str(holder or ""), bool(holder and holder.away)) from None
            except (OSError, NotImplementedError) as error:
                if getattr(error, "errno", errno.ENOSYS) != errno.ENOSYS or lock is kinds[-1]:
                    raise
            else:
                self._lock = lock
                break
        self._session = session
        self._introduce(Holder(os.uname().nodename, os.getpid(), session, time.time()))

    def _introduce(self, holder: Holder) -> None:
        """For whoever finds the lock held; a full disk is no reason to give the lock back."""
        try:
            how = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(self.path / "LOCK.holder", how, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(msgspec.json.encode(holder))
        except OSError as error:
            _log.warning("%s/LOCK.holder cannot be written: %s", self.path, error)

    def release(self) -> None:
        """Give the lock back; more than once does no harm."""
        if self._lock is None:
            return
        holder, lock, self._lock = self.holder(), self._lock, None
        try:
            if holder is not None and holder.session == self._session:
                (self.path / "LOCK.holder").unlink(missing_ok=True)
        except OSError as error:
            _log.warning("%s/LOCK.holder cannot be removed: %s", self.path, error)
        finally:
            lock.release()

    def holder(self) -> Holder | None:
        """Who holds it, as far as can be read."""
        return read_holder(self.path)


def read_holder(path: Path) -> Holder | None:
    """Who last took the lock of the journal at `path` and has not given it back in order."""
    try:
        return msgspec.json.decode(Files().read(f"{path}/LOCK.holder", _LONGEST), type=Holder)
    except (OSError, ValueError, RecursionError):
        return None


def unlock(path: Path, files: Files | None = None) -> Holder | None:
    """Shut out whoever writes the journal at `path`, on whatever host, and say who that was.

    For a holder that cannot be stopped: its host is out of reach, or it hangs. The last segment is frozen, so that it
    can acknowledge nothing more and asks nothing more once it looks; then its locks are taken away. Safe at any time:
    at worst a healthy run is ended, and the same command goes on. Raises JournalMissing, JournalNotOurs.
    """
    from filelock import StrictSoftFileLock

    holder, reader = read_holder(path), Reader(path, files)
    frozen = 0
    if reader.segments() and (why := doubt(str(path))):
        raise JournalNotOurs(path, why)
    while (segments := reader.segments()) and segments[-1] != frozen:  # it may begin another one meanwhile
        frozen = segments[-1]
        reader.files.touch(f"{path}/{frozen:08d}.frozen")
        reader.files.sync_dir(str(path))
    if (path / "LOCK.soft").exists():
        soft = StrictSoftFileLock(path / "LOCK.soft", is_singleton=False)
        for claim in soft.claims:
            soft.force_break(claim.name)
    for name in ("LOCK", "LOCK.holder"):
        (path / name).unlink(missing_ok=True)
    return holder


def mount_warning(path: Path, mounts: str | None = None) -> str:
    """A sentence when flock at `path` excludes only processes of this node; "" when it does more.

    `mounts` is the text of /proc/self/mountinfo (proc(5)); read from there when not given.
    """
    try:
        text = Path("/proc/self/mountinfo").read_text(errors="surrogateescape") if mounts is None else mounts
    except OSError:
        return ""
    point, kind, options = _mount(os.path.realpath(path), text)
    local = {"nolock", "local_lock=flock", "local_lock=all", "localflock"} & options
    fuse = kind == "fuse" or (kind.startswith("fuse.") and kind not in _HANDED_ON)
    alone = fuse or (kind.startswith("nfs") and local)
    if alone or (kind == "lustre" and (local or "flock" not in options)):
        return f"locks on {point} ({kind}) exclude only processes of one node; do not start a second run elsewhere"
    return ""


def _mount(path: str, mounts: str) -> tuple[str, str, set[str]]:
    """Mount point, type and options of the file system that holds `path`: the last of the longest that fit."""
    best, kind, options = "", "", set[str]()
    for line in mounts.splitlines():
        before, _, after = (part.split() for part in line.partition(" - "))
        if len(before) < 6 or not after:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), before[4])
        if len(point) >= len(best) and (path + "/").startswith(point.rstrip("/") + "/"):
            best, kind, options = point, after[0], {*before[5].split(","), *after[-1].split(",")}
    return best, kind, options
