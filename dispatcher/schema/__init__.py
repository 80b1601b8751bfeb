"""What a configuration may say: read it, check it, document it.

    data = load_json("resources.json")                                 documents   files, and the $ref in them
    check(data, resources_arginfo(), "resources.json: resources")      checking    every mistake by its path
    resources_arginfo().gen_doc()                                      trees       dargs, from the tables in
                                                                                   parameters and profiles

dargs takes longer to load than all else here, so `check` and the trees load
when they are first used.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .documents import load_json, load_yaml, resolve_refs

if TYPE_CHECKING:
    from .checking import check
    from .lenience import known
    from .trees import (
        Argument,
        batch_arginfo,
        context_arginfo,
        kwargs_arginfo,
        machine_arginfo,
        resources_arginfo,
        submission_arginfo,
        task_arginfo,
    )

_HOMES = {"check": "checking", "known": "lenience"}

__all__ = [
    "Argument",
    "batch_arginfo",
    "check",
    "context_arginfo",
    "known",
    "kwargs_arginfo",
    "load_json",
    "load_yaml",
    "machine_arginfo",
    "resolve_refs",
    "resources_arginfo",
    "submission_arginfo",
    "task_arginfo",
    "tolerated",
]


def tolerated(data: Mapping[str, Any], argument: Argument, path: str = "") -> dict[str, Any]:
    """As `check`, for what programs ask: unknown keys are warned of once, and left out."""
    from .checking import check
    from .lenience import warn

    return check(data, argument, path, strict=False, tell=warn)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES.get(name, 'trees')}"), name)
