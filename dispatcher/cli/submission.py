"""`dispatcher submission HASH`: after a run, fetch logs and results, reset the count of failures, clean up.

fetched the results of 2 finished jobs, and the logs of the others, into /proj/runs
1 job will be tried again by the next run
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from ..core import events as ev
from ..core.errors import ConfigError, DispatcherError
from ..core.lifecycle import State
from ..run.reopen import reopened_session
from ..run.session import Session
from ..schema.reading import read_profile
from . import telling
from .find import journal_of
from .say import say

EXAMPLES = """\
examples:
  dispatcher submission 1f2e3d --download-terminated-log      the logs of what failed
  dispatcher submission 1f2e3d --download-finished-task --clean
  dispatcher submission 1f2e3d --reset-fail-count             the next run tries the failed jobs again

At least one action is needed. Cleaning is refused while jobs run, or while
results of finished tasks are only on the other side.
"""

_ACTIONS = ("download_terminated_log", "download_finished_task", "clean", "reset_fail_count")


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("path", metavar="HASH|PATH", help="the start of a hash, a work directory, or a journal")
    parser.add_argument(
        "--download-terminated-log", action="store_true", help="fetch outlog and errlog of failed tasks"
    )
    parser.add_argument("--download-finished-task", action="store_true", help="fetch the results of finished tasks")
    parser.add_argument("--clean", action="store_true", help="remove what was made on the execution side")
    parser.add_argument("--reset-fail-count", action="store_true", help="give failed jobs a new round of attempts")
    parser.add_argument("--machine", metavar="FILE", help="machine or submission file, where a context needs a profile")
    parser.add_argument("--allow-ref", action="store_true", help="follow $ref in that file")


def run(args: Namespace) -> int:
    """The actions that were asked for, cleaning last."""
    if not any(getattr(args, action) for action in _ACTIONS):
        flags = ", ".join(f"--{action.replace('_', '-')}" for action in _ACTIONS)
        raise ConfigError(f"nothing to do: give at least one of {flags}")
    path = journal_of(args.path)
    profile = read_profile(args.machine, args.allow_ref) if args.machine else None
    with reopened_session(path, profile) as session:
        if args.download_terminated_log or args.download_finished_task or args.clean:
            session.observe()
        if args.download_terminated_log or args.download_finished_task:
            _download(session)
        if args.reset_fail_count:
            _reset(session)
        if args.clean:
            _clean(session)
    return 0


def fetch(session: Session) -> int:
    """One download brings both: promised files of what finished, and the logs of what did not; how many finished."""
    session.download()
    return sum(job.state is State.finished for job in session.progress.values())


def _download(session: Session) -> None:
    finished = telling.count(fetch(session), "finished job")
    say(f"fetched the results of {finished}, and the logs of the others, into {session.local}\n")


def _reset(session: Session) -> None:
    over = [job for job in session.progress.values() if job.state is State.terminated]
    session.record(*(ev.Retried(job.job, fresh=True) for job in over))
    say(f"{telling.count(len(over), 'job')} will be tried again by the next run\n")


def _clean(session: Session) -> None:
    remove(session)
    say(f"removed what was made in {session.context.place.remote_root}\n")


def obstacle(session: Session) -> str:
    """What stands against cleaning; "" when nothing does."""
    live = [job for job in session.progress.values() if job.may_run]
    if live:
        return f"{telling.count(len(live), 'job')} may still run; cancel or await them first"
    home = session.history.downloaded
    if any(job.done & ~job.reused & ~home.get(job.job, 0) for job in session.progress.values()):
        return "there are results that were not fetched; add --download-finished-task, or `dispatcher download` first"
    return ""


def remove(session: Session) -> None:
    """Remove what is ours on the execution side; DispatcherError when something stands against it."""
    if against := obstacle(session):
        raise DispatcherError(f"not cleaned: {against}")
    session.connect().context.remove()
    session.record(ev.Cleaned())
