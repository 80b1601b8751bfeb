"""Rows of a replay as an aligned table, one line (or two) a row.

    ── run 1 ── 2026-11-23 ── node7:4242 ── dispatcher 0.1.0
    04:12:01                     opened      runs: Slurm behind SSHContext
    04:12:01                     planned     3 jobs
    04:12:01  5f1c0a2b3c4d    1  submitting  unsubmitted               as dq3v81kx0mza
    04:12:02  5f1c0a2b3c4d    1  submitted   unsubmitted → waiting     4211

What does not fit behind the states goes on the next lines, indented; on a pipe
every row is one line.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator

from .telling import SHORT, ReplayRow, clock, codes, count, date

#: Columns of the event and of the states.
_EVENT, _STATES = 10, 24

Paint = Callable[[str, str], str]


def plain(text: str, word: str) -> str:
    """No colours."""
    return text


def head() -> str:
    """The line above the table."""
    return f"{'TIME':8}  {'JOB':{SHORT}}  {'TRY':>3}  {'EVENT':{_EVENT}}  {'FROM → TO':{_STATES}}  WHAT\n"


def lines(rows: Iterable[ReplayRow], width: int = 0, paint: Paint = plain) -> Iterator[str]:
    """The text of the rows, piece by piece; `width` 0: no limit. Jobs planned together become one line."""
    day = ""
    for row in _gathered(rows):
        if row.event == "open":
            day = date(row.at)
            yield _ruled(f"run {row.run} ── {day} ── {row.by} ── {row.why}", width, paint)
            continue
        if day != date(row.at):
            day = date(row.at)
            yield _ruled(day, width, paint)
        yield _line(row, width, paint)


def _gathered(rows: Iterable[ReplayRow]) -> Iterator[ReplayRow]:
    """A submission of 10,000 jobs starts with as many `planned`: one row says it."""
    first, number = None, 0
    for row in rows:
        if row.event == "planned":
            first, number = first or row, number + 1
            continue
        if first:
            yield _together(first, number)
        first, number = None, 0
        yield row
    if first:
        yield _together(first, number)


def _together(first: ReplayRow, number: int) -> ReplayRow:
    if number == 1:
        return first
    return ReplayRow(first.number, first.at, first.run, first.by, "planned", why=count(number, "job"))


def _ruled(text: str, width: int, paint: Paint) -> str:
    line = f"── {text} "
    return paint(line.ljust(min(width or 80, 80), "─"), "faint") + "\n"


def _line(row: ReplayRow, width: int, paint: Paint) -> str:
    attempt = str(row.attempt) if row.attempt else ""
    job, event = (word.replace("\n", " ") for word in (row.job[:SHORT], row.event))
    left = f"{clock(row.at)}  {job:{SHORT}}  {attempt:>3}  {event:{_EVENT}}"
    ended = codes(row.tasks)
    parts = (row.id, row.why, "" if ended and ended in row.why else ended)
    what = "; ".join(part for part in parts if part).replace("\n", " ")
    if not row.target:
        return _wrapped(f"{left}  ", what, width)
    states = row.target if row.source in ("", row.target) else f"{row.source} → {row.target}"
    shown = states if row.source == row.target else paint(states, row.target)
    indent = len(left) + 2
    for wide in (_STATES, len(states)):  # in its own column, or close to the states
        if not what or not width or indent + wide + 2 + len(what) <= width:
            return f"{left}  {shown}{' ' * (wide - len(states) + 2)}{what}".rstrip() + "\n"
    return f"{left}  {shown}\n" + _wrapped(" " * indent, what, width)


def _wrapped(left: str, what: str, width: int) -> str:
    """`what` behind the left part, further lines below its beginning."""
    room = max(width - len(left), 20) if width else 0
    parts = textwrap.wrap(what, room, break_long_words=False, break_on_hyphens=False) if room else [what]
    return (left + f"\n{' ' * len(left)}".join(parts)).rstrip() + "\n"
