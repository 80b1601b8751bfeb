"""What a configuration asks for, as frozen values: read once, with nothing in between.

    {"work_base": "runs", "machine": {…}, "resources": {…}, "task_list": [{…}, …]}
      ->  Requested(spec=SubmissionSpec(…), profile={"hostname": …}, previous=None)

The profile of the context stays apart: it may hold secrets and goes nowhere else. A relative local_root starts from
the current directory; only `$ref` starts from the directory of the file that holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from ..core.errors import ConfigError
from ..core.model import MachineSpec, ResourcesSpec, Strategy, SubmissionSpec, TaskSpec
from . import profiles, rules
from .directories import expanded
from .documents import load, resolve_refs
from .machines import named
from .mistakes import Several, each
from .parameters import HOOKS

Tell = Callable[[str], None]


class Requested(NamedTuple):
    """A submission, the profile of its context, the submission whose finished tasks it takes over, and its hooks."""

    spec: SubmissionSpec
    profile: Mapping[str, Any]
    previous: str | None = None
    hooks: Mapping[str, Any] = MappingProxyType({})


def read_file(path: str | Path, allow_ref: bool = False, tell: Tell | None = None) -> Requested:
    """The submission in a JSON or YAML file. Raises ConfigError that names the file and the key."""
    data = _file(path, allow_ref)
    if isinstance(data.get("machine"), str):
        data = {**data, "machine": named(data["machine"], f"{path}: submission/machine")}
    tasks, machine = data.get("task_list"), data.get("machine")
    if isinstance(tasks, list) and isinstance(machine, Mapping):
        local = Path(str(machine.get("local_root") or ".")).expanduser() / str(data.get("work_base", ""))
        data = {**data, "task_list": expanded(tasks, local, f"{path}: submission/task_list")}
    return read(data, f"{path}: submission", tell)


def _file(path: str | Path, allow_ref: bool) -> dict[str, Any]:
    data: dict[str, Any] = resolve_refs(load(path), allow_ref, Path(path).parent)
    return data


def machine_mapping(path: str | Path, allow_ref: bool = False) -> dict[str, Any]:
    """The machine in a file, in a submission file, or of that name in the user's own machines file."""
    if not Path(path).suffix and not Path(path).exists():
        return named(str(path))
    data = _file(path, allow_ref)
    inner = data["machine"] if "machine" in data and "batch_type" not in data else data
    return named(inner, f"{path}: machine") if isinstance(inner, str) else inner


def read(data: Mapping[str, Any], where: str = "submission", tell: Tell | None = None) -> Requested:
    """The submission that a mapping describes; `where` it stood begins every message. Raises ConfigError.

    With `tell`, keys that nothing reads are told to it and left out.
    """
    from . import check, submission_arginfo

    if tell is None:
        try:
            checked = check(data, submission_arginfo(), where)
        except ConfigError as error:
            if not any(isinstance(one, rules.UnknownKey) for one in each(error)):
                raise
            between = "\n" if isinstance(error, Several) else "; "
            raise ConfigError(f"{error}{between}--allow-unknown-keys warns of it and goes on") from None
    else:
        checked = check(data, submission_arginfo(), where, strict=False, tell=tell)
    spec = SubmissionSpec(
        work_base=checked["work_base"],
        machine=machine_spec(checked["machine"]),
        resources=resources_spec(checked["resources"]),
        tasks=tuple(task_spec(task) for task in checked["task_list"]),
        forward_common_files=tuple(sorted(checked["forward_common_files"])),
        backward_common_files=tuple(sorted(checked["backward_common_files"])),
    )
    profile, previous = _profile(data["machine"], checked["machine"]), checked.get("previous_submission_hash")
    return Requested(spec, profile, previous, {name: checked[name] for name in HOOKS if name in checked})


def read_machine(path: str | Path, allow_ref: bool = False) -> tuple[MachineSpec, Mapping[str, Any]]:
    """The machine in a machine file or a submission file, and the profile of its context. Raises ConfigError."""
    from . import check, machine_arginfo

    data = machine_mapping(path, allow_ref)
    checked = check(data, machine_arginfo(), f"{path}: machine")
    return machine_spec(checked), _profile(data, checked)


def read_profile(path: str | Path, allow_ref: bool = False) -> Mapping[str, Any]:
    """The profile alone."""
    return read_machine(path, allow_ref)[1]


def machine_spec(checked: Mapping[str, Any]) -> MachineSpec:
    """A machine that was checked, without its profile."""
    if checked["local_root"] is None:
        raise ConfigError("machine/local_root: expected the name of a directory, got null")
    known = {name: checked[name] for name in MachineSpec.__struct_fields__ if name in checked}
    return MachineSpec(**{**known, "local_root": absolute(checked["local_root"])})


def absolute(local_root: str) -> str:
    """A directory on this side; fixed now: a later change of the working directory does not move the project."""
    return str(Path(local_root).expanduser().absolute())


def resources_spec(checked: Mapping[str, Any]) -> ResourcesSpec:
    """Resources that were checked."""
    known = {name: _frozen(checked[name]) for name in ResourcesSpec.__struct_fields__ if name in checked}
    return ResourcesSpec(**{**known, "strategy": Strategy(**checked.get("strategy", {}))})


def task_spec(checked: Mapping[str, Any]) -> TaskSpec:
    """A task that was checked."""
    return TaskSpec(**{name: _frozen(value) for name, value in checked.items()})


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _profile(given: Mapping[str, Any], checked: Mapping[str, Any]) -> Mapping[str, Any]:
    return profiles.as_given(checked["context_type"], given.get("remote_profile", {}), checked["remote_profile"])
