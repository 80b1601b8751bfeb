"""A submission as a dictionary and back: the format of DPDispatcher's state files.

    {"work_base": "run1/", "_abs_work_base": "…/run1", "machine": {…}, "resources": {…},
     "forward_common_files": [], "backward_common_files": [],
     "belonging_jobs": [{"5f1c…": {"job_task_list": [{…}], "resources": {…},
                                   "job_state": 3, "job_id": "4211", "fail_count": 0}}]}

While there are no jobs, `belonging_tasks` stands in their place. The hashes in
a file are not believed: they are computed anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ..core.errors import ConfigError
from ..core.model import JobSpec, SubmissionSpec
from ..core.plan import plan
from ..schema import lenience
from .job import Job
from .machine import Machine
from .resources import Resources
from .roles import Whole
from .task import Task

_Made = TypeVar("_Made", bound=Whole)

_KEYS = (
    "work_base",
    "_abs_work_base",
    "machine",
    "resources",
    "forward_common_files",
    "backward_common_files",
    "belonging_jobs",
    "belonging_tasks",
    "stop_on_failure",
    "continue_on_failure",
    "previous_submission_hash",
)


def written(
    submission: Whole, if_static: bool, how: Callable[[Machine], dict[str, Any]] = Machine.serialize
) -> dict[str, Any]:
    """The dictionary; `how` says what of the machine is written: by default nothing that is secret."""
    machine, resources = submission.machine, submission.resources
    found: dict[str, Any] = {
        "work_base": submission.work_base,
        "_abs_work_base": str(Path(submission.work_base).absolute()),
        "machine": {} if machine is None else how(machine),
        "resources": {} if resources is None else resources.serialize(),
        "forward_common_files": list(submission.forward_common_files),
        "backward_common_files": list(submission.backward_common_files),
        "belonging_jobs": [job.serialize(if_static) for job in submission.belonging_jobs],
    }
    if submission.stop_on_failure:
        found["stop_on_failure"] = True
    if submission.previous_submission_hash:
        found["previous_submission_hash"] = submission.previous_submission_hash
    if not submission.belonging_jobs:
        found["belonging_tasks"] = [task.serialize() for task in submission.belonging_tasks]
    return found


def read(kind: Callable[..., _Made], data: Mapping[str, Any], machine: Machine | None) -> _Made:
    """The submission that a dictionary describes."""
    data = lenience.known(data, _KEYS, "submission")
    for key in ("work_base", "resources"):
        if key not in data:
            raise ConfigError(f"submission/{key}: missing, and it must be given")
    if machine is None and data.get("machine"):
        machine = Machine.deserialize(data["machine"])
    submission = kind(
        data["work_base"],
        machine=machine,
        resources=Resources.deserialize(data["resources"]) if data["resources"] else None,
        forward_common_files=data.get("forward_common_files", []),
        backward_common_files=data.get("backward_common_files", []),
        task_list=[Task.deserialize(task) for task in data.get("belonging_tasks", [])],
        stop_on_failure=data.get("stop_on_failure", False),
        previous_submission_hash=data.get("previous_submission_hash"),
    )
    if data.get("belonging_jobs"):
        _with_jobs(submission, [_content(job) for job in data["belonging_jobs"]])
    return submission


def _content(job: Mapping[str, Any]) -> Mapping[str, Any]:
    if len(job) != 1:
        raise ConfigError(f"submission/belonging_jobs: expected one key in each, the hash of the job, got {len(job)}")
    (content,) = job.values()
    for key in ("job_task_list", "resources"):
        if key not in content:
            raise ConfigError(f"submission/belonging_jobs/{key}: missing, and it must be given")
    found: Mapping[str, Any] = content
    return found


def _with_jobs(submission: Whole, contents: list[Mapping[str, Any]]) -> None:
    """Bring back the order of the tasks, which the file has as they were shuffled, and the jobs."""
    groups = [[Task.deserialize(task) for task in content["job_task_list"]] for content in contents]
    shuffled = [task for group in groups for task in group]
    submission.register_task_list(shuffled)
    spec = submission.spec()
    planned = plan(spec)
    if [len(job.tasks) for job in planned] == [len(group) for group in groups]:
        ordered = dict(zip((position for job in planned for position in job.tasks), shuffled, strict=True))
        submission.belonging_tasks = [ordered[position] for position in range(len(shuffled))]
        submission.generate_jobs()
    else:
        submission.adopt(spec, _as_grouped(submission, spec, groups))
    for job, content in zip(submission.belonging_jobs, contents, strict=True):
        job.resume(content)


def _as_grouped(submission: Whole, spec: SubmissionSpec, groups: list[list[Task]]) -> tuple[JobSpec, ...]:
    """Jobs as the file has them, which no plan of ours makes: some were removed, or group_size was another."""
    planned, start = [], 0
    for group in groups:
        job = Job(group, resources=submission.resources or Resources(1, 1, 0, "", spec.resources.group_size))
        planned.append(JobSpec(job.get_hash(), tuple(range(start, start + len(group)))))
        start += len(group)
    return tuple(planned)
