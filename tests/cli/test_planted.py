"""What somebody planted in a work directory is not obeyed by a verb that acts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dispatcher.cli import main
from dispatcher.core import events as ev
from dispatcher.core.model import TaskSpec
from dispatcher.run.store import read_history
from journal import Journal

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
    (submission,) = (journal.parent for journal in ours.glob("*/journal"))
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


# -- journals that a stranger made, and that are ours by owner: unpacked from an archive, for instance ---------------

SUBMISSION, JOB, OWNER = "ab" * 20, "c1" * 20, "0" * 16
CODE = "1;touch hacked;x"
STORY: dict[str, Any] = {"submission": SUBMISSION, "machine": {}, "task": TaskSpec("true", "t"), "nonce": "dn1"}
#: What is wrong with a journal in which a job seems to run.
HANDMADE: dict[str, dict[str, Any]] = {
    "a native id is code": {"id": CODE},
    "a native id is code in a substitution": {"id": "$(touch hacked)"},
    "a native id is an option": {"id": "--all"},
    "a nonce is code": {"nonce": CODE},
    "a nonce leads elsewhere": {"nonce": "../../x"},
    "a submission leads elsewhere": {"submission": "../../x"},
    "a submission is a directory of the user's": {"submission": "Documents"},
    "a submission is another one": {"submission": "cd" * 20},
    "a submission is short": {"submission": "deed"},
    "a task leads elsewhere": {"task": TaskSpec("true", "../../x", backward_files=("y",))},
    "a result leads elsewhere": {"task": TaskSpec("true", "t", backward_files=("../../../x",))},
    "remote_root is no text": {"machine": {"remote_root": ["/"]}},
    "its jobs run in a directory of the user's": {"placed": (ev.Placed("Documents"),)},
    "its jobs run in another submission's": {"placed": (ev.Placed("cd" * 20),)},
    "a job leads elsewhere": {"also": (ev.Planned("../../x", (1,), (TaskSpec("true", "t"),)),)},
    "more tasks than positions": {"also": (ev.Planned("c2" * 20, (1,), (TaskSpec("true", "t"),) * 2),)},
    "a position twice": {"positions": (0, 0)},
    "a position far out": {"positions": (7,)},
}


class Unchecked:
    """Writes what a reader of ours would not take, as a stranger's program does."""

    def encode(self, records: list[Any]) -> bytes:
        return msgspec.json.Encoder().encode_lines(records)


def handmade(local: Path, **told: Any) -> Path:
    """A whole journal in which one job runs, or has finished; `told` is different from what it should be."""
    story = {"id": "4211", "positions": (0,), "ended": False, "placed": (), "also": (), **STORY, **told}
    place = {"batch_type": "Shell", "context_type": "LocalContext", "local_root": str(local)}
    machine = {**place, "remote_root": str(local.parent), **story["machine"]}
    resources = {"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 0, "queue_name": "", "group_size": 1}
    path = local / ".dispatcher" / SUBMISSION / "journal"
    path.parent.parent.mkdir(mode=0o700, parents=True)
    path.parent.mkdir(mode=0o700)
    with Journal.open(path, ev.Event) as log:
        opened = ev.Opened(story["submission"], "cd" * 20, "runs", machine, resources, str(local), owner=OWNER)
        tasks = (story["task"],) * len(story["positions"])
        asked = [ev.Planned(JOB, story["positions"], tasks), ev.Submitting(JOB, 1, story["nonce"])]
        ended = [ev.Finished(JOB)] if story["ended"] else []
        seen = [ev.Submitted(JOB, story["id"]), *ended, *story["also"]]
        log._hold(Unchecked(), [opened, *story["placed"], ev.Staged(0, 0), *asked, *seen])
        log.commit()
    return path


@pytest.mark.parametrize("wrong", HANDMADE)
@pytest.mark.parametrize("words", [("cancel",), ("submission", "--clean", "--download-finished-task")], ids=" ".join)
def test_a_handmade_journal_is_read_and_not_obeyed(
    tmp_path: Path, wrong: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    local = tmp_path / "home" / "runs"
    (local / "t").mkdir(parents=True)
    documents = local.parent / "Documents"
    documents.mkdir()
    (documents / "thesis").touch()
    handmade(local, **HANDMADE[wrong], ended=words[0] == "submission")
    before = sorted(str(path) for path in tmp_path.rglob("*") if "journal" not in path.parts)
    code = main([words[0], str(local), *words[1:]])
    said = capsys.readouterr().err
    assert code in (2, 4), said
    assert said.startswith("dispatcher: error: ")
    assert sorted(str(path) for path in tmp_path.rglob("*") if "journal" not in path.parts) == before


@pytest.mark.slow
def test_what_is_right_in_it_is_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same journal, with nothing wrong: so it is the wrong thing that was refused above."""
    local = tmp_path / "home" / "runs"
    (local / "t").mkdir(parents=True)
    handmade(local, id=f"{os.uname().nodename}:4194303:1:0", machine={"context_type": "LazyLocalContext"})
    assert main(["cancel", str(local)]) == 0, capsys.readouterr().err
    shutil.rmtree(local / ".dispatcher")


@pytest.mark.parametrize("copied", [False, True], ids=["", "with our record"])
@pytest.mark.parametrize("way", ["its name", "a link", "in place"])
def test_clean_removes_no_directory_of_the_users(
    tmp_path: Path, way: str, copied: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """An archive that was unpacked at home: a journal, and in ~/Documents the record that says it is that journal's."""
    home, documents = tmp_path / "home", tmp_path / "home" / "Documents"
    documents.mkdir(parents=True)
    (documents / "thesis").write_text("precious")
    local = documents if way == "in place" else home / "runs"
    (local / "t").mkdir(parents=True, exist_ok=True)
    machine = {"remote_root": str(home), **({"context_type": "LazyLocalContext"} if way == "in place" else {})}
    placed = (ev.Placed("Documents"),) if way == "its name" else ()
    handmade(local, ended=True, machine=machine, placed=placed, also=(ev.Delivered((JOB,), 0, 0),))
    if way == "a link":
        (home / SUBMISSION).symlink_to(documents)
    if copied:
        record = documents / ".dispatcher" / SUBMISSION / "owner"
        for made in (record.parents[1], record.parent):
            made.mkdir(mode=0o700, exist_ok=True)
        told = {"owner": OWNER, "host": "elsewhere", "root": os.path.realpath(local)}
        record.write_bytes(msgspec.json.encode(told) + b"\n")
    for words in (("clean",), ("submission", "--clean")):
        code = main([words[0], str(local), *words[1:]])
        err = capsys.readouterr().err
        assert (documents / "thesis").read_text() == "precious"
        assert code in ((2, 4) if way != "in place" or not copied else (0, 2)), err


def test_a_handmade_journal_starts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`retry` runs what is in a journal, so it wants the place where the jobs ran to say that it is this journal's."""
    local = tmp_path / "home" / "runs"
    (local / "t").mkdir(parents=True)
    failed = ev.Terminated(JOB, ev.Cause(ev.CauseKind.lost))
    handmade(local, task=TaskSpec(f"touch {tmp_path}/hacked", "t"), also=(failed, ev.Concluded("failed", 1)))
    assert main(["retry", "--in", str(local), "--check-interval", "0.1"]) == 2
    assert "does not carry the record of this journal" in capsys.readouterr().err
    assert not (tmp_path / "hacked").exists()
    history = read_history(local / ".dispatcher" / SUBMISSION / "journal")
    assert history.jobs[JOB].attempt == 1
