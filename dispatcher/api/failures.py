"""What a submission says of its failed jobs, as last looked at.

submission.failed_jobs()          ->  [Job(5f1c…, 1 task(s), state=terminated, job_id='4211')]
submission.explain(job)           ->  "exit code 3 …" and the end of the failing task's stderr
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..core.errors import ConfigError, FailedJob
from ..core.failure import failed_job
from .job import Job
from .status import JobStatus
from .task import Task

if TYPE_CHECKING:
    from ..core.lifecycle import Progress


class Failures:
    """The part of a submission that tells why jobs failed."""

    belonging_jobs: list[Job]
    belonging_tasks: list[Task]
    _progress: Mapping[str, Progress]

    def failed_jobs(self) -> list[Job]:
        """Jobs whose last attempt ended without success, as last looked at."""
        return [job for job in self.belonging_jobs if job.job_state is JobStatus.terminated]

    def check_ratio_unfinished(self, ratio_unfinished: float) -> bool:
        """True when the part of the tasks that are not finished is at most this."""
        if not 0 <= ratio_unfinished < 1:
            raise ConfigError(
                f"ratio_unfinished: {ratio_unfinished!r} is not allowed: it must be at least 0 and below 1"
            )
        finished = sum(task.task_state is JobStatus.finished for task in self.belonging_tasks)
        return finished >= (1 - ratio_unfinished) * len(self.belonging_tasks)

    def _reported(self, job: Job) -> FailedJob:
        return failed_job(self._progress[job.job_hash], [task.spec() for task in job.job_task_list])

    def exit_code(self, job: Job) -> int | None:
        """Exit code of a job's last attempt as last looked at; None while it is not over, or when nobody knows."""
        found = self._progress.get(job.job_hash)
        if found is None:
            return None
        if job.job_state is JobStatus.finished:
            return 0
        return found.cause.code if found.cause else None

    def explain(self, job: Job) -> str | None:
        """Why a job's last attempt failed, as last looked at; None when it did not."""
        found = self._progress.get(job.job_hash)
        return None if found is None or found.cause is None else f"{found.cause}\n{found.cause.stderr}".rstrip()
