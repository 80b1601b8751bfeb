"""Whose a directory is: what somebody else made, or may change, is not obeyed.

    doubt("/p/journal")    ->  ""                                  ours, and nobody else's
                           ->  "it belongs to user 1002, not to you: …"

Looked at before anything in it is believed or written. Ours means: a directory
and no link, owned by whoever we run as, closed to the writing of others. Some file
systems (sshfs, mapped NFS) show other owners than ours for what we make; there,
ours is what has the owner that a file made now would have.
"""

from __future__ import annotations

import os
import stat
import tempfile


def doubt(path: str) -> str:
    """Why this directory is not ours, and what to do; "" when it is. Raises OSError when it is not there."""
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return "it is a link, and whoever made it chooses where we write: remove it"
    if not stat.S_ISDIR(status.st_mode):
        return "it is not a directory: move it away"
    if status.st_uid != os.geteuid() and status.st_uid != _owner_of_ours(path):
        return f"it belongs to user {status.st_uid}, not to you: have it removed, or use another directory"
    if status.st_mode & 0o022:
        return f"others may write there, and may have: look at what it holds, then `chmod 700 {path}`"
    return ""


def strange_entry(path: str) -> str:
    """The name of something in this directory that is neither a file nor a directory (a link, a pipe); "" if none."""
    with os.scandir(path) as entries:
        return next(
            (e.name for e in entries if not e.is_file(follow_symlinks=False) and not e.is_dir(follow_symlinks=False)),
            "",
        )


def make_private(path: str) -> bool:
    """Make a directory for its owner only, whatever the umask; false when something is there already."""
    try:
        os.mkdir(path, 0o700)  # noqa: PTH102 (paths are strings here)
    except FileExistsError:
        return False
    os.chmod(path, 0o700)  # noqa: PTH101 (a umask may have taken bits that we need)
    return True


def _owner_of_ours(path: str) -> int:
    try:
        with tempfile.TemporaryFile(dir=path) as probe:
            return os.fstat(probe.fileno()).st_uid
    except OSError:
        return -1
