"""Two real users on one machine: what the other one made, or could guess and made first, is refused with a sentence.

The other user is a number without an account; root, who runs these tests, is the one who is attacked.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dispatcher.core.errors import NotOurs
from dispatcher.core.model import ResourcesSpec
from dispatcher.core.ports import JobScript, Place
from dispatcher.files.ours import own
from dispatcher.schedulers.shell import ShellDialect
from dispatcher.scripts import bash
from dispatcher.scripts.shared_directory import NOT_OURS, OWN, shared_fence

pytestmark = pytest.mark.cluster
OTHER = 61002


class Shared:
    """A scratch directory that everybody may write to, a project of ours on it, and the other user."""

    def __init__(self, path: Path) -> None:
        self.path, self.project = path, path / "project"
        (self.project / "runs" / "t").mkdir(parents=True)

    def attack(self, text: str) -> int:
        """What the other user types; the exit code."""
        done = subprocess.run(["sh", "-c", text], cwd=self.path, user=OTHER, group=OTHER, extra_groups=[])
        return done.returncode

    def asked(self, command: str = "touch ran; exit 3", **machine: Any) -> Path:
        """A submission file of ours: one task, that leaves a trace."""
        place = {"batch_type": "Shell", "context_type": "LocalContext", "local_root": ".", "retry_count": 0}
        file = self.project / "submission.json"
        task = {"command": command, "task_work_path": "t"}
        machine = {**place, "remote_root": str(self.path / "scratch"), **machine}
        asked = {"work_base": "runs", "machine": machine, "resources": {"group_size": 1}, "task_list": [task]}
        file.write_text(json.dumps(asked))
        return file

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of ours."""
        command = [sys.executable, "-m", "dispatcher", *words]
        return subprocess.run(command, cwd=self.project, capture_output=True, text=True, timeout=120)

    def everything(self) -> dict[str, tuple[int, int]]:
        """Owner and mode of all there is."""
        return {str(p): (p.lstat().st_uid, p.lstat().st_mode) for p in sorted(self.path.rglob("*"))}


@pytest.fixture
def shared() -> Iterator[Shared]:
    path = Path(tempfile.mkdtemp(prefix="dispatcher-shared-"))
    path.chmod(0o1777)
    (path / "scratch").mkdir()
    (path / "scratch").chmod(0o1777)
    yield Shared(path)
    shutil.rmtree(path)


def refused(done: subprocess.CompletedProcess[str], why: str) -> None:
    assert done.returncode == 2, done
    assert why in done.stderr, done
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("how", ["mkdir -m 755", "mkdir -m 777", "ln -s /"])
def test_whoever_guesses_the_directory_on_a_shared_scratch_gets_nothing(shared: Shared, how: str) -> None:
    file = shared.asked()
    assert shared.run("submit", str(file), "--dry-run").returncode == 0
    (root,) = (shared.path / "scratch").iterdir()
    shutil.rmtree(root)
    assert shared.attack(f"{how} scratch/{root.name}") == 0
    before = sorted(str(path) for path in (shared.path / "scratch").rglob("*")) if how[0] == "m" else []
    refused(shared.run("submit", str(file)), f"{root} is not used: it ")
    assert (sorted(str(p) for p in (shared.path / "scratch").rglob("*")) if how[0] == "m" else []) == before
    assert not list(shared.path.rglob("ran"))


@pytest.mark.parametrize("name", [".dispatcher", ".dispatcher/{submission}"])
def test_directories_that_the_other_user_made(shared: Shared, name: str) -> None:
    """As in a work directory that a group shares."""
    file, taken = ended(shared, name)
    shutil.rmtree(taken)
    mode = taken.parent.stat().st_mode
    taken.parent.chmod(0o777)
    assert shared.attack(f"mkdir -m 755 {taken}") == 0
    taken.parent.chmod(mode & 0o7777)
    refused(shared.run("submit", str(file)), f"{taken} is not used: it belongs to user {OTHER}, not to you")
    assert not list(taken.iterdir())


def test_a_journal_that_the_other_user_owns(shared: Shared) -> None:
    file, taken = ended(shared, ".dispatcher/{submission}/journal")
    os.chown(taken, OTHER, OTHER)
    before = {path.name: path.read_bytes() for path in taken.iterdir()}
    refused(shared.run("submit", str(file)), f"{taken} is not used: it belongs to user {OTHER}, not to you")
    assert {path.name: path.read_bytes() for path in taken.iterdir()} == before


