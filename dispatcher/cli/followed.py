"""Submissions below a directory, followed as their journals grow: each record is read once, and nothing is written.

    following = Following("/proj")
    following.look(chosen=None, failed=False)   ->  View(submissions=[…], chosen=…, told=[…], tasks=[…])

What a submission, a task or a notice looks like is said by `list`, `tasks` and `notices`; here it is only gathered.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import journal as journals
from journal.format import Codec
from journal.reader import Reader, decoded

from ..core.errors import ConfigError, IllegalTransition
from ..core.events import Event
from ..core.records import TaskRecord
from ..core.states import State
from . import list as listing
from .find import journals_of
from .notices import current, line_of
from .status import state_of
from .telling import SHORT, Replay, tally

#: Tasks that a view holds at most, and looks between two searches for new submissions.
MOST, _SEARCH = 500, 5
#: What is shown first.
_ORDER = [State.terminated, State.running, State.completing, State.waiting, State.unsubmitted, State.finished]


class Followed:
    """One journal and what it has told so far; `problem` is why it cannot be read on."""

    def __init__(self, path: Path) -> None:
        self.path, self.replay, self.problem = path, Replay(), ""
        self._reader = Reader(path)
        self._codec = Codec[Event](Event)

    def look(self) -> None:
        """Read what was added."""
        try:
            if not self.problem and self._reader.grown():
                self.replay.fold(decoded(self._reader, self._codec))
        except (IllegalTransition, journals.JournalError, OSError) as error:
            self.problem = str(error)

    @property
    def state(self) -> str:
        """As `dispatcher list` calls it."""
        return state_of(self.path, self.replay, self.problem)

    @property
    def row(self) -> tuple[str, ...]:
        """As `dispatcher list` shows it."""
        return listing.row_of(self.path, self.replay, self.problem)


class View(NamedTuple):
    """What there is to show now. `told` are notices as sentences with their kind, `more` tasks that are not shown."""

    submissions: list[tuple[Path, tuple[str, ...]]]
    chosen: Followed | None
    told: list[tuple[str, str]]
    tasks: list[TaskRecord]
    more: int
    problem: str = ""


class Following:
    """All submissions that are meant by a directory or a hash, those that began last first."""

    def __init__(self, where: str) -> None:
        self.where = where
        self._known: dict[Path, Followed] = {}
        self._looks, self._problem = 0, ""

    def look(self, chosen: Path | None, failed: bool) -> View:
        """Read on, and say what there is; of the chosen submission (the newest by default) also its tasks."""
        if self._looks % _SEARCH == 0:
            self._search()
        self._looks += 1
        for followed in self._known.values():
            followed.look()
        rows = [(followed.path, followed.row) for followed in reversed(self._known.values())]
        one = self._known.get(chosen or Path()) or next(reversed(self._known.values()), None)
        if one is None:
            return View(rows, None, [], [], 0, self._problem)
        tasks = _sorted(one, failed)
        return View(rows, one, _told(one), tasks[:MOST], max(len(tasks) - MOST, 0), one.problem)

    def _search(self) -> None:
        try:
            found = journals_of(self.where)
        except ConfigError as error:
            found, self._problem = [], str(error)
        self._known = {path: self._known.get(path) or Followed(path) for path in found}


def _sorted(followed: Followed, failed: bool) -> list[TaskRecord]:
    rank = {state.value: nth for nth, state in enumerate(_ORDER)}
    tasks = followed.replay.chronicle.tasks()
    chosen = [task for task in tasks if task.state == State.terminated.value] if failed else tasks
    return sorted(chosen, key=lambda task: rank[task.state])


def _told(followed: Followed) -> list[tuple[str, str]]:
    """Where it stands in a sentence, and what is to be known of it."""
    seen, at_work = tally(followed.replay.history.jobs.values()), followed.state == "at work"
    done = f"{seen.done:,} of {seen.tasks:,} tasks done"
    line = f"{followed.path.parent.name[:SHORT]}: {followed.state}; {done}; jobs: {seen}"
    found = current(followed.replay.chronicle, at_work)
    return [("", line), *((notice.kind, line_of(notice, time.time())) for notice in found)]
