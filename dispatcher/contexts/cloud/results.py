"""Result archives: fetched once, looked through before anything is believed, and files served out of them.

    local/.dispatcher/<submission>/results/000001-dq3v81kx0mza.zip     as it came, whole and checked
        t1/out.nc                                                     get  ──▶  local/t1/out.nc, read back
        .dispatcher/jobs/dq3v81kx0mza.claim                           what the job itself says of its tasks

An archive comes from the other side and is trusted in nothing: only plain
files under safe names, each name once, no more bytes than a plausible ratio
allows. A later attempt's files stand before an earlier one's.
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from ...core.errors import TransferFailed
from ...core.names import CONTROL
from ...core.ports import FileEntry, Item
from ...files import local
from ...files.archive import safe
from ...files.incoming import Arrivals, Incoming

_CHUNK = 1 << 20
#: Deflate reaches about 1000:1, but no result that people want does; below the second figure (bytes) any ratio goes.
_RATIO, _HARMLESS = 300, 1 << 30
_MOST_MEMBERS = 1_000_000
#: What zipfile raises for an archive that is damaged or made to harm.
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, OverflowError)


class Archive:
    """One that passed: its plain files and (empty) directories by safe name."""

    def __init__(self, zip: zipfile.ZipFile, size: int) -> None:
        self.zip = zip
        self.members: dict[str, zipfile.ZipInfo] = {}
        self.directories: list[str] = []
        infos = zip.infolist()
        unpacked, packed = sum(info.file_size for info in infos), sum(info.compress_size for info in infos)
        if len(infos) > _MOST_MEMBERS or packed > size or unpacked > max(_RATIO * size, _HARMLESS):
            raise _refused(zip, f"{len(infos)} members of {unpacked} bytes in an archive of {size} bytes")
        for info in infos:
            self._take(info)

    def _take(self, info: zipfile.ZipInfo) -> None:
        kind = stat.S_IFMT(info.external_attr >> 16)
        name = safe(info.filename)
        if info.flag_bits & 1 or kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refused(self.zip, f"{name!r} is not a plain file")
        if info.is_dir():
            self.directories.append(name)
        elif name in self.members:
            raise _refused(self.zip, f"{name!r} is in it twice")
        else:
            self.members[name] = info

    def verify(self) -> None:
        """Read every byte against its checksum; TransferFailed for the first that is damaged."""
        for info in self.members.values():
            self.digest(info)

    def digest(self, info: zipfile.ZipInfo) -> str:
        """SHA-256 of a member; TransferFailed when it does not agree with its checksum."""
        seen = sha256()
        self._each(info, seen.update)
        return seen.hexdigest()

    def pour(self, info: zipfile.ZipInfo, file: Incoming) -> None:
        """Write a member to a file on its way, and read it back."""
        self._each(info, file.write)
        file.read_back()

    def _each(self, info: zipfile.ZipInfo, take: Callable[[bytes], object]) -> None:
        try:
            with self.zip.open(info) as member:
                while data := member.read(_CHUNK):
                    take(data)
        except _BROKEN as why:
            raise _refused(self.zip, f"{info.filename!r} is damaged ({why})") from None

    def text(self, name: str, most: int = 1 << 24) -> str:
        """A small text of it; "" when it is not there."""
        if name not in self.members:
            return ""
        with self.zip.open(self.members[name]) as member:
            return member.read(most).decode(errors="replace")


def _refused(zip: zipfile.ZipFile, why: str) -> TransferFailed:
    return TransferFailed(f"refused the archive {zip.filename}: {why}; nothing of it was written")


@contextmanager
def checked(path: Path) -> Iterator[Archive]:
    """Open an archive, if it is one that can do no harm; TransferFailed says what is wrong with it."""
    try:
        archive = zipfile.ZipFile(path)
    except OSError as why:
        raise local.failed("read", path, why) from why
    except _BROKEN as why:
        raise TransferFailed(f"{path} is not a whole archive ({why})") from None
    with archive:
        yield Archive(archive, path.stat().st_size)


class ResultArchives:
    """The result archives of one submission."""

    def __init__(self, directory: Path, local_path: Path) -> None:
        self.directory, self._local = directory, local_path

    def of(self, nonce: str) -> Path | None:
        """The archive of an attempt, if it has come."""
        return next(iter(self.directory.glob(f"*-{nonce}.zip")), None)

    def target(self, nonce: str) -> Path:
        """Where the archive of an attempt is to be; later ones have higher numbers."""
        numbers = [int(path.name[:6]) for path in self._archives()]
        return self.directory / f"{max(numbers, default=0) + 1:06d}-{nonce}.zip"

    def _archives(self) -> list[Path]:
        return sorted(self.directory.glob(f"{'[0-9]' * 6}-*.zip"))

    def text(self, nonce: str, name: str) -> str | None:
        """A text in an attempt's archive, "" when it is not in there; None while there is no archive."""
        path = self.of(nonce)
        if path is None:
            return None
        with checked(path) as archive:
            return archive.text(name)

    def _sources(self) -> dict[str, tuple[Path, int]]:
        """Every file of every archive: the newest that has it, and its size; -1 for directories."""
        found: dict[str, tuple[Path, int]] = {}
        for path in self._archives():
            with checked(path) as archive:
                found.update((name, (path, -1)) for name in archive.directories)
                found.update((name, (path, info.file_size)) for name, info in archive.members.items())
        ours = (CONTROL, f"{CONTROL}/")
        return {name: where for name, where in found.items() if name != ours[0] and not name.startswith(ours[1])}

    def tree(self, paths: Sequence[str]) -> list[FileEntry]:
        """Each path as a file, or everything below it as a directory."""
        sources = self._sources()
        wanted = {path.strip("/") for path in paths}
        full = {parent for name in sources for parent in parents(name)}
        return [
            FileEntry(name, size)
            for name, (_, size) in sorted(sources.items())
            if ("" in wanted or name in wanted or wanted.intersection(parents(name)))
            and not (size < 0 and name in full)
        ]

    def get(self, items: Sequence[Item]) -> list[Item]:
        """Copy out to the local side; each file takes its name when it was written, read back and found equal."""
        sources, arrivals = self._sources(), Arrivals(self._local, items)
        by_archive: dict[Path, list[Item]] = {}
        for item in arrivals.missing():
            if item.source not in sources:
                raise TransferFailed(f"cannot fetch {item.source}: it is in no result archive in {self.directory}")
            by_archive.setdefault(sources[item.source][0], []).append(item)
        for path, wanted in by_archive.items():
            with checked(path) as archive:
                for item in wanted:
                    _out(archive, item, arrivals)
        return arrivals.items()


def _out(archive: Archive, item: Item, arrivals: Arrivals) -> None:
    info = archive.members[item.source]
    digest = archive.digest(info)
    if item.digest and item.digest != digest:
        raise TransferFailed(f"cannot fetch {item.source}: it is not what was listed; run the same command again")
    if not arrivals.has(item, digest, info.file_size):
        with arrivals.incoming(item) as file:
            archive.pour(info, file)
            arrivals.take(item, file, mode_of(info), None)


def parents(name: str) -> list[str]:
    """The directories above a path, outermost first."""
    parts = name.split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts))]


def mode_of(info: zipfile.ZipInfo) -> int:
    """Permissions of a member; where the archive has none, those of a new file."""
    return (info.external_attr >> 16) & 0o777 or 0o644
