"""Batch systems, one dialect a file: text in, text out.

    load("Slurm")                                 ->  an instance of dispatcher.schedulers.slurm.dialect.Slurm
    chosen("SGE", …kwargs={"array": True})        ->  an instance of dispatcher.schedulers.sge.array.SGEArray

To add one: a file here, a line in BUILTIN, transcripts and golden scripts in
`fixtures/`. From outside: the entry-point group `dispatcher.schedulers`, whose
entries name a class like those of BUILTIN.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import cast

from ..core.errors import ConfigError
from ..core.model import ResourcesSpec
from ..core.ports import Scheduler

#: Name -> "module:class".
BUILTIN: dict[str, str] = {
    "Shell": "dispatcher.schedulers.shell:ShellQueue",
    "Slurm": "dispatcher.schedulers.slurm.dialect:Slurm",
    "SlurmJobArray": "dispatcher.schedulers.slurm.array:SlurmArray",
    "PBS": "dispatcher.schedulers.pbs.dialect:PBS",
    "Torque": "dispatcher.schedulers.pbs.torque:Torque",
    "SGE": "dispatcher.schedulers.sge.dialect:SGE",
    "LSF": "dispatcher.schedulers.lsf.dialect:LSF",
    "Fugaku": "dispatcher.schedulers.fugaku:Fugaku",
    "JH_UniScheduler": "dispatcher.schedulers.lsf.jh_unischeduler:JHUniScheduler",
    "DistributedShell": "dispatcher.schedulers.yarn.dialect:DistributedShell",
    "Bohrium": "dispatcher.schedulers.cloud.bohrium:Bohrium",
    "OpenAPI": "dispatcher.schedulers.cloud.openapi:OpenAPI",
}
#: What makes job arrays of a batch system's jobs, when kwargs say `array: true`.
ARRAYS: dict[str, str] = {
    "PBS": "dispatcher.schedulers.pbs.array:PBSArray",
    "Torque": "dispatcher.schedulers.pbs.array:TorqueArray",
    "SGE": "dispatcher.schedulers.sge.array:SGEArray",
}
ALIASES = {"DpCloudServer": "Bohrium", "Lebesgue": "Bohrium"}


def _outside() -> dict[str, str]:
    # here and not above: reading what is installed takes longer than the rest of this import
    from importlib.metadata import entry_points

    return {point.name: point.value for point in entry_points(group="dispatcher.schedulers")}


def canonical(name: str) -> str:
    """The name as the manual writes it; every name is also valid in lower case. ConfigError for an unknown one."""
    names = {key: key for key in (*BUILTIN, *_outside())} | ALIASES
    names |= {key.lower(): value for key, value in names.items()}
    if name in names:
        return names[name]
    near = get_close_matches(name, names, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ConfigError(f"machine/batch_type: {name!r} is no batch system{hint} (known: {', '.join(BUILTIN)})")


def load(name: str) -> Scheduler:
    """The dialect of that name; ConfigError when nobody knows it."""
    known = canonical(name)
    return _made(BUILTIN.get(known) or _outside()[known])


def chosen(name: str, resources: ResourcesSpec) -> Scheduler:
    """The dialect of that name, or what makes job arrays in it when kwargs say `array: true`.

    ConfigError when it has no job arrays, or for another value than true and false.
    """
    known, array = canonical(name), resources.kwargs.get("array", False)
    if known not in BUILTIN or array is False:
        return load(known)
    if array is not True:
        raise ConfigError(f"resources/kwargs/array: {array!r} is neither true nor false")
    if known not in ARRAYS:
        other = "; use the batch_type SlurmJobArray" if known.startswith("Slurm") else ""
        raise ConfigError(
            f"resources/kwargs/array: job arrays of {known} cannot be asked for{other} (with this key: "
            f"{', '.join(ARRAYS)})"
        )
    return _made(ARRAYS[known])


def _made(target: str) -> Scheduler:
    module, _, attribute = target.partition(":")
    return cast("Scheduler", getattr(import_module(module), attribute)())
