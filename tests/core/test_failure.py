"""Why a job failed, told of a cause that speaks of a task, of the whole job, and of a task that is not there."""

from __future__ import annotations

import pytest

from dispatcher.core.errors import FailedJob, JobsFailed, alike
from dispatcher.core.events import Cause, CauseKind
from dispatcher.core.failure import failed_job
from dispatcher.core.lifecycle import Progress, State
from dispatcher.core.model import TaskSpec

TASKS = (TaskSpec("true", "t0"), TaskSpec("lmp -i in", "t1"))


@pytest.mark.parametrize(
    ("position", "id", "task", "where"),
    [
        (1, "42", "lmp -i in", "/scratch/R/t1"),
        (None, "42", "", "/scratch/R/x.log"),
        (None, "", "", "/scratch/R"),
        (7, "42", "", "/scratch/R/x.log"),
        (-1, "42", "", "/scratch/R/x.log"),
    ],
)
def test_task_and_place(position: int | None, id: str, task: str, where: str) -> None:
    job = Progress("5f" * 20, 2, State.terminated, attempt=2, id=id, cause=Cause(CauseKind.task, code=3, task=position))
    found = failed_job(job, TASKS, "/scratch/R", "/scratch/R/x.log")
    assert (found.task, found.where, found.attempts, found.native_id) == (task, where, 2, id)


def test_what_is_not_known_is_not_made_up() -> None:
    found = failed_job(Progress("5f" * 20, 2, State.terminated), TASKS)
    assert (found.cause.kind, found.task, found.where) == ("lost", "", "")
    assert failed_job(Progress("5f" * 20, 2, cause=Cause(CauseKind.task, task=0)), TASKS).where == "t0"


def test_jobs_that_failed_for_one_cause_are_told_once() -> None:
    def job(nth: int, said: str) -> FailedJob:
        cause = Cause(CauseKind.task, "a task failed", code=1, task=0, stderr=said)
        return failed_job(
            Progress(f"{nth:02d}" * 20, 1, State.terminated, 1, cause=cause), [TaskSpec("run", f"c{nth}")]
        )

    jobs = [job(nth, f"step {nth} of c{nth}: no POTCAR") for nth in range(6)] + [job(7, "another")]
    assert [len(group) for group in alike(jobs)] == [6, 1]
    lines = str(JobsFailed(jobs, 9, "ab" * 20, "run again")).splitlines()
    assert lines[0] == "7 of 9 jobs failed."
    assert "  5 more failed alike: 010101010101, 020202020202, 030303030303, …" in lines
    assert [line for line in lines if line.startswith("  |")] == ["  | step 0 of c0: no POTCAR", "  | another"]


def test_what_the_jobs_own_script_printed_is_told_and_names_the_cause_when_tasks_say_nothing() -> None:
    cause = Cause(CauseKind.task, "a task failed", code=1, task=0, log="line 1\nERROR: licence server down\n")
    assert cause.title == "ERROR: licence server down"
    found = str(failed_job(Progress("5f" * 20, 2, State.terminated, 1, cause=cause), TASKS))
    assert found.endswith("  the job's own log:\n  | line 1\n  | ERROR: licence server down")
