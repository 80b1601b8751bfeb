"""A run seen and steered from the process that it runs in: live states, the log, threads, signal handlers."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dispatcher import JobsFailed, JobStatus, Machine, Resources, Submission, Task

pytestmark = pytest.mark.slow


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Path]:
    """A directory in which a file `go` lets waiting tasks end; whatever happens, they do."""
    for name in ("t0", "t1"):
        (tmp_path / "w" / name).mkdir(parents=True)
    yield tmp_path
    (tmp_path / "go").touch()


def submission(work: Path, *commands: str) -> Submission:
    tasks = [Task(command, f"t{nth}", [], ["out"]) for nth, command in enumerate(commands)]
    machine = Machine("Shell", "LazyLocal", str(work), retry_count=0)
    return Submission("w", machine, Resources(1, 1, 0, "", 1), task_list=tasks)


def waiting(work: Path) -> str:
    return f"until [ -e {work}/go ]; do sleep 0.05; done; echo > out"


def until(true: Callable[[], Any]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end, "what is waited for does not come"
        time.sleep(0.02)


def running(made: Submission) -> bool:
    return any(job.job_state is JobStatus.running for job in made.belonging_jobs)


def beside(made: Submission) -> tuple[threading.Thread, list[BaseException]]:
    """The run, in a thread of its own, and what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            made.run_submission(check_interval=0.2)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, raised


def test_states_are_live_and_told(work: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "dispatcher")
    made = submission(work, "echo > out", waiting(work))
    thread, raised = beside(made)
    until(lambda: sorted(task.task_state.name for task in made.belonging_tasks) == ["finished", "running"])
    assert all(job.job_id for job in made.belonging_jobs)
    (work / "go").touch()
    thread.join()
    assert raised == []
    told = [record.getMessage() for record in caplog.records]
    assert told[0] == f"submission {made.submission_hash}: 2 jobs, 2 tasks"
    for job in made.belonging_jobs:
        assert f"job {job.job_hash}: submitted, id {job.job_id}" in told
        assert f"job {job.job_hash} ({job.job_id}): finished" in told


def test_failures_are_told(work: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = submission(work, "exit 3")
    with pytest.raises(JobsFailed):
        made.run_submission(check_interval=0.2)
    (job,) = made.belonging_jobs
    assert [record.getMessage().partition(": failed 1 times: ")[0] for record in caplog.records] == [
        f"job {job.job_hash} ({job.job_id})"
    ]
    assert made.local_root == str(work / "w")
    assert "3" in str(job.failure_reason)


def test_another_thread_asks_and_ends_jobs(work: Path) -> None:
    made = submission(work, "echo > out", waiting(work))
    thread, raised = beside(made)
    until(lambda: running(made))
    made.update_submission_state()
    late = next(job for job in made.belonging_jobs if job.job_task_list[0].task_work_path == "t1")
    made.kill(late)
    thread.join()
    (error,) = raised
    assert isinstance(error, JobsFailed)
    assert [job.job for job in error.jobs] == [late.job_hash]
    assert (work / "w/t0/out").exists()


def test_an_equal_submission_of_the_process_finds_the_run(work: Path) -> None:
    made = submission(work, "echo > out", waiting(work))
    thread, raised = beside(made)
    until(lambda: running(made))
    other = submission(work, "echo > out", waiting(work))
    other.generate_jobs()
    other.remove_unfinished_tasks()
    assert [task.task_work_path for task in other.belonging_tasks] == ["t0"]
    thread.join()
    assert isinstance(raised[0], JobsFailed), "the run was not asked by its own object"


def test_a_signal_handler_removes_what_is_unfinished(work: Path) -> None:
    made = submission(work, "echo > out", waiting(work))
    done: list[str] = []

    def handler(signum: int, frame: Any) -> None:
        made.remove_unfinished_tasks()
        done.append("asked")

    before = signal.signal(signal.SIGTERM, handler)
    threading.Thread(
        target=lambda: (
            until(lambda: JobStatus.finished in [task.task_state for task in made.belonging_tasks] and running(made)),
            os.kill(os.getpid(), signal.SIGTERM),
        )
    ).start()
    try:
        made.run_submission(check_interval=0.5)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert done == ["asked"]
    assert [task.task_work_path for task in made.belonging_tasks] == ["t0"]
    (work / "go").touch()
    again = submission(work, "echo > out", waiting(work))
    again.run_submission(check_interval=0.2)
    assert (work / "w/t1/out").exists(), "the next run does what was left"


def test_programs_keep_their_own_attributes_and_roots(work: Path) -> None:
    made = submission(work, "true")
    made.belonging_tasks[0].remark = "mine"
    made.generate_jobs()
    made.belonging_jobs[0].upload_path = "here"
    assert made.belonging_jobs[0].job_task_list[0].remark == "mine"
    assert made.machine is not None
    assert made.machine.context is not None
    made.machine.context.temp_local_root = work / "elsewhere"
    assert made.local_root == str(work / "elsewhere/w")
    assert made.machine.spec().local_root == str(work / "elsewhere")
