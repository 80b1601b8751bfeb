"""Opening a submission for work.

    with open_session(spec, profile) as session:       check ─▶ survey ─▶ open ─▶ begin, each once
        session.run(check_interval=30)

What others do in the same directories is looked at between the survey and the
opening, and nobody else opens anything there meanwhile: a task is run once,
whichever submission names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain, repeat
from typing import Any

import msgspec

import journal as journals

from ..core.errors import ConfigError
from ..core.history import History
from ..core.model import JobSpec, SubmissionSpec
from ..core.names import CANCEL, CONTROL
from ..files.ours import is_ours, own
from . import index, original
from .environment import Environment, new_nonce, real_environment
from .opening import first_records
from .reuse import Others
from .spending import within_budget
from .store import fold, journal_errors, journal_of, local_directory, open_journal
from .survey import Asked, Drives, Surveyed, check, survey
from .work import Session

__all__ = ["Session", "begin", "open_asked", "open_session"]


@contextmanager
def open_session(
    spec: SubmissionSpec,
    profile: Mapping[str, Any],
    jobs: Sequence[JobSpec] | None = None,
    environment: Environment | None = None,
    previous: str | None = None,
    rerun: bool = False,
    driver: Drives | None = None,
) -> Iterator[Session]:
    """Check what is asked, survey what lies here, open the journal, begin it when it is new.

    `previous` is an earlier submission that must be one of the same tasks; with `rerun` nothing that others have
    finished is taken over; `driver` are classes of the program's own that take part. Raises ConfigError and
    InputMissing before anything is written, TaskLive when another submission is at a task of this one, SubmissionBusy
    when another process works on this submission, JournalDamaged when its journal cannot be trusted.
    """
    asked = check(spec, profile, jobs, driver)
    original.refuse(spec)
    found = survey(spec)
    with ExitStack() as stack:
        with alone(spec) as around:
            others = Others(spec, found.inputs, journal_of(local_directory(spec), found.submission), around)
            warnings = others.refuse_live()
            session = stack.enter_context(open_asked(asked, found, environment or real_environment()))
            found.looked.keep(session.journal.path.parent)
            if session.history.opened is None and previous:
                others.check_previous(previous)
            begin(session, found.inputs)
        session.notices += warnings
        session.unshared = lambda positions: unshared(session, positions)
        look = partial(Others, spec, found.inputs, session.journal.path, around)
        session.overwritten = lambda: look().overwritten(session)
        if not rerun:
            session.reuse = _first_then(lambda: others.reuse(session, profile), lambda: look().reuse(session, profile))
        yield session
    index.write(session.journal.path, session.history, journals.fingerprint(session.journal.path))


def _first_then(first: Callable[[], str], then: Callable[[], str]) -> Callable[[], str]:
    """What was looked up at the opening answers once; later there may be more."""
    ways = chain([first], repeat(then))
    return lambda: next(ways)()


@contextmanager
def unshared(session: Session, positions: Sequence[int]) -> Iterator[None]:
    """Nobody else is at these tasks of a session, by position, nor begins one meanwhile; TaskLive names who is."""
    assert session.history.opened is not None, "begun"
    with alone(session.spec) as around:
        Others(session.spec, session.history.opened.inputs, session.journal.path, around).refuse_live(positions)
        yield


@contextmanager
def alone(spec: SubmissionSpec) -> Iterator[index.Surroundings]:
    """Nobody else begins or resumes a submission in this work directory, or one it may share tasks with, meanwhile."""
    place = local_directory(spec)
    own(place / CONTROL)
    around = index.surroundings(str(place), spec)
    with ExitStack() as stack:
        for control in around.controls:
            lock = journals.Lock(control)
            with journal_errors(control):
                lock.acquire(60.0, new_nonce())
            stack.callback(lock.release)
        yield around


def open_asked(asked: Asked, found: Surveyed, environment: Environment) -> Session:
    """Take the lock of the journal and fold what it holds."""
    spec, submission = asked.spec, found.submission
    path, history = journal_of(local_directory(spec), submission), History()
    with journal_errors(path):
        log = open_journal(path, lambda frame: fold(history, frame))
    request = path.with_name(CANCEL)  # one that nobody lived to obey still holds
    session = Session(
        spec,
        asked.planned,
        submission,
        asked.scheduler,
        lambda name: within_budget(asked.open(name), spec.machine, path, environment.stop),
        log,
        history,
        msgspec.structs.replace(environment, cancelled=lambda: is_ours(request)),
        found.uploads,
    )
    session.seen = found.looked.stamps
    return session


def begin(session: Session, inputs: Mapping[str, str]) -> None:
    """The first records of a new journal; refused when the journal is another submission's."""
    if session.history.opened is not None:
        if session.history.opened.submission != session.submission:
            raise ConfigError(
                f"{session.journal.path} is the journal of another submission "
                f"({session.history.opened.submission}); move it away and run again"
            )
        return
    session.history.began = session.history.began or session.environment.now()
    first = first_records(
        session.spec, session.planned, session.submission, str(session.local), inputs, session.environment.nonce()
    )
    with journal_errors(session.journal.path):
        session.record(*first)
