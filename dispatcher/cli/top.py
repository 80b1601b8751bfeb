"""`dispatcher top [DIR]`: submissions, their tasks and what is to be known of them, on the whole terminal.

    1f2e3d4c5b6a  at work   163/200   37  runs
    37 jobs failed: python: command not found; first c13, attempt 1 of 4, next try
    c13  terminated  127  python: command not found

Journals are only read. Logs, cancel and retry are the verbs of these names, run beside it and shown.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..core.errors import ConfigError, Unsupported
from .elsewhere import arguments as profile_arguments
from .say import on_terminal

EXAMPLES = """\
examples:
  dispatcher top                         submissions at and below the current directory
  dispatcher top /proj --light           elsewhere, on a light ground
  dispatcher top --machine machine.json  over SSH: how logs, cancel and retry get there

Keys: Tab or arrows move, Enter chooses, f failed only, l logs, i info, c cancel,
r retry, d dark or light, q quit. Nothing is cancelled or retried before you say yes.
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("path", metavar="DIR|HASH", nargs="?", default=".", help="where to look (default: here)")
    parser.add_argument("--light", action="store_true", help="begin with dark letters on a light ground")
    profile_arguments(parser)


def run(args: Namespace) -> int:
    """Show it until `q`."""
    try:
        from .screen import Top
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "textual":
            raise
        raise Unsupported("top: the package textual is missing; pip install 'dispatcher-hpc[top]'") from None
    if not on_terminal():
        raise ConfigError("top draws on a terminal, and here is none; `dispatcher status` prints lines")
    passed_on = [*(["--machine", args.machine] if args.machine else []), *(["--allow-ref"] if args.allow_ref else [])]
    Top(args.path, passed_on, args.light).run()
    return 0
