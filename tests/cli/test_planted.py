"""What somebody planted in a work directory is not obeyed by a verb that acts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

#: Each takes the control directory on the local side and the submission's directory in it.
PLANTED: dict[str, Callable[[Path, Path], Any]] = {
    "the control directory is open to the group": lambda ours, submission: ours.chmod(0o770),
    "the submission's directory is open to all": lambda ours, submission: submission.chmod(0o707),
    "the journal is open to the group": lambda ours, submission: (submission / "journal").chmod(0o770),
    "the submission's directory is a link": lambda ours, submission: (
        submission.rename(ours.parent / "elsewhere"),
        submission.symlink_to(ours.parent / "elsewhere"),
    ),
    "HEAD is a link": lambda ours, submission: (
        (submission / "journal" / "HEAD").unlink(),
        (submission / "journal" / "HEAD").symlink_to(ours.parent / "victim"),
    ),
    "the lock is a pipe": lambda ours, submission: (
        (submission / "journal" / "LOCK").unlink(missing_ok=True),
        os.mkfifo(submission / "journal" / "LOCK"),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("attack", PLANTED)
def test_every_verb_that_acts_refuses(work: Any, attack: str) -> None:
    file = work.prepare("exit 3")
    assert work.run("submit", str(file)).code == 1
    ours = work.local / ".dispatcher"
    (submission,) = ours.iterdir()
    victim = work.local / "victim"
    victim.write_text("precious")
    PLANTED[attack](ours, submission)
    for words in (["submit", str(file)], ["cancel", "runs"], ["submission", "runs", "--reset-fail-count", "--clean"]):
        done = work.run(*words)
        assert done.code == 2 or "nothing to cancel" in done.out, (words, done)
        assert "is not used: " in done.err or "nothing to cancel" in done.out, (words, done)
    assert victim.read_text() == "precious"


@pytest.mark.slow
def test_all_that_is_ours_is_closed_to_others(work: Any) -> None:
    before = os.umask(0)
    try:
        file = work.prepare("exit 3", context_type="LocalContext", remote_root=str(work.path / "there"))
        assert work.run("submit", str(file)).code == 1
    finally:
        os.umask(before)
    (root,) = (work.path / "there").iterdir()
    places = [root, *(d for top in (root, work.local) for d in (top / ".dispatcher").rglob("*") if d.is_dir())]
    assert len(places) >= 5
    assert {str(place): oct(place.stat().st_mode & 0o7777) for place in places if place.stat().st_mode & 0o077} == {}
