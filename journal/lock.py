"""Who may write: one lock file for the whole session of a writer.

    LOCK            flock on it; beside it LOCK.holder says who:
    {"host":"login1","pid":4242,"session":"9f2c…","since":1795342361.6}

Where flock is unknown (ENOSYS) hard-link claims take its place. Where it only
excludes processes of one node, as some mounts of NFS and Lustre have it, the
writer is warned, and the freeze of segments (see `writer`) is what protects.
"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from .errors import JournalBusy

if TYPE_CHECKING:
    from filelock import BaseFileLock


class Holder(msgspec.Struct, frozen=True):
    """Who holds the lock, and since when (seconds since the epoch)."""

    host: str
    pid: int
    session: str
    since: float

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} on {self.host} since {since}"


class Lock:
    """An exclusive lock on a directory; `acquire` raises JournalBusy when it is held."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: BaseFileLock | None = None

    def acquire(self, timeout: float, session: str) -> None:
        """Wait at most `timeout` seconds for the lock, then say who holds it."""
        from filelock import FileLock, StrictSoftFileLock, Timeout

        kinds = (
            FileLock(self.path / "LOCK", fallback_to_soft=False, is_singleton=False, thread_local=False, mode=0o600),
            StrictSoftFileLock(self.path / "LOCK.soft"),
        )
        for lock in kinds:
            try:
                lock.acquire(timeout=timeout)
            except Timeout:
                raise JournalBusy(self.path, str(self.holder() or "")) from None
            except (OSError, NotImplementedError) as error:
                if getattr(error, "errno", errno.ENOSYS) != errno.ENOSYS or lock is kinds[-1]:
                    raise
            else:
                self._lock = lock
                break
        holder = Holder(os.uname().nodename, os.getpid(), session, time.time())
        (self.path / "LOCK.holder").write_bytes(msgspec.json.encode(holder))

    def release(self) -> None:
        """Give the lock back; more than once does no harm."""
        if self._lock is not None:
            (self.path / "LOCK.holder").unlink(missing_ok=True)
            self._lock.release()
            self._lock = None

    def holder(self) -> Holder | None:
        """Who holds it, as far as can be read."""
        return read_holder(self.path)


def read_holder(path: Path) -> Holder | None:
    """Who last took the lock of the journal at `path` and has not given it back in order."""
    try:
        return msgspec.json.decode((path / "LOCK.holder").read_bytes(), type=Holder)
    except (OSError, ValueError):
        return None


def mount_warning(path: Path, mounts: str | None = None) -> str:
    """A sentence when flock at `path` excludes only processes of this node; "" when it does more.

    `mounts` is the text of /proc/self/mountinfo (proc(5)); read from there when not given.
    """
    try:
        text = Path("/proc/self/mountinfo").read_text() if mounts is None else mounts
    except OSError:
        return ""
    real, best = os.path.realpath(path), ("", "", "")
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        point, kind = before.split()[4], after.split()
        if len(point) >= len(best[0]) and (real + "/").startswith(point.rstrip("/") + "/"):
            best = (point, kind[0], f"{before.split()[5]},{kind[-1]}")
    point, kind_name, options = best
    local = {"nolock", "local_lock=flock", "local_lock=all", "localflock"} & set(options.split(","))
    lustre = kind_name == "lustre" and "flock" not in options.split(",")
    if (kind_name.startswith("nfs") and local) or (kind_name == "lustre" and (local or lustre)):
        return f"locks on {point} ({kind_name}) exclude only processes of one node; do not start a second run elsewhere"
    return ""
