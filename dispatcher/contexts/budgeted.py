"""A context that is asked no more often than its machine's budget allows.

    budgeted(context, machine, stopped).run(call)      waits for room, then context.run(call)

Each verb is a call, however many jobs it is about. Logging in is counted where it is done, in `ssh.link`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable, Sequence

from ..core.errors import Interrupted
from ..core.model import MachineSpec
from ..core.ports import Call, Context, FileEntry, Guarded, Item, Place, Reply
from ..core.possession import Possession
from ..core.sharing import Sited
from .budget import Budget, Limits

_log = logging.getLogger("dispatcher")
#: Seconds between two looks at whether the run is to be stopped.
_SLICE = 0.2


def budgeted(context: Context, machine: MachineSpec, stopped: Callable[[], bool]) -> Context:
    """The context itself, where its machine has no max_calls_per_minute."""
    if machine.max_calls_per_minute is None:
        return context
    name = str(context.site) if isinstance(context, Sited) else machine.context_type
    kind = SitedBudgeted if isinstance(context, Sited) else Budgeted
    return kind(context, Budget(name, Limits(calls=machine.max_calls_per_minute)), stopped)


class Budgeted:
    """The same verbs; each waits until there is room. Interrupted when the run is to be stopped meanwhile."""

    def __init__(self, context: Context, budget: Budget, stopped: Callable[[], bool]) -> None:
        self.place: Place = context.place
        self.budget = budget
        self._context, self._stopped = context, stopped

    def guard(self, confirm: Callable[[], None]) -> None:
        """See Guarded."""
        if isinstance(self._context, Guarded):
            self._context.guard(confirm)

    def _afforded(self) -> Context:
        told = False
        while wait := self.budget.spend("calls"):
            if not told:
                _log.info("max_calls_per_minute of %s: the next call is in %.0f s", self.budget.name, wait)
            told, end = True, time.monotonic() + wait
            while (left := end - time.monotonic()) > 0:
                if self._stopped():
                    raise Interrupted("interrupted while it waited for max_calls_per_minute: the jobs run on")
                time.sleep(min(left, _SLICE))
        return self._context

    def own(self, record: str) -> Possession:
        """See Context.own."""
        return self._afforded().own(record)

    def run(self, call: Call) -> Reply:
        """See Context.run."""
        return self._afforded().run(call)

    def put(self, items: Sequence[Item], replace: bool) -> None:
        """See Context.put."""
        self._afforded().put(items, replace)

    def tree(self, paths: Sequence[str]) -> list[FileEntry]:
        """See Context.tree."""
        return self._afforded().tree(paths)

    def get(self, items: Sequence[Item]) -> list[Item]:
        """See Context.get."""
        return self._afforded().get(items)

    def remove(self) -> None:
        """See Context.remove."""
        self._afforded().remove()

    def close(self) -> None:
        """See Context.close."""
        self._context.close()


class SitedBudgeted(Budgeted):
    """Of a context that says which machine it reaches: its looks are shared, and counted once."""

    @property
    def site(self) -> Hashable:
        """See Sited."""
        return self._context.site if isinstance(self._context, Sited) else None
