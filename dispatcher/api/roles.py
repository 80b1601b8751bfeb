"""What the classes of the API know of each other, so that each is written without the next.

a context sees the submission that it is bound to as a `Bound`       where it works
a job sees its submission as an `JobOwner`                              whom it asks
a machine sees a job as a `JobMember`                                   what it is asked about
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from ..core.model import JobSpec, SubmissionSpec
from .resources import Resources
from .status import JobStatus
from .task import Task


class Bound(Protocol):
    """A submission as the place where it runs sees it."""

    work_base: str

    @property
    def submission_hash(self) -> str:
        """What its directory is called there."""
        ...

    def spec(self) -> SubmissionSpec:
        """What is asked, frozen."""
        ...


class JobOwner(Bound, Protocol):
    """A submission as its jobs and its machine see it."""

    def refresh(self) -> bool:
        """Read the states off the journal."""
        ...

    def update_submission_state(self) -> None:
        """Look once at all jobs."""
        ...

    def handle_unexpected_submission_state(self) -> None:
        """Submit what is due."""
        ...

    def kill(self, *jobs: Any) -> None:
        """End these jobs."""
        ...

    def exit_code(self, job: Any) -> int | None:
        """Exit code of a job."""
        ...

    def explain(self, job: Any) -> str | None:
        """Why a job failed."""
        ...

    def write_remote(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file into R."""
        ...


class JobMember(Protocol):
    """A job as its machine sees it."""

    job_id: Any
    job_state: JobStatus | None
    job_task_list: list[Task]
    resources: Resources

    @property
    def job_hash(self) -> str:
        """40 hexadecimal digits."""
        ...

    @property
    def owner(self) -> JobOwner:
        """Its submission; ConfigError when there is none."""
        ...

    @property
    def submission(self) -> Any:
        """Its submission, None when there is none."""
        ...


class Whole(Bound, Protocol):
    """A submission as it is written down and read again."""

    machine: Any
    resources: Resources | None
    forward_common_files: list[str]
    backward_common_files: list[str]
    belonging_tasks: list[Task]
    belonging_jobs: list[Any]
    stop_on_failure: bool
    previous_submission_hash: str | None

    def register_task_list(self, task_list: Iterable[Task]) -> None:
        """Add tasks."""
        ...

    def generate_jobs(self) -> None:
        """Make the jobs."""
        ...

    def adopt(self, spec: SubmissionSpec, planned: tuple[JobSpec, ...]) -> None:
        """Make these jobs."""
        ...
