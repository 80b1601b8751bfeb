"""`dispatcher list`: all submissions below a directory, a line each.

SUBMISSION    STATE      DONE     FAILED  BEGAN                WHERE
1f2e3d4c5b6a  failed     163/200      37  2026-11-23 04:12:01  runs
9a8b7c6d5e4f  at work        4/7       0  2026-11-23 09:00:12  other/runs
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from pathlib import Path

import journal as journals

from ..core.errors import IllegalTransition
from ..core.states import State
from .find import journals_of
from .say import paint, say, say_json
from .status import facts, state_of
from .telling import SHORT, Replay, clock, date, tally
from .wanted import folded

EXAMPLES = """\
examples:
  dispatcher list                  below the current directory
  dispatcher list /proj --json     elsewhere, for programs
"""

HEAD = ("SUBMISSION", "STATE", "DONE", "FAILED", "BEGAN", "WHERE")
COLOURS = {"finished": "finished", "failed": "terminated", "damaged": "terminated", "at work": "running"}


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("path", metavar="DIR|HASH", nargs="?", default=".", help="where to look (default: here)")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each submission, a line each")


def run(args: Namespace) -> int:
    """A line for every submission, those that began last at the end; 4 when a journal among them is damaged."""
    rows = [HEAD]
    damaged = False
    for path in journals_of(args.path):
        replay, problem = Replay(), ""
        try:
            replay = folded(path)
        except (IllegalTransition, journals.JournalError) as error:
            problem, damaged = str(error), True
        if args.json:
            say_json(facts(path, replay, problem))
        else:
            rows.append(row_of(path, replay, problem))
    if not args.json:
        wide = [max(len(row[column]) for row in rows) for column in range(5)]
        for row in rows:
            cells = [text.rjust(wide[n]) if n in (2, 3) else text.ljust(wide[n]) for n, text in enumerate(row[:5])]
            cells[1] = paint(cells[1], COLOURS.get(row[1], ""))
            say("  ".join([*cells, row[5]]).rstrip() + "\n")
    return 4 if damaged else 0


def row_of(path: Path, replay: Replay, problem: str) -> tuple[str, str, str, str, str, str]:
    """The cells of one submission."""
    history = replay.history
    seen = tally(history.jobs.values())
    failed = sum(job.size - job.done.bit_count() for job in history.jobs.values() if job.state is State.terminated)
    began = f"{date(history.began)} {clock(history.began)}" if history.began else ""
    where = os.path.relpath(path.absolute().parents[2])
    state, done = state_of(path, replay, problem), f"{seen.done}/{seen.tasks}"
    return path.parent.name[:SHORT], state, done, str(failed), began, where
