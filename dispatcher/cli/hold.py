"""`dispatcher hold [TASK|JOB…]`: keep waiting jobs from starting, until `dispatcher release`.

held 3 jobs; `dispatcher release` lets them go

With Slurm (scontrol hold), PBS, Torque and SGE (qhold), LSF (bstop) and Fugaku (pjhold). Who held them is written into
the journal first; while a dispatcher is at work there, the batch system alone is told, and that dispatcher sees it.
"""

from __future__ import annotations

import getpass
import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import suppress

import journal as journals

from ..core import events as ev
from ..core.errors import ConfigError, DispatcherError, SubmissionBusy
from ..core.holding import Holding
from ..core.lifecycle import IN_QUEUE, Progress
from ..core.ports import Context, Query, Scheduler
from ..core.states import State
from ..run.reopen import reopened_session
from . import wanted
from .elsewhere import Elsewhere, profile_of
from .elsewhere import arguments as profile_arguments
from .say import say, say_json
from .telling import count

EXAMPLES = """\
examples:
  dispatcher hold                       all jobs of the submission here that wait
  dispatcher hold c13 4211              these
  dispatcher release                    let them go
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    wanted.arguments(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    profile_arguments(parser)


def run(args: Namespace) -> int:
    """Hold them."""
    return change(args, release=False)


def change(args: Namespace, release: bool) -> int:
    """Hold or release; how many it concerns is said. Raises when the batch system cannot, or may not have, done so."""
    found = wanted.chosen(args.names, args.where, only=True)
    profile = profile_of(args)
    try:
        with reopened_session(found.path, profile) as session:
            engine = session.connect()
            holding(session.scheduler)
            engine.observe([session.progress[job] for job in found.jobs if session.progress[job].state in IN_QUEUE])
            jobs = _waiting([session.progress[job] for job in found.jobs])
            session.record(*(ev.Note(_word(release), job.job) for job in jobs))
            trouble = told(session.scheduler, engine.context, [engine.observer.query(job) for job in jobs], release)
            session.record(*(ev.Note(f"not {_done(release)}: {trouble}", job.job) for job in jobs if trouble))
    except (journals.JournalBusy, SubmissionBusy):
        with Elsewhere(found, profile) as there:
            jobs = _waiting([found.replay.history.jobs[job] for job in found.jobs])
            queries = [Query(job.nonce, job.id, found.replay.history.began) for job in jobs]
            trouble = told(there.scheduler, there.context, queries, release)
    if trouble:
        raise DispatcherError(f"some of {count(len(jobs), 'job')} may not have been {_done(release)}: {trouble}")
    if args.json:
        say_json({"submission": found.path.parent.name, "jobs": [job.job for job in jobs], "released": release})
    else:
        say(f"{_done(release)} {count(len(jobs), 'job')}{'' if release else '; `dispatcher release` lets them go'}\n")
    return 0


def holding(scheduler: Scheduler) -> Holding:
    """The same, when it can do that. ConfigError when it cannot."""
    if not isinstance(scheduler, Holding):
        raise ConfigError(f"{scheduler.name} has no command that holds or releases jobs")
    return scheduler


def told(scheduler: Scheduler, context: Context, queries: Sequence[Query], release: bool) -> str:
    """Tell the batch system; why it may not have been done, "" when there is no reason to think so."""
    able = holding(scheduler)
    reply = context.run(able.hold(queries, context.place, release))
    return able.held(reply, queries)


def _waiting(jobs: Sequence[Progress]) -> list[Progress]:
    found = [job for job in jobs if job.state is State.waiting]
    if not found:
        raise ConfigError("none of these jobs waits in the queue (dispatcher tasks shows their states)")
    return found


def _done(release: bool) -> str:
    return "released" if release else "held"


def _word(release: bool) -> str:
    who = str(os.getuid())
    with suppress(KeyError, OSError):
        who = getpass.getuser()
    by = f"by {who} on {os.uname().nodename}"
    return f"released {by}" if release else f"held {by}: as it is, it will not start before `dispatcher release`"
