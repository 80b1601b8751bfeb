"""What a task is known by, and the index that tells it to other submissions."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

import journal as journals
from dispatcher.core import events as ev
from dispatcher.core.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec
from dispatcher.core.names import INDEX
from dispatcher.run import index
from dispatcher.run.identity import identities, task_inputs
from dispatcher.run.session import open_session

INPUTS = {"a/t0/in": "i0", "a/t1/in": "i1", "a/pot": "p"}


def spec(*tasks: TaskSpec, work_base: str = "w", common: tuple[str, ...] = (), **resources: Any) -> SubmissionSpec:
    machine = MachineSpec("Shell", "LazyLocal", "/local")
    return SubmissionSpec(
        work_base, machine, msgspec.structs.replace(ResourcesSpec(1, 1, 0, "", 1), **resources), tasks, common
    )


T0 = TaskSpec("run", "a/t0", ("in",), ("out",))
T1 = TaskSpec("run", "a/t1", ("in",), ("out",))


@pytest.mark.parametrize(
    "other",
    [
        spec(T1, T0, common=("a/pot",)),
        spec(T0, common=("a/pot",)),
        spec(msgspec.structs.replace(T0, task_name="relax", backward_files=("out", "log.nc")), common=("a/pot",)),
        spec(msgspec.structs.replace(T0, task_work_path="./a//t0/"), common=("./a/pot",)),
        spec(T0, common=("a/pot",), queue_name="long", group_size=7, para_deg=3, cpu_per_node=9, kwargs={"mem": "2G"}),
    ],
)
def test_what_does_not_make_another_task(other: SubmissionSpec) -> None:
    [asked, _] = identities(spec(T0, T1, common=("a/pot",)), INPUTS)
    assert asked in identities(other, INPUTS)


@pytest.mark.parametrize(
    ("other", "inputs"),
    [
        (spec(msgspec.structs.replace(T0, command="run 2"), common=("a/pot",)), INPUTS),
        (spec(T0, common=("a/pot",), envs={"OMP_NUM_THREADS": 4}), INPUTS),
        (spec(T0, common=("a/pot",), module_list=("deepmd",)), INPUTS),
        (spec(T0, common=("a/pot",), prepend_script=("export X=1",)), INPUTS),
        (spec(T0), INPUTS),
        (spec(T0, common=("a/pot",)), {**INPUTS, "a/pot": "other"}),
        (spec(T0, common=("a/pot",)), {**INPUTS, "a/t0/in": "other"}),
    ],
)
def test_what_makes_another_task(other: SubmissionSpec, inputs: dict[str, str]) -> None:
    [asked] = identities(spec(T0, common=("a/pot",)), INPUTS)
    assert asked.whole not in [task.whole for task in identities(other, inputs)]


def test_another_cut_of_local_root_and_work_base_is_the_same_task() -> None:
    below = {"t0/in": "i0", "pot": "p"}
    [one] = identities(spec(T0, common=("a/pot",)), INPUTS)
    [other] = identities(spec(msgspec.structs.replace(T0, task_work_path="t0"), common=("pot",)), below)
    assert (one.command, one.whole) == (other.command, other.whole)


def test_what_each_task_reads() -> None:
    wild = msgspec.structs.replace(T1, forward_files=("i*",))
    assert task_inputs(spec(T0, wild, common=("a/pot",)), INPUTS) == [("a/pot", "a/t0/in"), ("a/pot", "a/t1/in")]


# the index


def begun(top: Path, *tasks: TaskSpec) -> Path:
    """The journal of a submission that was opened and not run."""
    for task in tasks:
        (top / "w" / task.task_work_path).mkdir(parents=True, exist_ok=True)
        (top / "w" / task.task_work_path / "in").write_text("in")
    asked = spec(*tasks)
    asked = msgspec.structs.replace(asked, machine=MachineSpec("Shell", "LazyLocal", str(top)))
    with open_session(asked, {}) as session:
        return session.journal.path


def test_an_index_is_believed_only_with_its_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = begun(tmp_path, T0, T1)
    folded: list[Path] = []
    read = index.read_history
    monkeypatch.setattr(index, "read_history", lambda path: folded.append(path) or read(path))  # type: ignore[func-returns-value]
    known = index.index_of(journal)
    assert not folded, "it was written when the session ended"
    assert [(task.directory, task.position, task.done, task.live) for task in known.tasks] == [
        ("a/t0", 0, False, False),
        ("a/t1", 1, False, False),
    ]
    with journals.Journal.open(journal, ev.Event) as log:  # somebody goes on and dies
        log.append(ev.Submitting(known.tasks[0].job, 1, "dn1"))
        log.commit()
    assert [task.live for task in index.index_of(journal).tasks] == [True, False]
    assert len(folded) == 1
    assert index.index_of(journal) == index.index_of(journal) and len(folded) == 1, "it is kept again"
    for damage in (b"", b"{", (journal.parent / INDEX).read_bytes().replace(b'"version":1', b'"version":0')):
        (journal.parent / INDEX).write_bytes(damage)
        assert [task.live for task in index.index_of(journal).tasks] == [True, False]
    (journal.parent / INDEX).unlink()
    assert [task.live for task in index.index_of(journal).tasks] == [True, False]


def test_many_finished_submissions_are_looked_through_without_folding_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for nth in range(5):
        begun(tmp_path, msgspec.structs.replace(T0, command=f"run {nth}"))
    calls: list[Path] = []
    monkeypatch.setattr(index, "read_history", calls.append)
    found = index.surroundings(str(tmp_path / "w"), spec(T0)).neighbours(Path("none"))
    assert (len(found), calls) == (5, [])


def test_others_are_looked_for_above_and_on_the_way_to_the_tasks(tmp_path: Path) -> None:
    outer = begun(tmp_path, T0)
    inner = SubmissionSpec(
        "t0",
        MachineSpec("Shell", "LazyLocal", str(tmp_path / "w/a")),
        ResourcesSpec(1, 1, 0, "", 1),
        (TaskSpec("x", "."),),
    )
    with open_session(inner, {}) as session:
        deep = session.journal.path

    def around(place: str, asked: SubmissionSpec, but: Path = Path("none")) -> set[Path]:
        return {found.journal for found in index.surroundings(str(tmp_path / place), asked).neighbours(but)}

    assert around("w", spec(T0)) == around("w/a/t0", inner) == {outer, deep}
    (tmp_path / "link").symlink_to(tmp_path / "w")
    assert around("link", spec(T0), but=deep) == {outer}


def test_what_somebody_else_left_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(tmp_path, T0)
    monkeypatch.setattr(os, "geteuid", lambda: 4242)
    assert index.surroundings(str(tmp_path / "w"), spec(T0)).controls == []


def test_real_directories_are_those_of_realpath(tmp_path: Path) -> None:
    (tmp_path / "w/d/e").mkdir(parents=True)
    for link, target in (("w/in", "d"), ("w/d/up", ".."), ("w/out", str(tmp_path)), ("w/no", "where"), ("w/me", "me")):
        (tmp_path / link).symlink_to(target)
    below = ["", "d", "d/e", "in/e", "d/up/d", "out/w/d", "none/x", "no/x", "me/x", "d/e", *["/".join(["y"] * 1500)]]
    for place in (f"{tmp_path}/w", f"{tmp_path}/w/in/..", "/"):
        assert index.real_directories(place, below) == [os.path.realpath(f"{place}/{path}") for path in below]
