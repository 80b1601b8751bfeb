"""Nothing is started beside a run of DPDispatcher that has not ended."""

from __future__ import annotations

import json
import os
from hashlib import sha1
from pathlib import Path
from typing import Any

import pytest

from dispatcher import Machine, Resources, Submission, Task
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


def finished_there(place: Path, nth: int, **changes: str) -> Task:
    """A task that the original has finished in this work directory: its input, its result, and then its tag."""
    task = {
        "command": f"echo {nth} >> ../count; cat in > out", "task_work_path": f"t{nth}", "forward_files": ["in"],
        "backward_files": ["out"], "outlog": "log", "errlog": "err",
    }  # fmt: skip
    folder = place / f"t{nth}"
    folder.mkdir(parents=True)
    (folder / "in").write_text("in")
    (folder / "out").write_text("from there")
    digest = sha1(json.dumps({**task, **changes}).encode(), usedforsecurity=False).hexdigest()
    (folder / f"{digest}_task_tag_finished").touch()
    later = (folder / "in").stat().st_ctime_ns + 10**9  # a clock tick of the file system is longer than this test
    os.utime(folder / f"{digest}_task_tag_finished", ns=(later, later))
    return Task(**task)  # type: ignore[arg-type]


def run(place: Path, *tasks: Task) -> list[str]:
    """Run them where their files are, beside what a run of the original leaves; which ran."""
    (place / f"w/{SUBMISSION}.json").touch()
    machine = Machine("Shell", "LazyLocal", str(place))
    Submission("w", machine, Resources(1, 1, 0, "", 0), task_list=tasks).run_submission(check_interval=0.05)
    return sorted((place / "w/count").read_text().split()) if (place / "w/count").exists() else []


def test_what_it_has_finished_here_is_taken_over_and_the_rest_is_run(tmp_path: Path) -> None:
    """In doubt a task is run again: its tag is another task's, an input is newer, a result is missing."""
    place = tmp_path / "w"
    tasks = [
        finished_there(place, 0),
        finished_there(place, 1, command="another"),
        finished_there(place, 2),
        finished_there(place, 3),
    ]
    os.utime(place / "t2/in", ns=(2**62, 2**62))
    (place / "t3/out").unlink()
    assert run(tmp_path, *tasks) == ["1", "2", "3"]
    assert [(place / f"t{nth}/out").read_text() for nth in range(4)] == ["from there", "in", "in", "in"]
    assert run(tmp_path, *tasks) == ["1", "2", "3"], "all is done"


def test_of_two_equal_tasks_its_tag_says_too_little(tmp_path: Path) -> None:
    task = finished_there(tmp_path / "w", 0)
    assert run(tmp_path, task, task) == ["0", "0"]
