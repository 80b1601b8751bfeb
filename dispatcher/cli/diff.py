"""`dispatcher diff A B`: where two submissions of the same tasks differ; B may be `live`, what there is now.

TASK  HERE      THERE
c13   finished  terminated: python: command not found
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable

from . import compare, wanted
from .elsewhere import Elsewhere, profile_of
from .elsewhere import arguments as profile_arguments
from .find import newest_of
from .say import say, say_json

EXAMPLES = """\
examples:
  dispatcher diff runs other/runs      task by task, by directory and command
  dispatcher diff runs live            the journal against the batch system and the files

exit codes:
  0  no difference   1  there are differences
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("one", metavar="A", help="a work directory, a journal, or the start of a hash")
    parser.add_argument("other", metavar="B", help="another one, or the word live")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each difference, a line each")
    profile_arguments(parser)


def run(args: Namespace) -> int:
    """A line for each task that differs."""
    one = wanted.folded(newest_of(args.one))
    if args.other != "live":
        return tell(compare.journals(one, wanted.folded(newest_of(args.other))), args.json)
    found = wanted.chosen([], args.one)
    with Elsewhere(found, profile_of(args)) as there:
        return tell(list(compare.live(found, there)), args.json)


def tell(differences: Iterable[compare.Difference], json: bool) -> int:
    """Say them; 1 when there are any."""
    listed = list(differences)
    rows = [("TASK", "HERE", "THERE"), *((one.task, one.here, one.there) for one in listed)]
    if json:
        for one in listed:
            say_json(one)
    elif not listed:
        say("no difference\n")
    else:
        wide = [max(len(row[column]) for row in rows) for column in (0, 1)]
        say("".join(f"{a:<{wide[0]}}  {b:<{wide[1]}}  {c}\n" for a, b, c in rows))
    return 1 if listed else 0
