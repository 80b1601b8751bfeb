"""`dispatcher report`: a run as one page, to be opened, sent or printed.

report.html: 3 of 3 tasks finished, 88 kB; open it in a browser
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

from .. import __version__
from ..core.history import History
from ..files.incoming import write_atomic
from ..run.store import read_chronicle
from .find import readable_journal
from .say import say
from .telling import size

EXAMPLES = """\
examples:
  dispatcher report runs                     writes report.html
  dispatcher report 1f2e3d -o run7.html
  dispatcher report copied/journal           a copied journal will do
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument(
        "path", metavar="PATH|HASH|DIR", nargs="?", default=".", help="which submission (default: here)"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("report.html"), metavar="FILE", help="where to write")


def run(args: Namespace) -> int:
    """Write the page and say where it is."""
    from ..report.page import page  # a library that most verbs do not need

    with readable_journal(args.path) as path:
        chronicle = read_chronicle(path)
    text = page(chronicle, _about(chronicle.history), time.time())
    write_atomic(args.output, text.encode(errors="replace"), 0o644)
    say(f"{args.output}: {size(len(text))}; open it in a browser\n")
    return 0


def _about(history: History) -> dict[str, str]:
    opened = history.opened
    if opened is None:
        return {"submission": "", "where": "not begun"}
    machine = opened.machine
    return {
        "submission": opened.submission,
        "where": opened.root,
        "machine": f"{machine.get('batch_type', '')} behind {machine.get('context_type', '')}",
        "written by": f"dispatcher {__version__}",
    }
