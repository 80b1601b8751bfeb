"""`dispatcher status PATH`: where submissions stand, and what to type next.

submission    1f2e3d4c5b6a79880011223344556677aabbccdd
where         /proj/runs
jobs          1 waiting, 1 running, 1 finished
tasks         4 of 7 done
running       since 04:12:05 (3m 12s)
at work       process 4242 on node7 since 2026-11-23 04:12:01
next          dispatcher replay --follow runs/.dispatcher/1f2e3d…
"""

from __future__ import annotations

import os
import shlex
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import journal as journals

from ..core.errors import IllegalTransition
from ..core.events import Event
from ..core.lifecycle import State
from ..run.results import gone
from ..run.store import holder_of
from . import report
from .find import journals_of
from .notices import as_json, line_of, notices
from .say import say, say_json

#: What each kind of notice is called, and how many are shown.
_WORDS = {"failure": "failed", "waiting": "waiting", "postponed": "postponed", "outage": "no answer"}
_SHOWN = 10

EXAMPLES = """\
examples:
  dispatcher status                every submission at and below the current directory
  dispatcher status runs
  dispatcher status 1f2e3d --json
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("path", metavar="PATH|HASH|DIR", nargs="?", default=".", help="where to look (default: here)")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each submission, a line each")


def run(args: Namespace) -> int:
    """A block, or a line of JSON, for every submission; 4 when a journal among them is damaged."""
    damaged = False
    for nth, path in enumerate(journals_of(args.path)):
        replay, problem = report.Replay(), ""
        try:
            replay.fold(journals.frames(path, Event))
        except (IllegalTransition, journals.JournalError) as error:
            problem, damaged = str(error), True
        if args.json:
            say_json(_facts(path, replay, problem))
        else:
            say(("\n" if nth else "") + report.pairs(_lines(path, replay, problem)))
    return 4 if damaged else 0


def _facts(path: Path, replay: report.Replay, problem: str) -> dict[str, Any]:
    seen, history = report.tally(replay.history.jobs.values()), replay.history
    return {
        "submission": path.parent.name,
        "where": str(path.absolute().parents[2]),
        "journal": str(path),
        "jobs": seen.jobs,
        "tasks": seen.tasks,
        "done": seen.done,
        "retries": seen.retries,
        "outcome": history.concluded.outcome if history.concluded else None,
        "began": history.began,
        "ended": replay.ended,
        "holder": holder_of(path),
        "failed": [
            {"job": job.job, "id": job.id, "attempts": job.attempt, "cause": job.cause}
            for job in history.jobs.values()
            if job.state is State.terminated
        ],
        "gone": gone(history, path.absolute().parents[2]),
        "notices": [as_json(notice) for notice in notices(replay.chronicle)],
        "problem": problem,
    }


def _lines(path: Path, replay: report.Replay, problem: str) -> list[tuple[str, str]]:
    history, seen, held = replay.history, report.tally(replay.history.jobs.values()), holder_of(path)
    here = path.absolute().parents[2]
    lines = [
        pair for pair in report.requested(history, here) or [("submission", path.parent.name)] if pair[0] != "asked"
    ]
    lines += [("jobs", str(seen)), ("tasks", f"{seen.done:,} of {seen.tasks:,} done")]
    running = [replay.since[name] for name, job in history.jobs.items() if job.state is State.running]
    if running:
        lines.append(("running", f"since {report.clock(min(running))} ({report.duration(time.time() - min(running))})"))
    lines += _notices(replay, bool(held))
    if lost := gone(history, here):
        lines.append(("gone", f"{report.count(len(lost), 'result')} deleted here: {', '.join(lost[:5])}"))
    lines += [("at work", held)] if held else [("last record", _ago(replay.ended))]
    lines += [("problem", problem)] if problem else []
    return [*lines, ("next", _next(path, replay, bool(held), problem))]


def _notices(replay: report.Replay, held: bool) -> list[tuple[str, str]]:
    """What is to be known; an outage only while somebody is there to end it."""
    found = [notice for notice in notices(replay.chronicle) if held or notice.kind != "outage"]
    lines = [(_WORDS[notice.kind], line_of(notice, time.time())) for notice in found[:_SHOWN]]
    more = len(found) - _SHOWN
    return [*lines, *([("", f"and {report.count(more, 'other cause')}: --json tells all")] if more > 0 else [])]


def _ago(at: float) -> str:
    return f"{report.date(at)} {report.clock(at)} ({report.duration(time.time() - at)} ago)" if at else "none"


def _shortest(path: Path) -> str:
    """A name that finds this journal and no other: the work directory, if it has only this one."""
    local = path.absolute().parents[2]
    return os.path.relpath(path.parent if len(journals_of(str(local))) > 1 else local)


def _next(path: Path, replay: report.Replay, held: bool, problem: str) -> str:
    """The command that makes sense now."""
    name = shlex.quote(_shortest(path))
    history = replay.history
    if problem:
        return f"dispatcher verify {name}"
    if held:
        return f"dispatcher replay --follow {name}"
    if history.concluded is None:
        return f"the command that started it resumes it; dispatcher cancel {name} ends it"
    if history.concluded.outcome == "failed":
        return f"the command that started it tries the failed jobs again; dispatcher replay {name}"
    if gone(history, path.absolute().parents[2]):
        return "the command that started it fetches what was deleted here, or with --rerun-missing runs it again"
    return f"nothing is left to do; dispatcher replay {name} tells how it went"
