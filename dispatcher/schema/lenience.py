"""Keys that nothing reads, where they are no reason to stop: from Python, and with --allow-unknown-keys.

Lenient(tell).only({"gpu_per_nod": 1}, {"gpu_per_node": …}, "resources")
  ->  tell("resources/gpu_per_nod: unknown key; did you mean 'gpu_per_node'? …; it is ignored")       once in a process
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from functools import cache
from typing import Any

from .. import schedulers
from . import parameters, profiles, rules

_told: set[tuple[str, str]] = set()


class Lenient:
    """Tells each unknown key once, and those that DPDispatcher knows not at all."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell

    def only(self, given: Mapping[Any, Any] | Collection[Any], known: Collection[str], path: str) -> None:
        """Tell the names that are not known."""
        place = path.rpartition("/")[2].rpartition(" ")[2]
        for name in given:
            if name in known or name in elsewhere(place) or (place, str(name)) in _told:
                continue
            _told.add((place, str(name)))
            self._tell(f"{rules.unknown(name, known, path)}; it is ignored")


def known(given: Mapping[str, Any], names: Collection[str], path: str) -> dict[str, Any]:
    """What is known of these keys; the others are warned of once."""
    Lenient(warn).only(given, names, path)
    return {name: value for name, value in given.items() if name in names}


def warn(message: str) -> None:
    """To the log, as programs see it."""
    logging.getLogger("dispatcher").warning("%s", message)


@cache
def elsewhere(place: str) -> frozenset[str]:
    """Keys of this dictionary that mean something with another context, batch system, or version of DPDispatcher."""
    if place == "remote_profile":
        rows = [key for profile in profiles.CONTEXTS.values() for key in profile.keys]
        return frozenset(name for key in rows for name in (key.name, *key.alias))
    if place == "kwargs":
        rows = [key for name in schedulers.BUILTIN for key in schedulers.kwargs_of(name)[0] or ()]
        return frozenset(name for key in rows for name in (key.name, *key.alias))
    return frozenset(parameters.EARLIER.get(place, ()))
