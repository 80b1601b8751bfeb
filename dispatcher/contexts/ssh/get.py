"""Fetching: digests first, then one stream; a file takes its name when what arrived is what was announced.

    1  SHA-256 of every file there                                one round trip
    2  tar  ──▶  local/t1/.dispatcher-1f09c2….part                 hashed as it arrives
    3  equal?  rename to local/t1/out.nc

What is here already, with the same bytes, is not fetched. A large file that a
broken connection cut off goes on where it stopped.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from shlex import quote

from ...core.errors import TransferFailed
from ...core.names import CONTROL
from ...core.ports import Item
from ...files.archive import Cut, Member, members
from ...files.gate import refused
from ...files.incoming import LARGE, Arrivals, copy
from ...files.local import Content
from .listing import Far, Sums, digests, failed, nul, patiently
from .put import pays

_TRIES = 3
#: Bytes that a file may have grown by since it was listed; more is not written to this disk.
_GROWTH = 1 << 30
#: What `stat -c "%a %Y"` prints: mode bits and time of change.
_STAT = re.compile(rb"([0-7]{1,5}) ([0-9]{1,11})")


class Download:
    """One `get`: knows what is still missing after every break of the connection."""

    def __init__(self, far: Far, here: Path, items: Sequence[Item], compress: bool) -> None:
        self._far, self._compress = far, compress
        self._arrivals = Arrivals(here, items)
        self._sums: Sums | None = None
        self._tries: dict[str, int] = {}

    def run(self) -> list[Item]:
        """Everything that was asked for, with size and digest, in the order in which it was asked."""
        if self._arrivals.missing():
            patiently(self._far.link, self._once, lambda: len(self._arrivals.done))
        return self._arrivals.items()

    def _once(self) -> None:
        if self._sums is None:
            self._sums = self._observation()
            for item in self._arrivals.missing() if not self._sums.sized else ():
                self._arrivals.has(item, self._sums.files[item.source])
        while rest := self._arrivals.missing():
            self._fetch(rest)

    def _observation(self) -> Sums:
        """Digests of all that is wanted; TransferFailed names what is gone or is not what was listed."""
        wanted = self._arrivals.missing()
        sums = digests(self._far, [item.source for item in wanted])
        for item in wanted:
            if item.source not in sums.files:
                raise TransferFailed(
                    f"cannot fetch {self._far}/{item.source}: it is gone, or cannot be read; look there"
                )
            if item.digest and not sums.sized and sums.files[item.source] != item.digest:
                raise TransferFailed(f"cannot fetch {self._far}/{item.source}: it is not what was listed; run again")
        return sums

    # -- fetching ---------------------------------------------------------------------------------------------------

    def _fetch(self, rest: Sequence[Item]) -> None:
        """One round over what is missing: what broke off is continued, everything else comes in one stream."""
        assert self._sums is not None, "looked before"
        whole = []
        for item in rest:
            # only of a large file a part is ever kept
            if "tar" not in self._sums.tools or (item.size >= LARGE and self._has_part(item)):
                self._continue(item)
            else:
                whole.append(item)
        said = self._stream(whole) if whole else ""
        again = self._arrivals.missing()
        for item in again:
            self._tries[item.source] = tries = self._tries.get(item.source, 0) + 1
            if tries >= _TRIES:
                raise self._gave_up(item, said)
        if again:
            self._sums = self._observation()

    def _gave_up(self, item: Item, said: str) -> TransferFailed:
        if said.strip():
            return failed(self._far, f"fetch {item.source} from", said)
        return TransferFailed(
            f"cannot fetch {self._far}/{item.source}: it changed while it was read, {_TRIES} times; run again when it "
            "is still"
        )

    def _stream(self, items: Sequence[Item]) -> str:
        """One archive of all these; what tar complained about there."""
        assert self._sums is not None, "looked before"
        squeeze = self._compress and "gzip" in self._sums.tools and pays(self._far, sum(item.size for item in items))
        cut: list[Cut] = []

        def take(pieces: Iterator[bytes]) -> None:
            try:
                self._unpack(expanded(pieces) if squeeze else pieces)
            except Cut as why:  # if the connection broke, that is the better explanation
                cut.append(why)

        pack = "xargs -0 tar -chf -" + (" | gzip -1" if squeeze else "")
        stream = self._far.run(f"LC_ALL=C; export LC_ALL; {pack}", take, nul(item.source for item in items))
        return stream.err or (str(cut[0]) if cut else "")

    def _unpack(self, pieces: Iterable[bytes]) -> None:
        seen: set[str] = set()
        for member in members(pieces):
            item = self._arrivals.files.get(member.name)
            if item is None or (member.same_as and member.same_as not in self._arrivals.files):
                raise refused(member.name, str(self._far), "nobody asked for it")
            if member.name in seen or member.size > item.size + _GROWTH:
                raise refused(member.name, str(self._far), f"it came twice, or with {member.size} bytes")
            seen.add(member.name)
            if member.same_as:
                self._copy(item, member.same_as)
            elif member.size < LARGE:
                self._write_small(item, b"".join(member.content()), member)
            else:
                self._write_large(item, member)

    def _copy(self, item: Item, other: str) -> None:
        """A hard link over there becomes a file of its own here."""
        first = self._arrivals.done.get(other)
        if first is not None:
            source, target = Path(self._arrivals.path(first)), Path(self._arrivals.path(item))
            self._arrivals.note(item, copy(source, target, durable=self._arrivals.durable))

    def _write_small(self, item: Item, data: bytes, member: Member) -> None:
        """A file that fits in memory touches the disk when it is known to be right."""
        if self._is_announced(item, Content(len(data), sha256(data).hexdigest())):
            with self._arrivals.incoming(item) as file:
                file.write(data)
                self._arrivals.take(item, file, member.mode, member.mtime_ns)

    def _write_large(self, item: Item, member: Member) -> None:
        with self._arrivals.incoming(item, self._part(item), start=0) as file:
            for piece in member.content():
                file.write(piece)
            if self._is_announced(item, file.content):
                self._arrivals.take(item, file, member.mode, member.mtime_ns)

    def _continue(self, item: Item) -> None:
        """The rest of a file that broke off, or a whole one where there is no tar."""
        with self._arrivals.incoming(item, self._part(item)) as file:
            head: list[bytes] = []

            def take(pieces: Iterator[bytes]) -> None:
                for piece in pieces:
                    if file.size > item.size + _GROWTH:
                        raise refused(item.source, str(self._far), f"it comes with more than {file.size} bytes")
                    first, found, rest = (b"", b"\n", piece) if head else piece.partition(b"\n")
                    if not head and found:
                        head.append(first)
                    file.write(memoryview(rest))

            name = quote(f"./{item.source}")
            stat = f'printf "%s\\n" "$(stat -L -c "%a %Y" {name} 2> /dev/null)"'
            stream = self._far.run(f"{stat}; tail -c +{file.size + 1} < {name}", take)
            if stream.code:
                raise failed(self._far, f"fetch {item.source} from", stream.err)
            # without a stat there is nothing, or something else
            known = _STAT.fullmatch(head[0]) if head else None
            mode, mtime = known.groups() if known else (b"644", b"0")
            if self._is_announced(item, file.content):
                self._arrivals.take(item, file, int(mode, 8), int(mtime) * 10**9)

    def _part(self, item: Item) -> str:
        """Name of a file that is not whole: known again after a break, by what it will be."""
        name = sha256(f"{item.target}\n{self._announced(item)}".encode(errors="surrogateescape")).hexdigest()
        return f"{CONTROL}-{name[:16]}.part"

    def _has_part(self, item: Item) -> bool:
        return Path(self._arrivals.path(item)).with_name(self._part(item)).exists()

    def _announced(self, item: Item) -> str:
        """The digest of a file there, or its size where nothing can compute one."""
        assert self._sums is not None, "looked before"
        return self._sums.files[item.source]

    def _is_announced(self, item: Item, content: Content) -> bool:
        """Whether what arrived is what was announced; if not, it is as if it had never come."""
        assert self._sums is not None, "looked before"
        return self._announced(item) == (str(content.size) if self._sums.sized else content.digest)


def expanded(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes that were compressed with gzip; TransferFailed when they were not."""
    press = zlib.decompressobj(wbits=31)
    try:
        for piece in pieces:
            while piece:
                yield press.decompress(piece, 1 << 20)
                piece = press.unconsumed_tail
    except zlib.error as why:
        raise Cut(f"what arrived is not compressed as it should be: {why}") from why
