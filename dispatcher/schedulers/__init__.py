"""Batch systems, one dialect a file: text in, text out.

    load("Slurm")                                 ->  an instance of dispatcher.schedulers.slurm.dialect.SlurmDialect
    chosen("SGE", …kwargs={"array": True})        ->  an instance of dispatcher.schedulers.sge.array.SGEArrayDialect

To add one: a file here, a line in BUILTIN, transcripts and golden scripts in
`fixtures/`. From outside: the entry-point group `dispatcher.schedulers`, whose
entries name a class like those of BUILTIN.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import cast

from ..core.errors import ConfigError
from ..core.keys import Key, optional
from ..core.model import ResourcesSpec
from ..core.ports import Scheduler
from .limits import THROTTLE

#: Name -> "module:class".
BUILTIN: dict[str, str] = {
    "Shell": "dispatcher.schedulers.shell:ShellDialect",
    "Slurm": "dispatcher.schedulers.slurm.dialect:SlurmDialect",
    "SlurmJobArray": "dispatcher.schedulers.slurm.array:SlurmArrayDialect",
    "PBS": "dispatcher.schedulers.pbs.dialect:PBSDialect",
    "Torque": "dispatcher.schedulers.pbs.torque:TorqueDialect",
    "SGE": "dispatcher.schedulers.sge.dialect:SGEDialect",
    "LSF": "dispatcher.schedulers.lsf.dialect:LSFDialect",
    "Fugaku": "dispatcher.schedulers.fugaku:FugakuDialect",
    "JH_UniScheduler": "dispatcher.schedulers.lsf.jh_unischeduler:JHUniSchedulerDialect",
    "DistributedShell": "dispatcher.schedulers.yarn.dialect:DistributedShellDialect",
    "Bohrium": "dispatcher.schedulers.cloud.bohrium:BohriumDialect",
    "OpenAPI": "dispatcher.schedulers.cloud.openapi:OpenAPIDialect",
}
#: What makes job arrays of a batch system's jobs, when kwargs say `array: true`.
ARRAYS: dict[str, str] = {
    "PBS": "dispatcher.schedulers.pbs.array:PBSArrayDialect",
    "Torque": "dispatcher.schedulers.pbs.array:TorqueArrayDialect",
    "SGE": "dispatcher.schedulers.sge.array:SGEArrayDialect",
}
#: The key that asks for them.
ARRAY = optional(
    "array", bool, "Make each job a job array with a task in each element: one submission for all of them."
)
ALIASES = {"DpCloudServer": "Bohrium", "Lebesgue": "Bohrium"}
#: Classes below Machine that the program at work has defined itself, by each spelling of their names (`api.driven`).
OWN: dict[str, str] = {}


@cache
def _installed() -> dict[str, str]:
    # here and not above: reading what is installed takes longer than the rest of this import
    from importlib.metadata import entry_points

    return {point.name: point.value for point in entry_points(group="dispatcher.schedulers")}


def known() -> tuple[str, ...]:
    """The names of all batch systems, those from installed packages last."""
    return tuple(dict.fromkeys((*BUILTIN, *_installed())))


def kwargs_of(name: str) -> tuple[tuple[Key, ...] | None, bool]:
    """The keys of `resources.kwargs` that a batch system reads, and whether kwargs must be given at all.

    None for a dialect from another package that lists none, and for a program's own: it takes any.
    """
    if name in OWN:
        return None, False
    dialect, array = load(name), (ARRAY, THROTTLE) if canonical(name) in ARRAYS else ()
    keys: tuple[Key, ...] | None = getattr(dialect, "kwargs", None)
    return None if keys is None else keys + array, getattr(dialect, "kwargs_needed", False)


def canonical(name: str) -> str:
    """The name in its usual spelling; every name is also valid in lower case. ConfigError for an unknown one."""
    names = {key: key for key in (*BUILTIN, *_installed())} | ALIASES
    names |= {key.lower(): value for key, value in names.items()} | OWN
    if name in names:
        return names[name]
    close = get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise ConfigError(f"machine/batch_type: {name!r} is not a batch system{hint} (known: {', '.join(BUILTIN)})")


def load(name: str) -> Scheduler:
    """The dialect of that name; ConfigError when nobody knows it."""
    known = canonical(name)
    target = BUILTIN.get(known) or _installed().get(known)
    if target is None:
        raise ConfigError(f"machine/batch_type: {known} is a class of a program's own: only that program can run it")
    return _made(target)


def chosen(name: str, resources: ResourcesSpec) -> Scheduler:
    """The dialect of that name for these resources; what makes job arrays in it when kwargs say `array: true`.

    ConfigError when it has no job arrays, or for another value than true and false.
    """
    dialect = _made(ARRAYS[canonical(name)]) if _array(canonical(name), resources) else load(name)
    configure = getattr(dialect, "configure", None)  # those that are asked by commands have it
    if configure is not None:
        configure(resources)
    return dialect


def _array(known: str, resources: ResourcesSpec) -> bool:
    array = resources.kwargs.get("array", False)
    if known not in BUILTIN or array is False:
        return False
    if array is not True:
        raise ConfigError(f"resources/kwargs/array: {array!r} is neither true nor false")
    if known not in ARRAYS:
        other = "; use the batch_type SlurmJobArray" if known.startswith("Slurm") else ""
        raise ConfigError(
            f"resources/kwargs/array: job arrays of {known} cannot be asked for{other} (with this key: "
            f"{', '.join(ARRAYS)})"
        )
    return True


def spellings(name: str) -> tuple[str, ...]:
    """Every other way to write a batch system's name: its aliases, all in lower case."""
    aliases = [alias for alias, meant in ALIASES.items() if meant == name]
    return tuple(dict.fromkeys([name.lower(), *aliases, *map(str.lower, aliases)]))


def _made(target: str) -> Scheduler:
    module, _, attribute = target.partition(":")
    return cast("Scheduler", getattr(import_module(module), attribute)())
