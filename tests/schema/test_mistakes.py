"""All mistakes of a file in one message, each by its path; what one mistake makes unknowable is not called another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dispatcher.core.errors import ConfigError
from dispatcher.schema import check, task_arginfo
from dispatcher.schema.mistakes import Several
from dispatcher.schema.reading import read_file

BAD = {
    "work_bas": "runs",
    "machine": {"batch_type": "Slurn", "context_type": "SSH", "local_root": 3, "remote_profile": {"hostnam": "x"}},
    "resources": {"group_size": "5", "gpu_per_nod": 1, "envs": {"A-B": 1, "C D": 2}},
    "task_list": [
        {"command": "", "task_work_pat": "t0"},
        {"command": "true", "task_work_path": "t1", "forward_files": "a"},
    ],
}
PATHS = [
    "work_bas",
    "work_base",
    "machine/local_root",
    "machine/remote_profile/hostnam",
    "machine/remote_profile/hostname",
    "machine/batch_type",
    "resources/gpu_per_nod",
    "resources/group_size",
    "resources/envs/A-B",
    "resources/envs/C D",
    "task_list/0/task_work_pat",
    "task_list/0/command",
    "task_list/0/task_work_path",
    "task_list/1/forward_files",
]


def test_all_of_a_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    path.write_text(json.dumps(BAD))
    with pytest.raises(ConfigError) as told:
        read_file(path)
    first, *lines, last = str(told.value).splitlines()
    assert first == f"{len(PATHS)} mistakes:"
    paths = [line.split(": ")[1].removeprefix("submission/") for line in lines]
    assert paths == PATHS
    assert "did you mean 'work_base'?" in lines[0] and "did you mean 'Slurm'?" in lines[5]
    assert last == "--allow-unknown-keys warns of it and goes on"


def test_one_alone_is_told_as_it_is_and_many_are_bounded() -> None:
    with pytest.raises(ConfigError) as one:
        check({"command": "true"}, task_arginfo())
    assert str(one.value).startswith("task/task_work_path: missing")
    assert not isinstance(one.value, Several)
    assert str(Several([one.value] * 1000)).splitlines()[-1] == "  and 980 more"
    assert len(str(Several([one.value] * 1000)).splitlines()) == 22
