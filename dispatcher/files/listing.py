"""What is there, ready to be asked by pattern: the entries of a `tree`, as names and as a tree of names. Pure.

    listing = Listing([FileEntry("t1/in.dat", 812), FileEntry("t1/conf/a", 7)])
    listing.files("t1/in.dat")   ->  [FileEntry("t1/in.dat", 812)]                    a name is looked up
    listing.files("t1/*.dat")    ->  the same                                         a wildcard walks the tree
    listing.files("t1/conf")     ->  [FileEntry("t1/conf/a", 7)]                      a directory brings all below it

What patterns mean is told in `patterns`.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator
from fnmatch import translate
from functools import cached_property, lru_cache

from ..core.names import CONTROL
from ..core.ports import FileEntry

MAGIC = re.compile(r"[*?[]")
ESCAPED = re.compile(r"\[([*?[])\]")


def joined(directory: str, name: str) -> str:
    """A name in a directory, either of which may be ""."""
    return f"{directory}/{name}" if directory and name else directory or name


@lru_cache(maxsize=65536)
def literal(part: str) -> str | None:
    """The one name a part of a pattern means, None when it may mean many."""
    plain = ESCAPED.sub("", part)
    return None if MAGIC.search(plain) else ESCAPED.sub(r"\1", part)


class _Directory:
    """A directory of a listing: its names, and the names in both orders once a wildcard asked for them."""

    __slots__ = ("_backward", "_forward", "names")

    def __init__(self) -> None:
        self.names: dict[str, _Directory | int] = {}
        self._forward: list[str] = []
        self._backward: list[str] = []

    def matching(self, part: str) -> list[str]:
        """Names that one part of a pattern means, in order."""
        name = literal(part)
        if name is not None or part in self.names:
            return [name for name in (name or part,) if name in self.names]
        means = _compiled(part)
        return sorted(n for n in self._candidates(part) if means(n) and (n[0] != "." or part[0] == "."))

    def _candidates(self, part: str) -> list[str]:
        """Names that begin, or end, as the part does: 10,000 patterns over one large directory stay cheap."""
        if not self._forward:
            self._forward = sorted(self.names)
            self._backward = sorted(name[::-1] for name in self.names)
        head, tail = re.split(r"[*?[]", part, maxsplit=1)[0], re.split(r"[*?\]]", part)[-1]
        if len(head) >= len(tail):
            return _range(self._forward, head)
        return [name[::-1] for name in _range(self._backward, tail[::-1])]


def _range(ordered: list[str], start: str) -> list[str]:
    return ordered[bisect_left(ordered, start) : bisect_right(ordered, start, key=lambda name: name[: len(start)])]


@lru_cache(maxsize=4096)
def _compiled(part: str) -> Callable[[str], object]:
    return re.compile(translate(part)).match


class Listing:
    """What is there, ready to be asked by pattern; built once from the entries of a `tree`.

    Most patterns are names: these are looked up. Only wildcards and directories need the tree of names.
    """

    def __init__(self, entries: Iterable[FileEntry]) -> None:
        self._sizes: dict[str, int] = {}
        for entry in entries:
            path = entry.path
            if CONTROL in path and (path.startswith(CONTROL) or f"/{CONTROL}" in path):
                continue
            if entry.size >= 0 or path not in self._sizes:
                self._sizes[path] = entry.size

    @cached_property
    def _top(self) -> _Directory:
        top = _Directory()
        for path, size in self._sizes.items():
            _add(top, path, size)
        return top

    @cached_property
    def _directories(self) -> set[str]:
        """Every directory that leads to something, and the empty ones."""
        found = {path for path, size in self._sizes.items() if size < 0}
        for path in self._sizes:
            above = path.rpartition("/")[0]
            while above and above not in found:
                found.add(above)
                above = above.rpartition("/")[0]
        return found

    def match(self, pattern: str) -> list[str]:
        """Paths that a pattern means, sorted, directories as themselves."""
        return sorted(self._match(pattern))

    def files(self, pattern: str) -> list[FileEntry]:
        """Files and empty directories that a pattern means, directories with everything below them, sorted."""
        if pattern and not MAGIC.search(pattern):
            size = self._sizes.get(pattern, -1)
            if size >= 0:
                return [FileEntry(pattern, size)]
            if pattern not in self._directories:
                return []
        found = {path: size for top, node in self._match(pattern).items() for path, size in _everything(top, node)}
        return [FileEntry(path, size) for path, size in sorted(found.items())]

    def _match(self, pattern: str) -> dict[str, _Directory | int]:
        here: dict[str, _Directory | int] = {"": self._top}
        parts = pattern.split("/") if pattern else []
        for nth, part in enumerate(parts):
            if part != "**":
                here = dict(_step(here, part))
            elif nth == 0 or parts[nth - 1] != "**":  # a second `**` beside the first adds nothing
                here = _descend(here, last=set(parts[nth:]) == {"**"})
        return here


def _add(top: _Directory, path: str, size: int) -> None:
    *above, name = path.split("/")
    at = top
    for part in above:
        below = at.names.get(part)
        if not isinstance(below, _Directory):
            below = at.names[part] = _Directory()
        at = below
    if size >= 0:
        at.names[name] = size
    elif name and name not in at.names:
        at.names[name] = _Directory()


def _step(here: dict[str, _Directory | int], part: str) -> Iterator[tuple[str, _Directory | int]]:
    for path, node in here.items():
        if isinstance(node, _Directory):
            yield from ((joined(path, name), node.names[name]) for name in node.matching(part))


def _descend(here: dict[str, _Directory | int], last: bool) -> dict[str, _Directory | int]:
    """What `**` means: every directory below, no hidden ones; as the last part the files and empty directories."""
    found: dict[str, _Directory | int] = {}
    stack = [(path, node) for path, node in here.items() if isinstance(node, _Directory)]
    walked: set[str] = set()
    while stack:
        path, node = stack.pop()
        if path in walked:
            continue
        walked.add(path)
        if not last or (path and not node.names):
            found[path] = node
        for name, child in node.names.items():
            below = joined(path, name)
            if name[0] != "." and isinstance(child, _Directory):
                stack.append((below, child))
            elif name[0] != "." and last:
                found[below] = child
    return found


def _everything(top: str, node: _Directory | int) -> Iterator[tuple[str, int]]:
    stack = [(top, node)]
    while stack:
        path, node = stack.pop()
        if not isinstance(node, _Directory):
            yield path, node
        elif node.names:
            stack += [(joined(path, name), child) for name, child in node.names.items()]
        elif path:
            yield path, -1
