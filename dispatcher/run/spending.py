"""The place where jobs run, asked within the budget of its machine; beside the journal stands where it is counted.

runs/.dispatcher/1f2e3d…/budget      2f1c…    the name of the file of spending, for `dispatcher status`
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..contexts.budget import Spending, spent_of
from ..contexts.budgeted import budget_of, budgeted
from ..core.errors import ConfigError, TransferFailed
from ..core.keys import HASH
from ..core.limits import MAX_NOTE
from ..core.model import MachineSpec
from ..core.names import BUDGET
from ..core.ports import Context
from ..files.incoming import write_atomic
from ..files.ours import is_ours
from ..files.texts import read_text


def within_budget(context: Context, machine: MachineSpec, journal: Path, stopped: Callable[[], bool]) -> Context:
    """The context, or one that waits for the budget of its machine; `stopped` ends the waiting."""
    if machine.max_calls_per_minute or machine.max_logins_per_minute:
        with suppress(TransferFailed):  # a full disk: then `status` does not show it
            write_atomic(journal.with_name(BUDGET), f"{budget_of(context, machine).digest}\n".encode())
    return budgeted(context, machine, stopped)


def spending_of(journal: Path, now: float) -> Spending | None:
    """What was spent in the last minute at the machine of this journal; None without a budget."""
    path = journal.with_name(BUDGET)
    if not is_ours(path):
        return None
    with suppress(OSError, ConfigError):
        digest = read_text(path, MAX_NOTE).strip()
        return spent_of(digest, now) if HASH.test(digest) else None
    return None
