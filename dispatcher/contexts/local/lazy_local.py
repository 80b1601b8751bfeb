"""LazyLocal: tasks run where their files are; nothing is copied, nothing but our own directory is removed.

local = R = <local_root>/<work_base>         control = R/.dispatcher/<submission>/jobs
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from ...core.keys import Key
from ...core.model import MachineSpec
from ...core.names import OWNER
from ...core.ports import Item, Place
from ...files.gate import make_directory
from .profile import LAZY_LOCAL
from .this_machine import ThisMachine, joined, must_exist, place, remove_tree


class LazyLocalConnection(ThisMachine):
    """The execution side is the local side."""

    owns_root: ClassVar[bool] = False
    batch_type: ClassVar[str] = ""
    profile_keys: ClassVar[tuple[Key, ...]] = LAZY_LOCAL.keys

    @classmethod
    def open(
        cls, machine: MachineSpec, profile: Mapping[str, Any], submission: str, work_base: str
    ) -> LazyLocalConnection:
        """Make the remote root and the control directory where they are missing."""
        return cls(cls.place_of(machine, submission, work_base))

    @classmethod
    def place_of(cls, machine: MachineSpec, submission: str, work_base: str) -> Place:
        """Tasks run where their files are."""
        here = joined(machine.local_root, work_base)
        return place(here, here, submission)

    def put(self, items: Sequence[Item], replace: bool) -> None:
        """Make directories that are missing and see that the files are there; InputMissing names one that is not."""
        for item in items:
            target = self._root / item.target
            if item.size < 0:
                make_directory(target)
            else:
                must_exist(target)

    def remove(self) -> None:
        """Remove home; the directories above it only when nothing else (a journal) is in them."""
        home = Path(self.place.control)
        remove_tree(home)
        with suppress(OSError):
            (home.parent / OWNER).unlink(missing_ok=True)
            home.parent.rmdir()
            home.parent.parent.rmdir()
