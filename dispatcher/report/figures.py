"""What a report shows, as numbers: values in, values out.

    figures(chronicle, now)  ->  Figures(begun=…, ended=…, curve=(Moment(at, queued, running, done), …),
                                         spent=(Spent("useful", core_hours=12.5, …), …), groups=(Group(…), …), …)

Hours are those of cores and GPUs that were asked for, from the moment a job was first seen to run until its end was
seen: what the site charges, as far as a dispatcher can know it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import ceil
from statistics import median, quantiles
from typing import NamedTuple

from ..core.causes import pattern
from ..core.events import CauseKind
from ..core.lifecycle import State
from ..core.records import Attempt, Chronicle, TaskRecord, whole_number

#: Points of the curves over time.
MOMENTS = 240
#: Bars of the distribution of waiting times.
BARS = 24
#: Groups of failures that are shown; the others are counted together.
GROUPS = 40
_HOUR = 3600.0


class Moment(NamedTuple):
    """How many jobs are queued and running, and how many are over, at `at` (seconds since the epoch)."""

    at: float
    queued: int
    running: int
    done: int


class Bar(NamedTuple):
    """So many jobs waited between `low` and `high` seconds."""

    low: float
    high: float
    jobs: int


class Spent(NamedTuple):
    """What attempts with one outcome have used: `outcome` is useful, lost or running."""

    outcome: str
    attempts: int
    core_hours: float
    gpu_hours: float


class Group(NamedTuple):
    """Failed attempts with one cause; `repaired` of the jobs finished later. `first`, `stderr`: of the first."""

    title: str
    kind: str
    attempts: int
    jobs: int
    repaired: int
    first: str
    stderr: str
    nodes: tuple[tuple[str, int], ...]


class Waits(NamedTuple):
    """How long jobs waited in the queue, in seconds."""

    middle: float
    most: float
    longest: float
    bars: tuple[Bar, ...]


class Figures(NamedTuple):
    """All of a run. Times are seconds since the epoch; `seen` of the attempts were seen to run."""

    begun: float
    ended: float
    tasks: Counter[str]
    jobs: Counter[str]
    attempts: tuple[Attempt, ...]
    seen: int
    curve: tuple[Moment, ...]
    waits: Waits | None
    runs: float
    spent: tuple[Spent, ...]
    groups: tuple[Group, ...]
    advice: tuple[str, ...]


def figures(chronicle: Chronicle, tasks: Sequence[TaskRecord], now: float) -> Figures:
    """The numbers of a run; `now` is when whatever has not ended is looked at."""
    attempts = tuple(chronicle.attempts())
    begun = chronicle.history.began or min((a.requested for a in attempts if a.requested), default=now)
    over = chronicle.history.concluded is not None
    ended = max((a.ended for a in attempts if a.ended), default=now) if over else now
    resources = chronicle.history.opened.resources if chronicle.history.opened else {}
    waits = _waits([a.running - a.waiting for a in attempts if a.running and a.waiting])
    runs = [a.ended - a.running for a in attempts if a.running and a.ended]
    groups = _groups(chronicle, [a for a in attempts if a.cause is not None])
    return Figures(
        begun,
        max(ended, begun + 1),
        Counter(task.state for task in tasks),
        Counter(job.state.value for job in chronicle.history.jobs.values()),
        attempts,
        sum(a.running > 0 for a in attempts),
        _curve(attempts, begun, max(ended, begun + 1)),
        waits,
        median(runs) if runs else 0.0,
        _spent(attempts, resources, now),
        groups,
        tuple(
            _advice(attempts, groups, waits, median(runs) if runs else 0.0, whole_number(resources, "group_size", 1))
        ),
    )


# -- over time ------------------------------------------------------------------------------------------------------


def _curve(attempts: Iterable[Attempt], begun: float, ended: float) -> tuple[Moment, ...]:
    """Counts at MOMENTS times, each attempt looked at once: what enters and what leaves, summed up."""
    step = (ended - begun) / (MOMENTS - 1)
    queued, running, done = [0] * (MOMENTS + 1), [0] * (MOMENTS + 1), [0] * (MOMENTS + 1)

    def nth(at: float) -> int:
        return min(max(ceil((at - begun) / step - 1e-6), 0), MOMENTS - 1) if at else MOMENTS

    for attempt in attempts:
        start = attempt.waiting or attempt.requested
        if not start:
            continue
        runs, ends = nth(attempt.running or attempt.ended), nth(attempt.ended)
        queued[nth(start)] += 1
        queued[runs] -= 1
        running[runs] += 1
        running[ends] -= 1
        done[ends] += 1
    sums = [0, 0, 0]
    curve = []
    for moment in range(MOMENTS):
        sums = [total + change[moment] for total, change in zip(sums, (queued, running, done), strict=True)]
        curve.append(Moment(begun + moment * step, *sums))
    return tuple(curve)


def _waits(seconds: list[float]) -> Waits | None:
    if not seconds:
        return None
    longest = max([*seconds, 0.0])
    width = max(longest / BARS, 1e-9)
    counts = Counter(min(int(max(wait, 0.0) / width), BARS - 1) for wait in seconds)
    bars = tuple(Bar(nth * width, (nth + 1) * width, counts[nth]) for nth in range(BARS))
    most = quantiles(seconds, n=10, method="inclusive")[-1] if len(seconds) > 1 else seconds[0]
    return Waits(median(seconds), most, longest, bars)


# -- what it cost ---------------------------------------------------------------------------------------------------


def _spent(attempts: Iterable[Attempt], resources: dict[str, object], now: float) -> tuple[Spent, ...]:
    nodes, cores, gpus = (
        whole_number(resources, key, default)
        for key, default in (("number_node", 1), ("cpu_per_node", 1), ("gpu_per_node", 0))
    )
    count: Counter[str] = Counter()
    hours: dict[str, float] = {}
    for attempt in attempts:
        if attempt.running:
            outcome = _outcome(attempt)
            count[outcome] += 1
            ran = max((attempt.ended or now) - attempt.running, 0.0) / _HOUR
            hours[outcome] = hours.get(outcome, 0.0) + ran
    return tuple(
        Spent(outcome, count[outcome], hours[outcome] * nodes * cores, hours[outcome] * nodes * gpus)
        for outcome in ("useful", "lost", "running")
        if count[outcome]
    )


def _outcome(attempt: Attempt) -> str:
    if not attempt.ended:
        return "running"
    return "useful" if attempt.state == State.finished.value else "lost"


# -- what went wrong ------------------------------------------------------------------------------------------------


def _groups(chronicle: Chronicle, failed: Sequence[Attempt]) -> tuple[Group, ...]:
    """Failed attempts by cause, the most frequent first."""
    found: dict[tuple[str, str], list[Attempt]] = {}
    for attempt in failed:
        assert attempt.cause is not None, "chosen so"
        alike = pattern(attempt.cause.title, chronicle.path_of(attempt))
        found.setdefault((attempt.cause.kind.value, alike), []).append(attempt)
    ordered = sorted(found.values(), key=len, reverse=True)
    return tuple(_group(chronicle, attempts) for attempts in ordered[:GROUPS])


def _group(chronicle: Chronicle, attempts: Sequence[Attempt]) -> Group:
    first = attempts[0]
    assert first.cause is not None, "chosen so"
    jobs = {attempt.job for attempt in attempts}
    return Group(
        first.cause.title,
        first.cause.kind.value,
        len(attempts),
        len(jobs),
        sum(chronicle.history.jobs[job].state is State.finished for job in jobs),
        chronicle.path_of(first),
        "\n".join(first.cause.stderr.splitlines()[-12:]),
        tuple(Counter(attempt.node for attempt in attempts if attempt.node).most_common(3)),
    )


def _advice(
    attempts: Sequence[Attempt], groups: Sequence[Group], waits: Waits | None, runs: float, group_size: int
) -> Iterable[str]:
    """What to do differently, as far as the numbers say so."""
    for group in groups:
        if group.kind == CauseKind.timeout.value:
            yield f"{group.attempts} attempts ran into their time limit: raise walltime (resources/kwargs)"
        if group.kind == CauseKind.memory.value:
            yield f"{group.attempts} attempts ran out of memory: raise memory (resources/kwargs)"
        if len(group.nodes) == 1 and group.nodes[0][1] == group.attempts >= 3:
            node = group.nodes[0][0]
            yield f"all {group.attempts} attempts with “{group.title}” were on {node}: tell the site, or exclude it"
    if waits and runs and waits.middle > 2 * runs and len(attempts) >= 10:
        yield (
            f"half of the jobs waited longer than {span(waits.middle)} to run for {span(runs)}: more tasks in a job "
            f"(group_size, now {group_size}) wait less"
        )


def span(seconds: float) -> str:
    """A length of time for people: 12 s, 3 min, 1.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / _HOUR:.1f} h"
