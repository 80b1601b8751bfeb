"""A submission opened for work from what its journal holds, without the file that once asked for it.

    with reopened_session(Path("runs/.dispatcher/1f2e…/journal"), profile) as session:
        session.observe()

Inputs are not looked at: what runs was started with those that were there
then. The local side is where the journal is now, wherever it was made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import journal as journals

from .. import contexts, schedulers
from ..contexts.budgeted import budgeted
from ..core.errors import ConfigError, JournalDamaged
from ..core.history import History
from ..core.keys import HASH
from ..core.model import JobSpec, SubmissionSpec
from ..core.names import CONTROL, JOURNAL
from ..core.ports import Context
from ..files import patterns
from .environment import Environment, real_environment
from .spending import within_budget
from .store import fold, journal_of, open_journal, spec_of
from .work import Session


@contextmanager
def reopened_session(
    path: Path, profile: Mapping[str, Any] | None, environment: Environment | None = None
) -> Iterator[Session]:
    """Take the lock and fold the journal. Raises JournalBusy when a dispatcher is at work, ConfigError without profile.

    `profile` is what the context is told of the other side; None when the user gave none.
    """
    history = History()
    log = open_journal(path, lambda frame: fold(history, frame))
    try:
        session = _session(path, log, history, profile, environment or real_environment())
    except BaseException:
        log.close()
        raise
    session.begins = False
    with session:
        yield session


def _session(
    path: Path,
    log: journals.Journal[Any],
    history: History,
    profile: Mapping[str, Any] | None,
    environment: Environment,
) -> Session:
    spec, kind = asked(path, history, profile)
    jobs = [JobSpec(planned.job, planned.positions) for planned in history.planned.values()]
    return Session(
        spec,
        jobs,
        path.parent.name if history.opened is None else history.opened.submission,
        schedulers.chosen(spec.machine.batch_type, spec.resources),
        lambda name: within_budget(
            kind.open(spec.machine, profile or {}, name, spec.work_base), spec.machine, path, environment.stop
        ),
        log,
        history,
        environment,
        uploads=(),
    )


def context_of(path: Path, history: History, profile: Mapping[str, Any] | None) -> Context:
    """The place where the jobs of a journal run, opened for a look; the journal may be another process's."""
    spec, kind = asked(path, history, profile)
    context = kind.open(spec.machine, profile or {}, history.place or path.parent.name, spec.work_base)
    return budgeted(context, spec.machine, lambda: False)


def asked(
    path: Path, history: History, profile: Mapping[str, Any] | None
) -> tuple[SubmissionSpec, type[contexts.Opens]]:
    """What was asked, and the class of the context. ConfigError when that needs a profile and there is none."""
    spec = spec_of(path, history)
    _refuse_strange(path.absolute(), history, spec)
    kind = contexts.load(spec.machine.context_type)
    if profile is None and any(key.required for key in kind.profile_keys):
        raise ConfigError(
            f"the jobs are behind {spec.machine.context_type}, and a journal holds no profile: "
            "say how to get there with --machine FILE (a machine or a submission file)"
        )
    return spec, kind


def _refuse_strange(path: Path, history: History, spec: SubmissionSpec) -> None:
    """Obey only a journal that lies where its own submission has it, and whose paths stay below their directories."""
    submission = history.opened.submission if history.opened else ""
    if not HASH.test(submission) or path != journal_of(path.parents[2], submission):
        raise JournalDamaged(
            f"{path} says that it belongs to submission {submission!r}, whose journal would lie in "
            f"{CONTROL}/{submission}/{JOURNAL}: one that was moved, or made by hand, is read and not obeyed"
        )
    patterns.check_paths(spec)
