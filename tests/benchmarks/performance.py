"""Pictures for docs/performance.md from the results of compare_bench: make performance.

    python tests/benchmarks/performance.py docs/performance/results.json docs/performance

One SVG a case: bars of CPU seconds for each size, this package beside DPDispatcher, on a logarithmic scale.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

_COLOURS = {"dispatcher": "#3366cc", "dpdispatcher": "#999999"}
_TITLES = {
    "hash": "plan and identity, inputs included",
    "run": "jobs `true` on the Shell queue, to their end",
    "resume": "resume to the first question",
}
_WIDTH, _ROW, _LEFT = 640, 22, 210


def picture(title: str, bars: list[tuple[str, str, float]]) -> str:
    """Bars with what they stand for, their colour and their seconds."""
    least = min(seconds for _, _, seconds in bars) / 2
    scale = (_WIDTH - _LEFT - 90) / math.log10(max(max(seconds for _, _, seconds in bars) / least, 10))
    rows = []
    for nth, (says, colour, seconds) in enumerate(bars):
        y, width = 30 + nth * _ROW, math.log10(seconds / least) * scale
        rows.append(
            f'<text x="{_LEFT - 8}" y="{y + 13}" text-anchor="end">{says}</text>'
            f'<rect x="{_LEFT}" y="{y + 2}" width="{width:.1f}" height="{_ROW - 6}" fill="{colour}"/>'
            f'<text x="{_LEFT + width + 6:.1f}" y="{y + 13}">{seconds:.3g} s</text>'
        )
    height = 40 + len(bars) * _ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="white"/><text x="8" y="18" font-size="14">{title}: '
        f"CPU s with children, logarithmic</text>{''.join(rows)}</svg>\n"
    )


def bars(results: dict[str, Any]) -> list[tuple[str, str, float]]:
    """Every size, this package first."""
    found = []
    for size, one in results.items():
        each = one if "dispatcher" in one else {"dispatcher": one}
        for package, figures in each.items():
            seconds = max(figures["cpu"] + figures["children"], 1e-3)
            found.append((f"{package}, {int(size):,} jobs", _COLOURS[package], seconds))
    return found


def main() -> None:
    """Draw all of them."""
    results, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for case, title in _TITLES.items():
        (folder / f"{case}.svg").write_text(picture(title, bars(results[case])))


if __name__ == "__main__":
    main()
