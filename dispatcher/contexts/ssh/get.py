"""Fetching: digests first, then one stream; a file takes its name when what arrived is what was announced.

    1  SHA-256 of every file there                                one round trip
    2  tar  ──▶  local/t1/.dispatcher-1f09c2….part                 hashed as it arrives
    3  equal?  rename to local/t1/out.nc

What is here already, with the same bytes, is not fetched. A large file that a
broken connection cut off goes on where it stopped.
"""

from __future__ import annotations

import errno
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from shlex import quote

from ...core.errors import TransferFailed, Unreachable
from ...core.ports import Item
from ...files import local
from ...files.archive import Cut, Member, members
from ..local.this_machine import make_directory
from .listing import Far, Sums, digests, failed, nul, patiently
from .put import speed

_LARGE = 1 << 20
_SMALL, _FAST = 4 << 20, 25e6
_TRIES = 3
#: So many files are made durable one by one; more of them all at once.
_SINGLY = 64


#: What `stat -c "%a %Y"` prints: mode bits and time of change.
_STAT = re.compile(rb"([0-7]{1,5}) ([0-9]{1,11})")


class Download:
    """One `get`: knows what is still missing after every break of the connection."""

    def __init__(self, far: Far, here: Path, items: Sequence[Item], compress: bool) -> None:
        self._far, self._here, self._compress = far, here, compress
        self._items = items
        self._wanted = {item.source: item for item in items if item.size >= 0}
        self._sums: Sums | None = None
        self._done: dict[str, Item] = {}
        self._tries: dict[str, int] = {}
        self._folders: set[str] = set()

    def run(self) -> list[Item]:
        """Everything that was asked for, with size and digest, in the order in which it was asked."""
        for item in self._items:
            if item.size < 0:
                make_directory(self._here / item.target)
        if self._wanted:
            patiently(self._far.link, self._once, lambda: len(self._done))
            if len(self._done) > _SINGLY:
                os.sync()
        return [self._done.get(item.source, item) if item.size >= 0 else item for item in self._items]

    def _once(self) -> None:
        if self._sums is None:
            self._sums = self._observation()
            self._keep()
        while rest := [item for source, item in self._wanted.items() if source not in self._done]:
            self._fetch(rest)

    def _observation(self) -> Sums:
        """Digests of all that is wanted; TransferFailed names what is gone or is not what was listed."""
        sums = digests(self._far, [source for source in self._wanted if source not in self._done])
        for source, item in self._wanted.items():
            if source in self._done:
                continue
            if source not in sums.files:
                raise TransferFailed(f"cannot fetch {self._far}/{source}: it is gone, or cannot be read; look there")
            if item.digest and not sums.sized and sums.files[source] != item.digest:
                raise TransferFailed(f"cannot fetch {self._far}/{source}: it is not what was listed; run again")
        return sums

    def _keep(self) -> None:
        """Files that are here already, and are the same."""
        assert self._sums is not None, "looked before"
        for source, item in self._wanted.items():
            target = self._here / item.target
            with suppress(OSError):
                if not self._sums.sized and target.is_file() and local.digest(target) == self._sums.files[source]:
                    self._done[source] = Item(source, item.target, target.stat().st_size, self._sums.files[source])

    # -- fetching ---------------------------------------------------------------------------------------------------

    def _fetch(self, rest: Sequence[Item]) -> None:
        """One round over what is missing: what broke off is continued, everything else comes in one stream."""
        assert self._sums is not None, "looked before"
        whole = []
        for item in rest:
            # only of a large file a part is ever kept
            if "tar" not in self._sums.tools or (item.size >= _LARGE and Path(self._part(item)).exists()):
                self._continue(item)
            else:
                whole.append(item)
        said = self._stream(whole) if whole else ""
        again = [item for item in rest if item.source not in self._done]
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
        squeeze = self._compress and "gzip" in self._sums.tools and self._is_worth_it(items)
        cut: list[Cut] = []

        def take(pieces: Iterator[bytes]) -> None:
            try:
                self._unpack(expanded(pieces) if squeeze else pieces)
            except Cut as why:  # if the connection broke, that is the better explanation
                cut.append(why)

        pack = "xargs -0 tar -chf -" + (" | gzip -1" if squeeze else "")
        stream = self._far.run(f"LC_ALL=C; export LC_ALL; {pack}", take, nul(item.source for item in items))
        return stream.err or (str(cut[0]) if cut else "")

    def _is_worth_it(self, items: Sequence[Item]) -> bool:
        return sum(item.size for item in items) >= _SMALL and speed(self._far) <= _FAST

    def _unpack(self, pieces: Iterable[bytes]) -> None:
        for member in members(pieces):
            item = self._wanted.get(member.name)
            if item is None or (member.same_as and member.same_as not in self._wanted):
                raise TransferFailed(
                    f"{self._far} sent {member.name!r}, which was not asked for; nothing of it was written. Look there"
                )
            if member.same_as:
                self._copy(item, member.same_as)
            else:
                self._write(item, member)

    def _copy(self, item: Item, other: str) -> None:
        """A hard link over there becomes a file of its own here."""
        first = self._done.get(other)
        if first is not None:
            make_directory((self._here / item.target).parent)
            content = local.copy(self._here / first.target, self._here / item.target)
            self._done[item.source] = Item(item.source, item.target, content.size, content.digest)

    def _write(self, item: Item, member: Member) -> None:
        if member.size < _LARGE:
            self._write_small(item, b"".join(member.content()), member)
            return
        with _Part(Path(self._part(item)), self._here / item.target, 0) as part:
            for piece in member.content():
                part.write(piece)
            self._settle(item, part, member.mode, member.mtime)

    def _write_small(self, item: Item, data: bytes, member: Member) -> None:
        """A file that fits in memory touches the disk when it is known to be right; thousands of them must be cheap."""
        digest = sha256(data).hexdigest()
        if self._announced(item) != (str(len(data)) if self._sized else digest):
            return
        target, part = f"{self._here}/{item.target}", self._part(item)
        folder = target.rpartition("/")[0]
        if folder not in self._folders:
            make_directory(Path(folder))
            self._folders.add(folder)
        try:
            _write_file(part, data, member.mode, member.mtime, durable=len(self._wanted) <= _SINGLY)
            os.rename(part, target)  # noqa: PTH104 (a Path costs more than the system call)
        except OSError as why:
            with suppress(OSError):
                os.unlink(part)  # noqa: PTH108
            raise local.failed("write", target, why) from why
        self._done[item.source] = Item(item.source, item.target, len(data), digest)

    def _settle(self, item: Item, part: _Part, mode: int, mtime: float) -> None:
        """What arrived takes its name if it is what was announced; if not, it is as if it had never come."""
        digest = part.digest()
        if self._announced(item) == (str(part.size) if self._sized else digest):
            part.publish(mode, mtime, durable=len(self._wanted) <= _SINGLY or part.size >= _LARGE)
            self._done[item.source] = Item(item.source, item.target, part.size, digest)

    def _continue(self, item: Item) -> None:
        """The rest of a file that broke off, or a whole one where there is no tar."""
        with _Part(Path(self._part(item)), self._here / item.target, None) as part:
            output_of: list[bytes] = []

            def take(pieces: Iterator[bytes]) -> None:
                for piece in pieces:
                    head, found, rest = (b"", b"\n", piece) if output_of else piece.partition(b"\n")
                    if not output_of and found:
                        output_of.append(head)
                    part.write(memoryview(rest))

            name = quote(f"./{item.source}")
            stat = f'printf "%s\\n" "$(stat -L -c "%a %Y" {name} 2> /dev/null)"'
            stream = self._far.run(f"{stat}; tail -c +{part.size + 1} < {name}", take)
            if stream.code:
                raise failed(self._far, f"fetch {item.source} from", stream.err)
            known = (
                _STAT.fullmatch(output_of[0]) if output_of else None
            )  # without a stat there is nothing, or something else
            mode, mtime = known.groups() if known else (b"644", b"0")
            self._settle(item, part, int(mode, 8) & 0o777, float(mtime))

    def _part(self, item: Item) -> str:
        """Where a file lies while it is not whole: known again after a break, by what it will be."""
        name = sha256(f"{item.target}\n{self._announced(item)}".encode(errors="surrogateescape")).hexdigest()
        folder = f"{self._here}/{item.target}".rpartition("/")[0]
        return f"{folder}/{local.OURS}-{name[:16]}.part"

    def _announced(self, item: Item) -> str:
        """The digest of a file there, or its size where nothing can compute one."""
        assert self._sums is not None, "looked before"
        return self._sums.files[item.source]

    @property
    def _sized(self) -> bool:
        return self._sums is not None and self._sums.sized


