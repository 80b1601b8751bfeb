"""The gate: every path that came from outside passes it before it is joined to a directory of ours, and before a write.

    inside("./t1/out.nc", "ann@hpc")           ->  "t1/out.nc"
    inside("t1/../../.bash_profile", "ann@hpc") ->  TransferFailed: refused to write … from ann@hpc
    Way("/proj/runs").to("t1/out.nc")          ->  "/proj/runs/t1/out.nc"   its directory made; no link leads out

A link of the user's is followed while it stays below the directory; one that
leads out of it is refused, for nobody can tell who is meant to be written to.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..core.errors import TransferFailed
from ..core.names import CONTROL
from .local import failed


def inside(name: str, source: str, doing: str = "write") -> str:
    """A path below the receiving directory, without `.`; TransferFailed when it could lead anywhere else.

    `source` says in the message where the name came from, `doing` what was about to be done with it.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\0" in name or not parts:
        raise refused(name, source, "a name that leads elsewhere", doing)
    return "/".join(parts)


def refused(name: str, source: str, why: str, doing: str = "write") -> TransferFailed:
    """The error for something that must not be written here."""
    return TransferFailed(
        f"refused to {doing} {name[:200]!r} from {source}: {why}; nothing of it was written. Look who answers there"
    )


def below(name: str, tops: Iterable[str], source: str) -> str:
    """The same for a listing, of which only what lies at or below one of `tops` was asked for."""
    path = inside(name, source)
    if not any(not top or path == top or path.startswith(f"{top}/") for top in tops):
        raise refused(name, source, "nobody asked for it")
    return path


class Way:
    """The way from a directory to files below it; each directory on it is looked at once."""

    def __init__(self, root: str | Path) -> None:
        self._root, self._real = str(root), os.path.realpath(root)
        self._passed: set[str] = set()

    def name(self, name: str) -> str:
        """The path as `inside` gives it; one of the dispatcher's own files is refused, too."""
        path = inside(name, "the other side")
        if any(part.startswith(CONTROL) for part in path.split("/")):
            raise refused(name, "the other side", f"names that begin with {CONTROL!r} are the dispatcher's own")
        return path

    def to(self, name: str) -> str:
        """Where a file is to be; its directory is made. TransferFailed when the name, or a link, leads out."""
        path = self.name(name)
        self.directory(path.rpartition("/")[0])
        return f"{self._root}/{path}"

    def directory(self, path: str) -> None:
        """Make a directory below the root, and see that it is there and not elsewhere."""
        if path not in self._passed:
            self.check(path)
            make_directory(Path(self._root, path))
            self._passed.add(path)

    def check(self, path: str) -> None:
        """Raise TransferFailed when a link on this way leads out of the root; what is not there yet does not."""
        real = os.path.realpath(f"{self._root}/{path}")
        if real != self._real and not real.startswith(f"{self._real.rstrip('/')}/"):
            raise TransferFailed(
                f"results cannot go to {self._root}/{path}: a link on the way leads out, to {real}; nothing was "
                "written there. Make it a directory, or let work_base begin where it leads"
            )

    def check_all(self, paths: Iterable[str]) -> None:
        """The same for all these directories: told before anything runs, not after."""
        for path in paths:
            self.check(path)


def make_directory(path: Path, mode: int = 0o777) -> None:
    """Make a directory and those above it; one that is there stays as it is. TransferFailed if a file is in the way."""
    try:
        if not path.is_dir():
            path.mkdir(mode, parents=True, exist_ok=True)
    except OSError as why:
        raise failed("make directory", path, why) from why
