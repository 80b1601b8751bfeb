"""A group of tasks that the scheduler sees as one job.

    Job([task], resources=resources).serialize()
      ->  {"5f1c…": {"job_task_list": [{…}], "resources": {…}, "job_state": None, "job_id": "", "fail_count": 0}}

Submissions make their jobs themselves. State, id and fail count are what the
journal said at the last look; asking a job asks for its whole submission.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ..core.errors import ConfigError
from ..core.model import job_hash, task_keys
from ..schema import lenience
from .resources import Resources
from .roles import JobOwner
from .status import JobStatus
from .task import Task

if TYPE_CHECKING:
    from .machine import Machine

_KEYS = ("job_task_list", "resources", "job_state", "job_id", "fail_count", "failure_reason", "task_states")


class Job:
    """Tasks, what they ask for, and how far they are.

    `job_state` is None until it was first looked at, `job_id` the native id ("" before it has one), `fail_count`
    how many attempts failed. Raises ConfigError for an empty list.
    """

    __slots__ = (
        "__dict__",  # what programs set on their own; made when they do
        "_hash",
        "_uuid",
        "fail_count",
        "job_id",
        "job_state",
        "job_task_list",
        "machine",
        "resources",
        "submission",
    )

    __hash__ = None  # type: ignore[assignment]  # equal by content, and the content may change

    def __init__(self, job_task_list: Iterable[Task], *, resources: Resources, machine: Machine | None = None) -> None:
        self.job_task_list = list(job_task_list)
        if not self.job_task_list:
            raise ConfigError("job/job_task_list: is empty; a job needs at least one task")
        self.resources, self.machine = resources, machine
        self.job_state: JobStatus | None = None
        self.job_id = ""
        self.fail_count = 0
        self.submission: JobOwner | None = None
        self._hash = self._uuid = ""

    def planned_as(self, job_hash: str, submission: JobOwner) -> Job:
        """The same job as a part of a submission, which gives it its hash."""
        self._hash, self.submission = job_hash, submission
        return self

    @property
    def job_hash(self) -> str:
        """40 hexadecimal digits; given by the submission, which tells equal tasks apart, or as `get_hash`."""
        return self._hash or self.get_hash()

    @property
    def job_uuid(self) -> str:
        """Random, made when first asked for, never saved."""
        self._uuid = self._uuid or str(uuid4())
        return self._uuid

    @property
    def failure_reason(self) -> str | None:
        """As get_last_error_message, as last looked at."""
        return None if self.submission is None else self.submission.explain(self)

    @property
    def script_file_name(self) -> str:
        """Name for the job's script, `<job_hash>.sub`."""
        return f"{self.job_hash}.sub"

    @property
    def owner(self) -> JobOwner:
        """The submission it belongs to. Raises ConfigError for a job on its own, of which no journal knows."""
        if self.submission is None:
            raise ConfigError(
                f"job {self.job_hash[:12]} belongs to no submission: make one with its tasks and run that"
            )
        return self.submission

    @classmethod
    def deserialize(cls, job_dict: Mapping[str, Any], machine: Machine | None = None) -> Job:
        """The job that `serialize` wrote; its hash is computed anew. Raises ConfigError unless there is exactly one."""
        if len(job_dict) != 1:
            raise ConfigError(f"job: expected one key, the hash of the job, got {len(job_dict)}")
        (content,) = job_dict.values()
        content = lenience.known(content, _KEYS, "job")
        for key in _KEYS[:2]:
            if key not in content:
                raise ConfigError(f"job/{key}: missing, and it must be given")
        tasks = [Task.deserialize(task) for task in content["job_task_list"]]
        job = cls(tasks, resources=Resources.deserialize(content["resources"]), machine=machine)
        return job.resume(content)

    def resume(self, content: Mapping[str, Any]) -> Job:
        """Take state, id and fail count from the serialized form."""
        state = content.get("job_state")
        self.job_state = None if state is None else _status(state)
        self.job_id = content.get("job_id", "")
        self.fail_count = content.get("fail_count", 0)
        for task in self.job_task_list:
            task.task_state = self.job_state or JobStatus.unsubmitted
        return self

    def serialize(self, if_static: bool = False) -> dict[str, dict[str, Any]]:
        """One key, the hash, and below it tasks and resources; unless `if_static` also state, id and fail count."""
        content: dict[str, Any] = {
            "job_task_list": [task.serialize() for task in self.job_task_list],
            "resources": self.resources.serialize(),
        }
        if not if_static:
            state = None if self.job_state is None else int(self.job_state)
            content |= {"job_state": state, "job_id": self.job_id, "fail_count": self.fail_count}
        return {self.job_hash: content}

    def get_hash(self) -> str:
        """40 hexadecimal digits that stand for its tasks and resources as they are now."""
        keys = task_keys([task.spec() for task in self.job_task_list])
        return job_hash(self.resources.spec(), keys)

    def get_job_state(self) -> JobStatus | None:
        """Look once at all jobs of the submission; the state of this one. Nothing is submitted."""
        self.owner.update_submission_state()
        return self.job_state

    def handle_unexpected_job_state(self) -> None:
        """Submit what is due, and again what failed and may be tried again; see the submission's method."""
        self.owner.handle_unexpected_submission_state()

    def register_job_id(self, job_id: str) -> None:
        """Note a native id on this object. The journal, which a run goes by, is not touched."""
        self.job_id = job_id

    def submit_job(self) -> None:
        """Submit it, with whatever else of its submission is due; never twice."""
        self.owner.handle_unexpected_submission_state()

    def job_to_json(self) -> None:
        """Write `<job_hash>_job.json` into R."""
        self.owner.write_remote(f"{self.job_hash}_job.json", self.serialize())

    def get_last_error_message(self) -> str | None:
        """Why its last attempt failed, with the last lines of the failing task's stderr; None when it did not."""
        return self.owner.explain(self)

    def __eq__(self, other: object) -> bool:
        return self.serialize(True) == other.serialize(True) if isinstance(other, Job) else NotImplemented

    def __repr__(self) -> str:
        state = self.job_state.name if self.job_state else None
        return f"Job({self.job_hash[:12]}, {len(self.job_task_list)} task(s), state={state}, job_id={self.job_id!r})"


def _status(value: Any) -> JobStatus:
    try:
        return JobStatus(value)
    except ValueError:
        known = ", ".join(f"{status.value} {status.name}" for status in JobStatus)
        raise ConfigError(f"job/job_state: {value!r} is not a state (known: {known})") from None
