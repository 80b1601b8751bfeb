"""A batch system behind a context.

    Machine(batch_type="Slurm", context_type="SSHContext", local_root="./", remote_root="/scratch/me",
            remote_profile={"hostname": "login", "username": "me"})
      ->  Slurm(context_type='SSHContext', local_root='./', remote_root='/scratch/me', retry_count=3)

The profile is kept for connecting only: it is in no spec, no hash, no repr and
no journal. `serialize` has it without its secrets, because programs, and notebooks,
write down what that returns; `serialize_with_secrets` has all that was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, ClassVar

from .. import schedulers
from ..core.errors import ConfigError
from ..core.keys import Profile
from ..core.model import MachineSpec
from ..schema import lenience, profiles, rules
from . import own
from .context import BaseContext, find
from .roles import JobMember, JobOwner
from .scripts import Scripts
from .status import JobStatus

if TYPE_CHECKING:
    from ..schema import Argument
    from .driven.context import DrivenContext

#: The keys of the serialized form, in their order; `max_running` and the budget follow when they are set.
KEYS = (
    "batch_type",
    "context_type",
    "local_root",
    "remote_root",
    "remote_profile",
    "retry_count",
    "clean_asynchronously",
)
_BUDGET = ("max_calls_per_minute", "max_logins_per_minute")
_ALL = (*KEYS, "max_running", "create_remote_root", *_BUDGET)


class Machine(Scripts):
    """Where and how jobs are run.

    `Machine(batch_type=…)` makes an object of the class of that batch system. `retry_count` is how often a job is
    tried again after its first attempt; `max_running` how many jobs may be queued or running at once (None: all).
    The attributes `max_calls_per_minute` and `max_logins_per_minute` (None: no limit) bound how often it is asked.
    With `context` the five arguments that describe one are not used. Raises ConfigError for what is not allowed.
    """

    alias: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[set[str]] = set()
    subclasses_dict: ClassVar[dict[str, type[Machine]]] = {}
    #: The run that asks the methods of a class of the program's own, while it is at work.
    driven: DrivenContext | None = None

    __hash__ = None  # type: ignore[assignment]  # equal by content, and the content may change

    def __init_subclass__(cls) -> None:
        cls.options.add(cls.__name__)
        for name in (cls.__name__, *cls.__dict__.get("alias", ())):
            cls.subclasses_dict[name] = cls.subclasses_dict[name.lower()] = cls
            if not own.is_ours(cls):
                schedulers.OWN[name] = schedulers.OWN[name.lower()] = cls.__name__

    def __new__(cls, *args: Any, **kwargs: Any) -> Machine:
        """An object of the class that `batch_type` names."""
        if cls is not Machine:
            return super().__new__(cls)
        name = args[0] if args else kwargs.get("batch_type")
        if name is None:
            raise ConfigError(f"machine/batch_type: missing; one of {', '.join(sorted(cls.options))}")
        return super().__new__(_kind(name))

    def __init__(
        self,
        batch_type: str | None = None,
        context_type: str | None = None,
        local_root: str | None = None,
        remote_root: str | None = None,
        remote_profile: Mapping[str, Any] = {},
        retry_count: int = 3,
        *,
        context: BaseContext | None = None,
        max_running: int | None = None,
        clean_asynchronously: bool = False,
    ) -> None:
        self.retry_count, self.max_running = retry_count, max_running
        self.clean_asynchronously = clean_asynchronously
        # only in files and as attributes: the constructor's signature is that of DPDispatcher
        self.create_remote_root = False
        self.max_calls_per_minute: int | None = None
        self.max_logins_per_minute: int | None = None
        self.context: BaseContext | None = context
        if context is None and context_type is not None:
            described = {"local_root": local_root, "remote_root": remote_root, "remote_profile": remote_profile}
            self.context = find(context_type).load_from_dict(described)
        if self.context is not None:
            own.refuse_bare(type(self.context), BaseContext)
        if self.context is not None and (self.context.remote_profile or not self._profile().needed):
            self.check()

    def _profile(self) -> Profile:
        return profiles.profile(self.context.kind() if self.context else "")

    def check(self, path: str = "machine") -> dict[str, Any]:
        """All parameters with their defaults; ConfigError for the first one, by its path, that is not allowed."""
        from ..schema import machine_arginfo, tolerated

        if self.context is None:
            raise ConfigError(
                f"{path}/context_type: missing; bind a context, or name one of {', '.join(profiles.known())}"
            )
        known = {**self.serialize_with_secrets(), "context_type": self.context.kind()}
        return tolerated(known, machine_arginfo(), path)

    # -- in and out ---------------------------------------------------------------------------------------------

    @classmethod
    def load_from_json(cls, json_path: str | PathLike[str]) -> Machine:
        """A machine from a JSON file. Raises ConfigError that names the file, and the key or line."""
        from ..schema import load_json

        return cls._loaded(load_json(fspath(json_path)), False, f"{fspath(json_path)}: machine")

    @classmethod
    def load_from_yaml(cls, yaml_path: str | PathLike[str]) -> Machine:
        """A machine from a YAML file. Raises ConfigError that names the file, and the key or line."""
        from ..schema import load_yaml

        return cls._loaded(load_yaml(fspath(yaml_path)), False, f"{fspath(yaml_path)}: machine")

    @classmethod
    def load_from_dict(cls, machine_dict: Mapping[str, Any], allow_ref: bool = False) -> Machine:
        """A machine from a dictionary, checked; `allow_ref` follows its `$ref`. Raises ConfigError for a bad key."""
        return cls._loaded(machine_dict, allow_ref, "machine")

    @classmethod
    def _loaded(cls, data: Mapping[str, Any], allow_ref: bool, where: str) -> Machine:
        from .. import schema

        data = schema.resolve_refs(data, allow_ref)
        kind = BaseContext.subclasses_dict.get(str(data.get("context_type")))
        known = data if kind is None else {**data, "context_type": kind.kind()}
        checked = schema.tolerated(known, schema.machine_arginfo(), where)
        given = profiles.as_given(checked["context_type"], data.get("remote_profile", {}), checked["remote_profile"])
        return cls.deserialize({**checked, "remote_profile": given, "context_type": data["context_type"]})

    @classmethod
    def deserialize(cls, machine_dict: Mapping[str, Any]) -> Machine:
        """The machine that `serialize` wrote; what its remote_profile lacks is missed when it is used."""
        given = lenience.known(machine_dict, _ALL, "machine")
        create, budget = bool(given.pop("create_remote_root", False)), {name: given.pop(name, None) for name in _BUDGET}
        if cls is Machine and "batch_type" not in given:
            raise ConfigError(f"machine/batch_type: missing; one of {', '.join(sorted(cls.options))}")
        machine = _kind(given.get("batch_type", cls.__name__))(**given)
        machine.create_remote_root = create
        machine.max_calls_per_minute, machine.max_logins_per_minute = budget.values()
        return machine

    def serialize(self, if_empty_remote_profile: bool = False) -> dict[str, Any]:
        """The keys, in DPDispatcher's order. The remote_profile has no passwords, keys and other secrets.

        `if_empty_remote_profile` leaves all of it out.
        """
        context = self.context
        if context is None or if_empty_remote_profile:
            return self._serialized({})
        return self._serialized(profiles.without_secrets(context.kind(), context.remote_profile))

    def serialize_with_secrets(self) -> dict[str, Any]:
        """As serialize, and with all that was given: not to be written where others can read."""
        return self._serialized(self.context.remote_profile if self.context else {})

    def _serialized(self, profile: Mapping[str, Any]) -> dict[str, Any]:
        context = self.context
        found: dict[str, Any] = {
            "batch_type": type(self).__name__,
            "context_type": type(context).__name__ if context else None,
            "local_root": context.init_local_root if context else None,
            "remote_root": context.init_remote_root if context else None,
            "remote_profile": deepcopy(dict(profile)),
            "retry_count": self.retry_count,
            "clean_asynchronously": self.clean_asynchronously,
        }
        optional = {name: getattr(self, name) for name in ("max_running", *_BUDGET)}
        return found | {name: value for name, value in optional.items() if value is not None}

    def spec(self) -> MachineSpec:
        """A frozen copy without the profile. Raises ConfigError while no context is bound."""
        if self.context is None:
            raise ConfigError("machine/context_type: missing; bind a context first")
        place = self.context.spec()
        return MachineSpec(
            batch_type=self.kind(),
            context_type=place.context_type,
            local_root=place.local_root,
            remote_root=place.remote_root,
            retry_count=self.retry_count,
            max_running=self.max_running,
            clean_asynchronously=self.clean_asynchronously,
            create_remote_root=self.create_remote_root,
            max_calls_per_minute=self.max_calls_per_minute,
            max_logins_per_minute=self.max_logins_per_minute,
        )

    @property
    def profile(self) -> dict[str, Any]:
        """What was given for connecting. Holds secrets. Raises ConfigError when it is not complete."""
        self.check()
        return self.context.profile if self.context else {}

    def bind_context(self, context: BaseContext) -> None:
        """Use this context from now on."""
        self.context = context

    # -- documentation ------------------------------------------------------------------------------------------

    @classmethod
    def arginfo(cls) -> Argument:
        """The keys of a machine with their documentation, as a dargs Argument."""
        from ..schema import machine_arginfo

        return machine_arginfo()

    @classmethod
    def resources_arginfo(cls) -> Argument:
        """The keys that resources have with this batch system, as a dargs Argument."""
        from ..schema import batch_arginfo

        return batch_arginfo(cls.kind())

    @classmethod
    def resources_subfields(cls) -> list[Argument]:
        """The kwargs of this batch system, as dargs Arguments."""
        from ..schema import kwargs_arginfo

        return [kwargs_arginfo(cls.kind())]

    @classmethod
    def kind(cls) -> str:
        """The name of the batch system that it is; of a class of the program's own, of the one it is derived from."""
        above = own.nearest(cls)
        return (cls if above is Machine else above).__name__

    # -- live jobs ----------------------------------------------------------------------------------------------

    def do_submit(self, job: JobMember) -> str:
        """Submit what is due of the job's submission, this job with it; returns its native id ("" when postponed).

        One call of the scheduler submits many jobs, and a job that is already submitted is not submitted again.
        """
        if self.driven is not None:
            return self.driven.submit(job)
        job.owner.handle_unexpected_submission_state()
        return str(job.job_id)

    def check_status(self, job: JobMember) -> JobStatus:
        """Look once, at all jobs of the job's submission; the state of this one."""
        if self.driven is not None:
            return self.driven.status(job)
        job.owner.update_submission_state()
        return job.job_state or JobStatus.unsubmitted

    def check_finish_tag(self, job: JobMember) -> bool:
        """True when every task of the job has ended with code 0, by its exit marker."""
        if self.driven is not None:
            return self.driven.finished(job)
        return self.check_status(job) is JobStatus.finished

    def kill(self, job: JobMember) -> None:
        """End this job with everything it started; one that is over is no error."""
        if self.driven is not None:
            self.driven.kill(job)
        else:
            job.owner.kill(job)

    def default_resources(self, resources: Any) -> None:
        """As in DPDispatcher, where nothing calls it: NotImplementedError."""
        raise NotImplementedError(f"{type(self).__name__}.default_resources")

    sub_script_head = sub_script_cmd = default_resources

    def get_exit_code(self, job: JobMember) -> int | None:
        """Exit code of the job's last attempt, None while it is not over or when nobody knows."""
        return job.owner.exit_code(job)

    def check_if_recover(self, submission: JobOwner) -> bool:
        """True when there is a journal of this submission to go on from."""
        return bool(submission.refresh())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Machine):
            return NotImplemented
        return self.serialize_with_secrets() == other.serialize_with_secrets()

    def __repr__(self) -> str:
        shown = self.serialize(if_empty_remote_profile=True)
        names = ("context_type", "local_root", "remote_root", "retry_count", "max_running")
        return f"{type(self).__name__}({', '.join(f'{name}={shown[name]!r}' for name in names if name in shown)})"


def _kind(name: Any) -> type[Machine]:
    """The class for any spelling of a batch system's name; one is made for a batch system of another package."""
    if not isinstance(name, str):
        raise ConfigError(f"machine/batch_type: expected str, got {rules.said(name)}")
    if found := Machine.subclasses_dict.get(name):
        return found
    known = schedulers.canonical(name)
    return Machine.subclasses_dict.get(known) or type(known, (Machine,), {})
