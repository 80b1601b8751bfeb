"""Directories by pattern, and machines by name, before a submission is checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dispatcher.core.errors import ConfigError, InputMissing, NotOurs
from dispatcher.schema.directories import expanded
from dispatcher.schema.reading import read_file, read_profile


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two directories of tasks and a hidden one, and a machines file of the user."""
    for name in ("runs/c0", "runs/c1", "runs/.hidden", "runs/a[1]", "config/dispatcher"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


def machines(project: Path, **profile: Any) -> None:
    hpc = {"batch_type": "Slurm", "context_type": "SSHContext", "local_root": "./", "remote_root": "/scratch/me"}
    hpc |= {"remote_profile": {"hostname": "h", "username": "me", **profile}}
    (project / "config/dispatcher/machines.json").write_text(json.dumps({"hpc": hpc}))


def submission(project: Path, machine: Any, *paths: str) -> Path:
    tasks = [{"command": "run", "task_work_path": path} for path in paths]
    data = {"work_base": "runs", "machine": machine, "resources": {"group_size": 1}, "task_list": tasks}
    path = project / "s.json"
    path.write_text(json.dumps(data))
    return path


def test_a_pattern_makes_a_task_of_each_directory(project: Path) -> None:
    machines(project)
    spec = read_file(submission(project, "hpc", "*", "a[1]")).spec
    assert [task.task_work_path for task in spec.tasks] == ["a[1]", "c0", "c1", "a[1]"]
    with pytest.raises(InputMissing, match=r"s.json: submission/task_list/task_work_path: no directory matches 'x\*'"):
        read_file(submission(project, "hpc", "x*"))
    assert expanded([{"task_work_path": "../*"}, 7], project) == [{"task_work_path": "../*"}, 7]


def test_a_machine_by_its_name(project: Path) -> None:
    machines(project)
    asked = read_file(submission(project, "hpc", "c0"))
    assert (asked.spec.machine.batch_type, asked.profile["hostname"]) == ("Slurm", "h")
    assert read_profile("hpc")["username"] == "me"
    with pytest.raises(ConfigError, match=r"'hpd' is not a machine of .*did you mean 'hpc'"):
        read_file(submission(project, "hpd", "c0"))


def test_no_secret_in_the_machines_file(project: Path) -> None:
    machines(project, password="hush")
    with pytest.raises(ConfigError, match="hpc/remote_profile/password: a secret does not belong") as refused:
        read_file(submission(project, "hpc", "c0"))
    assert "hush" not in str(refused.value)


def test_a_machines_file_that_others_may_write_to_is_not_read(project: Path) -> None:
    machines(project)
    (project / "config/dispatcher/machines.json").chmod(0o664)
    with pytest.raises(NotOurs, match=r"machines.json is not used: others may write to it"):
        read_file(submission(project, "hpc", "c0"))


def test_a_name_without_a_machines_file(project: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no file .*machines\.yaml that says it"):
        read_file(submission(project, "hpc", "c0"))
