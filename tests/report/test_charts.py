"""Pictures stay inside their frame, and show what happened where."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.core import events as ev
from dispatcher.report.charts import LANES, area, lanes, ticks


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=50), st.floats(1, 1e4), st.floats(1, 1e3))
def test_an_area_stays_inside(values: list[float], width: float, height: float) -> None:
    path = area(values, width, height, max([*values, 1.0]))
    numbers = [tuple(map(float, pair.split(","))) for pair in re.findall(r"[-\d.]+,[-\d.]+", path)]
    assert len(numbers) == 2 * len(values)
    assert all(-0.1 <= x <= width + 0.1 and -0.1 <= y <= height + 0.1 for x, y in numbers)


@given(st.floats(1.0e9, 2.0e9), st.floats(1, 1e7))
def test_ticks_are_few_and_inside(begun: float, length: float) -> None:
    found = ticks(begun, begun + length, 900)
    assert len(found) <= 9 and all(0 <= tick.x <= 900 for tick in found)


def test_a_lane_shows_waiting_running_and_the_end(told: Any) -> None:
    run = told(1)
    run.attempt(0, 1, 0, 100, 200, ev.Cause(ev.CauseKind.node, node="node0"))
    begun = run.history.began
    [lane] = lanes(run.chronicle.attempts(), {run.job(0): "c0"}, begun, begun + 400, 400)
    assert lane.name == "c0"
    assert [(part.kind, part.x, part.width) for part in lane.stretches] == [("queued", 0, 100), ("failed", 100, 100)]
    assert "node0" in lane.stretches[1].says


def test_too_many_lanes_are_none(told: Any) -> None:
    run = told(LANES + 1)
    for n in range(LANES + 1):
        run.attempt(n, 1, 0, 1, 2)
    assert lanes(run.chronicle.attempts(), {}, run.history.began, run.history.began + 2, 400) == []
