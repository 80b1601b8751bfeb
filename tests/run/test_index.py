"""What other submissions say of their tasks is read without waiting, and believed only where nobody else may write."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dispatcher.core import events as ev
from dispatcher.core.errors import NotOurs
from dispatcher.core.model import TaskSpec
from dispatcher.run.index import index_of, surroundings
from dispatcher.run.store import read_history, spec_of
from journal import Journal

SUBMISSION, JOB = "ab" * 20, "c1" * 20


def neighbour(place: Path) -> Path:
    path = place / ".dispatcher" / SUBMISSION / "journal"
    path.parent.parent.mkdir(mode=0o700)
    path.parent.mkdir(mode=0o700)
    machine = {"batch_type": "Shell", "context_type": "LazyLocalContext", "local_root": str(place)}
    resources = {"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 0, "queue_name": "", "group_size": 1}
    with Journal.open(path, ev.Event) as log:
        log.append(ev.Opened(SUBMISSION, "p", ".", machine, resources, str(place)))
        log.append(ev.Planned(JOB, (0,), (TaskSpec("true", "t"),)))
        log.commit()
    return path


def giant(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 42)


@pytest.mark.parametrize("plant", [os.mkfifo, giant, lambda path: path.symlink_to("/dev/zero"), Path.mkdir])
@pytest.mark.parametrize("name", ["../index.json", "HEAD"])
def test_what_is_planted_is_not_waited_for(tmp_path: Path, name: str, plant: Callable[[Path], None]) -> None:
    path = neighbour(tmp_path)
    (path / name).unlink(missing_ok=True)
    plant(path / name)
    assert [task.directory for task in index_of(path).tasks] == ["t"]


def test_a_directory_that_others_may_write_to_is_refused_and_a_link_passed_over(tmp_path: Path) -> None:
    path = neighbour(tmp_path)
    spec, control = spec_of(path, read_history(path)), path.parents[1]
    assert control in surroundings(str(tmp_path), spec).controls
    control.chmod(0o770)
    with pytest.raises(NotOurs, match=rf"{control} is not used: others may write there"):
        surroundings(str(tmp_path), spec)
    control.rename(tmp_path / "elsewhere")
    control.symlink_to(tmp_path / "elsewhere")
    assert control not in surroundings(str(tmp_path), spec).controls
