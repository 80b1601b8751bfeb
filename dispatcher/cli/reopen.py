"""A submission opened for work from what its journal holds, without the file that once asked for it.

    with reopened_session(Path("runs/.dispatcher/1f2e…/journal"), profile) as session:
        session.look()

Inputs are not looked at: what runs was started with those that were there
then. The local side is where the journal is now, wherever it was made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

import journal as journals

from .. import contexts, schedulers
from ..core.errors import ConfigError, JournalDamaged
from ..core.history import History
from ..core.model import JobSpec, MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec
from ..run.environment import Environment, real_environment
from ..run.session import Session
from ..run.store import open_journal
from .report import Replay


@contextmanager
def reopened_session(
    path: Path, profile: Mapping[str, Any] | None, environment: Environment | None = None
) -> Iterator[Session]:
    """Take the lock and fold the journal. Raises JournalBusy when a dispatcher is at work, ConfigError without profile.

    `profile` is what the context is told of the other side; None when the user gave none.
    """
    replay = Replay()

    def fold(frame: journals.Frame[Any]) -> None:
        replay.fold([frame])

    log = open_journal(path, fold)
    try:
        session = _session(path, log, replay, profile, environment or real_environment())
    except BaseException:
        log.close()
        raise
    with session:
        yield session


def _session(
    path: Path, log: journals.Journal[Any], replay: Replay, profile: Mapping[str, Any] | None, environment: Environment
) -> Session:
    history = replay.history
    if replay.unknown:
        raise JournalDamaged(f"{path} has records of kinds {', '.join(replay.unknown)}: update dispatcher")
    if history.opened is None:
        raise ConfigError(f"{path} does not say what was asked: the dispatcher died before it began; nothing runs")
    try:
        spec = _spec(path, history)
    except msgspec.ValidationError as error:
        raise JournalDamaged(f"{path}: what was asked cannot be read again: {error}") from error
    kind = contexts.load(spec.machine.context_type)
    if profile is None and any(key.required for key in kind.profile_keys):
        raise ConfigError(
            f"the jobs are behind {spec.machine.context_type}, and a journal holds no profile: "
            "say how to get there with --machine FILE (a machine or a submission file)"
        )
    submission = history.opened.submission
    jobs = [JobSpec(planned.job, planned.positions) for planned in history.planned.values()]
    return Session(
        spec,
        jobs,
        submission,
        schedulers.chosen(spec.machine.batch_type, spec.resources),
        lambda: kind.open(spec.machine, profile or {}, submission, spec.work_base),
        log,
        history,
        environment,
        uploads=(),
    )


def _spec(path: Path, history: History) -> SubmissionSpec:
    """What was asked, with the local side where the journal lies."""
    opened = history.opened
    assert opened is not None
    tasks: dict[int, TaskSpec] = {}
    for planned in history.planned.values():
        tasks.update(zip(planned.positions, planned.tasks, strict=True))
    # Both together are the local side: where the journal is now, whatever it was when it was made.
    machine = {**opened.machine, "local_root": str(path.absolute().parents[2])}
    return SubmissionSpec(
        work_base=".",
        machine=msgspec.convert(machine, MachineSpec),
        resources=msgspec.convert(opened.resources, ResourcesSpec),
        tasks=tuple(tasks[position] for position in sorted(tasks)),
        forward_common_files=opened.forward_common_files,
        backward_common_files=opened.backward_common_files,
    )
