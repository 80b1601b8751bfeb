"""Pictures of numbers, as the paths of an SVG: no script, so that they print and open anywhere.

area([0, 3, 5, 2], 720, 160, 5)             ->  "M0.0,160.0L0.0,160.0L240.0,64.0…Z"
lanes(attempts, names, begun, ended, 900)   ->  [Lane("c13", (Stretch(12.0, 40.5, "running", …), …)), …]
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..core.records import Attempt

#: Jobs that are drawn one by one; more of them are shown as curves only.
LANES = 200


class Stretch(NamedTuple):
    """A part of an attempt's life: where it begins, how wide it is, what it was, and what to say of it."""

    x: float
    width: float
    kind: str
    says: str


class Lane(NamedTuple):
    """A job over time, under the name that people know it by."""

    name: str
    stretches: tuple[Stretch, ...]


class Tick(NamedTuple):
    """A mark of an axis."""

    x: float
    label: str


def area(values: Sequence[float], width: float, height: float, top: float, base: Sequence[float] | None = None) -> str:
    """The path of an area below `values` and above `base` (0), scaled so that `top` is as high as the picture."""
    step = width / max(len(values) - 1, 1)
    scale = height / max(top, 1e-9)
    below = base or [0.0] * len(values)
    highs = [value + low for value, low in zip(values, below, strict=True)]
    upper = [f"{nth * step:.1f},{height - high * scale:.1f}" for nth, high in enumerate(highs)]
    lower = [f"{nth * step:.1f},{height - low * scale:.1f}" for nth, low in enumerate(below)]
    return "M" + "L".join([*upper, *reversed(lower)]) + "Z"


def ticks(begun: float, ended: float, width: float) -> list[Tick]:
    """Round times along an axis, as many as can be read."""
    steps = (1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 604800)
    step = next((step for step in steps if (ended - begun) / step <= 8), 2592000)
    offset = time.localtime(begun).tm_gmtoff
    first = (int(begun + offset) // step + 1) * step - offset
    form = "%H:%M:%S" if step < 60 else "%H:%M" if step < 86400 else "%d %b"
    times = range(first, int(ended) + 1, step)
    scale = width / (ended - begun)
    return [Tick(round((at - begun) * scale, 1), time.strftime(form, time.localtime(at))) for at in times]


def lanes(
    attempts: Iterable[Attempt], names: Mapping[str, str], begun: float, ended: float, width: float
) -> list[Lane]:
    """Every job with its attempts, one below the other; [] when there are too many to be told apart."""
    scale = width / (ended - begun)
    found: dict[str, list[Stretch]] = {}
    for attempt in attempts:
        found.setdefault(attempt.job, []).extend(_stretches(attempt, begun, ended, scale))
        if len(found) > LANES:
            return []
    return [Lane(names.get(job, job[:12]), tuple(stretches)) for job, stretches in found.items()]


def _stretches(attempt: Attempt, begun: float, ended: float, scale: float) -> Iterable[Stretch]:
    start, end = attempt.waiting or attempt.requested, attempt.ended or ended
    if not start:
        return
    named = f"attempt {attempt.number}{attempt.id and f', {attempt.id}'}"
    runs = attempt.running or end
    if runs > start:
        says = f"{named}: queued {runs - start:.0f} s"
        yield Stretch((start - begun) * scale, (runs - start) * scale, "queued", says)
    kind = "running" if not attempt.ended else "failed" if attempt.cause else "finished"
    why = f": {attempt.cause}" if attempt.cause else ""
    where = f" on {attempt.node}" if attempt.node else ""
    width = max((end - runs) * scale, 2.0)
    x = min((runs - begun) * scale, scale * (ended - begun) - width)
    yield Stretch(x, width, kind, f"{named}{where}, {end - runs:.0f} s, {kind}{why}")
