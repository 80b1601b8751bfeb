"""`dispatcher cancel PATH`: end the jobs of a submission, and see that they are gone.

nobody at work      open the journal, write down that they are to be killed, kill, look until they are gone
a dispatcher is     lay an empty file `cancel` beside its journal; it does the same, and this one waits for it.
                    Should it die, this one takes over; should this one die, too, the next dispatcher obeys
"""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

import journal as journals

from ..core import events as ev
from ..core.errors import DispatcherError, Interrupted
from ..core.lifecycle import OVER, State
from ..core.names import CANCEL
from ..run.reopen import reopened_session
from ..run.session import Session
from ..run.store import holder_of
from ..schema.reading import read_profile
from . import telling, wanted
from .elsewhere import alone_with
from .execute import chosen, seconds
from .find import journal_of
from .monitor import Monitor
from .say import flush, say, say_json

EXAMPLES = """\
examples:
  dispatcher cancel runs
  dispatcher cancel runs c13 4211                      only the jobs of these tasks; the others go on
  dispatcher cancel 1f2e3d --machine machine.json      over SSH: how to get there
  dispatcher cancel runs --host-gone node7             what was started there (Shell) cannot be seen, and is over

The results of jobs that have finished are not lost: fetch them with
"dispatcher submission HASH --download-finished-task".
"""


#: Seconds after which the lock is looked at again: the dispatcher that was asked may have died.
_LOOK = 2.0


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("path", metavar="PATH|HASH", help="a work directory, a journal, or the start of a hash")
    parser.add_argument("names", metavar="TASK|JOB", nargs="*", help="only the jobs of these (default: all)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--machine", metavar="FILE", help="machine or submission file, where a context needs a profile")
    parser.add_argument("--allow-ref", action="store_true", help="follow $ref in that file")
    parser.add_argument(
        "--host-gone", action="append", default=[], metavar="HOST", help="what runs on this host is lost (Shell)"
    )
    parser.add_argument("--timeout", type=seconds, default=120.0, metavar="S", help="how long to wait (default 120)")


def run(args: Namespace) -> int:
    """End them, here or by asking the dispatcher at work; raises when they may still be there."""
    path = journal_of(args.path)
    replay = telling.Replay().fold(journals.frames(path, ev.Event))
    if _all_over(replay) and not holder_of(path):
        _tell(args, path, 0, telling.tally(replay.history.jobs.values()), "nothing to cancel")
        return 0
    if args.names:
        return _cancel_some(args, path)
    profile = read_profile(args.machine, args.allow_ref) if args.machine else None
    end = time.monotonic() + args.timeout
    while True:
        monitor = Monitor(chosen(json=False))
        monitor.deadline = end
        try:
            with monitor, reopened_session(path, profile, monitor.environment()) as session:
                monitor.follow(session)
                session.connect().observer.gone_hosts.update(args.host_gone)
                ended = _end(session, monitor)
                after = telling.tally(session.progress.values())
        except journals.JournalBusy as busy:
            if _request(path, busy.holder, end, args.host_gone):
                return 0
            continue
        path.with_name(CANCEL).unlink(missing_ok=True)
        _tell(args, path, ended, after)
        return 0


def _tell(
    args: Namespace, path: Path, ended: int, after: telling.Tally, none: str = "cancelled nothing, all had ended"
) -> None:
    if args.json:
        say_json({"submission": path.parent.name, "ended": ended, "jobs": after.jobs})
    else:
        done = f"cancelled {telling.count(ended, 'job')}" if ended else none
        say(f"{done}; jobs: {after}\n")


def _cancel_some(args: Namespace, path: Path) -> int:
    """End the jobs of some tasks; nothing else is looked at or submitted. Not while a dispatcher is at work."""
    found = wanted.chosen(args.names, str(path), only=True)
    profile = read_profile(args.machine, args.allow_ref) if args.machine else None
    end = time.monotonic() + args.timeout
    with alone_with(path, profile, "dispatcher cancel …") as session:
        live = [job for job in found.jobs if session.progress[job].state not in OVER]
        engine = session.connect()
        engine.observer.gone_hosts.update(args.host_gone)
        session.kill(*live)
        while (queued := [session.progress[job] for job in live if session.progress[job].may_run]) and (
            time.monotonic() < end
        ):
            engine.observe(queued)
            time.sleep(min(session.scheduler.min_poll_interval, 1.0))
        if queued:
            raise DispatcherError(
                "not all of them are gone in time; that they are to be killed is written down" + _where(session)
            )
        _tell(args, path, len(live), telling.tally(session.progress.values()))
    return 0


def _end(session: Session, monitor: Monitor) -> int:
    """Kill what lives and look until it is gone; how many jobs were ended."""
    live = [job.job for job in session.progress.values() if job.state not in OVER]
    session.kill()
    engine = session.connect()
    engine.give_up()  # what failed earlier is not tried again either
    engine.run(check_interval=5.0)
    if not session.finished():
        kind, why = (
            (Interrupted, "interrupted") if monitor.signum else (DispatcherError, "not all jobs are gone in time")
        )
        raise kind(
            f"{why}: that they are to be killed is written down; run the same command again to see it through"
            f"{_where(session)}"
        )
    failed = sum(job.state is State.terminated for job in session.progress.values())
    if failed:  # where all had finished after all, the next run brings the results home and concludes
        session.record(ev.Concluded("failed", failed))
    return sum(session.progress[job].state is State.terminated for job in live)


def _where(session: Session) -> str:
    """Of hosts on which nobody can look: what to do, at the end of a message."""
    hosts = sorted(session.connect().observer.unseen_hosts)
    options = " ".join(f"--host-gone {host}" for host in hosts)
    return f". Jobs on {', '.join(hosts)} can be seen and ended only there; if it is gone: {options}" if hosts else ""


def _request(path: Path, holder: str, end: float, gone: Sequence[str]) -> bool:
    """Ask the dispatcher at work; True when every job is over, False when it is time to look at its lock again."""
    request = path.with_name(CANCEL)
    if not request.exists():
        say(f"{holder or 'another dispatcher'} is at work: asking it to cancel\n")
        flush()
        os.close(os.open(request, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
    if gone:
        raise DispatcherError(
            f"{holder or 'another dispatcher'} is at work, and is asked to cancel; it has not heard that "
            f"{', '.join(gone)} is gone: stop it (its jobs run on), then run the same command again"
        )
    replay, again = telling.Replay(), min(end, time.monotonic() + _LOOK)

    def over() -> bool:  # not as soon as no job runs: one that has failed may be about to be tried again
        return replay.history.concluded is not None or replay.closed or time.monotonic() > again

    for frame in journals.follow(path, ev.Event, poll=0.5, stop=over):
        replay.fold([frame])
    if _all_over(replay):
        request.unlink(missing_ok=True)
        say(f"cancelled: {telling.tally(replay.history.jobs.values())}\n")
        return True
    if time.monotonic() > end:
        request.unlink(missing_ok=True)
        raise DispatcherError(
            f"{holder or 'the dispatcher at work'} has not obeyed in time, and jobs may still run; "
            "stop that process (its jobs run on), then run the same command again"
        )
    return False


def _all_over(replay: telling.Replay) -> bool:
    jobs = replay.history.jobs
    return bool(jobs) and all(job.state in OVER for job in jobs.values())
