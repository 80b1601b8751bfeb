from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dispatcher.contexts.local.this_machine import remove_tree
from dispatcher.core.errors import InputMissing, TransferFailed
from dispatcher.core.ports import FileEntry
from dispatcher.files import local

NOBODY = 65534


@contextmanager
def without_privileges() -> Iterator[Path]:
    """A directory, and the rights of an ordinary user in it: root may read and write everything."""
    was = os.geteuid()
    with tempfile.TemporaryDirectory() as top:
        Path(top).chmod(0o777)
        try:
            if was == 0:
                os.seteuid(NOBODY)
            yield Path(top)
        finally:
            os.seteuid(was)
            for path in Path(top).rglob("*"):
                path.chmod(0o700)


def left(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# tree


def test_tree_of_files_and_directories(tmp_path: Path) -> None:
    (tmp_path / "d/e/empty").mkdir(parents=True)
    (tmp_path / "d/f").write_bytes(b"123")
    (tmp_path / "d/e/.g").write_bytes(b"")
    (tmp_path / "top").write_bytes(b"1")
    assert local.tree(tmp_path, ["d", "top", "none", "top/below", "d/f"]) == [
        FileEntry("d/f", 3),
        FileEntry("d/e/.g", 0),
        FileEntry("d/e/empty", -1),
        FileEntry("top", 1),
    ]
    assert local.tree(tmp_path, []) == []
    assert local.tree(tmp_path / "nowhere", ["", "a"]) == []


def test_tree_of_an_empty_directory(tmp_path: Path) -> None:
    assert local.tree(tmp_path, [""]) == [FileEntry("", -1)]


def test_tree_follows_links_but_not_in_circles(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a/f").write_bytes(b"1")
    (tmp_path / "a/to_b").symlink_to("../b")
    (tmp_path / "b/to_a").symlink_to("../a")
    (tmp_path / "b/g").symlink_to("../a/f")
    (tmp_path / "b/self").symlink_to("self")
    (tmp_path / "b/broken").symlink_to("nowhere")
    assert {entry.path for entry in local.tree(tmp_path, ["a"])} == {"a/f", "a/to_b/g"}
    (tmp_path / "twice").symlink_to("a")
    assert {entry.path for entry in local.tree(tmp_path, ["a", "twice"])} >= {"a/f", "twice/f"}


@pytest.fixture
def deep() -> Iterator[Path]:
    """A directory nested deeper than Python calls may be; not below tmp_path, which pytest removes by recursion."""
    top = Path(tempfile.mkdtemp())
    here = os.open(top, os.O_RDONLY)
    for _ in range(sys.getrecursionlimit() + 100):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    yield top
    remove_tree(top)
    assert not top.exists()


def test_tree_is_not_bounded_by_the_depth_of_calls(deep: Path) -> None:
    (entry,) = local.tree(deep, ["d"])
    assert entry.path.count("d") > sys.getrecursionlimit()
    assert entry.size == -1


def test_tree_names_what_cannot_be_read() -> None:
    with without_privileges() as top:
        (top / "d/closed").mkdir(parents=True)
        (top / "d/closed").chmod(0)
        with pytest.raises(InputMissing, match=r"d/closed: Permission denied; check"):
            local.tree(top, ["d"])
        with pytest.raises(TransferFailed, match=r"d/closed/f: Permission denied"):
            local.tree(top, ["d/closed/f"], TransferFailed)


# digest


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_digest(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "f").write_bytes(data)
    assert local.digest(tmp_path / "f") == hashlib.sha256(data).hexdigest()


def test_digests_by_the_path_asked_for(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    sum_ = hashlib.sha256(b"x").hexdigest()
    assert local.digests(tmp_path, ["f", f"{tmp_path}/f"]) == {"f": sum_, f"{tmp_path}/f": sum_}
    with pytest.raises(InputMissing, match=r"/gone: No such file"):
        local.digests(tmp_path, ["f", "gone"])


# writing


def test_write_atomic(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ü b"
    local.write_atomic(path, b"one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    local.write_atomic(path, b"two", 0o644)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"two", 0o644)
    assert left(path.parent) == ["ü b"]


def test_write_atomic_refuses_a_directory(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with pytest.raises(TransferFailed, match=r"cannot write .*/d: Is a directory"):
        local.write_atomic(tmp_path / "d", b"")
    assert left(tmp_path) == ["d"]


@pytest.mark.parametrize("mode", [0o644, 0o755, 0o400, 0o040])
def test_copy_keeps_mode_and_time(tmp_path: Path, mode: int) -> None:
    source, target = tmp_path / "s", tmp_path / "t"
    source.write_bytes(b"x" * 3_000_000)
    os.utime(source, ns=(1, 981173106_000000123))
    source.chmod(mode)
    sum_ = hashlib.sha256(b"x" * 3_000_000).hexdigest()
    target.write_bytes(b"old")
    assert local.copy(source, target) == (3_000_000, sum_)
    assert local.copy(source, target, sum_).digest == sum_
    status = target.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (mode, 981173106_000000123)
    assert left(tmp_path) == ["s", "t"]


def test_copy_of_a_name_of_255_bytes(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"x")
    local.copy(tmp_path / "s", tmp_path / ("n" * 255))
    assert (tmp_path / ("n" * 255)).read_bytes() == b"x"


def test_copy_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"new")
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / "t").symlink_to("other")
    local.copy(tmp_path / "s", tmp_path / "t")
    assert (tmp_path / "other").read_bytes() == b"other"
    assert not (tmp_path / "t").is_symlink()


def test_copy_of_what_changed_leaves_the_target(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"new")
    (tmp_path / "t").write_bytes(b"old")
    with pytest.raises(TransferFailed, match=r"/s: it changed since"):
        local.copy(tmp_path / "s", tmp_path / "t", "0" * 64)
    assert (tmp_path / "t").read_bytes() == b"old"
    assert left(tmp_path) == ["s", "t"]


def test_copy_without_permission_names_the_file() -> None:
    with without_privileges() as top:
        (top / "s").write_bytes(b"x")
        (top / "d").mkdir()
        (top / "d").chmod(0o500)
        with pytest.raises(TransferFailed, match=r"d/t: Permission denied; check its permissions"):
            local.copy(top / "s", top / "d/t")
        (top / "s").chmod(0)
        with pytest.raises(TransferFailed, match=r"copy .*/s to .*/t: Permission denied"):
            local.copy(top / "s", top / "t")


def test_copy_that_finds_no_room_leaves_the_target_and_no_remains(tmp_path: Path) -> None:
    # the limit on file size is met in the middle of a write, as a full disk is
    script = (
        "import resource, sys; from pathlib import Path; from dispatcher.files import local\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000000, 1000000))\n"
        "top = Path(sys.argv[1]); local.copy(top / 's', top / 't')\n"
    )
    (tmp_path / "s").write_bytes(b"x" * 3_000_000)
    (tmp_path / "t").write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"TransferFailed: cannot copy {tmp_path}/s to {tmp_path}/t: File too large" in done.stderr
    assert (tmp_path / "t").read_bytes() == b"old"
    assert left(tmp_path) == ["s", "t"]


@pytest.mark.parametrize(("number", "advice"), [(28, "free some space"), (122, "quota"), (13, "permissions")])
def test_failed_says_what_to_do(number: int, advice: str) -> None:
    text = str(local.failed("write", "/x/y", OSError(number, os.strerror(number))))
    assert text.startswith(f"cannot write /x/y: {os.strerror(number)}; ")
    assert advice in text


def test_remains_of_killed_processes_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    old, fresh, theirs = ".dispatcher-0123456789ab.tmp", ".dispatcher-ba9876543210.tmp", "their.tmp"
    for name in (old, fresh, theirs):
        (tmp_path / "t" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "t" / name).write_text("half")
    for name in (old, theirs):
        os.utime(tmp_path / "t" / name, (1, 1))
    (tmp_path / "in").write_text("whole")
    local.copy(tmp_path / "in", tmp_path / "t" / "out")
    assert left(tmp_path / "t") == [fresh, "out", theirs]


def test_names_are_settled_up_to_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def heard(fd: int) -> None:
        synced.append(os.path.relpath(os.readlink(f"/proc/self/fd/{fd}"), tmp_path.resolve()))
        fsync(fd)

    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.setattr(os, "fsync", heard)
    local.settle(tmp_path, ["a/b/one", "a/b/two", "three"])
    assert sorted(synced) == [".", "a", "a/b"]
    local.settle(tmp_path, ["gone/one"])
