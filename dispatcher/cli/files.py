"""`dispatcher files TASK`: what lies in the directory of a task, on this side, or where it ran.

 812 B  c13/err
4.1 kB  c13/log
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..files.patterns import clean
from . import wanted
from .elsewhere import Elsewhere, only_here, profile_of
from .elsewhere import arguments as profile_arguments
from .say import say, say_json
from .telling import size

EXAMPLES = """\
examples:
  dispatcher files c13             where the task ran
  dispatcher files c13 --here      what of it is on this side
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    wanted.arguments(parser, "+")
    parser.add_argument("--here", action="store_true", help="only the work directory on this side")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each file, a line each")
    profile_arguments(parser)


def run(args: Namespace) -> int:
    """A line for every file."""
    found = wanted.chosen(args.names, args.where)
    folders = list(dict.fromkeys(clean(task.path, "task_work_path") for task in found.tasks))
    with Elsewhere(found, profile_of(args)) as there:
        for folder in folders:
            if args.here or only_here(found):
                local = sorted(path for path in (found.local / folder).rglob("*") if path.is_file())
                entries = [(path.relative_to(found.local).as_posix(), path.stat().st_size) for path in local]
            else:
                entries = [(entry.path, entry.size) for entry in there.listing(folder) if entry.size >= 0]
            for path, bytes in entries:
                if args.json:
                    say_json({"path": path, "size": bytes})
                else:
                    say(f"{size(bytes):>8}  {path}\n")
    return 0
