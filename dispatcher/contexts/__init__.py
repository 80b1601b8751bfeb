"""Places by name: which class stands behind `context_type`, loaded only when it is asked for.

    canonical("lazylocal")  ->  "LazyLocalContext"
    load("Local")           ->  <class LocalContext>       with .open(machine, profile, submission, work_base)

To add one: a file here and a line in BUILTIN; from outside the package, an
entry point in the group `dispatcher.contexts`. No context is imported before
it is loaded, so a machine without paramiko can still replay a journal.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, cast

from ..core.errors import ConfigError
from ..core.keys import Key
from ..core.model import MachineSpec
from ..core.ports import Context, Place

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

#: Where each context is, "module:Class".
BUILTIN: dict[str, str] = {
    "LazyLocalContext": "dispatcher.contexts.local.lazy_local:LazyLocalConnection",
    "LocalContext": "dispatcher.contexts.local.local:LocalConnection",
    "SSHContext": "dispatcher.contexts.ssh.context:SSHConnection",
    "HDFSContext": "dispatcher.contexts.hdfs.context:HDFSConnection",
    "BohriumContext": "dispatcher.contexts.cloud.bohrium:BohriumConnection",
    "OpenAPIContext": "dispatcher.contexts.cloud.openapi:OpenAPIConnection",
}

ALIASES = {"DpCloudServerContext": "BohriumContext", "LebesgueContext": "BohriumContext"}
_GROUP = "dispatcher.contexts"


class Opens(Context, Protocol):
    """A context class as this registry hands it out: a Context that can be opened, and documents its profile."""

    profile_keys: ClassVar[tuple[Key, ...]]
    #: The one batch system that runs in this place; "" for all that are asked by shell text.
    batch_type: ClassVar[str]

    @classmethod
    def open(cls, machine: MachineSpec, profile: Mapping[str, Any], submission: str, work_base: str) -> Context:
        """Reach the place, make the remote root and the control directory; ConfigError names the key that is wrong."""
        ...

    @classmethod
    def place_of(cls, machine: MachineSpec, submission: str, work_base: str) -> Place:
        """Where things would be, as far as that is known without reaching it: nothing is made."""
        ...


def _spellings() -> dict[str, str]:
    names = {name: name for name in (*_installed(), *BUILTIN)} | ALIASES
    short = {name.removesuffix("Context"): known for name, known in names.items()}
    return {spelling: known for name, known in (short | names).items() for spelling in (name.lower(), name)}


def canonical(name: str) -> str:
    """The class name behind any accepted spelling; ConfigError proposes the nearest valid one."""
    spellings = _spellings()
    if name in spellings:
        return spellings[name]
    close = get_close_matches(name.lower(), spellings, n=1, cutoff=0.5)
    advice = (
        f"did you mean {spellings[close[0]]!r}?"
        if close
        else f"choose one of {', '.join(dict.fromkeys(spellings.values()))}"
    )
    raise ConfigError(f"context_type: {name!r} is not the name of a context; {advice}")


def load(name: str) -> type[Opens]:
    """The class behind a name; ConfigError when nobody knows it."""
    known = canonical(name)
    if known not in BUILTIN:
        return cast("type[Opens]", _installed()[known].load())
    module, _, attribute = BUILTIN[known].partition(":")
    return cast("type[Opens]", getattr(import_module(module), attribute))


@cache
def _installed() -> dict[str, EntryPoint]:
    # here and not above: reading what is installed takes longer than the rest of this import
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group=_GROUP)}
