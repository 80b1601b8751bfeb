"""`dispatcher schedulers`: the batch systems there are, and how a dialect reads its native states.

Slurm             available
NATIVE        TAKEN FOR
CG            completing
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from importlib.metadata import entry_points

from .. import schedulers
from .say import say
from .telling import pairs

EXAMPLES = """\
examples:
  dispatcher schedulers
  dispatcher schedulers --table Slurm
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("--table", metavar="NAME", help="print what each native state of this one is taken for")


def run(args: Namespace) -> int:
    """The list, or the table."""
    if args.table:
        say(_table(args.table))
        return 0
    environment = {point.name: point.value for point in entry_points(group="dispatcher.schedulers")}
    say("".join(f"{name}\n" for name in schedulers.BUILTIN | environment))
    aliases = ", ".join(f"{alias} = {name}" for alias, name in schedulers.ALIASES.items())
    say(f"\nNames are also valid in lower case; {aliases}.\n")
    return 0


def _table(name: str) -> str:
    dialect = schedulers.load(name)
    states = getattr(dialect, "STATES", {})
    rows = [(code, getattr(native, "value", str(native))) for code, native in sorted(states.items())]
    return pairs([("NATIVE", "TAKEN FOR"), *rows, ("any other", "unknown: no news, looked at again")])
