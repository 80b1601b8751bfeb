"""How often a machine may be asked, and logged in to, in a minute: counted for all processes of a user on a host.

    budget = Budget("me@login:22", Limits(calls=30, logins=2))
    budget.spend("calls")     ->  0.0     counted: go ahead
                              ->  12.5    seconds until there is room again: nothing was counted

    $XDG_RUNTIME_DIR/dispatcher/<digest>.json      or below $XDG_CACHE_HOME, or ~/.cache; 0600, changed under flock
    {"name":"me@login:22","limits":{"calls":30,"logins":2},"calls":{"1790000123":4},"logins":{"1790000071":1}}

In no minute are there more than the limit. A file that cannot be read is begun anew; where none can be kept (no
home, a full disk) each process counts for itself.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha1
from pathlib import Path

import msgspec

from ..core.errors import NotOurs, TransferFailed
from ..core.limits import MAX_NOTE
from ..files.ours import own

_log = logging.getLogger("dispatcher")
_MINUTE = 60


class Limits(msgspec.Struct, frozen=True, omit_defaults=True):
    """Most calls and logins in any minute; None for no limit."""

    calls: int | None = None
    logins: int | None = None


class Spending(msgspec.Struct):
    """What was spent of each kind, by the second (since the epoch) in which it was."""

    name: str
    limits: Limits = Limits()
    calls: dict[int, int] = {}
    logins: dict[int, int] = {}


def recent(spent: Mapping[int, int], now: float) -> dict[int, int]:
    """What is not older than a minute; what is of the future (a clock was set) does not count."""
    return {second: number for second, number in spent.items() if now - _MINUTE - 1 < second <= now + 1}


def room_in(spent: Mapping[int, int], limit: int | None, now: float) -> float:
    """Seconds until one more is within the limit; 0.0 when it is now."""
    counted = recent(spent, now)
    left = sum(counted.values())
    for second in sorted(counted):
        if limit is None or left < limit:
            break
        left -= counted[second]
        if left < limit:
            return second + _MINUTE + 1 - now
    return 0.0


class Budget:
    """Of one machine, as one user, from here. `name` is what people call it; it holds no secret."""

    def __init__(self, name: str, limits: Limits, clock: Callable[[], float] = time.time) -> None:
        self.name, self.limits, self._clock = name, limits, clock
        self._own = Spending(name, limits)

    @property
    def digest(self) -> str:
        """The name of the file of its spending; a home directory may be that of several hosts."""
        return sha1(f"{os.uname().nodename} {self.name}".encode(), usedforsecurity=False).hexdigest()

    def spend(self, kind: str) -> float:
        """Count one more of `calls` or `logins`; seconds to wait, and nothing is counted, when there is no room.

        Raises NotOurs when the file is somebody else's.
        """
        now, limit = self._clock(), getattr(self.limits, kind)
        with self._kept() as spending:
            spent: dict[int, int] = recent(getattr(spending, kind), now)
            wait = room_in(spent, limit, now)
            if not wait:
                spent[int(now)] = spent.get(int(now), 0) + 1
            setattr(spending, kind, spent)
            kept = spending.limits
            spending.limits = Limits(self.limits.calls or kept.calls, self.limits.logins or kept.logins)
        return wait

    @contextmanager
    def _kept(self) -> Iterator[Spending]:
        """The spending, written back at the end; the one of this process where none can be kept."""
        try:
            file = _opened(self.digest)
        except (OSError, TransferFailed) as error:
            _log.warning("the budget of %s is kept for this process alone: %s", self.name, error)
            yield self._own
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            spending = _read(file) or Spending(self.name, self.limits)
            yield spending
            _write(file, spending)
        finally:
            os.close(file)


def spent_of(digest: str, now: float) -> Spending | None:
    """What was spent in the last minute, by the name of the file; None when there is none of ours."""
    try:
        file = os.open(_path(digest), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        spending = _read(file) if _is_ours(file) else None
    finally:
        os.close(file)
    if spending is not None:
        spending.calls, spending.logins = recent(spending.calls, now), recent(spending.logins, now)
    return spending


def _path(digest: str) -> Path:
    top = os.environ.get("XDG_RUNTIME_DIR") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(top).expanduser() / "dispatcher" / f"{digest}.json"


def _opened(digest: str) -> int:
    path = _path(digest)
    own(path.parent)
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR):
            raise
    else:
        if _is_ours(file):
            return file
        os.close(file)
    raise NotOurs(f"{path} is not used: it is not a plain file of yours alone; remove it")


def _is_ours(file: int) -> bool:
    status = os.fstat(file)
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid() and not status.st_mode & 0o022


def _read(file: int) -> Spending | None:
    try:
        return msgspec.json.decode(os.pread(file, MAX_NOTE, 0), type=Spending, strict=False)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _write(file: int, spending: Spending) -> None:
    text = msgspec.json.encode(spending)
    try:
        os.ftruncate(file, 0)
        os.pwrite(file, text, 0)
    except OSError as error:
        _log.warning("the budget of %s cannot be written: %s", spending.name, error)
