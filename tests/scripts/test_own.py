"""The directories of ours, over there by shell and here by Python: one table of attacks, one verdict."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dispatcher.core.errors import NotOurs
from dispatcher.files.ours import own
from dispatcher.scripts.shared_directory import NOT_OURS, OWN


def in_python(path: Path) -> str:
    try:
        own(path)
    except NotOurs as error:
        return str(error)
    return ""


def in_shell(shell: list[str]) -> Callable[[Path], str]:
    def run(path: Path) -> str:
        text = f'{OWN}\ndsp_own "$1"'
        done = subprocess.run([*shell, "-c", text, "sh", str(path)], capture_output=True, text=True)
        assert done.returncode in (0, NOT_OURS), done
        return done.stderr.strip()

    return run


SHELLS = [["sh"], ["bash"], *([["busybox", "sh"]] if shutil.which("busybox") else [])]


@pytest.fixture(params=[in_python, *map(in_shell, SHELLS)], ids=["python", *map(" ".join, SHELLS)])
def owning(request: pytest.FixtureRequest) -> Callable[[Path], str]:
    found: Callable[[Path], str] = request.param
    return found


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o077, 0o277])
def test_made_for_us_alone_whatever_the_umask(tmp_path: Path, owning: Callable[[Path], str], umask: int) -> None:
    before = os.umask(umask)
    try:
        assert owning(tmp_path / "a *b") == ""
    finally:
        os.umask(before)
    assert (tmp_path / "a *b").stat().st_mode & 0o7777 == 0o700
    assert owning(tmp_path / "a *b") == ""


def test_readable_by_others_is_still_ours(tmp_path: Path, owning: Callable[[Path], str]) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d").chmod(0o755)
    assert owning(tmp_path / "d") == ""


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777, 0o2775])
def test_open_to_others(tmp_path: Path, owning: Callable[[Path], str], mode: int) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d").chmod(mode)
    assert f"{tmp_path}/d is not used: others may write there" in owning(tmp_path / "d")
    assert (tmp_path / "d").stat().st_mode & 0o7777 == mode


@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_a_link(tmp_path: Path, owning: Callable[[Path], str], target: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "d").symlink_to(target)
    assert "is not used: it is a link" in owning(tmp_path / "d")
    assert not (tmp_path / "nowhere").exists()


def test_a_file(tmp_path: Path, owning: Callable[[Path], str]) -> None:
    (tmp_path / "d").touch()
    assert "it is not a directory" in owning(tmp_path / "d")
