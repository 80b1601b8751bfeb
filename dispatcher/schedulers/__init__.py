"""Batch systems, one dialect a file: text in, text out.

    load("Slurm")  ->  an instance of dispatcher.schedulers.slurm.Slurm

To add one: a file here, a line in BUILTIN, transcripts and golden scripts in
`fixtures/`. From outside: the entry-point group `dispatcher.schedulers`, whose
entries name a class like those of BUILTIN.
"""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import cast

from ..errors import ConfigError, Unsupported
from ..ports import Scheduler

#: Name -> "module:class"; "" is a name of the manual that this version does not run yet.
BUILTIN: dict[str, str] = {
    "Shell": "dispatcher.schedulers.shell:ShellQueue",
    "Slurm": "dispatcher.schedulers.slurm:Slurm",
    "SlurmJobArray": "dispatcher.schedulers.slurm_array:SlurmArray",
    "PBS": "dispatcher.schedulers.pbs:PBS",
    "Torque": "dispatcher.schedulers.torque:Torque",
    "SGE": "dispatcher.schedulers.sge:SGE",
    "LSF": "dispatcher.schedulers.lsf:LSF",
    "Fugaku": "dispatcher.schedulers.fugaku:Fugaku",
    "JH_UniScheduler": "dispatcher.schedulers.jh_unischeduler:JHUniScheduler",
    "DistributedShell": "",
    "Bohrium": "dispatcher.schedulers.bohrium:Bohrium",
    "OpenAPI": "dispatcher.schedulers.openapi:OpenAPI",
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
    """The dialect of that name; Unsupported when it is known but cannot be run by this version."""
    known = canonical(name)
    target = BUILTIN.get(known) or _outside().get(known, "")
    if not target:
        raise Unsupported(f"machine/batch_type: {known} is not available in this version of dispatcher")
    module, _, attribute = target.partition(":")
    return cast("Scheduler", getattr(import_module(module), attribute)())
