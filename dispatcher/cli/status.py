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
from contextlib import suppress
from pathlib import Path
from typing import Any

import journal as journals

from ..core.errors import IllegalTransition, SubmissionBusy
from ..core.events import Event
from ..core.lifecycle import State
from ..run.results import gone
from ..run.spending import spending_of
from ..run.store import holder_of
from . import telling
from .find import journals_of
from .notices import as_json, current, line_of, notices
from .say import say, say_json

#: What each kind of notice is called, and how many are shown.
_WORDS = {"failure": "failed", "waiting": "waiting", "postponed": "postponed", "outage": "no answer"}
_SHOWN = 10

EXAMPLES = """\
examples:
  dispatcher status                every submission at and below the current directory
  dispatcher status runs
  dispatcher status 1f2e3d --json
  dispatcher status runs --fail    for CI: exit code 1 when something failed or is missing
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("path", metavar="PATH|HASH|DIR", nargs="?", default=".", help="where to look (default: here)")
    parser.add_argument("--look", action="store_true", help="ask the batch system first, if no dispatcher is at work")
    parser.add_argument("--fail", action="store_true", help="exit with 1 when a job has failed or a result is missing")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each submission, a line each")
    parser.add_argument("--machine", metavar="FILE", help="machine or submission file, where --look needs a profile")
    parser.add_argument("--allow-ref", action="store_true", help="follow $ref in that file")


def run(args: Namespace) -> int:
    """A block, or a line of JSON, for every submission; 4 when a journal among them is damaged."""
    damaged = failed = False
    paths = journals_of(args.path)
    if args.look:
        for path in paths:
            _look(path, args)
    for nth, path in enumerate(paths):
        replay, problem = telling.Replay(), ""
        try:
            replay.fold(journals.frames(path, Event))
        except (IllegalTransition, journals.JournalError) as error:
            problem, damaged = str(error), True
        failed = failed or _failed(replay)
        if args.json:
            say_json(facts(path, replay, problem))
        else:
            say(("\n" if nth else "") + telling.pairs(_lines(path, replay, problem)))
    return 4 if damaged else 1 if args.fail and failed else 0


def _look(path: Path, args: Namespace) -> None:
    """Ask the batch system, unless a dispatcher is at work, which does so itself."""
    from ..run.reopen import reopened_session
    from .elsewhere import profile_of

    with suppress(journals.JournalBusy, SubmissionBusy), reopened_session(path, profile_of(args)) as session:
        session.observe()


def _failed(replay: telling.Replay) -> bool:
    """Whether a job is terminated, or a result was not there; jobs abandoned on purpose do not count."""
    return bool(replay.history.lacking) or any(
        failure.retried < len(failure.jobs) for failure in replay.chronicle.failures()
    )


def state_of(path: Path, replay: telling.Replay, problem: str = "") -> str:
    """Damaged, at work, finished, failed, or stopped (nobody is at work, and it is not over)."""
    if problem:
        return "damaged"
    if holder_of(path):
        return "at work"
    concluded = replay.history.concluded
    return concluded.outcome if concluded else "stopped"


def facts(path: Path, replay: telling.Replay, problem: str) -> dict[str, Any]:
    """A submission for programs; see answers.SubmissionAnswer."""
    seen, history = telling.tally(replay.history.jobs.values()), replay.history
    attempt, attempts = _attempts(replay)
    throughput = replay.chronicle.throughput()
    return {
        "submission": path.parent.name,
        "state": state_of(path, replay, problem),
        "where": str(path.absolute().parents[2]),
        "journal": str(path),
        "jobs": seen.jobs,
        "tasks": seen.tasks,
        "done": seen.done,
        "retries": seen.retries,
        "attempt": attempt,
        "attempts": attempts,
        "rate": throughput.rate,
        "left": throughput.left,
        "queued": throughput.queued,
        "outcome": history.concluded.outcome if history.concluded else None,
        "began": history.began,
        "ended": replay.ended,
        "holder": holder_of(path),
        "budget": _budget(path),
        "missing": sorted(history.lacking),
        "failed": [
            {"job": job.job, "id": job.id, "attempts": job.attempt, "cause": job.cause}
            for job in history.jobs.values()
            if job.state is State.terminated
        ],
        "gone": gone(history, path.absolute().parents[2]),
        "notices": [as_json(notice) for notice in notices(replay.chronicle)],
        "problem": problem,
    }


def _lines(path: Path, replay: telling.Replay, problem: str) -> list[tuple[str, str]]:
    history, seen, held = replay.history, telling.tally(replay.history.jobs.values()), holder_of(path)
    here = path.absolute().parents[2]
    lines = [
        pair for pair in telling.requested(history, here) or [("submission", path.parent.name)] if pair[0] != "asked"
    ]
    lines += [("jobs", str(seen)), ("tasks", f"{seen.done:,} of {seen.tasks:,} done")]
    running = [replay.since[name] for name, job in history.jobs.items() if job.state is State.running]
    if running:
        lines.append(
            ("running", f"since {telling.clock(min(running))} ({telling.duration(time.time() - min(running))})")
        )
    lines += _pace(replay)
    lines += _asked(path)
    lines += _notices(replay, bool(held))
    if lost := gone(history, here):
        lines.append(("gone", f"{telling.count(len(lost), 'result')} deleted here: {', '.join(lost[:5])}"))
    lines += [("missing", ", ".join(sorted(history.lacking)[:_SHOWN]))] if history.lacking else []
    lines += [("at work", held)] if held else [("last record", _ago(replay.ended))]
    lines += [("problem", problem)] if problem else []
    return [*lines, ("next", _next(path, replay, bool(held), problem))]


def _budget(path: Path) -> dict[str, Any] | None:
    """How often its machine was asked in the last minute by all processes of this user here; see BudgetAnswer."""
    spending = spending_of(path, time.time())
    if spending is None:
        return None
    return {
        "machine": spending.name,
        "calls": sum(spending.calls.values()),
        "max_calls_per_minute": spending.limits.calls,
        "logins": sum(spending.logins.values()),
        "max_logins_per_minute": spending.limits.logins,
    }


def _asked(path: Path) -> list[tuple[str, str]]:
    """The same in words: 12 of 30 calls, 1 of 2 logins in the last minute."""
    if (spent := _budget(path)) is None:
        return []
    kinds = [
        f"{spent[kind]} of {limit} {kind}" for kind in ("calls", "logins") if (limit := spent[f"max_{kind}_per_minute"])
    ]
    return [("asked", f"{spent['machine']}: {', '.join(kinds)} in the last minute, by all of yours on this host")]


def _attempts(replay: telling.Replay) -> tuple[int, int]:
    """The highest attempt of any job, and how many there may be."""
    attempt = max((job.attempt for job in replay.history.jobs.values()), default=0)
    return attempt, max(replay.chronicle.retry_count + 1, attempt)


def _pace(replay: telling.Replay) -> list[tuple[str, str]]:
    """Rate, time left and time in the queue, while there is something left."""
    throughput, (attempt, attempts) = replay.chronicle.throughput(), _attempts(replay)
    parts = [f"attempt {attempt} of {attempts}"] if attempt > 1 else []
    parts += [f"{throughput.rate:.3g} tasks an hour"] if throughput.rate and throughput.left else []
    parts += [f"about {telling.duration(throughput.left)} left"] if throughput.left else []
    parts += [f"{telling.duration(throughput.queued)} in the queue"] if throughput.queued is not None else []
    return [("rate", ", ".join(parts))] if parts and replay.history.concluded is None else []


def _notices(replay: telling.Replay, held: bool) -> list[tuple[str, str]]:
    """What is to be known."""
    found = current(replay.chronicle, held)
    lines = [(_WORDS[notice.kind], line_of(notice, time.time())) for notice in found[:_SHOWN]]
    more = len(found) - _SHOWN
    return [*lines, *([("", f"and {telling.count(more, 'other cause')}: --json tells all")] if more > 0 else [])]


def _ago(at: float) -> str:
    return f"{telling.date(at)} {telling.clock(at)} ({telling.duration(time.time() - at)} ago)" if at else "none"


def _shortest(path: Path) -> str:
    """A name that finds this journal and no other: the work directory, if it has only this one."""
    local = path.absolute().parents[2]
    return os.path.relpath(path.parent if len(journals_of(str(local))) > 1 else local)


def _next(path: Path, replay: telling.Replay, held: bool, problem: str) -> str:
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
