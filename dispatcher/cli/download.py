"""`dispatcher download`: bring the results of what finished, and the logs of what failed, now.

fetched the results of 2 finished jobs, and the logs of the others, into /proj/runs
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..run.reopen import reopened_session
from .elsewhere import arguments as profile_arguments
from .elsewhere import profile_of
from .find import journal_of
from .say import say, say_json
from .telling import count

EXAMPLES = """\
examples:
  dispatcher download
  dispatcher download 1f2e3d --machine machine.json     over SSH: how to get there
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("path", metavar="PATH|HASH", nargs="?", default=".", help="which submission (default: here)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    profile_arguments(parser)


def run(args: Namespace) -> int:
    """One look, one download; raises ResultMissing when promised files are not there."""
    from .submission import fetch

    with reopened_session(journal_of(args.path), profile_of(args)) as session:
        session.observe()
        finished = fetch(session)
        if args.json:
            say_json({"submission": session.submission, "finished": finished, "where": str(session.local)})
        else:
            jobs = count(finished, "finished job")
            say(f"fetched the results of {jobs}, and the logs of the others, into {session.local}\n")
    return 0
