"""`dispatcher clean`: remove what is ours on the execution side, once the results are here.

would remove /scratch/me/.dispatcher/1f2e3d4c… (no job runs, the results of 3 jobs are here)
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..run.reopen import reopened_session
from .elsewhere import arguments as profile_arguments
from .elsewhere import profile_of
from .find import journal_of
from .say import say, say_json

EXAMPLES = """\
examples:
  dispatcher clean --dry-run       say what would be removed, and what stands against it
  dispatcher clean
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("path", metavar="PATH|HASH", nargs="?", default=".", help="which submission (default: here)")
    parser.add_argument("--dry-run", action="store_true", help="say what would be removed, remove nothing")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    profile_arguments(parser)


def run(args: Namespace) -> int:
    """Refused while jobs may run, or while results are only on the other side."""
    from .submission import obstacle, remove

    with reopened_session(journal_of(args.path), profile_of(args)) as session:
        session.observe()
        against = obstacle(session)
        place = session.connect().context.place.remote_root
        if not args.dry_run and not against:
            remove(session)
    if args.json:
        removed = not against and not args.dry_run
        say_json({"submission": session.submission, "place": place, "obstacle": against, "removed": removed})
    elif against:
        say(f"not cleaned, {place}: {against}\n")
    else:
        say(f"{'would remove' if args.dry_run else 'removed'} what was made in {place}\n")
    return 1 if against else 0
