"""Archives that are not what they should be: plain files under safe names come out, or TransferFailed; nothing else.

../up   /etc/x   a link to /etc   a device   a size of 2**62   a name twice   an extended header of nonsense
"""

from __future__ import annotations

import io
import random
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.core.errors import TransferFailed
from dispatcher.files.archive import members

pytestmark = pytest.mark.slow

FUZZ = settings(derandomize=True, database=None)
CORPUS = Path(__file__).parents[2] / "fixtures" / "corpus" / "archives"
NAMES = [
    "a",
    "d/b",
    "../up",
    "/abs",
    "a/../../b",
    "",
    ".",
    "./a",
    "a//b",
    "x" * 300,
    "\udcff",
    "two\nlines",
    "d/",
    "-rf",
]
KINDS = [tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE]
KINDS += [tarfile.BLKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE, b"Z"]
#: Extended headers: what they say of the next member, true or not.
RECORDS = [
    b"13 path=../up",
    b"11 size=\xc2\xb2\n",
    b"9" * 5000,
    b"0 a=b\n",
    b"-5 a=b\n",
    b"14 size=-1\nxxxx",
    b"",
    b"\0" * 40,
]
RECORDS += [b"5014 size=" + b"9" * 5003 + b"\n", b"19 path=/etc/passwd\n", b"20 GNU.sparse.major=1\n", b"9999999 x=y\n"]


def member(name: str, kind: bytes, size: int, content: bytes, link: str = "") -> bytes:
    """A header that says anything, and a content of any length."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname, info.mtime = kind, size, link, size**2
    try:
        header = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
    except (ValueError, UnicodeEncodeError):
        return b""
    return header + content + bytes(-len(content) % 512)


def extended(record: bytes) -> bytes:
    """A POSIX extended header with these bytes."""
    return member("pax", tarfile.XHDTYPE, len(record), record)


MEMBERS = st.builds(
    member,
    st.sampled_from(NAMES),
    st.sampled_from(KINDS),
    st.sampled_from([0, 3, 512, 1000, 2**33, 2**62]),
    st.sampled_from([b"", b"abc", b"x" * 512, b"y" * 1000]),
    st.sampled_from(["", "a", "../x", "/etc/passwd"]),
)
ARCHIVES = st.lists(MEMBERS | st.sampled_from(RECORDS).map(extended) | st.binary(max_size=600), max_size=6).map(
    b"".join
)


def read(archive: bytes) -> list[str]:
    """Names that come out; every content is read as far as it goes."""
    pieces = (archive[at : at + 700] for at in range(0, len(archive), 700))
    names = []
    for found in members(pieces):
        names.append(found.name)
        assert 0 <= found.mtime_ns < 10**9 << 34
        for piece in found.content():
            assert len(piece) <= len(archive)
        if found.same_as:
            names.append(found.same_as)
    return names


def judge(archive: bytes) -> None:
    """Safe names, or TransferFailed."""
    try:
        names = read(archive)
    except TransferFailed:
        return
    for name in names:
        assert name, "an empty name"
        assert not name.startswith("/"), name
        assert ".." not in name.split("/"), name
        assert "\0" not in name


@FUZZ
@given(ARCHIVES)
def test_made_up_archives(archive: bytes) -> None:
    judge(archive)


def whole() -> bytes:
    """A right archive of some files, with long names and times."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, size in (("a", 10), ("d/" * 80 + "b", 2000), ("ü", 0)):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = size, 1.5
            tar.addfile(info, io.BytesIO(b"z" * size))
    return made.getvalue()


@FUZZ
@given(st.randoms(use_true_random=False))
def test_damaged_archives(rng: random.Random) -> None:
    data = bytearray(whole())
    for _ in range(rng.randrange(1, 6)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    judge(bytes(data[: rng.randrange(len(data))] if rng.random() < 0.3 else data))


@pytest.mark.parametrize("record", RECORDS, ids=range(len(RECORDS)))
def test_extended_headers(record: bytes) -> None:
    judge(extended(record) + member("a", tarfile.REGTYPE, 3, b"abc"))


@pytest.mark.parametrize("file", sorted(CORPUS.glob("*.tar")), ids=lambda file: file.stem)
def test_what_was_found(file: Path) -> None:
    judge(file.read_bytes())
