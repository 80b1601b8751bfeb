"""`dispatcher tasks`: the tasks of a submission, how far each is, and why it failed.

POS  TASK  STATE       TRY  CODE  JOB           ID    CAUSE
  0  c0    finished      1     0  5f1c0a2b3c4d  4211
  1  c1    terminated    4   127  5f1c0a2b3c4d  4299  python: command not found
"""

from __future__ import annotations

import csv
import io
from argparse import ArgumentParser, Namespace

import msgspec

from ..core.records import TaskRecord
from ..core.states import State
from . import wanted
from .say import paint, say, say_json, width
from .tell import cell
from .telling import SHORT

EXAMPLES = """\
examples:
  dispatcher tasks                      every task of the submission here
  dispatcher tasks --failed             those that failed, with why
  dispatcher tasks "c1*" --in runs      some of them
  dispatcher tasks --csv > tasks.csv
"""

HEAD = ("POS", "TASK", "STATE", "TRY", "CODE", "JOB", "ID", "CAUSE")
#: What each option means in states.
_FILTERS = {
    "failed": (State.terminated,),
    "running": (State.running, State.completing),
    "waiting": (State.waiting,),
    "unsubmitted": (State.unsubmitted,),
    "finished": (State.finished,),
}


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    wanted.arguments(parser)
    for name in _FILTERS:
        parser.add_argument(f"--{name}", action="store_true", help=f"those that are {name}; several may be given")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--csv", action="store_true", help="comma-separated values with a head line")
    form.add_argument("--json", action="store_true", help="print a JSON object for each task, a line each")


def run(args: Namespace) -> int:
    """A line for every task."""
    states = {state.value for name, meant in _FILTERS.items() if getattr(args, name) for state in meant}
    tasks = [t for t in wanted.chosen(args.names, args.where).tasks if not states or t.state in states]
    if args.json:
        for task in tasks:
            say_json(task)
    elif args.csv:
        say(as_csv(tasks))
    else:
        say(as_table(tasks))
    return 0


def as_csv(tasks: list[TaskRecord]) -> str:
    """With a head line; the columns are the fields of the JSON objects."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(TaskRecord.__struct_fields__)
    writer.writerows([cell(value) for value in msgspec.structs.astuple(task)] for task in tasks)
    return out.getvalue()


def as_table(tasks: list[TaskRecord]) -> str:
    """Columns as wide as what stands in them; on a terminal lines are cut at its edge."""
    rows = [HEAD, *map(row_of, tasks)]
    wide = [max(len(row[column]) for row in rows) for column in range(7)]
    lines: list[str] = []
    for row in rows:
        cells = [text.rjust(wide[n]) if n in (0, 3, 4) else text.ljust(wide[n]) for n, text in enumerate(row[:7])]
        line = "  ".join([*cells, row[7].replace("\n", " ")]).rstrip()
        line = line[: width() or None]
        state = row[2]
        lines.append(line.replace(state, paint(state, state), 1) if row is not rows[0] else line)
    return "".join(f"{line}\n" for line in lines)


def row_of(task: TaskRecord) -> tuple[str, ...]:
    """The cells of one task."""
    code = "" if task.code is None else str(task.code)
    attempt = str(task.attempt) if task.attempt else ""
    name = task.name or task.path
    return str(task.position), name, task.state, attempt, code, task.job[:SHORT], task.id, task.cause
