"""`dispatcher replay PATH`: everything that happened, record by record, from the journal alone."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec

import journal as journals

from ..core.errors import ConfigError, IllegalTransition
from ..core.events import Event
from ..core.printable import escaped
from . import report, table
from .find import journal_of
from .say import flush, paint, say, width

EXAMPLES = """\
examples:
  dispatcher replay runs                      the submission whose work directory is runs
  dispatcher replay 1f2e3d                    the one whose hash starts so, below this directory
  dispatcher replay runs --job 5f1c           what happened to one job
  dispatcher replay runs --follow             go on telling while a dispatcher is at work
  dispatcher replay runs --format jsonl | jq 'select(.event == "terminated")'

The journal is only read; a dispatcher at work is not disturbed.
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("path", metavar="PATH|HASH", help="a work directory, a journal, or the start of a hash")
    parser.add_argument("--format", choices=("table", "json", "jsonl"), default="table", help="how to tell it")
    parser.add_argument("--job", metavar="HASH", default="", help="only this job (the start of its hash)")
    parser.add_argument("--follow", action="store_true", help="wait for more, until the submission has concluded")


def run(args: Namespace) -> int:
    """Tell it; raises at damage, after what comes before it was told."""
    path = journal_of(args.path)
    replay = report.Replay()
    frames = _following(path, replay) if args.follow else journals.frames(path, Event)
    rows = _of(args.job, replay.rows(frames), args.format == "table")
    problem: Exception | None = None
    try:
        _TELL[args.format](rows, replay)
    except (IllegalTransition, journals.JournalError) as error:
        problem = error
    except KeyboardInterrupt:
        if not args.follow:
            raise
    _END[args.format](path, replay, str(problem or ""))
    if problem is not None:
        raise problem
    if args.job and not any(job.startswith(args.job) for job in replay.history.jobs):
        raise ConfigError(f"--job {args.job}: no job of this submission has a hash that starts so")
    return 0


def _following(path: Path, replay: report.Replay) -> Iterator[journals.Frame[Any]]:
    """Frames until the run that concluded the submission is closed."""
    for frame in journals.follow(path, Event, stop=lambda: replay.closed and replay.history.concluded is not None):
        yield frame
        flush()


def _of(job: str, rows: Iterable[report.ReplayRow], with_runs: bool) -> Iterator[report.ReplayRow]:
    """The rows of one job, all rows without one; a table keeps the lines between runs."""
    for row in rows:
        if not job or row.job.startswith(job) or (with_runs and row.event == "open"):
            yield row


# -- the three formats ----------------------------------------------------------------------------------------------


def _table(rows: Iterator[report.ReplayRow], replay: report.Replay) -> None:
    """The head needs the record that says what was asked; the few lines before it wait for that."""
    early: list[str] | None = []
    for text in table.lines(rows, width(), paint):
        if early is None:
            say(text)
            continue
        early.append(text)
        if replay.history.opened is not None:
            say(_head(replay) + "".join(early))
            early = None
    if early:
        say("".join(early))


def _head(replay: report.Replay) -> str:
    return report.pairs(report.requested(replay.history)) + "\n" + paint(table.head(), "strong")


def _json(rows: Iterator[report.ReplayRow], replay: report.Replay) -> None:
    say('{"rows":[')
    for nth, row in enumerate(rows):
        say(",\n" if nth else "\n")
        say(_text(row))


def _jsonl(rows: Iterator[report.ReplayRow], replay: report.Replay) -> None:
    for row in rows:
        say(_text(row) + "\n")


def _text(value: object) -> str:
    return escaped(_encode(value).decode())


_encode = msgspec.json.Encoder().encode


# -- the three ends -------------------------------------------------------------------------------------------------


def _table_end(path: Path, replay: report.Replay, problem: str) -> None:
    found = journals.verify(path)
    seen = report.tally(replay.history.jobs.values())
    outcome = replay.history.concluded.outcome if replay.history.concluded else "not concluded"
    lines = [
        ("jobs", str(seen)),
        ("tasks", f"{seen.done:,} of {seen.tasks:,} done"),
        ("outcome", paint(outcome, {"failed": "terminated"}.get(outcome, outcome))),
        ("journal", f"{found.status}, {report.count(found.records, 'record')}, {path}"),
        ("position", found.position),
    ]
    kinds = ", ".join(f"{number} of {kind!r}" for kind, number in replay.unknown.items())
    lines += [("unknown", f"records of kinds that this version does not know: {kinds}")] if kinds else []
    say("\n" + report.pairs(lines))


def _json_end(path: Path, replay: report.Replay, problem: str) -> None:
    opened, concluded = replay.history.opened, replay.history.concluded
    end = {
        "asked": opened,
        "tally": report.tally(replay.history.jobs.values()),
        "outcome": concluded.outcome if concluded else None,
        "verify": journals.verify(path),
        "problem": problem,
    }
    say("\n],\n" + ",\n".join(f'"{word}":{_text(value)}' for word, value in end.items()) + "}\n")


def _jsonl_end(path: Path, replay: report.Replay, problem: str) -> None:
    """Only rows: a line that is no row would be in the way of every reader."""


_TELL = {"table": _table, "json": _json, "jsonl": _jsonl}
_END = {"table": _table_end, "json": _json_end, "jsonl": _jsonl_end}
