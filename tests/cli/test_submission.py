"""`dispatcher submission`: logs, results, a new round, cleaning, after a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def test_nothing_to_do_is_a_mistake(work: Any) -> None:
    done = work.run("submission", "runs")
    assert (done.code, "--download-terminated-log" in done.err) == (2, True)


def test_results_and_logs_come_from_another_directory(work: Any) -> None:
    work.ask("echo fine > out", "echo why >&2; exit 3", context_type="Local", remote_root=str(work.path / "far"))
    (work.path / "far").mkdir()
    assert work.run("submit", "submission.json").code == 1
    (work.near / "t1/err").unlink()
    name = work.journal.parent.name
    done = work.run("submission", name[:8], "--download-terminated-log", "--download-finished-task")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"fetched the results of 1 finished job, and the logs of the others, into {work.near}\n"
    assert (work.near / "t1/err").read_text() == "why\n"


def test_a_new_round_is_granted(work: Any) -> None:
    work.ask("test -e better")
    assert work.run("submit", "submission.json").code == 1
    done = work.run("submission", "runs", "--reset-fail-count")
    assert (done.code, done.out) == (0, "1 job will be tried again by the next run\n")
    (work.near / "t0/better").touch()
    assert work.run("submit", "submission.json").code == 0


def test_cleaning_is_refused_while_anything_may_be_lost(work: Any) -> None:
    work.ask("until [ -e go ]; do sleep 0.1; done; touch out")
    work.run("submit", "submission.json", "--exit-on-submit")
    refused = work.run("submission", "runs", "--clean")
    assert (refused.code, "1 job may still run" in refused.err) == (1, True)
    (work.near / "t0/go").touch()
    assert work.run("submit", "submission.json", "--no-clean").code == 0
    (jobs,) = work.near.glob(".dispatcher/*/jobs")
    done = work.run("submission", "runs", "--clean")
    assert (done.code, done.err) == (0, "")
    assert not jobs.exists()
    assert work.run("verify", "runs").code == 0


def test_after_cleaning_a_failure_the_rest_is_run_and_brought_home(work: Any) -> None:
    better = work.path / "better"
    far = {"context_type": "Local", "remote_root": str(work.path / "far"), "group_size": 2}
    asked = work.ask("touch out", "touch out", "touch out", f"touch out; test -e {better}", **far)
    _promise(asked)
    assert work.run("submit", "submission.json").code == 1
    done = work.run("submission", "runs", "--download-finished-task", "--clean")
    assert (done.code, done.err) == (0, "")
    assert not list((work.path / "far").iterdir())
    better.touch()
    again = work.run("submit", "submission.json")
    assert (again.code, again.err) == (0, "")
    assert all((work.near / f"t{nth}/out").exists() for nth in range(4))
    assert not list((work.path / "far").iterdir()), "what ran after the first cleaning is cleaned, too"


def test_what_was_lost_on_both_sides_is_missed(work: Any) -> None:
    better = work.path / "better"
    far = {"context_type": "Local", "remote_root": str(work.path / "far")}
    asked = work.ask("touch out", f"touch out; test -e {better}", **far)
    _promise(asked)
    assert work.run("submit", "submission.json").code == 1
    assert work.run("submission", "runs", "--clean").code == 0
    (work.near / "t0/out").unlink()
    better.touch()
    again = work.run("submit", "submission.json")
    assert (again.code, "1 of their backward_files: t0/out" in again.err) == (1, True)


def test_results_of_a_job_that_failed_in_part_are_not_cleaned_away(work: Any) -> None:
    far = {"context_type": "Local", "remote_root": str(work.path / "far"), "group_size": 0, "retry_count": 3}
    asked = work.ask("until [ -e go ]; do sleep 0.1; done; exit 3", "touch out", **far)  # task 1 begins
    _promise(asked)
    work.run("submit", "submission.json", "--exit-on-submit")
    work.await_that(lambda: bool(list(work.path.glob("far/*/t1/out"))), "task 1")
    (waits,) = work.path.glob("far/*/t0")
    (waits / "go").touch()
    refused = work.run("submission", "runs", "--clean")
    assert (refused.code, "add --download-finished-task" in refused.err) == (1, True)
    assert list(work.path.glob("far/*/t1/out"))


def _promise(asked: Path) -> None:
    """Every task of a submission file promises to write `out`."""
    told = json.loads(asked.read_text())
    told["task_list"] = [{**task, "backward_files": ["out"]} for task in told["task_list"]]
    asked.write_text(json.dumps(told))
