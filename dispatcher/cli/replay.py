"""`dispatcher replay PATH`: everything that happened, record by record, from the journal alone."""

from __future__ import annotations

import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

import journal as journals

from ..core.errors import ConfigError, IllegalTransition
from ..core.events import CauseKind, Event
from ..core.printable import escaped
from ..core.states import State
from . import explained, table, tell, telling, wanted
from .elsewhere import Elsewhere, profile_of
from .elsewhere import arguments as profile_arguments
from .find import readable_journal
from .say import flush, paint, say, width

EXAMPLES = """\
examples:
  dispatcher replay runs                      the submission whose work directory is runs
  dispatcher replay 1f2e3d                    the one whose hash starts so, below this directory
  dispatcher replay copied.jsonl              a journal file alone, as a CI system keeps it
  dispatcher replay runs --task c13           what happened to the job of one task
  dispatcher replay runs --explain 5f1c       why a job is in its state, in sentences
  dispatcher replay runs --at 04:19:00        as it stood then (or at a record: --at 120)
  dispatcher replay runs --follow             go on telling while a dispatcher is at work
  dispatcher replay runs --format junit > tasks.xml
  dispatcher replay runs --format github --fail-on terminated
  dispatcher replay runs --format jsonl | jq 'select(.event == "terminated")'

The journal is only read; a dispatcher at work is not disturbed.
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("path", metavar="PATH|HASH", help="a work directory, a journal or its file, or a hash's start")
    parser.add_argument("--format", choices=tuple(_TELL), default="table", help="how to tell it (default: table)")
    parser.add_argument("--json", dest="format", action="store_const", const="jsonl", help="the same as --format jsonl")
    parser.add_argument("--job", metavar="HASH", default="", help="only this job (the start of its hash)")
    parser.add_argument("--task", metavar="TASK", help="only the jobs of this task (its directory or name)")
    parser.add_argument("--explain", metavar="TASK|JOB", help="why a job is in its state: its records as sentences")
    parser.add_argument("--at", metavar="TIME|N", type=_moment, help="only up to then: a time, or a record's number")
    parser.add_argument("--diff", metavar="live|PATH", help="what is other in the batch system, or in another journal")
    parser.add_argument(
        "--fail-on", metavar="STATE|CAUSE", type=_reason, action="append", default=[], help="exit with 1 for such a job"
    )
    parser.add_argument("--follow", action="store_true", help="wait for more, until the submission has concluded")
    profile_arguments(parser)


def run(args: Namespace) -> int:
    """Tell it; raises at damage, after what comes before it was told."""
    with readable_journal(args.path) as path:
        if args.diff:
            return _differ(args, path)
        if args.explain or args.task:
            args.jobs = _jobs(path, args.explain or args.task)
        if args.explain:
            return _explain(path, args)
        return _replayed(path, args)


def _replayed(path: Path, args: Namespace) -> int:
    replay = telling.Replay()
    frames = _following(path, replay) if args.follow else journals.frames(path, Event)
    rows = _of(args, replay.rows(_until(frames, args.at)), args.format == "table")
    problem: Exception | None = None
    try:
        _TELL[args.format](rows, replay)
    except (IllegalTransition, journals.JournalError) as error:
        problem = error
    except KeyboardInterrupt:
        if not args.follow:
            raise
    _END[args.format](path, replay, args.path if Path(args.path).is_file() else str(path), str(problem or ""))
    if problem is not None:
        raise problem
    if args.job and not any(job.startswith(args.job) for job in replay.history.jobs):
        raise ConfigError(f"--job {args.job}: no job of this submission has a hash that starts so")
    return _verdict(replay, args.fail_on)


def _verdict(replay: telling.Replay, reasons: Sequence[str]) -> int:
    """1 when a job is in one of these states, or failed for one of these causes."""
    seen = {job.state.value for job in replay.history.jobs.values()}
    seen |= {
        job.cause.kind.value for job in replay.history.jobs.values() if job.cause and job.state is State.terminated
    }
    return 1 if seen & set(reasons) else 0


def _reason(text: str) -> str:
    known = [*(state.value for state in State), *(kind.value for kind in CauseKind)]
    if text not in known:
        from ..schema.rules import nearest

        raise ArgumentTypeError(f"{text!r} is not a state or a cause{nearest(text, known)} (known: {', '.join(known)})")
    return text


class Until(NamedTuple):
    """A record's number, or a time: seconds since the epoch, or seconds of the day that the journal ends on."""

    number: int | None = None
    at: float | None = None
    clock: float | None = None


def _moment(text: str) -> Until:
    if text.isdecimal():
        return Until(number=int(text))
    if found := re.fullmatch(r"(\d\d):(\d\d)(?::(\d\d))?", text):
        hours, minutes, seconds = (int(part or 0) for part in found.groups())
        return Until(clock=hours * 3600.0 + minutes * 60 + seconds)
    try:
        return Until(at=datetime.fromisoformat(text).timestamp())
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a time (04:19, 2026-11-23T04:19) or a record's number") from None


def _until(frames: Iterable[journals.Frame[Any]], moment: Until | None) -> Iterator[journals.Frame[Any]]:
    """What was written up to then, the moment itself included."""
    for frame in frames:
        if moment is None:
            yield frame
        elif moment.number is not None:
            if frame.first > moment.number:
                return
            records = frame.records[: moment.number - frame.first + 1]
            yield msgspec.structs.replace(frame, records=records)
        elif frame.at <= (moment.at if moment.at is not None else _on_day(frame.at, moment.clock or 0.0)):
            yield frame
        else:
            return