def ended(shared: Shared, name: str) -> tuple[Path, Path]:
    """A submission whose task has failed: its file, and a directory of it on this side."""
    file = shared.asked()
    assert shared.run("submit", str(file)).returncode == 1
    (submission,) = (journal.parent for journal in (shared.project / "runs" / ".dispatcher").glob("*/journal"))
    return file, shared.project / "runs" / name.format(submission=submission.name)


@pytest.mark.parametrize("words", [("cancel",), ("submission", "--clean"), ("submission", "--reset-fail-count")])
def test_a_journal_of_the_other_user_is_read_and_not_obeyed(shared: Shared, words: tuple[str, ...]) -> None:
    assert shared.run("submit", str(shared.asked("sleep 600")), "--exit-on-submit").returncode == 0
    theirs = shared.path / "theirs"
    shutil.copytree(shared.project / "runs", theirs)
    for path in (theirs, *theirs.rglob("*")):
        os.chown(path, OTHER, OTHER, follow_symlinks=False)
    before = shared.everything()
    done = shared.run(words[0], str(theirs), *words[1:])
    refused(done, f"is not used: it belongs to user {OTHER}, not to you")
    assert {path: what for path, what in shared.everything().items() if "theirs" in path} == {
        path: what for path, what in before.items() if "theirs" in path
    }
    for verb in ("status", "replay", "verify"):
        assert shared.run(verb, str(theirs)).returncode == 0
    assert shared.run("cancel", "runs").returncode == 0


def test_the_other_user_can_neither_cancel_nor_move_nor_read(shared: Shared) -> None:
    before = os.umask(0)
    try:
        assert shared.run("submit", str(shared.asked())).returncode == 1
    finally:
        os.umask(before)
    ours = shared.project / "runs" / ".dispatcher"
    (submission,) = (journal.parent for journal in ours.glob("*/journal"))
    (root,) = (shared.path / "scratch").iterdir()
    for text in (
        f"touch {submission}/cancel",
        f"mv {submission}/journal {shared.path}/gone",
        f"cat {submission}/journal/*.jsonl",
        f"ls {root}",
        f"mv {root} {root}.gone",
        f"echo x > {root}/.dispatcher/planted",
    ):
        assert shared.attack(f"{text} 2> /dev/null") != 0, text
    assert shared.run("verify", "runs").returncode == 0


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o777])
def test_here_and_over_there_say_the_same(shared: Shared, mode: int) -> None:
    assert shared.attack(f"mkdir -m {mode:o} taken") == 0
    taken = shared.path / "taken"
    with pytest.raises(NotOurs) as error:
        own(taken)
    done = subprocess.run(["sh", "-c", f'{OWN}\ndsp_own "$1"', "sh", taken], capture_output=True, text=True)
    assert done.returncode == NOT_OURS
    assert "is not used: " in done.stderr
    if mode != 0o777:
        assert done.stderr.strip() == str(error.value)
        assert f"it belongs to user {OTHER}" in done.stderr
    assert not list(taken.iterdir())


@pytest.mark.parametrize("mode", [0o755, 0o777])
def test_a_job_runs_nothing_from_a_directory_of_the_other_user(shared: Shared, mode: int) -> None:
    """As when the directory above the remote root is open to all, and the other user has moved ours away."""
    assert shared.attack(f"mkdir -m 755 R && mkdir -m {mode:o} R/jobs") == 0
    root, control = shared.path / "R", shared.path / "R" / "jobs"
    head = shared_fence(
        JobScript("5f", "dn1", "dn1", Place(str(root), str(root), str(control)), ResourcesSpec(1, 1, 0, "", 1), ()),
        ShellDialect(),
        0,
    )
    planted = control / bash.NAME
    planted.write_text(f"touch {shared.path}/hacked\n")
    os.chown(planted, OTHER, OTHER)
    done = subprocess.run(["bash", "-c", head], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (93, "")
    assert f"{control} is not ours: nothing is run" in done.stderr
    assert not (shared.path / "hacked").exists()
