"""A context that is asked no more often than its machine's budget allows.

    budgeted(context, machine, stopped).run(call)      waits for room, then context.run(call)

Each verb is a call, however many jobs it is about. Logging in is counted where it is done, in `ssh.link`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable

from ..core.errors import Interrupted
from ..core.model import MachineSpec
from ..core.ports import Context, Guarded
from ..core.sharing import Sited
from .budget import Budget, Limits
from .delegating import Delegating

_log = logging.getLogger("dispatcher")
#: Seconds between two looks at whether the run is to be stopped.
_SLICE = 0.2


def budgeted(context: Context, machine: MachineSpec, stopped: Callable[[], bool]) -> Context:
    """The context itself, where its machine has no max_calls_per_minute."""
    if machine.max_calls_per_minute is None:
        return context
    kind = SitedBudgeted if isinstance(context, Sited) else Budgeted
    return kind(context, budget_of(context, machine), stopped)


def budget_of(context: Context, machine: MachineSpec) -> Budget:
    """What the machine that is reached by this context may be asked."""
    name = str(context.site) if isinstance(context, Sited) else machine.context_type
    return Budget(name, Limits(machine.max_calls_per_minute, machine.max_logins_per_minute))


class Budgeted(Delegating):
    """The same verbs; each waits until there is room. Interrupted when the run is to be stopped meanwhile."""

    def __init__(self, context: Context, budget: Budget, stopped: Callable[[], bool]) -> None:
        super().__init__(context)
        self.budget, self._stopped = budget, stopped

    def guard(self, confirm: Callable[[], None]) -> None:
        """See Guarded."""
        if isinstance(self._context, Guarded):
            self._context.guard(confirm)

    def reached(self) -> Context:
        """The context behind, once there is room."""
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


class SitedBudgeted(Budgeted):
    """Of a context that says which machine it reaches: its looks are shared, and counted once."""

    @property
    def site(self) -> Hashable:
        """See Sited."""
        return self._context.site if isinstance(self._context, Sited) else None
