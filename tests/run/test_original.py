"""Nothing is started beside a run of DPDispatcher that has not ended."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dispatcher.core.errors import ConfigError
from dispatcher.core.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec
from dispatcher.run import original

JOB, SUBMISSION = "a" * 40, "b" * 40


def asked(tmp_path: Path, context: str) -> SubmissionSpec:
    machine = MachineSpec("Shell", context, str(tmp_path), str(tmp_path / "far"))
    return SubmissionSpec("w", machine, ResourcesSpec(1, 1, 0, "", 1), (TaskSpec("run", "t0"),))


def left(place: Path, **state: Any) -> None:
    """What the original leaves where the jobs run."""
    place.mkdir(parents=True)
    (place / f"{JOB}_job_id").write_text("4211\n")
    task = {"command": "run", "task_work_path": "t0"}
    found = {"work_base": "w", "belonging_jobs": [{JOB: {"job_task_list": [task]}}], **state}
    (place / f"{SUBMISSION}.json").write_text(json.dumps(found))


@pytest.mark.parametrize(("context", "place"), [("LazyLocalContext", "w"), ("LocalContext", f"far/{SUBMISSION}")])
def test_a_run_that_has_not_ended_is_refused_and_one_that_has_is_not(tmp_path: Path, context: str, place: str) -> None:
    original.refuse(asked(tmp_path, context))
    left(tmp_path / place)
    with pytest.raises(
        ConfigError, match=rf"{place} holds a run of DPDispatcher .*\(native ids 4211\).*run this again"
    ):
        original.refuse(asked(tmp_path, context))
    (tmp_path / place / f"{JOB}_job_tag_finished").touch()
    original.refuse(asked(tmp_path, context))


@pytest.mark.parametrize(
    "state", [{"work_base": "other"}, {"belonging_jobs": []}, {"belonging_jobs": 3}, {"belonging_jobs": [{JOB: None}]}]
)
def test_runs_of_other_tasks_are_left_alone(tmp_path: Path, state: dict[str, Any]) -> None:
    left(tmp_path / "far" / SUBMISSION, **state)
    original.refuse(asked(tmp_path, "LocalContext"))


@pytest.mark.parametrize("planted", ["a pipe", "a giant", "a link", "nesting"])
def test_files_that_somebody_planted_are_not_waited_for_and_not_believed(tmp_path: Path, planted: str) -> None:
    place = tmp_path / "far" / SUBMISSION
    left(place)
    for path in (place / f"{SUBMISSION}.json", place / f"{JOB}_job_id"):
        text = path.read_text()
        path.unlink()
        if planted == "a pipe":
            os.mkfifo(path)
        elif planted == "a giant":
            path.touch()
            os.truncate(path, 1 << 42)
        elif planted == "a link":
            (tmp_path / path.name).write_text(text)
            path.symlink_to(tmp_path / path.name)
        else:
            path.write_text("[" * 100_000)
    original.refuse(asked(tmp_path, "LocalContext"))
