"""Why a job failed, by one rule for everybody who tells it: the error at the end of a run, `status`, and the API.

failed_job(progress, tasks, "/scratch/R")  ->  FailedJob: job 5f1c (4211), 2 attempt(s): memory, on n7 …
"""

from __future__ import annotations

from collections.abc import Sequence

from .errors import FailedJob
from .events import LOST, Cause
from .lifecycle import Progress
from .model import TaskSpec


def failing_task(cause: Cause, tasks: Sequence[TaskSpec]) -> TaskSpec | None:
    """The task that a cause speaks of; None when it speaks of the whole job, or of a task that is not there."""
    return tasks[cause.task] if cause.task is not None and 0 <= cause.task < len(tasks) else None


def failed_job(job: Progress, tasks: Sequence[TaskSpec], root: str = "", log: str = "") -> FailedJob:
    """All that is known of a job that failed. `tasks` are the job's own, `root` is the directory theirs are below.

    `log` is where the job's script itself has printed to, "" if unknown.
    """
    cause = job.cause or LOST
    task = failing_task(cause, tasks)
    where = "/".join(filter(None, (root, task.task_work_path))) if task else (log if job.id else "") or root
    return FailedJob(job.job, job.id, job.attempt, cause, task.command if task else "", where)
