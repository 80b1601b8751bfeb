"""Sending to HDFS: an archive for each directory, named by its SHA-256, and an index that says which is which.

    in/9f86d081….tar        the files of t1, and of no other directory
    in/index                9f86d081… 8192 ./t1          sum, size, directory (see `staging.encoded`)
                            - -1 ./t1/empty              a directory to be made
    jobs/ready out/ready    an answer that has them is whole, whatever else there is

The index is written last, so what it names is there. A job reads the index,
then the archives of the directories that its tasks read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from ...core.errors import ConfigError, TransferFailed, Unreachable
from ...core.names import OWNER
from ...core.ports import Item
from ...files import archive
from ...files.gate import make_directory
from ...files.incoming import Incoming
from ...files.local import pieces
from ...files.patterns import encoded
from ..local.this_machine import remove_tree
from .command import Hadoop, complaint

_SIZE = re.compile("[0-9]{1,18}")
_INDEX = re.compile(r"([0-9a-f]{64}|-) (-1|[0-9]{1,18}) \./(\S*)")


class Packed(NamedTuple):
    """A line of the index."""

    sum: str
    size: int
    directory: str


def put(hadoop: Hadoop, ours: str, stage: Path, items: Sequence[Item], replace: bool) -> None:
    """See `HDFSContext.put`."""
    groups = _grouped(items)
    made = [encoded(item.target) for item in items if item.size < 0]
    there = {} if replace else _there(hadoop, ours)
    if not replace and set(there) >= {*groups, *made}:
        return
    remove_tree(stage)
    try:
        packed = [_pack(stage / "in", name, group) for name, group in groups.items()]
        _send(hadoop, ours, stage, [*packed, *(Packed("-", -1, name) for name in made)])
    finally:
        remove_tree(stage)


def own(hadoop: Hadoop, ours: str, stage: Path, record: str, above: str = "") -> None:
    """Leave the owner's record, unless there is one or `record` is empty; `above` must be a directory on HDFS."""
    if not record or owner(hadoop, ours):
        return
    # a name of HDFS alone (`hdfs://host:8020`) has nothing above it
    if above.partition("://")[2].strip("/").partition("/")[2] or (above and "://" not in above):
        _must_be_there(hadoop, above)
    make_directory(stage)
    (stage / OWNER).write_text(f"{record}\n")
    hadoop.fs("-mkdir", "-p", ours)
    done = hadoop.tried("-put", OWNER, f"{ours}/{OWNER}", here=stage)  # without -f: the first one stays
    remove_tree(stage)
    if done.returncode and not owner(hadoop, ours):
        raise complaint(("-put",), done.stderr)


def _must_be_there(hadoop: Hadoop, above: str) -> None:
    done = hadoop.tried("-test", "-d", above)
    if done.returncode == 0:
        return
    if isinstance(why := complaint(("-test",), done.stderr), Unreachable):
        raise why
    raise ConfigError(
        f"machine/remote_root: there is no directory {above} on HDFS; correct it, or set machine/create_remote_root "
        "to true"
    )


def owner(hadoop: Hadoop, ours: str) -> str:
    """The owner's record, "" when there is none."""
    reported = hadoop.tried("-cat", f"{ours}/{OWNER}")
    if reported.returncode and b"No such file" not in reported.stderr:
        raise complaint(("-cat",), reported.stderr)
    return "" if reported.returncode else reported.stdout.decode(errors="replace")


def _grouped(items: Iterable[Item]) -> dict[str, list[Item]]:
    groups: dict[str, list[Item]] = {}
    for item in items:
        if item.size >= 0:
            groups.setdefault(encoded(item.target.rpartition("/")[0]), []).append(item)
    return groups


def _there(hadoop: Hadoop, ours: str) -> dict[str, Packed]:
    """The directories whose archives are on HDFS, whole; none when there is no index yet."""
    reported = hadoop.tried("-cat", f"{ours}/in/index")
    if reported.returncode:
        if b"No such file" in reported.stderr:
            return {}
        raise complaint(("-cat",), reported.stderr)
    known = read_index(reported.stdout.decode(errors="replace"))
    sizes = _sizes(hadoop, ours)
    return {each.directory: each for each in known if each.size < 0 or sizes.get(each.sum) == each.size}


def read_index(text: str) -> list[Packed]:
    """The lines of an index."""
    found = map(_INDEX.fullmatch, text.splitlines())
    return [Packed(line[1], int(line[2]), line[3]) for line in found if line]


def _sizes(hadoop: Hadoop, ours: str) -> dict[str, int]:
    """Sizes of the archives on HDFS by their sums."""
    listed = hadoop.fs("-ls", f"{ours}/in").decode(errors="replace")
    lines = (line.split(maxsplit=7) for line in listed.splitlines())
    return {
        row[7].rpartition("/")[2].removesuffix(".tar"): int(row[4])
        for row in lines
        if len(row) == 8 and _SIZE.fullmatch(row[4])
    }


def _pack(folder: Path, directory: str, items: Sequence[Item]) -> Packed:
    """An archive of the files of one directory, read back and compared with what was listed."""
    make_directory(folder, 0o700)
    for item in items:
        if len(item.target.encode("utf-8", "surrogateescape")) > 4000:
            raise ConfigError(f"forward file {item.target[:80]}…: its path is too long")
    with Incoming(folder / "part") as file:
        for piece in archive.packed(archive.ArchiveEntry(item.target, item.source, item.size) for item in items):
            file.write(piece)
        _compare(Path(file.path), items)
        packed = Packed(file.content.digest, file.size, directory)
        file.target = str(folder / f"{packed.sum}.tar")
        file.publish(0o600, durable=False)
    return packed


def _compare(part: Path, items: Sequence[Item]) -> None:
    """Raise TransferFailed for a file that is not what was listed."""
    with part.open("rb", buffering=0) as file:
        for item, member in zip(items, archive.members(map(bytes, pieces(file))), strict=True):
            seen = sha256()
            for piece in member.content():
                seen.update(piece)
            if item.digest and seen.hexdigest() != item.digest:
                raise archive.changed(item.source)


def _send(hadoop: Hadoop, ours: str, stage: Path, packed: Sequence[Packed]) -> None:
    """Archives first, then see that all are there, then the index."""
    for folder in ("in", "jobs", "out", "try"):
        make_directory(stage / folder, 0o700)
    for folder in ("jobs", "out"):
        (stage / folder / "ready").write_text("ready:\n")
    hadoop.fs("-mkdir", "-p", ours)
    hadoop.fs("-put", "-f", "in", "jobs", "out", "try", f"{ours}/", here=stage)
    sizes = _sizes(hadoop, ours)
    for each in packed:
        if each.size >= 0 and sizes.get(each.sum) != each.size:
            raise TransferFailed(
                f"the archive of {each.directory or '.'} did not arrive whole; run the same command again"
            )
    (stage / "index").write_text("".join(f"{each.sum} {each.size} ./{each.directory}\n" for each in packed))
    hadoop.fs("-put", "-f", "index", f"{ours}/in/", here=stage)