def _on_day(at: float, clock: float) -> float:
    """That time of day, on the day of `at`; `at` itself where that is the last day there is."""
    day = datetime.fromtimestamp(at).replace(hour=0, minute=0, second=0, microsecond=0)
    return (day + timedelta(seconds=clock)).timestamp() + 0.999


def _jobs(path: Path, name: str) -> set[str]:
    """The jobs that a name means; ConfigError when there is none."""
    tasks = wanted.named(name, wanted.folded(path).chronicle.tasks())
    if not tasks:
        raise ConfigError(f"{name}: not a task or job of this submission (dispatcher tasks lists them)")
    return {task.job for task in tasks}


def _explain(path: Path, args: Namespace) -> int:
    """Each job in sentences."""
    for job in sorted(args.jobs):
        replay = telling.Replay()
        told = list(explained.sentences(replay.rows(_until(journals.frames(path, Event), args.at)), job))
        chronicle, progress = replay.chronicle, replay.history.jobs[job]
        last = chronicle.last(job)
        name = chronicle.path_of(last) if last else ""
        say(paint(f"job {job[: telling.SHORT]} {name}".rstrip(), "strong") + "\n")
        say(telling.pairs([*told, ("now", explained.standing(chronicle, progress))], wide=10))
    return 0


def _differ(args: Namespace, path: Path) -> int:
    from . import compare, diff

    json = args.format in ("json", "jsonl")
    if args.diff != "live":
        with readable_journal(args.diff) as other:
            return diff.tell(compare.journals(wanted.folded(path), wanted.folded(other)), json)
    found = wanted.chosen([], str(path))
    with Elsewhere(found, profile_of(args)) as there:
        return diff.tell(compare.live(found, there), json)


def _following(path: Path, replay: telling.Replay) -> Iterator[journals.Frame[Any]]:
    """Frames until the run that concluded the submission is closed."""
    for frame in journals.follow(path, Event, stop=lambda: replay.closed and replay.history.concluded is not None):
        yield frame
        flush()


def _of(args: Namespace, rows: Iterable[telling.ReplayRow], with_runs: bool) -> Iterator[telling.ReplayRow]:
    """The rows of some jobs, all rows without any; a table keeps the lines between runs."""
    chosen: set[str] | None = getattr(args, "jobs", None)
    for row in rows:
        wanted_row = (chosen is None or row.job in chosen) and (not args.job or row.job.startswith(args.job))
        if wanted_row or (with_runs and row.event == "open"):
            yield row


# -- the formats ----------------------------------------------------------------------------------------------


def _table(rows: Iterator[telling.ReplayRow], replay: telling.Replay) -> None:
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


def _head(replay: telling.Replay) -> str:
    return telling.pairs(telling.requested(replay.history)) + "\n" + paint(table.head(), "strong")


def _json(rows: Iterator[telling.ReplayRow], replay: telling.Replay) -> None:
    say('{"rows":[')
    for nth, row in enumerate(rows):
        say(",\n" if nth else "\n")
        say(_text(row))


def _jsonl(rows: Iterator[telling.ReplayRow], replay: telling.Replay) -> None:
    for row in rows:
        say(_text(row) + "\n")


def _text(value: object) -> str:
    return escaped(_encode(value).decode())


_encode = msgspec.json.Encoder().encode


# -- their ends -------------------------------------------------------------------------------------------------


def _table_end(path: Path, replay: telling.Replay, shown: str, problem: str) -> None:
    found = journals.verify(path)
    seen = telling.tally(replay.history.jobs.values())
    outcome = replay.history.concluded.outcome if replay.history.concluded else "not concluded"
    lines = [
        ("jobs", str(seen)),
        ("tasks", f"{seen.done:,} of {seen.tasks:,} done"),
        ("outcome", paint(outcome, {"failed": "terminated"}.get(outcome, outcome))),
        ("journal", f"{found.status}, {telling.count(found.records, 'record')}, {shown}"),
        ("position", found.position),
    ]
    kinds = ", ".join(f"{number} of {kind!r}" for kind, number in replay.unknown.items())
    lines += [("unknown", f"records of kinds that this version does not know: {kinds}")] if kinds else []
    say("\n" + telling.pairs(lines))


def _json_end(path: Path, replay: telling.Replay, shown: str, problem: str) -> None:
    opened, concluded = replay.history.opened, replay.history.concluded
    end = {
        "asked": opened,
        "tally": telling.tally(replay.history.jobs.values()),
        "outcome": concluded.outcome if concluded else None,
        "verify": journals.verify(path),
        "problem": problem,
    }
    say("\n],\n" + ",\n".join(f'"{word}":{_text(value)}' for word, value in end.items()) + "}\n")


def _jsonl_end(path: Path, replay: telling.Replay, shown: str, problem: str) -> None:
    """Only rows: a line that is no row would be in the way of every reader."""


def _csv(rows: Iterator[telling.ReplayRow], replay: telling.Replay) -> None:
    for text in tell.as_csv(rows):
        say(text)


def _at_the_end(rows: Iterator[telling.ReplayRow], replay: telling.Replay) -> None:
    """These forms tell where it stands, not how it got there."""
    for _ in rows:
        pass


def _junit_end(path: Path, replay: telling.Replay, shown: str, problem: str) -> None:
    say(tell.as_junit(replay))


def _github_end(path: Path, replay: telling.Replay, shown: str, problem: str) -> None:
    say(tell.as_github(replay))


_TELL = {
    "table": _table, "json": _json, "jsonl": _jsonl, "csv": _csv, "junit": _at_the_end, "github": _at_the_end,
}  # fmt: skip
_END = {
    "table": _table_end, "json": _json_end, "jsonl": _jsonl_end, "csv": _jsonl_end, "junit": _junit_end,
    "github": _github_end,
}  # fmt: skip
