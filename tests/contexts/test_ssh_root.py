"""What is made over there at the first login: the text is run by this machine's own sh."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dispatcher.contexts.ssh.context import making


def run(text: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", text], env={"PATH": os.environ["PATH"], **env}, capture_output=True, text=True)


@pytest.mark.parametrize("home", [False, True])
def test_parents_are_made_when_they_are_wanted_only(tmp_path: Path, home: bool) -> None:
    root = "~/a/b" if home else str(tmp_path / "a/b")
    refused = run(making(root, "5f1c", parents=False), HOME=str(tmp_path))
    assert (refused.returncode, refused.stdout) == (95, str(tmp_path / "a"))
    assert not (tmp_path / "a").exists()
    made = run(making(root, "5f1c", parents=True), HOME=str(tmp_path))
    assert (made.returncode, made.stdout) == (0, str(tmp_path / "a/b/5f1c"))
    assert (tmp_path / "a/b/5f1c/.dispatcher/5f1c/jobs").stat().st_mode & 0o777 == 0o700
    again = run(making(root, "77", parents=False), HOME=str(tmp_path))
    assert (again.returncode, again.stdout) == (0, str(tmp_path / "a/b/77"))


def test_the_last_directory_is_made_without_asking(tmp_path: Path) -> None:
    made = run(making("~/runs", "5f1c", parents=False), HOME=str(tmp_path))
    assert made.stdout == str(tmp_path / "runs/5f1c")


@pytest.mark.parametrize("env", [{}, {"HOME": ""}, {"HOME": "home"}])
def test_a_home_that_nobody_set_is_not_the_root_of_all(env: dict[str, str]) -> None:
    """Without it `~/runs` would be /runs."""
    assert run(making("~/runs", "5f1c", parents=True), **env).returncode == 92
