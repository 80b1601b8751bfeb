"""A seed that breaks a promise, made as short as it gets, and told as a script that repeats it.

from tests.simulation.simulation import simulate
simulate(17, allowed={3, 9}, tasks=1)      # BrokenPromise: run twice for one attempt: …
# fault 3    reply lost: submit
# fault 9    killed: after submit
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from .faults import Faulty
from .hosts import BrokenPromise

#: Runs the seed with these faults and so many tasks (None: as drawn); the world afterwards, or BrokenPromise.
Simulate = Callable[..., object]


def shortest(seed: int, simulate: Simulate, dialect: str = "") -> str:
    """The script for this seed; "" when it breaks no promise."""
    module = getattr(simulate, "__module__", "tests.simulation.simulation")
    if dialect:
        simulate = partial(simulate, dialect=dialect)
    if not (first := _broken(simulate, seed, None, None)):
        return ""
    what = str(first).partition(":")[0]  # a shorter run that breaks another promise is another story
    tasks = next((count for count in range(1, 7) if _broken(simulate, seed, None, count, what)), None)
    needed = frozenset(range(Faulty(seed).calm))
    size = len(needed) // 2
    while size:  # halves first, then quarters, … as long as that takes anything away
        for part in _parts(needed, size):
            if _broken(simulate, seed, needed - part, tasks, what):
                needed -= part
        size //= 2
    script = _script(seed, needed, tasks, dialect, _broken(simulate, seed, needed, tasks, what))
    return script.replace("tests.simulation.simulation", module, 1)


def _parts(needed: frozenset[int], size: int) -> Iterator[frozenset[int]]:
    """The last ones first: what happened after the promise was broken goes at once."""
    numbers = sorted(needed, reverse=True)
    for start in range(0, len(numbers), size):
        yield frozenset(numbers[start : start + size])


def _broken(
    simulate: Simulate, seed: int, allowed: frozenset[int] | None, tasks: int | None, what: str = ""
) -> BrokenPromise | None:
    try:
        simulate(seed, allowed, tasks)
    except BrokenPromise as broken:
        return broken if str(broken).startswith(what) else None
    return None


def _script(seed: int, needed: frozenset[int], tasks: int | None, dialect: str, broken: BrokenPromise | None) -> str:
    faults = dict(getattr(broken, "faults", ()))
    allowed = "{" + ", ".join(map(str, sorted(needed & faults.keys()))) + "}" if needed & faults.keys() else "()"
    more = "" if tasks is None else f", tasks={tasks}"
    more += f", dialect={dialect!r}" if dialect else ""
    reported = [f"# fault {number:<4} {name}" for number, name in sorted(faults.items())]
    call = f"simulate({seed}, allowed={allowed}{more})"
    return "\n".join(["from tests.simulation.simulation import simulate", call, f"# {broken}", *reported]) + "\n"