def _write_file(path: str, data: bytes, mode: int, mtime: float, durable: bool) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(fd, left) :]
        os.fchmod(fd, mode)
        os.utime(fd, (mtime, mtime))
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)


class _Part:
    """A file on its way to its name. Large ones stay when the connection breaks, everything else goes."""

    def __init__(self, path: Path, target: Path, at: int | None) -> None:
        self._path, self._target = path, target
        self._seen, self.size = sha256(), 0
        self._published = False
        try:
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            make_directory(target.parent)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | (0 if at is None else os.O_TRUNC)
            self._file = open(os.open(path, flags, 0o600), "rb+", buffering=0)  # noqa: SIM115, PTH123 (closed by exit)
        except OSError as why:
            raise local.failed("fetch", target, why) from why
        while data := self._file.read(1 << 20):
            self._note(data)

    def _note(self, data: bytes | memoryview) -> None:
        self._seen.update(data)
        self.size += len(data)

    def write(self, data: memoryview) -> None:
        """Add to the end."""
        self._note(data)
        try:
            while data:
                data = data[self._file.write(data) :]
        except OSError as why:
            raise local.failed("write", self._target, why) from why

    def digest(self) -> str:
        """SHA-256 of what arrived."""
        return self._seen.hexdigest()

    def publish(self, mode: int, mtime: float, durable: bool) -> None:
        """Give it its name, its mode bits and its time."""
        try:
            os.fchmod(self._file.fileno(), mode)
            os.utime(self._file.fileno(), (mtime, mtime))
            if durable:
                os.fsync(self._file.fileno())
            self._path.replace(self._target)
            self._published = True
        except OSError as why:
            raise local.failed("write", self._target, why) from why

    def __enter__(self) -> _Part:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._file.close()
        broke_off = kind is not None and issubclass(kind, (Cut, Unreachable, KeyboardInterrupt))
        if not self._published and not (broke_off and self.size >= _LARGE):
            self._path.unlink(missing_ok=True)


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
