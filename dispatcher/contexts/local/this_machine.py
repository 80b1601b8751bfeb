"""What the two contexts on this machine share: running commands, listing and fetching results.

    R/t1/out.nc  --get-->  local/t1/.dispatcher-1f09c2….tmp  --read back, equal-->  local/t1/out.nc

A result that already is the file on the local side (R is the local side, or R
has a link to it) stays where it is. Directories are merged, never removed.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from ...core.errors import ConfigError, InputMissing, TransferFailed
from ...core.names import control_of
from ...core.ports import Call, FileEntry, Item, Place, Reply
from ...core.possession import Possession
from ...files import local
from ...files.incoming import Arrivals, copy
from ...files.ours import own
from .. import owner
from . import shell_call

#: Tries to remove a directory: on NFS, files still open elsewhere leave `.nfs…` behind for a moment.
_TRIES = 4


def place(local_path: str, root: str, submission: str) -> Place:
    """Where things are for a submission whose tasks run in `root`; its name must be that of one directory."""
    if submission in ("", ".", "..") or "/" in submission:
        raise ConfigError(f"submission: {submission!r} is not a name for a directory; use the submission's hash")
    return Place(local_path, root, control_of(root, submission), inherits=True)


def joined(root: str, name: str) -> str:
    """A directory below a root, absolute, without `.` and `..`; an absolute name stands for itself."""
    return os.path.normpath(Path(root).expanduser().absolute() / Path(name).expanduser())


class ThisMachine:
    """A context whose remote root is a directory of this machine."""

    #: Whether the remote root itself is ours, and nobody else's.
    owns_root: ClassVar[bool]

    def __init__(self, place: Place) -> None:
        self.place = place
        self._root, self._local = Path(place.remote_root), Path(place.local)
        control = Path(place.control)
        for private in (*([self._root] if self.owns_root else []), control.parents[1], control.parent, control):
            own(private)

    @property
    def site(self) -> str:
        """Every context of this kind is here."""
        return "this machine"

    def own(self, record: str) -> Possession:
        """By a hard link that one process alone can make."""
        return owner.told(self.run(owner.text(self.place.control, record)))

    def run(self, call: Call) -> Reply:
        """Run it in the remote root and wait; Unreachable after its time-out."""
        return shell_call.run(shell_call.as_shell(call, type(self).__name__), self._root)

    def tree(self, paths: Sequence[str]) -> list[FileEntry]:
        """What is in the remote root; see `local.tree`. TransferFailed names what cannot be read."""
        return local.tree(self._root, paths, TransferFailed)

    def get(self, items: Sequence[Item]) -> list[Item]:
        """Copy to the local side and read back; a file that is the same on both sides keeps the digest given."""
        arrivals = Arrivals(self._local, items)
        for item in arrivals.missing():
            self._fetch(item, arrivals)
        return arrivals.items()

    def _fetch(self, item: Item, arrivals: Arrivals) -> None:
        source = self._root / item.source
        try:
            size = source.stat().st_size
            if is_same(source, self._local / item.target):
                arrivals.note(item, local.Content(size, item.digest))
                return
            target = Path(arrivals.path(item))
            if has_content_of(source, target, item.digest):
                arrivals.note(item, local.Content(size, item.digest or local.digest(target)))
                return
        except OSError as why:
            raise local.failed("fetch", source, why) from why
        arrivals.note(item, copy(source, target, item.digest, arrivals.durable))

    def close(self) -> None:
        """Nothing to let go of."""


def must_exist(source: Path) -> None:
    """Raise InputMissing unless this is a file that can be looked at."""
    if not is_file(source):
        raise InputMissing(f"forward file {source} is not there any more; create it, then run the same command again")


def is_file(path: Path) -> bool:
    """Whether a file is there for us: False, and no error, below a directory that is closed to us."""
    return os.path.isfile(path)  # noqa: PTH113 (Path.is_file raises there)


def is_same(source: Path, target: Path) -> bool:
    """Whether both names lead to one file."""
    return os.path.realpath(source) == os.path.realpath(target)


def has_content_of(source: Path, target: Path, digest: str = "") -> bool:
    """Whether the target is a file that holds what the source holds; read only when the sizes agree.

    `digest` is the SHA-256 of the source, "" when not known. Raises OSError.
    """
    if not target.is_file() or target.stat().st_size != source.stat().st_size:
        return False
    return local.digest(target) == (digest or local.digest(source))


def remove_tree(path: Path) -> None:
    """Remove a directory with everything below it; links are removed, not followed.

    Best effort: what cannot be removed after a second of trying is left, for nobody's results depend on it.
    """
    for attempt in range(_TRIES):
        if path.is_symlink() or not path.is_dir():
            return
        time.sleep(0.15 * attempt)
        # not shutil.rmtree: that calls itself once a level, and a task may nest directories deeper than calls can be
        subprocess.run(["rm", "-rf", "--", path], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
