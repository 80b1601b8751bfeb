"""The record of inputs: what has not changed is not read again, and nothing is believed that may have changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dispatcher.core.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec
from dispatcher.core.names import CONTROL, INPUTS
from dispatcher.files.local import digest
from dispatcher.run import digests
from dispatcher.run.session import open_session
from dispatcher.run.survey import survey

NAMES = ["t0/a", "t0/b", "t1/a", "t1/b", "pot"]


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SubmissionSpec:
    """Two tasks that have begun, so that there is a record; the files are taken for old ones."""
    monkeypatch.setattr(digests, "_TICK", -(10**12))
    for name in NAMES:
        (tmp_path / "w" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "w" / name).write_text(name)
    tasks = tuple(TaskSpec("true", f"t{nth}", ("a", "b")) for nth in range(2))
    machine = MachineSpec("Shell", "LazyLocal", str(tmp_path))
    spec = SubmissionSpec("w", machine, ResourcesSpec(1, 1, 0, "", 1), tasks, ("pot",))
    assert survey(spec).looked.read == len(NAMES)
    with open_session(spec, {}):
        pass
    return spec


def record(top: Path) -> Path:
    [found] = (top / "w" / CONTROL).glob(f"*/{INPUTS}")
    return found


def test_what_has_not_changed_is_not_read(tmp_path: Path, spec: SubmissionSpec) -> None:
    found = survey(spec)
    assert found.looked.read == 0
    assert found.inputs == {name: digest(tmp_path / "w" / name) for name in NAMES}
    assert found.submission == record(tmp_path).parent.name
    before = record(tmp_path).stat().st_ino
    with open_session(spec, {}):
        assert record(tmp_path).stat().st_ino == before, "nothing was read: nothing is written down again"


def rewritten(path: Path) -> None:
    """Other bytes of the same size, and the old time."""
    status = path.stat()
    path.write_text("T0/a")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replaced(path: Path) -> None:
    """Another file takes its name, with size and time of the old one."""
    status, other = path.stat(), path.with_name("other")
    other.write_text("T0/a")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.rename(path)


def linked(path: Path) -> None:
    """Now a link to another file."""
    path.unlink()
    path.symlink_to("b")


@pytest.mark.parametrize("change", [rewritten, replaced, linked])
def test_what_changed_is_read(tmp_path: Path, spec: SubmissionSpec, change: Callable[[Path], None]) -> None:
    change(tmp_path / "w/t0/a")
    found = survey(spec)
    assert (found.looked.read, found.inputs["t0/a"]) == (1, digest(tmp_path / "w/t0/a"))
    assert found.submission != record(tmp_path).parent.name


def test_what_was_written_just_before_it_was_read_is_read_again(
    spec: SubmissionSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "_TICK", 10**12)
    assert survey(spec).looked.read == len(NAMES)


def other_digest(path: Path) -> None:
    """Whole JSON of the right form, and wrong."""
    text = path.read_text()
    known = digest(path.parents[2] / "pot")
    path.write_text(text.replace(known, known[::-1]))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def garbage(path: Path) -> None:
    path.write_bytes(b"\xff\0{")


def open_to_others(path: Path) -> None:
    path.chmod(0o666)


def a_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("spoil", [other_digest, cut, garbage, open_to_others, a_link, a_pipe, os.unlink])
def test_a_record_that_cannot_be_trusted_is_made_anew(
    tmp_path: Path, spec: SubmissionSpec, spoil: Callable[[Path], None]
) -> None:
    spoil(record(tmp_path))
    found = survey(spec)
    assert (found.looked.read, found.submission) == (len(NAMES), record_directory(tmp_path).name)
    with open_session(spec, {}):
        pass
    assert survey(spec).looked.read == 0


def record_directory(top: Path) -> Path:
    [found] = [path for path in (top / "w" / CONTROL).iterdir() if path.is_dir()]
    return found
