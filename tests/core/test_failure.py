"""Why a job failed, told of a cause that speaks of a task, of the whole job, and of a task that is not there."""

from __future__ import annotations

import pytest

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
