"""The page: one file without any other, that opens from a disk, on a phone, on paper.

    page(chronicle, about, now)  ->  "<!doctype html>…"

Tables travel as compressed columns and are unpacked by the browser: 100,000 tasks are about a megabyte. The only file
that imports jinja2 (extra `report`).
"""

from __future__ import annotations

import base64
import gzip
import time
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

import msgspec

from ..core.errors import Unsupported
from ..core.lifecycle import State
from ..core.printable import harmless
from ..core.records import Attempt, Chronicle, TaskRecord
from . import charts
from .figures import Figures, figures, span

_WIDTH, _HEIGHT = 900, 180
_STATES = [state.value for state in State]


def page(chronicle: Chronicle, about: Mapping[str, str], now: float) -> str:
    """A report of a run. `about` are the rows at its head: what, where, by which version.

    Raises Unsupported when jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise Unsupported("the report needs jinja2: pip install 'dispatcher-hpc[report]'") from error
    tasks = chronicle.tasks()
    seen = figures(chronicle, tasks, now)
    names: dict[str, str] = {}
    for task in tasks:
        names.setdefault(task.job, (task.name or task.path)[-16:])
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_harmless
    )
    environment.filters |= {"span": span, "when": _when}
    template = environment.from_string(_asset("page.html"))
    return template.render(
        about=about,
        seen=seen,
        style=_asset("page.css"),
        script=_asset("page.js"),
        data=packed(columns(tasks, chronicle.attempts())),
        outcome=_outcome(chronicle),
        width=_WIDTH,
        height=_HEIGHT,
        ticks=charts.ticks(seen.begun, seen.ended, _WIDTH),
        lanes=charts.lanes(seen.attempts, names, seen.begun, seen.ended, _WIDTH - 120),
        **_areas(seen),
    )


def _harmless(value: Any) -> Any:
    """A text as a terminal would be given it: bidirectional characters make a line of a page, too, read backwards."""
    return type(value)(harmless(value)) if isinstance(value, str) else value


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _outcome(chronicle: Chronicle) -> str:
    concluded = chronicle.history.concluded
    return concluded.outcome if concluded else "not over"


def _areas(seen: Figures) -> dict[str, Any]:
    """The curves of jobs over time and of waiting times."""
    running = [float(moment.running) for moment in seen.curve]
    queued = [float(moment.queued) for moment in seen.curve]
    top = max((low + high for low, high in zip(running, queued, strict=True)), default=1.0) or 1.0
    return {
        "top": int(top),
        "running": charts.area(running, _WIDTH, _HEIGHT, top),
        "queued": charts.area(queued, _WIDTH, _HEIGHT, top, running),
        "highest": max((bar.jobs for bar in seen.waits.bars), default=1) if seen.waits else 1,
        "hours": max(sum(part.core_hours for part in seen.spent), 1e-9),
    }


def _when(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


# -- tables ---------------------------------------------------------------------------------------------------------


def columns(tasks: Iterable[TaskRecord], attempts: Iterable[Attempt]) -> dict[str, Any]:
    """The table of tasks, column by column; words that come again and again stand once, in `words`."""
    last = {attempt.job: attempt for attempt in attempts}
    words: dict[str, int] = {"": 0}
    rows = []
    for task in tasks:
        attempt = last.get(task.job)
        waited = attempt.running - attempt.waiting if attempt and attempt.running and attempt.waiting else -1.0
        ran = attempt.ended - attempt.running if attempt and attempt.running and attempt.ended else -1.0
        rows.append(
            (
                harmless(task.name or task.path),
                _STATES.index(task.state),
                task.attempt,
                -1 if task.code is None else task.code,
                words.setdefault(harmless(task.cause), len(words)),
                task.job[:12],
                task.id,
                words.setdefault(harmless(attempt.node) if attempt else "", len(words)),
                round(waited, 1),
                round(ran, 1),
            )
        )
    names = ("task", "state", "attempt", "code", "cause", "job", "id", "node", "waited", "ran")
    return {
        "states": _STATES,
        "words": list(words),
        "columns": dict(zip(names, map(list, zip(*rows, strict=True)) if rows else [[] for _ in names], strict=True)),
    }


def packed(table: Mapping[str, Any]) -> str:
    """Compressed JSON as text."""
    return base64.b64encode(gzip.compress(msgspec.json.encode(table), 6, mtime=0)).decode()
