"""`dispatcher info TASK|JOB`: everything that is known of a task: what it is, where, its attempts, why it failed.

task       c13 (#13), terminated, exit code 127
command    python train.py
directory  /proj/runs/c13
job        5f1c0a2b3c4d, 4299 on node7
attempt 1  4211, asked 04:12:01, queued 12s, ran 3m 12s, on node7: terminated
cause      python: command not found
stderr     dq3v81kx0mza.sub: line 62: python: command not found
next       dispatcher logs c13
"""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, Namespace
from typing import Any

import msgspec

from ..core.records import Attempt, TaskRecord
from . import wanted
from .say import say, say_json
from .telling import SHORT, clock, date, duration, pairs

EXAMPLES = """\
examples:
  dispatcher info c13
  dispatcher info 4211 --in runs        the tasks of a job, by its native id
  dispatcher info 5f1c --json
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    wanted.arguments(parser, "+")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each task, a line each")


def run(args: Namespace) -> int:
    """A block, or a line of JSON, for every task that is meant."""
    found = wanted.chosen(args.names, args.where)
    for nth, task in enumerate(found.tasks):
        if args.json:
            say_json(facts(found, task))
        else:
            say(("\n" if nth else "") + pairs(_lines(found, task)))
    return 0


def attempts_of(found: wanted.Chosen, job: str) -> list[Attempt]:
    """The attempts of one job, the first one first."""
    return [attempt for attempt in found.replay.chronicle.attempts() if attempt.job == job]


def facts(found: wanted.Chosen, task: TaskRecord) -> dict[str, Any]:
    """The task with its submission, its directory on this side, and the attempts of its job."""
    return {
        "submission": found.path.parent.name,
        "directory": str(found.local / task.path),
        "task": msgspec.to_builtins(task),
        "attempts": [msgspec.to_builtins(attempt) for attempt in attempts_of(found, task.job)],
    }


def _lines(found: wanted.Chosen, task: TaskRecord) -> list[tuple[str, str]]:
    name = f"{task.name or task.path} (#{task.position}), {task.state}"
    native = f", {task.id}" if task.id else ""
    lines = [
        ("task", name + (f", exit code {task.code}" if task.code is not None else "")),
        ("command", task.command),
        ("directory", str(found.local / task.path)),
        ("job", f"{task.job[:SHORT]}{native}"),
    ]
    lines += [("reused", "done by an earlier submission")] if task.reused else []
    lines += [(f"attempt {attempt.number}", _attempt(attempt)) for attempt in attempts_of(found, task.job)]
    lines += [("cause", task.cause)] if task.cause else []
    lines += [("stderr", task.stderr.rstrip())] if task.stderr else []
    last = found.replay.chronicle.last(task.job)
    lines += [("job's log", last.cause.log.rstrip())] if last and last.cause and last.cause.log else []
    if task.cause:
        place = shlex.quote(str(found.path.parent))
        lines.append(("next", f"dispatcher logs {shlex.quote(task.path)} --in {place}"))
    return lines


def _attempt(attempt: Attempt) -> str:
    parts = [attempt.id or "no native id"]
    parts += [f"asked for {date(attempt.requested)} {clock(attempt.requested)}"] if attempt.requested else []
    if attempt.waiting and attempt.running:
        parts.append(f"queued {duration(attempt.running - attempt.waiting)}")
    if attempt.running and attempt.ended:
        parts.append(f"ran {duration(attempt.ended - attempt.running)}")
    parts += [f"on {attempt.node}"] if attempt.node else []
    parts += [f"waits: {attempt.why}"] if attempt.why else []
    return f"{', '.join(parts)}: {attempt.state}" + (f": {attempt.cause}" if attempt.cause else "")
