"""Which methods a program has defined itself, below a class of ours.

nearest(MySlurm)                    ->  Slurm            whose dialect it has
own(MySlurm, ("do_submit", …))      ->  {"do_submit"}    what the run has to ask it

A method that a run never calls is told at once: it is not ignored in silence.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TypeVar

from ..core.errors import Unsupported

_PACKAGE = __name__.partition(".")[0]
_log = logging.getLogger("dispatcher")

#: What a run asks a machine, and of what its script is made.
VERBS = ("do_submit", "check_status", "kill")
PARTS = (
    "gen_script",
    "gen_script_header",
    "gen_script_custom_flags_lines",
    "gen_script_env",
    "gen_script_command",
    "gen_script_end",
)
#: What a run asks a context beside what it does itself.
PLACES = ("block_call", "upload", "download", "clean")
#: What no run calls: tasks are run by a pool, and the journal says where to go on.
UNCALLED = ("gen_script_wait", "gen_command_env_cuda_devices", "gen_script_run_command", "check_if_recover")

_told: set[type] = set()

T = TypeVar("T")


def is_ours(kind: type) -> bool:
    """Defined in this package."""
    return kind.__module__.partition(".")[0] == _PACKAGE


def nearest(kind: type[T]) -> type[T]:
    """The class of ours that it is, or is derived from."""
    found: type[T] = next(above for above in kind.__mro__ if is_ours(above))
    return found


def own(kind: type, methods: Iterable[str]) -> frozenset[str]:
    """Those of these methods that the program has defined."""
    found = {name: next((above for above in kind.__mro__ if name in above.__dict__), None) for name in methods}
    return frozenset(name for name, above in found.items() if above and not is_ours(above))


def described(kind: type) -> str:
    """The class as messages name it."""
    return f"{kind.__module__}.{kind.__qualname__}"


def refuse_incomplete(kind: type, needed: Iterable[str]) -> None:
    """Unsupported for a batch system that cannot be asked what it must be; a warning for what is never asked."""
    missing = [name for name in needed if name not in own(kind, needed)]
    if missing:
        raise Unsupported(
            f"{described(kind)} has no {' and no '.join(missing)}: a class directly below Machine needs them to be "
            "run; or derive it from the batch system that it resembles (Shell, Slurm, PBS, …)"
        )
    if kind not in _told:
        _told.add(kind)
        for name in sorted(own(kind, UNCALLED)):
            _log.warning("%s.%s is not called by a run: see docs/own-classes.md", described(kind), name)


def refuse_bare(kind: type, base: type) -> None:
    """Unsupported for a context of the program's own that is derived from none of ours."""
    if not is_ours(kind) and nearest(kind) is base:
        raise Unsupported(
            f"{described(kind)} is derived from {base.__name__} itself: derive it from the context that it resembles "
            "(LazyLocalContext, LocalContext, SSHContext), or make it a plug-in with an entry point in the group "
            "dispatcher.contexts (see CONTRIBUTING.md)"
        )
