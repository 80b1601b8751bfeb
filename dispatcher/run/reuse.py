"""What an earlier submission of the same tasks has finished, so that other resources do not run it again.

    submission.json   previous_submission_hash: 5f1c…      partition and walltime have changed since

    of(spec, profile, "5f1c…")()   ->   Reuse("5f1c…", {0, 3, 4})     their results are here, verified

Only resources may differ (manual of 1.1, previous_submission_hash). The earlier
one must be at rest: with its lock held, what its tasks left is downloaded by its
own session, and only then does the new journal say that they are done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ..core.errors import ConfigError
from ..core.model import JobSpec, ResourcesSpec, SubmissionSpec
from ..core.names import CONTROL
from .opening import Reuse
from .session import Session, open_session
from .store import journal_of, local_directory, read_history, settled
from .survey import survey

_KEY = "submission/previous_submission_hash"


def of(spec: SubmissionSpec, profile: Mapping[str, Any], previous: str | None) -> Callable[[], Reuse]:
    """To be called when the journal of `spec` is begun; raises ConfigError when `previous` cannot be built on."""

    def reuse() -> Reuse:
        return _harvest(spec, profile, previous) if previous else Reuse()

    return reuse


def _harvest(spec: SubmissionSpec, profile: Mapping[str, Any], previous: str) -> Reuse:
    path = journal_of(local_directory(spec), previous)
    history = read_history(path) if path.is_dir() else None
    if history is None or history.opened is None:
        raise ConfigError(f"{_KEY}: there is no journal of {previous} in {local_directory(spec) / CONTROL}")
    old = _with_resources(spec, history.opened.resources)
    if survey(old).submission != previous:
        raise ConfigError(
            f"{_KEY}: {previous} differs in more than its resources (tasks, files, machine or the bytes of its "
            "inputs); leave the key out to run everything anew"
        )
    if not settled(history):
        raise ConfigError(f"{_KEY}: jobs of {previous} are in the queue; `dispatcher cancel {path.parent}` first")
    planned = [JobSpec(job, event.positions) for job, event in history.planned.items()]
    with open_session(old, profile, jobs=planned) as session:
        return Reuse(previous, _brought_home(session))


def _with_resources(spec: SubmissionSpec, resources: Mapping[str, Any]) -> SubmissionSpec:
    return msgspec.structs.replace(spec, resources=msgspec.convert(resources, ResourcesSpec))


def _brought_home(session: Session) -> frozenset[int]:
    """Positions of all tasks that have ended well, once their results are here."""
    jobs = session.progress
    if not settled(session.history):
        raise ConfigError(f"{_KEY}: another dispatcher has gone on with {session.submission}; wait for it to end")
    if not session.history.cleaned and any(job.done for job in jobs.values()):
        session.download()
    return frozenset(
        position
        for job in session.planned
        for index, position in enumerate(job.tasks)
        if jobs[job.hash].done >> index & 1
    )
