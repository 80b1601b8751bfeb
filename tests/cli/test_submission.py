"""`dispatcher submission`: logs, results, a new round, cleaning, after a run."""

from __future__ import annotations

from typing import Any


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
