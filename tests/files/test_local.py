from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatcher.contexts.local.this_machine import remove_tree
from dispatcher.core.errors import InputMissing, TransferFailed
from dispatcher.core.ports import FileEntry
from dispatcher.files import local

from .conftest import without_privileges

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
