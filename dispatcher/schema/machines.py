"""Machines that a user has named, in a file of their own configuration.

    ~/.config/dispatcher/machines.yaml      hpc: {batch_type: Slurm, context_type: SSHContext, …}
    "machine": "hpc"  in a submission       ->  that mapping

The file is only read; what is secret (passwords, tokens) is refused in it: keep keys in an agent, or name a file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError, NotOurs
from . import profiles, rules
from .documents import load

_ENDINGS = (".yaml", ".yml", ".json")


def places() -> list[Path]:
    """Where the file may be; the first that is there counts."""
    top = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "dispatcher"
    return [top / f"machines{ending}" for ending in _ENDINGS]


def named(name: str, where: str = "machine") -> dict[str, Any]:
    """The machine of that name. ConfigError when there is no such name, or when something secret stands in it."""
    path = next((path for path in places() if path.is_file()), None)
    if path is None:
        raise ConfigError(f"{where}: {name!r} names a machine, and there is no file {places()[0]} that says it")
    _refuse_others(path)
    known = load(path)
    if name not in known:
        names = ", ".join(known) or "none"
        raise ConfigError(f"{where}: {name!r} is not a machine of {path}{rules.nearest(name, known)} (there: {names})")
    machine = known[name]
    if not isinstance(machine, Mapping):
        raise ConfigError(f"{path}: {name}: expected a mapping of keys to values, got {rules.said(machine)}")
    _refuse_secrets(machine, f"{path}: {name}")
    return dict(machine)


def _refuse_others(path: Path) -> None:
    """What is run before the tasks stands there: somebody else's file, or one that others may write to, is not read."""
    status = path.stat()
    if status.st_uid not in (os.geteuid(), 0) or status.st_mode & 0o022:
        raise NotOurs(f"{path} is not used: others may write to it, or it belongs to somebody else; chmod go-w {path}")


def _refuse_secrets(machine: Mapping[str, Any], where: str) -> None:
    profile = machine.get("remote_profile")
    secret = {
        spelling
        for context in profiles.CONTEXTS.values()
        for key in context.keys
        if key.secret
        for spelling in (key.name, *key.alias)
    }
    for key in profile if isinstance(profile, Mapping) else ():
        if key in secret:
            raise ConfigError(
                f"{where}/remote_profile/{key}: a secret does not belong into this file; use an agent or a key file"
            )
