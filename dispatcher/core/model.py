"""What the user asked for, frozen: the values that everything below the door works on.

    SubmissionSpec
      work_base, forward/backward_common_files
      machine   MachineSpec    which batch system, which context, where (never the profile: no secrets)
      resources ResourcesSpec  what a job asks of the scheduler
      tasks     (TaskSpec, …)  a command and its files
    JobSpec(hash, tasks=(3, 17, 4))   a group of tasks, by their position in the submission

Identity: `plan_hash` covers what is asked, `submission_hash` also the bytes of
the forward files. Neither covers passwords, key paths, the order of
dictionary keys or the directory the program was started in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha1
from posixpath import normpath
from typing import Any

import msgspec

from .errors import ConfigError

_canonical = msgspec.json.Encoder(order="sorted")


class TaskSpec(msgspec.Struct, frozen=True, gc=False):
    """One command, its directory below work_base, and its files."""

    command: str
    task_work_path: str
    forward_files: tuple[str, ...] = ()
    backward_files: tuple[str, ...] = ()
    outlog: str | None = "log"
    errlog: str | None = "err"
    task_name: str | None = None


class Strategy(msgspec.Struct, frozen=True, omit_defaults=True):
    """How scripts are made."""

    if_cuda_multi_devices: bool = False
    ratio_unfinished: float = 0.0
    customized_script_header_template_file: str | None = None

    def __post_init__(self) -> None:
        """What equals a default is it: `omit_defaults` asks whether they are one object, and 0.0 of a file is not."""
        for name, default in zip(self.__struct_fields__, self.__struct_defaults__, strict=True):
            if getattr(self, name) == default:
                msgspec.structs.force_setattr(self, name, default)


class ResourcesSpec(msgspec.Struct, frozen=True):
    """What each job asks of the scheduler."""

    number_node: int
    cpu_per_node: int
    gpu_per_node: int
    queue_name: str
    group_size: int
    custom_flags: tuple[str, ...] = ()
    strategy: Strategy = Strategy()
    para_deg: int = 1
    module_purge: bool = False
    module_unload_list: tuple[str, ...] = ()
    module_list: tuple[str, ...] = ()
    source_list: tuple[str, ...] = ()
    envs: dict[str, Any] = {}
    prepend_script: tuple[str, ...] = ()
    append_script: tuple[str, ...] = ()
    wait_time: float = 0
    kwargs: dict[str, Any] = {}


def changed(resources: ResourcesSpec, changes: Mapping[str, Any]) -> ResourcesSpec:
    """The resources with these keys changed; what is not a key of resources is one of kwargs.

    Raises ConfigError for a value of a wrong type.
    """
    if not changes:
        return resources
    own = {key: value for key, value in changes.items() if key in resources.__struct_fields__}
    kwargs = {**resources.kwargs, **{key: value for key, value in changes.items() if key not in own}}
    found = {**msgspec.to_builtins(resources), "kwargs": kwargs, **own}
    try:
        return msgspec.convert(found, ResourcesSpec)
    except msgspec.ValidationError as error:
        raise ConfigError(f"resources, as they were changed for a retry: {error}") from None


class MachineSpec(msgspec.Struct, frozen=True):
    """Which batch system behind which context; `retry_count` and `max_running` are the queueing policy."""

    batch_type: str
    context_type: str
    local_root: str
    remote_root: str | None = None
    retry_count: int = 3
    max_running: int | None = None
    clean_asynchronously: bool = False
    create_remote_root: bool = False
    max_calls_per_minute: int | None = None
    max_logins_per_minute: int | None = None


class SubmissionSpec(msgspec.Struct, frozen=True):
    """A whole submission, as asked."""

    work_base: str
    machine: MachineSpec
    resources: ResourcesSpec
    tasks: tuple[TaskSpec, ...]
    forward_common_files: tuple[str, ...] = ()
    backward_common_files: tuple[str, ...] = ()


class JobSpec(msgspec.Struct, frozen=True, gc=False):
    """A job: its hash and the positions of its tasks in the submission, in the order they are started."""

    hash: str
    tasks: tuple[int, ...]


def digest(value: Any) -> str:
    """SHA-1 of the canonical JSON of a value (keys sorted), 40 hexadecimal digits."""
    return sha1(_canonical.encode(value), usedforsecurity=False).hexdigest()


def task_keys(tasks: Sequence[TaskSpec]) -> list[str]:
    """A key for each task; equal tasks get different keys by how often they occurred before.

    Two identical tasks are two tasks: both are run.
    """
    seen: dict[str, int] = {}
    keys: list[str] = []
    for task in map(_spelt, tasks):
        key = digest(task)
        nth = seen[key] = seen.get(key, -1) + 1
        keys.append(key if not nth else digest([key, nth]))
    return keys


def _spelt(task: TaskSpec) -> TaskSpec:
    """The task with its directory in one spelling."""
    path = normpath(task.task_work_path)
    return task if path == task.task_work_path else msgspec.structs.replace(task, task_work_path=path)


def job_hash(resources: ResourcesSpec, keys: Sequence[str]) -> str:
    """Identity of a job: what it asks of the scheduler and the keys of its tasks, in their order."""
    return digest([_requested(resources), keys])


def _requested(resources: ResourcesSpec) -> ResourcesSpec:
    """Without what may change while jobs run."""
    return msgspec.structs.replace(resources, wait_time=0)


def plan_hash(spec: SubmissionSpec) -> str:
    """Identity of what is asked, without the bytes of the input files.

    Covers tasks, resources, common files, work_base and where the jobs run; policy that can
    change while jobs run (retry_count, max_running, wait_time, clean_asynchronously) is left out.
    """
    where = (spec.machine.batch_type, spec.machine.context_type, spec.machine.remote_root)
    return digest(
        [
            normpath(spec.work_base),
            where,
            _requested(spec.resources),
            [_spelt(task) for task in spec.tasks],
            spec.forward_common_files,
            spec.backward_common_files,
        ]
    )


def submission_hash(plan: str, inputs: Mapping[str, str]) -> str:
    """Identity of a run: the plan and the SHA-256 of every forward file, by path below work_base."""
    return digest([plan, inputs])
