"""`dispatcher logs [TASK|JOB]`: what tasks wrote, wherever the files lie; without a name, stderr of what failed.

==> c13/err (python: command not found) <==
dq3v81kx0mza.sub: line 62: python: command not found
"""

from __future__ import annotations

import shlex
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from ..core.errors import ConfigError, DispatcherError
from ..core.records import TaskRecord
from ..core.states import State
from . import wanted
from .elsewhere import Elsewhere, profile_of
from .elsewhere import arguments as profile_arguments
from .say import flush, paint, say, say_json

EXAMPLES = """\
examples:
  dispatcher logs                  stderr of the first failed task of each cause
  dispatcher logs c13              what a task wrote to stderr and stdout
  dispatcher logs c13 --err -f     go on as it grows
  dispatcher logs 4211 --job       what the job's own script printed
"""

_TAIL, _POLL = 200, 0.5


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    wanted.arguments(parser)
    parser.add_argument("--out", action="store_true", help="only stdout")
    parser.add_argument("--err", action="store_true", help="only stderr")
    parser.add_argument("--job", action="store_true", help="what the script of the job printed itself")
    parser.add_argument("-n", "--lines", type=int, default=_TAIL, metavar="N", help=f"last lines (default {_TAIL})")
    parser.add_argument("-f", "--follow", action="store_true", help="go on as a file grows, until the job is over")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each file, a line each")
    profile_arguments(parser)


def run(args: Namespace) -> int:
    """The ends of the files; 1 when none of them is anywhere."""
    found = wanted.chosen(args.names, args.where)
    tasks = found.tasks if args.names else _telling(found)
    if not tasks:
        say_json({"files": []}) if args.json else say("no task has failed (name one to see what it wrote)\n")
        return 0
    with Elsewhere(found, profile_of(args)) as there:
        files = list(dict.fromkeys(name for task in tasks for name in _files(found, task, args, there)))
        if args.follow:
            if len(files) != 1:
                raise ConfigError(f"-f: {len(files)} files are meant; name one task, with --out or --err")
            return _follow(found, there, files[0], args.lines)
        told = [_tell(there, task, name, args) for task in tasks for name in _files(found, task, args, there)]
    return 0 if any(told) else 1


def _telling(found: wanted.Chosen) -> list[TaskRecord]:
    """Of each cause the task that failed first."""
    by_job = {(task.job, task.state): task for task in reversed(found.tasks)}
    firsts: list[TaskRecord] = []
    for failure in found.replay.chronicle.failures():
        cause, job = failure.first.cause, failure.first.job
        exact = [t for t in found.tasks if t.job == job and cause is not None and t.index == cause.task]
        firsts += exact or [by_job[job, state] for state in (State.terminated.value,) if (job, state) in by_job]
    return firsts


def _files(found: wanted.Chosen, task: TaskRecord, args: Namespace, there: Elsewhere) -> Iterator[str]:
    """Paths below the work directory, and for the job's own log its path on the execution side."""
    if args.job:
        last = found.replay.chronicle.last(task.job)
        yield from [there.log_of(last.nonce)] if last and last.nonce else []
        return
    quiet = not args.names and not args.out
    if task.errlog and not (args.out and not args.err):
        yield f"{task.path.rstrip('/')}/{task.errlog}"
    if task.outlog and not (args.err and not args.out) and not quiet and task.outlog != task.errlog:
        yield f"{task.path.rstrip('/')}/{task.outlog}"


def _tell(there: Elsewhere, task: TaskRecord, name: str, args: Namespace) -> bool:
    try:
        text, problem = there.tail(name, args.lines), ""
    except DispatcherError as error:
        text, problem = "", str(error)
    if args.json:
        say_json({"task": task.path, "file": there.where(name), "text": text, "problem": problem})
        return not problem
    cause = f" ({task.cause})" if task.cause else ""
    say(paint(f"==> {name}{cause} <==", "strong") + "\n")
    said = text or (task.stderr if name.endswith(f"/{task.errlog}") else "")
    say((said.rstrip("\n") or f"({problem or 'empty'})") + "\n")
    if not text and not problem and not args.job:
        say(f"(the job's own log may say more: dispatcher logs --job {shlex.quote(task.path)})\n")
    return bool(said)


def _follow(found: wanted.Chosen, there: Elsewhere, name: str, lines: int) -> int:
    """Print what is added until the job is over."""
    text = there.tail(name, lines)
    say(text)
    flush()
    size = there.size(name)
    while True:
        over = _over(found.path, name)
        grown = there.since(name, size)
        if grown:
            say(grown.decode("utf-8", "replace"))
            flush()
            size += len(grown)
        elif over:
            return 0
        time.sleep(_POLL if there.here(name) else there.PAUSE)


def _over(path: Path, name: str) -> bool:
    replay = wanted.folded(path)
    folder = name.rpartition("/")[0]
    mine = [task for task in replay.chronicle.tasks() if task.path.rstrip("/") == folder]
    over = (State.finished.value, State.terminated.value)
    return replay.history.concluded is not None or (bool(mine) and all(task.state in over for task in mine))
