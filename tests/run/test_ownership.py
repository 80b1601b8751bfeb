"""Whose a place is: two work directories, a copy, a move, a journal that is lost, put back, or planted."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from dispatcher.core.errors import NotOurs
from dispatcher.core.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec
from dispatcher.core.names import OWNER
from dispatcher.core.possession import Possession
from dispatcher.run.ownership import Owner, Verdict, record, verdict
from dispatcher.run.reopen import reopened_session
from dispatcher.run.session import open_session

OURS = Owner("dn1", "login1", "/proj/a")


def judged(found: Possession, known: frozenset[str] = frozenset(), in_place: bool = False) -> Verdict:
    return verdict(OURS, found, known, Path("/proj/a/.dispatcher/5f1c/journal"), "/scratch/5f1c", in_place)


@pytest.mark.parametrize(
    ("owner", "names", "what"),
    [
        (OURS, ("dn7.sub", "dn7.claim", "dn7.3.claim", "dn7.log"), Verdict.ours),
        (Owner("dn1", "login2", "/proj/moved"), (), Verdict.ours),
        (Owner("dn1", "login1", "/nowhere"), (), Verdict.ours),
        (Owner("dn2", "login1", "/proj/b"), ("dn9.claim",), Verdict.taken),
        (None, (), Verdict.nobodys),
    ],
)
def test_whose_it_is(owner: Owner | None, names: tuple[str, ...], what: Verdict) -> None:
    assert judged(Possession(record(owner) if owner else "", names), frozenset({"dn7"})) is what


@pytest.mark.parametrize(
    ("text", "names", "in_place", "says"),
    [
        (
            record(Owner("dn2", "login2", "/proj/a")),
            (),
            False,
            "earlier journal of this work directory.*dispatcher adopt",
        ),
        (
            record(Owner("dn2", "login1", "/proj/b")),
            (),
            True,
            "earlier journal of this work directory.*dispatcher adopt",
        ),
        (record(OURS), ("dn8.claim",), False, r"1 attempt\(s\) that this journal does not know \(dn8\).*backup"),
        (record(OURS), ("dn8.7.claim",), False, "does not know"),
        ("noise", (), False, "cannot be read"),
        ('{"owner":7}', (), False, "cannot be read"),
    ],
)
def test_what_is_refused(text: str, names: tuple[str, ...], in_place: bool, says: str) -> None:
    with pytest.raises(NotOurs, match=says):
        judged(Possession(text, names), in_place=in_place)


# real places; the log is the witness


def asked(top: Path, where: str, context: str = "Local") -> SubmissionSpec:
    """Two tasks whose results tell runs apart, the same in every work directory."""
    for nth in range(2):
        (top / where / f"t{nth}").mkdir(parents=True, exist_ok=True)
        (top / where / f"t{nth}/in").write_text("same\n")
    command = f"echo x >> {top}/ran; date +%N > out; cat /proc/sys/kernel/random/uuid >> out"
    return SubmissionSpec(
        "work",
        MachineSpec("Shell", context, str((top / where).parent), str(top / "far"), retry_count=0),
        ResourcesSpec(1, 1, 0, "", 1),
        tuple(TaskSpec(command, f"t{nth}", ("in",), ("out",)) for nth in range(2)),
    )


def runs(top: Path) -> int:
    return len((top / "ran").read_text().split()) if (top / "ran").exists() else 0


def results(top: Path, where: str) -> list[str]:
    return [path.read_text() for path in sorted((top / where).glob("t*/out"))]


def test_two_work_directories_share_no_place(tmp_path: Path) -> None:
    a, b = asked(tmp_path, "a/work"), asked(tmp_path, "b/work")
    with open_session(a, {}) as first, open_session(b, {}) as second:
        assert first.submission == second.submission
        first.upload()
        second.run(check_interval=0.2)  # and removes what is its own
        first.run(check_interval=0.2)
    assert first.context.place.remote_root != second.context.place.remote_root
    assert len({*results(tmp_path, "a/work"), *results(tmp_path, "b/work")}) == 4
    assert runs(tmp_path) == 4
    with open_session(b, {}) as again:  # it knows its place again
        again.rerun(everything=True)
        again.run(check_interval=0.2)
        assert again.context.place.remote_root == second.context.place.remote_root
    assert not list((tmp_path / "far").iterdir())


@pytest.mark.parametrize("context", ["Local", "LazyLocal"])
def test_a_journal_that_is_lost_or_put_back_runs_nothing(tmp_path: Path, context: str) -> None:
    spec = asked(tmp_path, "a/work", context)
    with open_session(spec, {}) as session:
        session.upload()
        path = session.journal.path
    shutil.copytree(path, tmp_path / "backup")
    with open_session(spec, {}) as session:
        session.run(check_interval=0.2, clean=False)
    shutil.rmtree(path)
    with open_session(spec, {}) as session, pytest.raises(NotOurs, match="earlier journal of this work directory"):
        session.run(check_interval=0.2)
    shutil.rmtree(path)
    shutil.copytree(tmp_path / "backup", path)
    with open_session(spec, {}) as session, pytest.raises(NotOurs, match=r"2 attempt\(s\).*put back from a backup"):
        session.run(check_interval=0.2)
    assert runs(tmp_path) == 2


def test_a_moved_work_directory_keeps_its_place_and_a_copied_one_has_none(tmp_path: Path) -> None:
    with open_session(asked(tmp_path, "a/work"), {}) as session:
        session.run(check_interval=0.2, clean=False)
    shutil.copytree(tmp_path / "a", tmp_path / "copy")
    copied = asked(tmp_path, "copy/work")
    with open_session(copied, {}) as session, pytest.raises(NotOurs, match=r"is a copy: its original is in .*/a/work"):
        session.clean()
    (tmp_path / "a").rename(tmp_path / "moved")
    with open_session(asked(tmp_path, "moved/work"), {}) as session:
        session.run(check_interval=0.2)
    assert runs(tmp_path) == 2
    assert not list((tmp_path / "far").iterdir())


def test_only_what_carries_our_record_is_removed(tmp_path: Path) -> None:
    """A journal that somebody planted names a directory of the user's."""
    with open_session(asked(tmp_path, "a/work"), {}) as session:
        session.run(check_interval=0.2, clean=False)
        path, place = session.journal.path, Path(session.context.place.remote_root)
    (place / ".dispatcher" / session.submission / OWNER).unlink()
    (place / "precious").touch()
    with (
        reopened_session(path, {}) as session,
        pytest.raises(NotOurs, match=r"does not say .*: nothing was fetched or removed"),
    ):
        session.connect().context.remove()
    assert (place / "precious").exists()


def test_of_many_that_come_at_once_one_stays(tmp_path: Path) -> None:
    control = tmp_path / "x/jobs"
    control.mkdir(parents=True)
    code = "import sys; from dispatcher.contexts import owner; print(owner.text(sys.argv[1], sys.argv[2]).text)"
    texts = [
        subprocess.run(
            [sys.executable, "-c", code, str(control), f"me{n}"], capture_output=True, text=True, check=True
        ).stdout
        for n in range(3)
    ]
    race = [subprocess.Popen(["sh", "-c", text], stdout=subprocess.PIPE, text=True) for text in texts * 4]
    told = {line for one in race for line in one.communicate()[0].splitlines() if " is " in line}
    assert len(told) == 1
    assert sorted(path.name for path in control.parent.iterdir()) == ["jobs", OWNER]


def test_a_record_is_one_line() -> None:
    assert "\n" not in record(Owner("dn1", "login1", "/proj/two\nlines 'é"))
    assert msgspec.json.decode(record(OURS), type=Owner) == OURS
