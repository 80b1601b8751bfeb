"""What a submission file asks for, as frozen values.

    submission.json      {"work_base": "runs", "machine": {…}, "resources": {…}, "task_list": [{…}, …]}
      ->  SubmissionSpec(…), and the profile of the context apart: it may hold secrets and goes nowhere else

A relative local_root starts from the current directory, as it always did; only
`$ref` starts from the directory of the file that holds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..core.model import SubmissionSpec


class Loaded(NamedTuple):
    """A submission, the profile of its context, and the submission whose finished tasks it takes over."""

    spec: SubmissionSpec
    profile: Mapping[str, Any]
    previous: str | None = None


def read_submission(path: str, allow_ref: bool) -> Loaded:
    """The submission in a JSON or YAML file. Raises ConfigError that names the file and the key."""
    from ..schema.documents import load, resolve_refs

    return submission(resolve_refs(load(path), allow_ref, Path(path).parent), path)


def submission(data: Mapping[str, Any], where: str) -> Loaded:
    """The submission that a mapping describes; `where` it stood begins every message."""
    from ..api.machine import Machine
    from ..api.resources import Resources
    from ..api.task import Task
    from ..schema import check, submission_arginfo

    checked = check(data, submission_arginfo(), f"{where}: submission")
    machine = Machine.deserialize(checked["machine"])
    spec = SubmissionSpec(
        work_base=checked["work_base"],
        machine=machine.spec(),
        resources=Resources(**checked["resources"]).spec(),
        tasks=tuple(Task(**task).spec() for task in checked["task_list"]),
        forward_common_files=tuple(sorted(checked["forward_common_files"])),
        backward_common_files=tuple(sorted(checked["backward_common_files"])),
    )
    return Loaded(spec, machine.profile, checked.get("previous_submission_hash"))


def read_profile(path: str, allow_ref: bool = False) -> Mapping[str, Any]:
    """The profile in a machine file, or in the machine of a submission file; it is checked first."""
    from ..api.machine import Machine
    from ..schema import check, machine_arginfo
    from ..schema.documents import load, resolve_refs

    data = resolve_refs(load(path), allow_ref, Path(path).parent)
    if "machine" in data and "batch_type" not in data:
        data = data["machine"]
    return Machine.deserialize(check(data, machine_arginfo(), f"{path}: machine")).profile
