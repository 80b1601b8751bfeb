"""A command, the directory it runs in, and its files.

    Task("lmp -i in.lmp", "bct-0/", ["conf.lmp"], ["log.lammps"]).serialize()
      ->  {"command": "lmp -i in.lmp", "task_work_path": "bct-0/", "forward_files": ["conf.lmp"],
           "backward_files": ["log.lammps"], "outlog": "log", "errlog": "err"}

Small, for a submission may have a million of them: no dictionary, no hash kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike, fspath
from sys import intern
from typing import TYPE_CHECKING, Any

from ..core.errors import ConfigError
from ..core.model import TaskSpec, digest
from ..schema import lenience, rules
from .status import JobStatus

if TYPE_CHECKING:
    from ..schema import Argument

#: The keys of the serialized form, in their order; `task_name` follows when it is set.
KEYS = ("command", "task_work_path", "forward_files", "backward_files", "outlog", "errlog")
_ALL = (*KEYS, "task_name")


class Task:
    """One command and the files it needs and makes.

    `command` is finished when it ends with code 0. `task_work_path` is its directory below work_base.
    `forward_files` are brought there before it runs, `backward_files` back after it. `outlog` and `errlog` are
    the files its output is appended to, None keeps none. `task_name` is what people know it by. Every attribute
    may be changed until the submission makes its jobs. Raises ConfigError for a value of a wrong type.
    """

    __slots__ = (
        "__dict__",  # what programs set on their own; made when they do
        "backward_files",
        "command",
        "errlog",
        "forward_files",
        "outlog",
        "task_name",
        "task_state",
        "task_work_path",
    )

    __hash__ = None  # type: ignore[assignment]  # equal by content, and the content may change

    def __init__(
        self,
        command: str,
        task_work_path: str | PathLike[str],
        forward_files: Iterable[str | PathLike[str]] = [],
        backward_files: Iterable[str | PathLike[str]] = [],
        outlog: str | None = "log",
        errlog: str | None = "err",
        task_name: str | None = None,
    ) -> None:
        self.command = text(command, "task/command")
        self.task_work_path = path(task_work_path, "task/task_work_path")
        self.forward_files = paths(forward_files, "task/forward_files")
        self.backward_files = paths(backward_files, "task/backward_files")
        self.outlog = None if outlog is None else path(outlog, "task/outlog")
        self.errlog = None if errlog is None else path(errlog, "task/errlog")
        self.task_name = None if task_name is None else text(task_name, "task/task_name")
        self.task_state = JobStatus.unsubmitted

    @classmethod
    def load_from_json(cls, json_file: str | PathLike[str], allow_ref: bool = False) -> Task:
        """A task from a JSON file. Raises ConfigError that names the file, and the key or line."""
        from ..schema import load_json

        return cls._loaded(load_json(fspath(json_file)), allow_ref, f"{fspath(json_file)}: task")

    @classmethod
    def load_from_yaml(cls, yaml_file: str | PathLike[str], allow_ref: bool = False) -> Task:
        """A task from a YAML file. Raises ConfigError that names the file, and the key or line."""
        from ..schema import load_yaml

        return cls._loaded(load_yaml(fspath(yaml_file)), allow_ref, f"{fspath(yaml_file)}: task")

    @classmethod
    def load_from_dict(cls, task_dict: Mapping[str, Any], allow_ref: bool = False) -> Task:
        """A task from a dictionary, checked; `allow_ref` follows its `$ref`. Raises ConfigError for a bad key."""
        return cls._loaded(task_dict, allow_ref, "task")

    @classmethod
    def _loaded(cls, data: Mapping[str, Any], allow_ref: bool, where: str) -> Task:
        from .. import schema

        return cls(**schema.tolerated(schema.resolve_refs(data, allow_ref), schema.task_arginfo(), where))

    @classmethod
    def deserialize(cls, task_dict: Mapping[str, Any]) -> Task:
        """The task that `serialize` wrote. Raises ConfigError for a key it does not know or does not find."""
        task_dict = lenience.known(task_dict, _ALL, "task")
        for key in ("command", "task_work_path"):
            if key not in task_dict:
                raise ConfigError(f"task/{key}: missing, and it must be given")
        return cls(**task_dict)

    def serialize(self) -> dict[str, Any]:
        """The six keys, in DPDispatcher's order, and task_name when it is set; the lists are copies."""
        found = {key: _copied(getattr(self, key)) for key in KEYS}
        return found if self.task_name is None else {**found, "task_name": self.task_name}

    @staticmethod
    def arginfo() -> Argument:
        """The keys of a task with their documentation, as a dargs Argument."""
        from ..schema import task_arginfo

        return task_arginfo()

    def spec(self) -> TaskSpec:
        """A frozen copy."""
        return TaskSpec(
            self.command,
            self.task_work_path,
            tuple(self.forward_files),
            tuple(self.backward_files),
            self.outlog,
            self.errlog,
            self.task_name,
        )

    def get_hash(self) -> str:
        """40 hexadecimal digits that stand for what the task is now."""
        return digest(self.spec())

    @property
    def task_hash(self) -> str:
        """As `get_hash`: it follows every change of the task."""
        return self.get_hash()

    def get_task_state(self, context: Any) -> JobStatus:
        """The state as last seen; the submission that `context` is bound to is asked for what its journal says."""
        refresh = getattr(getattr(context, "submission", None), "refresh", None)
        if refresh is not None and self.task_state is not JobStatus.finished:
            refresh()
        return self.task_state

    def __eq__(self, other: object) -> bool:
        return self.serialize() == other.serialize() if isinstance(other, Task) else NotImplemented

    def __getitem__(self, key: str) -> Any:
        return self.serialize()[key]

    def __repr__(self) -> str:
        return f"Task({', '.join(f'{key}={value!r}' for key, value in self.serialize().items())})"


def _copied(value: Any) -> Any:
    return list(value) if isinstance(value, list) else value


def text(value: Any, where: str) -> str:
    """The value, which must be text."""
    if not isinstance(value, str):
        raise ConfigError(f"{where}: expected str, got {rules.said(value)}")
    rules.sound(value, where)
    return value


def path(value: Any, where: str) -> str:
    """A path as text; path objects are taken too."""
    if not isinstance(value, (str, PathLike)):
        raise ConfigError(f"{where}: expected str or a path, got {rules.said(value)}")
    return text(fspath(value), where)


def paths(values: Any, where: str) -> list[str]:
    """A list of paths as a new list of text; one string is a mistake, not its letters."""
    if isinstance(values, (str, PathLike, Mapping)) or not isinstance(values, Iterable):
        raise ConfigError(f"{where}: expected list of str, got {rules.said(values)}; write it in brackets")
    # a million tasks mostly name the same few files
    return [intern(path(value, f"{where}/{nth}")) if type(value) is str else path(value, f"{where}/{nth}")
            for nth, value in enumerate(values)]  # fmt: skip
