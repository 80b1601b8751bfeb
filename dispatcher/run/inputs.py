"""Inputs that jobs read where they lie: only the bytes that were asked for count.

    inputs.edited([3])             ->  ["t3/in"]        not what was asked for any more: its job is not submitted
    inputs.stamps([3, 17])         ->  ("9f86d081", "2c26b46b")        as they lie now; journalled before the request
    inputs.changed(3, "9f86d081")  ->  ["t3/in"]        written to since, and perhaps put back: its results do not count

Where inputs are sent as copies, what is done to the originals afterwards changes nothing, and nothing is watched. A
stamp is made of inodes, sizes and times, so that files are read again only when one of them has changed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from hashlib import sha1

from ..core.events import Cause, CauseKind
from ..core.ports import Place
from ..files import local


def stamp_of(path: str) -> local.Stamp | None:
    """What tells that a file was written to, None when it is not there; links are followed."""
    try:
        return local.stamp_of(os.stat(path))  # noqa: PTH116 (a Path for each of 100,000 files costs more than stat)
    except OSError:
        return None


def edited_cause(paths: Sequence[str], task: int | None = None) -> Cause:
    """Why a job is over whose inputs were edited; `task` is the position in it of the first one concerned."""
    shown = ", ".join(paths[:5])
    return Cause(
        CauseKind.inputs,
        f"{shown} was written to after this was asked for: results of other bytes do not count. Run the same command "
        "again (as it is now it is another submission; put back it is this one); what tasks rewrite themselves belongs "
        "into their backward_files",
        task=task,
        source="inputs",
    )


class Inputs:
    """What the tasks of a submission read, by position.

    `digests` are the SHA-256 that were asked for, by path below the local side; `seen` are stamps that were taken
    before these files were read; `reads` gives the paths that each task reads.
    """

    def __init__(
        self,
        place: Place,
        digests: Mapping[str, str],
        seen: Mapping[str, local.Stamp | None],
        reads: Callable[[], Sequence[Sequence[str]]],
    ) -> None:
        self._place, self._digests, self._find = place, digests, reads
        self._good = dict(seen)

    @cached_property
    def _reads(self) -> Sequence[Sequence[str]]:
        return self._find() if os.path.isdir(self._place.remote_root) else ()  # noqa: PTH112

    def _watched(self, position: int) -> list[str]:
        """The paths of a task's inputs that its job reads here."""
        if position >= len(self._reads):
            return []
        here, there = self._place.local, self._place.remote_root
        if here == there:
            return list(self._reads[position])
        return [
            path
            for path in self._reads[position]
            if os.path.realpath(f"{there}/{path}") == os.path.realpath(f"{here}/{path}")
        ]

    def edited(self, positions: Iterable[int]) -> list[str]:
        """Inputs of these tasks that are not, at this moment, what was asked for."""
        paths = dict.fromkeys(path for position in positions for path in self._watched(position))
        return [path for path in paths if not self._is_good(path)]

    def _is_good(self, path: str) -> bool:
        """Whether a file holds what was asked for; read again when its stamp is not that of a time when it did."""
        now = stamp_of(f"{self._place.local}/{path}")
        if now is not None and now == self._good.get(path):
            return True
        good = now is not None and self._digest(path) == self._digests.get(path)
        if good:
            self._good[path] = now
        return good

    def _digest(self, path: str) -> str:
        try:
            return local.digest(f"{self._place.local}/{path}")
        except OSError:
            return ""

    def stamps(self, positions: Iterable[int]) -> tuple[str, ...]:
        """One text a task; "" for one whose inputs are not watched."""
        return tuple(self._stamp(position) for position in positions)

    def _stamp(self, position: int) -> str:
        paths = self._watched(position)
        now = [(path, _written(stamp_of(f"{self._place.local}/{path}"))) for path in paths]
        return sha1(repr(now).encode(), usedforsecurity=False).hexdigest()[:8] if paths else ""

    def changed(self, position: int, stamp: str) -> list[str]:
        """Inputs of a task that were written to since it had this stamp."""
        if not stamp or self._stamp(position) == stamp:
            return []
        paths = self._watched(position)
        other = [path for path in paths if self._digest(path) != self._digests.get(path)]
        return other or [max(paths, key=self._time)] if paths else ["an input, which is not there any more"]

    def _time(self, path: str) -> int:
        found = stamp_of(f"{self._place.local}/{path}")
        return found.mtime if found else 0


def _written(found: local.Stamp | None) -> tuple[int, int, int] | None:
    """Of a stamp, what tells that the bytes were written to: other links to a file, and its mode bits, do not count."""
    return (found.inode, found.size, found.mtime) if found else None
