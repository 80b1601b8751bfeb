"""Sending: what differs, as one stream, checked there before it takes its place.

    1  what have you, and with which SHA-256?                    one round trip, whatever the number of files
    2  tar  ──▶  R/.dispatcher/<submission>/in/t1/in.dat          and the digests of what arrived
    3  mv in/t1/in.dat t1/                                        whole directories where they are new

A file has its own name only when all of it is there. What a broken connection
left in `in` counts: whole files are not sent again, and a large one goes on
where it broke off. rsync is left out: it needs a second login (that one-time
passwords do not give) and a second program on both sides, and saves nothing
over this when files are new.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from shlex import quote

from ...core.errors import TransferFailed
from ...core.names import CONTROL
from ...core.ports import Item
from ...files import local
from ...files.archive import ArchiveEntry, changed, missing, packed
from ...files.incoming import LARGE
from ..local.shell_call import wrapped
from .listing import Far, Sums, digests, failed, patiently
from .shell import run

_READ = 1 << 20
#: Names in one line of shell, and tries to get a file across whole.
_NAMES, _TRIES = 200, 3

_PLACE = r"""
no() { printf '%s\n' "$1" >&2; exit 96; }
top() { # what is new there is moved as a whole
  for f do shift
    if [ -e "$S/$f" ] && [ ! -e "./$f" ] && [ ! -h "./$f" ]; then set -- "$@" "$S/$f"; fi
  done
  [ $# = 0 ] || mv -- "$@" ./ || exit 96
}
into() { # files of one directory
  d=$1; shift
  for f do shift
    [ -e "$S/$d/$f" ] || continue
    if [ -h "./$d/$f" ]; then [ ! -d "./$d/$f" ] || rm -f -- "./$d/$f" || exit 96
    elif [ -d "./$d/$f" ]; then no "$d/$f: a directory there has the name of a file: rename one of them"; fi
    set -- "$@" "$S/$d/$f"
  done
  [ $# = 0 ] || mv -f -- "$@" "./$d/" || exit 96
}
"""


class Upload:
    """One `put`: knows what is still to be done after every break of the connection."""

    def __init__(self, far: Far, submission: str, items: Sequence[Item], replace: bool, compress: bool) -> None:
        self._far, self._replace, self._compress = far, replace, compress
        self._staging = f"{CONTROL}/{submission}/in"
        self._directories = [item.target for item in items if item.size < 0]
        self._files = {item.target: item for item in items if item.size >= 0}
        self._tries: dict[str, int] = {}
        self.arrived = 0

    def run(self) -> None:
        """Send, verify, put into place; all of it again when the connection breaks, but nothing that has arrived."""
        patiently(self._far.link, self._once, lambda: self.arrived)

    def _once(self) -> None:
        sums = digests(self._far, list(self._files), self._replace, self._staging, self._files)
        wanted = [item for item in self._files.values() if self._differs(item, sums)]
        while rest := [item for item in wanted if sums.staged.get(item.target) != self._expected(item, sums)]:
            self.arrived += len(wanted) - len(rest)
            sums = self._send(rest, sums)
            self._count_failures(rest, sums)
        self._place(wanted, sums)

    def _differs(self, item: Item, sums: Sums) -> bool:
        here = sums.files.get(item.target)
        if here is None or not self._replace:
            return here is None
        return sums.sized or here != self._expected(item, sums)

    def _expected(self, item: Item, sums: Sums) -> str:
        if sums.sized:
            return str(item.size)
        if not item.digest:
            self._files[item.target] = item = Item(item.source, item.target, item.size, _digest(item.source))
        return self._files[item.target].digest

    def _count_failures(self, sent: Iterable[Item], sums: Sums) -> None:
        for item in sent:
            if sums.staged.get(item.target) == self._expected(item, sums):
                continue
            if not sums.sized and _digest(item.source) != self._expected(item, sums):
                raise changed(item.source)
            self._tries[item.target] = tries = self._tries.get(item.target, 0) + 1
            if tries >= _TRIES:
                raise TransferFailed(
                    f"{item.source} did not arrive whole at {self._far} in {tries} tries; check the disk there"
                )

    # -- sending ----------------------------------------------------------------------------------------------------

    def _send(self, items: Sequence[Item], sums: Sums) -> Sums:
        """The rest of what broke off, then everything else in one archive; the digests of what lies there now."""
        whole = []
        for item in items:
            at = self._part(item, sums)
            if at or "tar" not in sums.tools:
                self._append(item, at)
            else:
                whole.append(ArchiveEntry(f"./{item.target}", item.source, item.size))
        if whole:
            self._stream(whole, sums)
        return digests(self._far, [], True, self._staging, self._files)

    def _part(self, item: Item, sums: Sums) -> int:
        """How many bytes of a file lie there already, and are its first."""
        size = sums.sizes.get(item.target, 0)
        if sums.sized or not LARGE <= size < item.size:
            return 0
        return size if _digest(item.source, size) == sums.staged.get(item.target) else 0

    def _append(self, item: Item, at: int) -> None:
        folder, _, name = f"{self._staging}/{item.target}".rpartition("/")
        arrow = ">>" if at else ">"
        script = f"mkdir -p -- {quote(folder)} && cat {arrow} {quote(f'{folder}/{name}')}"
        self._run(script, _rest(item, at))

    def _stream(self, entries: Sequence[ArchiveEntry], sums: Sums) -> None:
        squeeze = self._compress and "gzip" in sums.tools and is_worth_it(self._far, entries)
        unpack = f"mkdir -p -- {quote(self._staging)} && cd {quote(self._staging)} && "
        unpack += "gzip -dc | tar -xpof -" if squeeze else "tar -xpof -"
        self._run(unpack, squeezed(packed(entries)) if squeeze else packed(entries))

    def _run(self, script: str, feed: Iterable[bytes]) -> None:
        stream = self._far.run(script, list, feed)
        if stream.code:
            raise failed(self._far, "send to", stream.err)

    # -- putting into place -----------------------------------------------------------------------------------------

    def _place(self, items: Sequence[Item], sums: Sums) -> None:
        """What lies there, verified, takes its names; what does not belong there goes."""
        targets = sorted(item.target for item in items)
        left_over = sums.staged.keys() - set(targets)
        lines = [f"S={quote(self._staging)}", _PLACE]
        lines += [f"rm -f -- {names}" for names in _lines(f"{self._staging}/{path}" for path in sorted(left_over))]
        lines += [f"top {names}" for names in _lines(dict.fromkeys(path.partition("/")[0] for path in targets), "")]
        above = (path.rpartition("/")[0] for path in targets)
        folders = dict.fromkeys(path for path in (*self._directories, *above) if path)
        lines += [f"mkdir -p -- {names} || exit 96" for names in _lines(folders)]
        for folder, paths in groupby(targets, lambda path: path.rpartition("/")[0]):
            names = (path.rpartition("/")[2] for path in paths)
            lines += [f"into {quote(folder or '.')} {chunk}" for chunk in _lines(names, "")]
        text = "\n".join([*lines, 'rm -rf -- "$S"', "exit 0"])
        stream = self._far.run("exec sh", list, [wrapped(text).encode(errors="surrogateescape")])
        if stream.code:
            raise failed(self._far, "send to", stream.err)
        self.arrived += 1


def _lines(names: Iterable[str], before: str = "./") -> Iterator[str]:
    """Quoted names, as many as go into one command."""
    quoted = [quote(f"{before}{name}") for name in names]
    for start in range(0, len(quoted), _NAMES):
        yield " ".join(quoted[start : start + _NAMES])


def _digest(source: str, most: int = -1) -> str:
    """SHA-256 of a file, or of its first bytes."""
    try:
        if most < 0:
            return local.digest(source)
        seen = sha256()
        with Path(source).open("rb", buffering=0) as file:
            while most and (data := file.read(min(_READ, most))):
                seen.update(data)
                most -= len(data)
    except OSError as why:
        raise missing(source, why) from why
    return seen.hexdigest()


def _rest(item: Item, at: int) -> Iterator[bytes]:
    try:
        with Path(item.source).open("rb", buffering=0) as file:
            file.seek(at)
            while data := file.read(_READ):
                yield data
    except OSError as why:
        raise missing(item.source, why) from why


# -- compressing ----------------------------------------------------------------------------------------------------

#: Less than this is not worth asking; a faster line is slowed down by gzip (bytes, bytes a second).
_SMALL, _FAST = 4 << 20, 25e6
_PROBE = 1 << 20


def is_worth_it(far: Far, entries: Sequence[ArchiveEntry]) -> bool:
    """Whether gzip is likely to save time: much to send, over a slow line, and not compressed already."""
    if not pays(far, sum(entry.size for entry in entries)):
        return False
    sample = b"".join(_sample(entry.source) for entry in entries[:: max(1, len(entries) // 8)])
    return len(zlib.compress(sample, 1)) < 0.9 * len(sample)


def pays(far: Far, size: int) -> bool:
    """Whether there is so much to move, over so slow a line, that compressing it may save time."""
    return size >= _SMALL and speed(far) <= _FAST


def _sample(source: str) -> bytes:
    try:
        with Path(source).open("rb", buffering=0) as file:
            return file.read(1 << 16)
    except OSError as why:
        raise missing(source, why) from why


def speed(far: Far) -> float:
    """Bytes a second of the line, measured once."""
    import time

    if not far.link.rate:
        moments: list[float] = []
        run(far.link, f"head -c {_PROBE} /dev/zero", lambda pieces: moments.extend(time.monotonic() for _ in pieces))
        spent = max(moments[-1] - moments[0], 1e-3) if moments else 1.0
        far.link.rate = _PROBE / spent
    return far.link.rate


def squeezed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes as gzip."""
    press = zlib.compressobj(1, wbits=31)
    for piece in pieces:
        if data := press.compress(piece):
            yield data
    yield press.flush()
