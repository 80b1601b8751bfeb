"""Local: tasks run in a directory of their own on this machine, with links to (or copies of) their files.

    local = <local_root>/<work_base>     R = <remote_root>/<submission>     control = R/.dispatcher/<submission>/jobs
    R/t1/in.dat -> /proj/runs/t1/in.dat      with "symlink": true, else a verified copy

Only files are linked, never directories: what a task writes beside its input stays in the remote root.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from ...core.errors import ConfigError
from ...core.keys import Key
from ...core.model import MachineSpec
from ...core.ports import Item, Place
from ...files import local
from ...files.gate import make_directory
from ...files.incoming import copy, link
from .profile import LOCAL
from .this_machine import (
    ThisMachine,
    has_content_of,
    is_file,
    is_same,
    joined,
    must_exist,
    place,
    remove_tree,
)


class LocalConnection(ThisMachine):
    """The execution side is <remote_root>/<submission> on this machine."""

    owns_root: ClassVar[bool] = True
    batch_type: ClassVar[str] = ""
    profile_keys: ClassVar[tuple[Key, ...]] = LOCAL.keys

    def __init__(self, place: Place, symlink: bool) -> None:
        super().__init__(place)
        self._symlink = symlink

    @classmethod
    def open(cls, machine: MachineSpec, profile: Mapping[str, Any], submission: str, work_base: str) -> LocalConnection:
        """Make the remote root and the control directory where they are missing; ConfigError without remote_root."""
        symlink = profile.get("symlink", True)
        if not isinstance(symlink, bool):
            raise ConfigError(f"machine/remote_profile/symlink: {symlink!r} is not a boolean; write true or false")
        place = cls.place_of(machine, submission, work_base)
        above = Path(place.remote_root).parent.parent
        if not machine.create_remote_root and not above.is_dir():
            raise ConfigError(
                f"machine/remote_root: {machine.remote_root}: there is no directory {above}; correct it, or set "
                "machine/create_remote_root to true"
            )
        return cls(place, symlink)

    @classmethod
    def place_of(cls, machine: MachineSpec, submission: str, work_base: str) -> Place:
        """<remote_root>/<submission>; ConfigError without remote_root, and where it would hold the local side."""
        if not machine.remote_root:
            raise ConfigError("machine/remote_root: missing; LocalContext needs a directory to run tasks in")
        root = joined(machine.remote_root, submission)
        here = joined(machine.local_root, work_base)
        if Path(here).is_relative_to(root):
            raise ConfigError(f"machine/remote_root: {root} would hold {here} and is removed at the end; name another")
        return place(here, root, submission)

    def put(self, items: Sequence[Item], replace: bool) -> None:
        """Link or copy what differs (`replace`) or is not there, and verify.

        InputMissing names a source that is gone, TransferFailed a target that cannot be made.
        """
        for item in items:
            target = self._root / item.target
            if item.size < 0:
                make_directory(target)
            elif replace or not is_file(target):
                must_exist(Path(item.source))
                self._send(Path(item.source), target, item.digest)

    def _send(self, source: Path, target: Path, digest: str) -> None:
        make_directory(target.parent)
        try:
            if target.is_symlink() and target.is_dir():
                target.unlink()
            if self._is_sent(source, target, digest):
                return
            if self._symlink:
                link(source, target)
            else:
                copy(source, target, digest)
        except OSError as why:
            raise local.failed(f"send {source} to", target, why) from why

    def _is_sent(self, source: Path, target: Path, digest: str) -> bool:
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if target.is_symlink():
            return self._symlink and (target.readlink() == source or is_same(source, target))
        # the very source, through a directory that is a link: replacing it would destroy what is to be sent
        return is_same(source, target) or has_content_of(source, target, digest)

    def remove(self) -> None:
        """Remove the remote root, all of it ours, and nothing beside it."""
        remove_tree(self._root)
