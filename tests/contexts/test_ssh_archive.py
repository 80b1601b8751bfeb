"""Archives: what goes in comes out, whoever made it; and nothing hostile does."""

from __future__ import annotations

import io
import os
import random
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatcher.contexts.ssh.get import expanded
from dispatcher.contexts.ssh.put import squeezed
from dispatcher.core.errors import InputMissing, TransferFailed
from dispatcher.files.archive import ArchiveEntry, Cut, members, packed, safe

NAMES = ["a", "it's", "two\nlines", "-rf", "ünï→", "back\\slash", "x" * 200, "d/" * 60 + "f", "d/" * 120 + "y" * 200]


def pieces(data: bytes, seed: int = 0) -> Iterator[bytes]:
    """The same bytes as a network would deliver them."""
    luck = random.Random(seed)
    while data:
        count = luck.choice([1, 7, 511, 512, 513, 5000, 100_000])
        yield data[:count]
        data = data[count:]


def entries(tmp_path: Path) -> list[ArchiveEntry]:
    made = []
    for number, name in enumerate(NAMES):
        (tmp_path / str(number)).write_bytes(os.urandom(number * 700))
        made.append(ArchiveEntry(name, str(tmp_path / str(number)), number * 700))
    return made


def read(archive: bytes, seed: int = 0) -> dict[str, bytes]:
    return {member.name: b"".join(map(bytes, member.content())) for member in members(pieces(archive, seed))}


@pytest.mark.parametrize("seed", range(5))
def test_round_trip(tmp_path: Path, seed: int) -> None:
    made = entries(tmp_path)
    archive = b"".join(packed(made))
    assert read(archive, seed) == {entry.name: Path(entry.source).read_bytes() for entry in made}
    assert b"".join(expanded(pieces(b"".join(squeezed(pieces(archive, seed))), seed))) == archive


def test_tar_reads_what_we_pack(tmp_path: Path) -> None:
    made = entries(tmp_path)
    Path(made[1].source).chmod(0o751)
    os.utime(made[1].source, (1e9, 1e9))
    (tmp_path / "out").mkdir()
    subprocess.run(["tar", "-xpf", "-", "-C", tmp_path / "out"], input=b"".join(packed(made)), check=True)
    for entry in made:
        assert (tmp_path / "out" / entry.name).read_bytes() == Path(entry.source).read_bytes()
    status = (tmp_path / "out" / made[1].name).stat()
    assert (status.st_mode & 0o777, status.st_mtime) == (0o751, 1e9)


@pytest.mark.parametrize("form", ["gnu", "pax", "ustar"])
def test_we_read_what_tar_packs(tmp_path: Path, form: str) -> None:
    names = NAMES[:-2] if form == "ustar" else NAMES
    names = [name for name in names if form != "ustar" or len(name) < 100]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(name.encode() * 50)
    command = ["tar", "-ch", f"--format={form}", "-f", "-", *(f"./{name}" for name in names)]
    archive = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True).stdout
    assert read(archive) == {name: name.encode() * 50 for name in names}


def test_several_archives_one_behind_the_other(tmp_path: Path) -> None:
    one = b"".join(packed(entries(tmp_path)[:3]))
    two = b"".join(packed(entries(tmp_path)[3:5]))
    assert len(read(one + bytes(5120) + two)) == 5


def test_content_that_nobody_read_is_skipped(tmp_path: Path) -> None:
    assert [member.name for member in members([b"".join(packed(entries(tmp_path)))])] == NAMES


def test_source_that_is_gone_or_has_changed(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"12345")
    with pytest.raises(InputMissing, match="gone"):
        list(packed([ArchiveEntry("f", str(tmp_path / "gone"), 5)]))
    for size in (4, 6):
        with pytest.raises(TransferFailed, match="changed"):
            list(packed([ArchiveEntry("f", str(tmp_path / "f"), size)]))


@pytest.mark.parametrize("keep", [100, 512, 700, 1500])
def test_archive_that_breaks_off(tmp_path: Path, keep: int) -> None:
    (tmp_path / "f").write_bytes(os.urandom(1200))
    with pytest.raises(Cut, match="broke off"):
        read(b"".join(packed([ArchiveEntry("f", str(tmp_path / "f"), 1200)]))[:keep])


# hostile ones


def made(*infos: tarfile.TarInfo, form: int = tarfile.GNU_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for info in infos:
            tar.addfile(info, io.BytesIO(bytes(info.size)))
    return out.getvalue()


def info(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, link, size
    return made


@pytest.mark.parametrize("name", ["/etc/passwd", "../up", "a/../../up", "..", ".", "", "a\0b"])
def test_names_that_lead_elsewhere(name: str) -> None:
    with pytest.raises(TransferFailed, match="refused to unpack"):
        safe(name)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("name", ["/abs", "../up", "x/../../up", "../" + "long/" * 60 + "up"])
def test_archives_that_lead_elsewhere(name: str, form: int) -> None:
    with pytest.raises(TransferFailed, match="leads elsewhere"):
        read(made(info(name, size=3), form=form))


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE, b"Z"]
)
def test_what_is_no_plain_file(kind: bytes) -> None:
    with pytest.raises(TransferFailed, match="no plain file"):
        read(made(info("x", kind, "/etc/passwd")))


def test_hard_link_is_a_name_and_nothing_else() -> None:
    with pytest.raises(TransferFailed, match="leads elsewhere"):
        read(made(info("x", tarfile.LNKTYPE, "/etc/passwd")))
    (member,) = members([made(info("x", tarfile.LNKTYPE, "./y"))])
    assert (member.name, member.same_as, member.size) == ("x", "y", 0)


def test_headers_that_lie() -> None:
    long = tarfile.TarInfo("././@LongLink")
    long.type, long.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    with pytest.raises(TransferFailed, match="a header of"):
        read(long.tobuf(tarfile.GNU_FORMAT))
    damaged = bytearray(made(info("x", size=3)))
    damaged[3] ^= 1
    with pytest.raises(TransferFailed, match="not an archive"):
        read(bytes(damaged))
    negative = info("x")
    negative.size = -5
    with pytest.raises(TransferFailed):
        read(negative.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(TransferFailed, match="a length that cannot be"):
        head = tarfile.TarInfo("x")
        head.type, head.size = tarfile.XHDTYPE, 8
        read(head.tobuf(tarfile.GNU_FORMAT) + b"99 a=b\n\0".ljust(512, b"\0"))


@pytest.mark.parametrize("seed", range(200))
def test_noise_is_refused_and_never_breaks_anything(tmp_path: Path, seed: int) -> None:
    luck = random.Random(seed)
    data = bytearray(made(info("a", size=700), info("x" * 80 + "/" + "y" * 80, size=10), form=luck.choice([0, 1, 2])))
    for _ in range(luck.choice([1, 3, 30])):
        data[luck.randrange(len(data))] = luck.randrange(256)
    try:
        for name in read(bytes(data), seed):
            assert safe(name) == name
    except TransferFailed:
        pass


def test_noise_is_no_gzip() -> None:
    with pytest.raises(Cut):
        list(expanded([b"this is no gzip"]))
