"""`dispatcher retry TASK|JOB…`: try failed jobs again, with other resources if need be, and see them through.

2 jobs are tried again, with walltime=8:00:00
finished      2 jobs; 200 of 200 tasks done, in 12s
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import Any

from ..core import events as ev
from ..core.errors import ConfigError, NotOurs
from ..core.history import History
from ..core.model import ResourcesSpec
from ..core.states import State
from ..run.session import Session, unshared
from . import wanted
from .elsewhere import alone_with, profile_of
from .elsewhere import arguments as profile_arguments
from .execute import arguments as run_arguments
from .execute import perform
from .say import say
from .telling import count

EXAMPLES = """\
examples:
  dispatcher retry                              every failed job of the submission here
  dispatcher retry c13 4211                     these
  dispatcher retry --set walltime=8:00:00 --set memory=32G      with other resources, on Slurm

--set changes a key of resources, or of its kwargs, for the attempts that
follow; it is written into the journal. A job that still runs is not touched.
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    wanted.arguments(parser)
    parser.add_argument(
        "--set", metavar="KEY=VALUE", action="append", default=[], help="a key of resources or kwargs, for these jobs"
    )
    profile_arguments(parser)
    run_arguments(parser)


def run(args: Namespace) -> int:
    """Write down which, then carry the submission out as `submit` does."""
    found = wanted.chosen(args.names, args.where, only=True)
    asked = checked(assignments(args.set), found.replay.history)
    jobs = [job for job in found.jobs if found.replay.history.jobs[job].state is State.terminated]
    if not jobs:
        raise ConfigError("nothing to try again: none of these jobs has failed (dispatcher tasks shows their states)")

    def begin(session: Session) -> None:
        context = session.connect().context
        if not context.own("").record:
            raise NotOurs(
                f"{context.place.remote_root} does not carry the record of this journal: it was removed there, or the "
                "journal was made elsewhere, and would choose what runs here. `dispatcher submit FILE` goes on with it"
            )
        planned, progress = session.history.planned, session.progress
        with unshared(session, [planned[job].positions[index] for job in jobs for index in progress[job].unfinished]):
            session.record(*(ev.Retried(job, fresh=True, resources=asked) for job in jobs))
        changed = f", with {', '.join(args.set)}" if asked else ""
        if not args.json:
            say(f"{count(len(jobs), 'job')} to be tried again{changed}\n")

    return perform(
        lambda environment: alone_with(found.path, profile_of(args), "dispatcher retry …", environment), args, begin
    )


def checked(asked: Mapping[str, Any], history: History) -> dict[str, Any]:
    """The same, once it is known that the batch system of this run reads these keys and takes these values.

    Raises ConfigError before anything is written: what a journal holds stays in it.
    """
    from ..schema import check, resources_arginfo

    if not asked or history.opened is None:
        return dict(asked)
    before, own = history.opened.resources, {key: asked[key] for key in asked if key in ResourcesSpec.__struct_fields__}
    if made := own.keys() & {"group_size", "kwargs", "strategy"}:
        raise ConfigError(f"--set {min(made)}: the jobs are made already; set keys of resources, or of its kwargs")
    kwargs = {**before.get("kwargs", {}), **{key: asked[key] for key in asked if key not in own}}
    given = {"batch_type": str(history.opened.machine.get("batch_type")), "group_size": 1, "kwargs": kwargs, **own}
    check(given, resources_arginfo(), "--set: resources")
    return dict(asked)


def assignments(texts: Sequence[str]) -> dict[str, Any]:
    """`memory=32G` as a key and its value: JSON where it is that, text otherwise. ConfigError without a key."""
    found: dict[str, Any] = {}
    for text in texts:
        key, equal, value = text.partition("=")
        if not key or not equal:
            raise ConfigError(f"--set {text}: write KEY=VALUE, such as walltime=8:00:00")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found
