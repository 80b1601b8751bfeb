"""A run as metrics: text in the OpenMetrics format, for a collector that reads files or scrapes.

    dispatcher_tasks{submission="1f2e3d4c5b6a",state="finished"} 37
    dispatcher_attempts_total{submission="1f2e3d4c5b6a",outcome="timeout"} 3
    # EOF

Format: https://prometheus.io/docs/specs/om/open_metrics_spec/ (version 1.0).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ..core.records import Chronicle
from .figures import figures


class _Family(NamedTuple):
    """A metric: its name, its type, what it means, and its samples by labels."""

    name: str
    kind: str
    help: str
    samples: Iterable[tuple[Mapping[str, str], float]]


def metrics(runs: Mapping[str, Chronicle], now: float) -> str:
    """Every submission (by its hash) in one exposition; `now` in seconds since the epoch."""
    lines = []
    for family in _families(runs, now):
        lines += [f"# TYPE {family.name} {family.kind}", f"# HELP {family.name} {family.help}"]
        suffix = "_total" if family.kind == "counter" else ""
        lines += [f"{family.name}{suffix}{_labels(labels)} {value:.15g}" for labels, value in family.samples]
    return "".join(f"{line}\n" for line in [*lines, "# EOF"])


def _families(runs: Mapping[str, Chronicle], now: float) -> Iterator[_Family]:
    seen = {name: figures(run, run.tasks(), now) for name, run in runs.items()}
    state = [({"submission": name, "state": s}, n) for name, one in seen.items() for s, n in sorted(one.tasks.items())]
    yield _Family("dispatcher_tasks", "gauge", "Tasks by state.", state)
    state = [({"submission": name, "state": s}, n) for name, one in seen.items() for s, n in sorted(one.jobs.items())]
    yield _Family("dispatcher_jobs", "gauge", "Jobs by state.", state)
    ends = {name: Counter(a.cause.kind.value if a.cause else "finished" for a in one.attempts if a.ended)
            for name, one in seen.items()}  # fmt: skip
    ended = [({"submission": name, "outcome": o}, n) for name, of in ends.items() for o, n in sorted(of.items())]
    yield _Family("dispatcher_attempts", "counter", "Attempts that have ended, by outcome.", ended)
    hours = [({"submission": name, "outcome": part.outcome}, part.core_hours * 3600) for name, one in seen.items()
             for part in one.spent]  # fmt: skip
    yield _Family("dispatcher_core_seconds", "gauge", "Cores asked for times seconds seen running.", hours)
    waits = [({"submission": name}, one.waits.middle) for name, one in seen.items() if one.waits]
    yield _Family("dispatcher_queue_seconds", "gauge", "Median time in the queue.", waits)
    begun = [({"submission": name}, one.begun) for name, one in seen.items()]
    yield _Family("dispatcher_begun_timestamp_seconds", "gauge", "When the submission began.", begun)
    over = [({"submission": name}, float(run.history.concluded is not None)) for name, run in runs.items()]
    yield _Family("dispatcher_over", "gauge", "1 when the run has come to an end.", over)


def _labels(labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{inside}}}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
