"""Directories of ours on this machine: made for us alone, or found and known to be ours, or refused.

    own(Path("/scratch/R/.dispatcher"))       made, 0700 whatever the umask
                                              ->  NotOurs: /scratch/R/.dispatcher is not used: it belongs to user 1002 …

Names of ours can be guessed: on a shared file system somebody may have been there
first. `scripts.shared_directory.OWN` says the same in shell, for the other side.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from journal.ownership import doubt, make_private

from ..core.errors import NotOurs
from . import local


def own(path: Path) -> None:
    """Make this directory, or see that it is ours; those above it are made as the umask has it.

    Raises NotOurs, and TransferFailed when it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not make_private(str(path)) and (why := doubt(str(path))):
            raise NotOurs(f"{path} is not used: {why}")
    except OSError as error:
        if isinstance(error, NotOurs):
            raise
        raise local.failed("make directory", path, error) from error


def is_ours(path: Path) -> bool:
    """Whether a plain file of ours has this name: neither a link, nor somebody else's."""
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
