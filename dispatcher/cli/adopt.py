"""`dispatcher adopt FILE`: a journal for jobs that have lost theirs, so that they are found and not run twice.

adopted       2 of 3 jobs, from what lies where they run
journal       runs/.dispatcher/1f2e3d…/journal
unknown       how often they had failed; what was downloaded (it is again)
next          dispatcher submit submission.json
"""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..run.adopt import adopt, adopt_restored
from ..schema.reading import read_file
from . import telling
from .elsewhere import arguments as profile_arguments
from .elsewhere import profile_of
from .find import journal_of
from .say import say

EXAMPLES = """\
examples:
  dispatcher adopt submission.json     the journal was deleted, or is damaged: begin it anew beside the jobs
  dispatcher adopt runs/.dispatcher/1f2e…    it was put back from a backup: bring it up to what lies there

Everything is taken from the scripts, receipts and claims in the control directory and, by the next "dispatcher
submit", from the queue. A damaged journal is moved aside and kept; what it tells up to the damage is taken over.
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("file", metavar="FILE|PATH", help="the submission file, or a journal that was put back")
    profile_arguments(parser)


def run(args: Namespace) -> int:
    """Begin the journal, and say what could not be known."""
    if Path(args.file).is_dir():
        adopted = adopt_restored(journal_of(args.file), profile_of(args))
    else:
        asked = read_file(args.file, args.allow_ref)
        adopted = adopt(asked.spec, asked.profile)
    lines = [
        ("adopted", f"{telling.count(adopted.found, 'job')}, from what lies where they run"),
        ("journal", str(adopted.journal)),
        ("unknown", "how often they had failed; what was downloaded (it is again)"),
    ]
    if adopted.missing:
        lines.append(("not found", f"{telling.count(adopted.missing, 'job')}: submitted by the next run"))
    if adopted.aside:
        lines.append(("damaged", f"the old journal is kept in {adopted.aside}"))
    go_on = "the command that started it" if Path(args.file).is_dir() else f"dispatcher submit {shlex.quote(args.file)}"
    say(telling.pairs([*lines, ("next", go_on)]))
    return 0
