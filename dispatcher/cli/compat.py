"""`dispatcher compat install|remove|run`: programs that were written for DPDispatcher, unchanged.

dpgen's `import dpdispatcher` finds this package: in this environment from now on, or for one program.
"""

from __future__ import annotations

from argparse import REMAINDER, ArgumentParser, Namespace

from ..compat import installing
from ..core.errors import ConfigError
from .say import say, warn

EXAMPLES = """\
examples:
  dispatcher compat run dpgen run param.json machine.json   only for this program and what it starts
  dispatcher compat install        from now on, for every program of this environment
  dispatcher compat remove         takes out what install put there

An installed DPDispatcher is never overwritten: uninstall it first. docs/compatibility.md
says what differs; docs/programs.md has a section for dpgen, dpti, dflow and APEX each.
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("what", choices=("install", "remove", "run"), metavar="install|remove|run")
    parser.add_argument("program", nargs=REMAINDER, metavar="PROGRAM ARGS…", help="what to run, with its arguments")


def run(args: Namespace) -> int:
    """Carry it out."""
    if args.what == "run":
        return _run(args.program)
    if args.program:
        raise ConfigError(f"compat {args.what} takes no further arguments")
    if args.what == "remove":
        gone = installing.remove()
        say("".join(f"removed {path}\n" for path in gone) or "nothing of ours is installed\n")
        return 0
    say("".join(f"wrote {path}\n" for path in installing.install()))
    say("`import dpdispatcher` is dispatcher now; `dispatcher compat remove` undoes this\n")
    return 0


def _run(words: list[str]) -> int:
    if not words:
        raise ConfigError("compat run: say which program, and its arguments")
    who = installing.installed()
    if who not in ("", "ours"):
        warn(f"dispatcher: dpdispatcher {who} is installed; it is not used by {words[0]} and what it starts\n")
    installing.run(words[0], words[1:])
    return 0
