"""Task: the manual's formats, copies, and its size."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from dispatcher.api import JobStatus, Task
from dispatcher.core.errors import ConfigError
from dispatcher.core.model import digest

MANUAL = {
    "command": "lmp -i input.lammps",
    "task_work_path": "bct-0/",
    "forward_files": ["conf.lmp", "input.lammps"],
    "backward_files": ["log.lammps"],
    "outlog": "log",
    "errlog": "err",
}


def test_the_manuals_examples() -> None:
    for example in (
        MANUAL,
        {**MANUAL, "command": "dp train input.json && dp freeze && dp compress", "task_work_path": "model1/"},
        {"command": "g16 < input > output ||:", "task_work_path": "p1/", "forward_files": ["input"],
         "backward_files": ["output"]},
    ):  # fmt: skip
        task = Task.load_from_dict(example)
        assert task.serialize() == {**MANUAL, **example}
        assert Task.deserialize(task.serialize()) == task
    task = Task(
        command="cat example.txt",
        task_work_path="dir1/",
        forward_files=["example.txt"],
        backward_files=["out.txt"],
        outlog="out.txt",
    )
    assert task["outlog"] == "out.txt"
    assert task.errlog == "err"


def test_six_keys_in_order() -> None:
    task = Task("c", "d")
    assert list(task.serialize()) == list(MANUAL)
    assert list(Task("c", "d", task_name="n").serialize()) == [*MANUAL, "task_name"]
    assert Task.deserialize(Task("c", "d", task_name="n").serialize()).task_name == "n"


def test_files(tmp_path: Path, warned: Any) -> None:
    (tmp_path / "task.json").write_text(json.dumps(MANUAL))
    (tmp_path / "task.yaml").write_text("command: lmp\ntask_work_path: a\noutlog: null\n")
    assert Task.load_from_json(tmp_path / "task.json") == Task.load_from_dict(MANUAL)
    assert Task.load_from_yaml(str(tmp_path / "task.yaml")).outlog is None
    (tmp_path / "ref.json").write_text(json.dumps({"$ref": str(tmp_path / "task.json"), "command": "x"}))
    assert Task.load_from_json(tmp_path / "ref.json", allow_ref=True).command == "x"
    with pytest.raises(ConfigError, match="allow_ref"):
        Task.load_from_json(tmp_path / "ref.json")
    (tmp_path / "bad.json").write_text('{"command": "x", "task_work_path": "a", "comand": 1}')
    Task.load_from_json(tmp_path / "bad.json")
    Task.load_from_json(tmp_path / "bad.json")
    (message,) = warned()
    assert "bad.json: task/comand: unknown key; did you mean 'command'" in message


def test_nothing_is_shared() -> None:
    files = ["a"]
    first, second = Task("c", "d", files, files), Task("c", "d")
    files.append("b")
    first.forward_files.append("c")
    second.backward_files.append("x")
    first.serialize()["backward_files"].append("y")
    assert (first.forward_files, first.backward_files) == (["a", "c"], ["a"])
    assert Task("c", "d").serialize()["backward_files"] == []
    assert first.spec().forward_files == ("a", "c")


def test_the_hash_follows_the_task() -> None:
    task = Task("c", "d")
    before = task.task_hash
    assert before == task.get_hash() == digest(task.spec()) == Task("c", "d").task_hash
    assert len(before) == 40
    task.command = "other"
    assert task.task_hash == Task("other", "d").task_hash != before


def test_paths_are_taken_as_paths() -> None:
    task = Task("c", Path("d/e"), [Path("x")], (name for name in ("y",)))
    assert (task.task_work_path, task.forward_files, task.backward_files) == ("d/e", ["x"], ["y"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"command": 1}, "task/command: expected str, got int"),
        ({"task_work_path": None}, "task/task_work_path: expected str or a path, got null"),
        ({"forward_files": "abc"}, "task/forward_files: expected list of str, got str; write it in brackets"),
        ({"backward_files": ["a", 1]}, "task/backward_files/1: expected str or a path, got int"),
        ({"backward_files": 3}, "task/backward_files: expected list of str, got int"),
        ({"outlog": 1}, "task/outlog: expected str or a path, got int"),
        ({"errlog": []}, "task/errlog"),
        ({"task_name": 3}, "task/task_name: expected str"),
        ({"command": "echo \0"}, "task/command: holds a NUL character"),
        ({"command": "echo \ud800"}, "task/command: character 6 is not valid Unicode"),
        ({"forward_files": ["a", "b\udcff"]}, "task/forward_files/1: character 2 is not valid Unicode"),
    ],
)
def test_wrong_types(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Task(**{"command": "c", "task_work_path": "d", **arguments})


def test_deserialize_names_the_key(warned: Any) -> None:
    with pytest.raises(ConfigError, match="task/command: missing"):
        Task.deserialize({"commnd": "x", "task_work_path": "a"})
    assert ["task/commnd: unknown key; did you mean 'command'" in message for message in warned()] == [True]
    with pytest.raises(ConfigError, match="task/task_work_path: missing"):
        Task.deserialize({"command": "x"})
    with pytest.raises(TypeError):
        hash(Task("c", "d"))


def test_equality_and_repr() -> None:
    assert Task("c", "d") == Task("c", "d")
    assert Task("c", "d") != Task("c", "d", outlog=None)
    assert Task("c", "d") != "c"
    assert repr(Task("c", "d")).startswith("Task(command='c', task_work_path='d', forward_files=[]")
    assert eval(repr(Task("c", "d", ["a"]))) == Task("c", "d", ["a"])
    assert Task("c", "d").task_state is JobStatus.unsubmitted
    assert Task("c", "d").get_task_state(None) is JobStatus.unsubmitted


def test_a_million_fit_in_memory() -> None:
    count = 20_000
    tracemalloc.start()
    tasks = [
        Task(f"lmp -i input.lammps -var seed {i}", f"task.{i:07d}/", ["conf.lmp", "input.lammps"], ["log.lammps"])
        for i in range(count)
    ]
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(tasks) == count
    assert size / count <= 600
