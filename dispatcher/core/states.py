"""The table of states: which event may come in which state of a job, and what state follows.

    unsubmitted ──submitted──▶ waiting ──running──▶ running ──completing──▶ completing
        ▲  │rejected              │                   │                        │
        │  ▼                      └─────────┬─────────┴────────────────────────┘
        │ terminated ◀──terminated──────────┴──finished──▶ finished
        └─retried, rerun (from finished, too)

Read and drawn from a machine of the library `transitions`; what follows from a move is in `lifecycle`.
"""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import transitions


class State(str, Enum):
    """The six states of a job."""

    unsubmitted = "unsubmitted"
    waiting = "waiting"
    running = "running"
    completing = "completing"
    finished = "finished"
    terminated = "terminated"

    __hash__ = str.__hash__  # that of Enum is a Python function, and every event of a replay looks a state up


#: The batch system has it.
IN_QUEUE = (State.waiting, State.running, State.completing)
#: This attempt has ended.
OVER = (State.finished, State.terminated)


class Row(NamedTuple):
    """An event, the states it may come in, the state after it (None: it stays).

    `pending` splits `unsubmitted` in two, which users see as one: a request to submit that has not been answered may
    have put a job into the queue (True: the event belongs there), and until that is settled nobody may ask again or
    give up (False: the event must not come then). None: in both.
    """

    event: str
    sources: tuple[State, ...]
    target: State | None
    pending: bool | None = None


#: The order is that of the diagram.
TRANSITIONS: tuple[Row, ...] = (
    Row("reused", (State.unsubmitted,), None, pending=False),
    Row("submitting", (State.unsubmitted,), None, pending=False),
    Row("deferred", (State.unsubmitted,), None, pending=True),
    Row("in_doubt", (State.unsubmitted,), None, pending=True),
    Row("not_found", (State.unsubmitted,), None, pending=True),
    Row("submitted", (State.unsubmitted,), State.waiting, pending=True),
    Row("rejected", (State.unsubmitted,), State.terminated, pending=True),
    Row("running", (State.waiting, State.completing), State.running),
    Row("waiting", (State.running, State.completing), State.waiting),
    Row("completing", (State.waiting, State.running), State.completing),
    Row("owner_changed", IN_QUEUE, None),
    Row("stopping", (State.unsubmitted, *IN_QUEUE), None),
    Row("finished", (State.unsubmitted,), State.finished, pending=False),
    Row("finished", IN_QUEUE, State.finished),
    Row("terminated", (State.unsubmitted,), State.terminated, pending=False),
    Row("terminated", IN_QUEUE, State.terminated),
    Row("retried", (State.terminated,), State.unsubmitted),
    Row("rerun", OVER, State.unsubmitted),
    Row("earlier_attempt_found", (State.unsubmitted,), State.waiting, pending=True),
)


@cache
def table() -> transitions.Machine:
    """The table as a `transitions` machine. Consulted, never inhabited: no model ever lives in it."""
    from transitions import Machine

    rows = [[row.event, source, row.target or source] for row in TRANSITIONS for source in row.sources]
    return Machine(model=None, states=State, transitions=rows, initial=State.unsubmitted, auto_transitions=False)


@cache
def moves() -> dict[tuple[State, str], State]:
    """The same table as a dictionary: (state, event) -> state, read out of the machine once."""
    machine = table()
    return {
        (State[row.source], event.name): State[row.dest or row.source]
        for event in machine.events.values()
        for rows in event.transitions.values()
        for row in rows
    }


def mermaid() -> str:
    """The table as a Mermaid state diagram, as README shows it."""
    lines = ["stateDiagram-v2", "    [*] --> unsubmitted"]
    for row in TRANSITIONS:
        lines += [f"    {source.value} --> {row.target.value}: {row.event}" for source in row.sources if row.target]
    return "\n".join([*lines, "    finished --> [*]", "    terminated --> [*]"])
