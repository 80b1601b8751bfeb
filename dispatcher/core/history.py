"""Where a whole submission stands: the fold of its journal, live and at replay.

history = History()
for record in records: history.fold(record)
history.jobs["5f1c…"].state      -> State.running
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from . import events as ev
from .errors import IllegalTransition
from .lifecycle import Progress, apply


class History:
    """The state of a submission. `fold` is the only way it changes; refused events change nothing.

    `began` is when its first record was written, seconds since the epoch. `place`: the name of the directory where the
    jobs run, "" when it is that of the submission. `nonces`: of all attempts that ever were. `downloaded`: by job, the
    tasks (as bits, see Progress.done) whose results were brought to the local side; `lacking`: what the last download
    did not find. `results`: what finished tasks left and was brought here, SHA-256 by path below the local side.
    `heard` is called with every event that was believed, `moved` with a job as it was before one and after.
    `hooked`: which hooks were called since it concluded.
    """

    def __init__(self) -> None:
        self.began = 0.0
        self.opened: ev.Opened | None = None
        self.planned: dict[str, ev.Planned] = {}
        self.jobs: dict[str, Progress] = {}
        self.place = ""
        self.staged = False
        self.downloaded: dict[str, int] = {}
        self.results: dict[str, str] = {}
        self.nonces: set[str] = set()
        self.lacking: frozenset[str] = frozenset()
        self.cleaned = False
        self.concluded: ev.Concluded | None = None
        self.hooked: frozenset[str] = frozenset()
        self.heard: Callable[[Any], None] = _unheard
        self.moved: Callable[[Progress, Progress], None] = _unnoticed

    def fold(self, event: Any) -> None:
        """Apply one event; raises IllegalTransition for one that cannot follow what was before."""
        if type(event) in _MOVES:
            self._moved(apply(self._job(event.job), event))
        else:
            self._check(event)(self, event)
        self.heard(event)

    def check(self, event: Any) -> Callable[[], None]:
        """What `fold` would do, refused before anything changes when it is illegal; call it to do it."""
        if type(event) in _MOVES:
            return partial(self._believe, event, partial(self._moved, apply(self._job(event.job), event)))
        return partial(self._believe, event, partial(self._check(event), self, event))

    def _believe(self, event: Any, step: Callable[[], None]) -> None:
        step()
        self.heard(event)

    def _check(self, event: Any) -> Callable[[History, Any], None]:
        step = _STEPS.get(type(event))
        if step is None:
            raise IllegalTransition(f"{type(event).__name__} is no event of a submission")
        if (self.opened is None) is not isinstance(event, ev.Opened):
            raise IllegalTransition(f"{type(event).__name__}: a journal starts with Opened, once")
        for job in event.jobs if isinstance(event, ev.Delivered) else ():
            self._job(job)
        if isinstance(event, ev.Planned):
            self._check_plan(event)
        if isinstance(event, ev.Placed) and self.opened and not event.name.startswith(self.opened.submission):
            raise IllegalTransition(f"{event.name} is not a directory of submission {self.opened.submission}")
        return step

    def _check_plan(self, event: ev.Planned) -> None:
        if event.job in self.jobs:
            raise IllegalTransition(f"job {event.job} is planned twice")
        if len(event.tasks) > len(event.positions):
            raise IllegalTransition(f"job {event.job}: {len(event.tasks)} tasks in {len(event.positions)} places")

    def _job(self, job: str) -> Progress:
        try:
            return self.jobs[job]
        except KeyError:
            raise IllegalTransition(f"job {job} was never planned") from None

    def _moved(self, after: Progress) -> None:
        before, self.jobs[after.job] = self.jobs[after.job], after
        self.moved(before, after)
        if after.job in self.downloaded:  # what is to be run again has results to come
            self.downloaded[after.job] &= after.done
        if after.nonce:
            self.nonces.add(after.nonce)
        self.concluded, self.cleaned = None, False

    def _opened(self, event: ev.Opened) -> None:
        self.opened = event

    def _planned(self, event: ev.Planned) -> None:
        self.planned[event.job] = event
        self.jobs[event.job] = Progress(event.job, len(event.positions))

    def _placed(self, event: ev.Placed) -> None:
        self.place = event.name

    def _recalled(self, event: ev.Recalled) -> None:
        self.nonces.update(event.attempts)

    def _staged(self, event: ev.Staged) -> None:
        self.staged = True

    def _delivered(self, event: ev.Delivered) -> None:
        self.downloaded = {name: job.done for name, job in self.jobs.items()}
        self.lacking = frozenset(event.missing)

    def _received(self, event: ev.Received) -> None:
        self.results.update(event.files)

    def _cleaned(self, event: ev.Cleaned) -> None:
        self.cleaned = True

    def _concluded(self, event: ev.Concluded) -> None:
        self.concluded, self.hooked = event, frozenset()

    def _hooked(self, event: ev.Hooked) -> None:
        self.hooked |= {event.hook}

    def _noted(self, event: ev.Note) -> None:
        """A note moves nothing."""


def _unheard(event: Any) -> None:
    """Nobody listens."""


def _unnoticed(before: Progress, after: Progress) -> None:
    """Nobody keeps count."""


_MOVES = frozenset(ev.JOB_EVENTS)
_STEPS: dict[type, Callable[[History, Any], None]] = {
    ev.Opened: History._opened,
    ev.Planned: History._planned,
    ev.Placed: History._placed,
    ev.Recalled: History._recalled,
    ev.Staged: History._staged,
    ev.Received: History._received,
    ev.Delivered: History._delivered,
    ev.Cleaned: History._cleaned,
    ev.Concluded: History._concluded,
    ev.Hooked: History._hooked,
    ev.Note: History._noted,
}
