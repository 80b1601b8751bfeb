"""Every task body that was started below one work directory, and what is promised of them, whoever asks.

started     never beside another of the same directory and command, whatever its inputs; and never again for the same
            inputs when one has ended well, unless its result is gone, its inputs were written to before that was
            known, the user asked for it again, or all that knew of it was deleted
told        a submission that is called finished has every result here, and each is of the bytes that were asked for
removed     nothing on the execution side whose only copy that is
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from posixpath import normpath
from typing import NamedTuple

from dispatcher.core.errors import DispatcherError
from dispatcher.core.history import History
from dispatcher.core.model import SubmissionSpec
from dispatcher.core.ports import Place
from dispatcher.run.store import begun, local_directory, read_history
from journal import JournalError

from .hosts import BrokenPromise


class Attempt(NamedTuple):
    """What was asked for under a nonce: in which place, by which journal."""

    place: Place
    journal: Path


class Body:
    """A task body that was started: in which place, in which directory of it, and by which attempt of which journal."""

    def __init__(self, attempt: Attempt, where: str, command: str, index: int, nonce: str, began: float) -> None:
        place, self.journal = attempt
        self.place, self.where, self.command, self.index = place, where, command, index
        self.nonce, self.began = nonce, began
        self.directory = os.path.realpath(f"{place.local}/{where}")
        self.there = f"{place.remote_root}/{where}/out"
        self.read = ""
        self.over = self.published = False
        #: The user asked for it once more.
        self.asked = False

    @property
    def result(self) -> str:
        """What it leaves: no two bodies leave the same, as programs are."""
        return f"{self.command}|{self.read}|{self.nonce}/{self.index}"

    def inputs(self) -> list[str]:
        """What it reads, where that really lies."""
        root = self.place.remote_root
        return [os.path.realpath(f"{root}/{self.where}/in"), os.path.realpath(f"{root}/pot")]

    def __repr__(self) -> str:
        """For whoever reads of a broken promise."""
        return f"{self.where} of {self.journal.parents[2].name}/{self.journal.parent.name[:6]} as {self.nonce}"


class Ledger:
    """What has been started so far. `live()` gives the histories that dispatchers have in mind, by journal."""

    def __init__(self, live: Callable[[], Mapping[Path, History]]) -> None:
        self.bodies: list[Body] = []
        self.attempts: dict[str, Attempt] = {}
        #: Attempts of which no journal tells any more to others, and of which nothing tells at all.
        self.unknown, self.forgotten = set[str](), set[str]()
        #: Attempts while which an input was written to, with that.
        self.void = set[tuple[str, str]]()
        self._live = live

    def started(self, body: Body) -> None:
        """Raises BrokenPromise when it should not have been."""
        for other in self.bodies:
            if (other.directory, other.command) != (body.directory, body.command) or self._excused(other, body):
                continue
            if not other.over:
                raise BrokenPromise(f"two at once: {body} beside {other}")
            again = other.published and other.read == body.read and not other.asked and self._is_kept(other)
            if again and not self._was_hidden(body, other):
                raise BrokenPromise(f"run again although its result is there: {body} after {other}")
        self.bodies.append(body)

    def _was_hidden(self, body: Body, other: Body) -> bool:
        """Its journal was lost or put back while it waited, so that the other could run: it is not called off."""
        hidden = {self.attempts[nonce].journal for nonce in self.unknown}
        return other.journal != body.journal and body.journal in hidden

    def _is_kept(self, body: Body) -> bool:
        void = any((body.nonce, path) in self.void for path in body.inputs())
        return not void and any(_holds(path, body) for path in (f"{body.directory}/out", body.there))

    def removing(self, place: Place) -> None:
        """The dispatcher removes a place."""
        for body in self.bodies if place.remote_root != place.local else ():
            only = body.place == place and body.published and _holds(body.there, body)
            if only and not self._at_home(body):
                raise BrokenPromise(f"removed before it was fetched: {body}")

    def _at_home(self, body: Body) -> bool:
        known = self._history(body.journal)
        return _holds(f"{body.directory}/out", body) or bool(known and normpath(f"{body.where}/out") in known.results)

    def _history(self, journal: Path) -> History | None:
        """What is known in a journal: by who is at work on it, else by what is written."""
        known = self._live().get(journal)
        return _written(journal) if known is None else known

    def _excused(self, other: Body, body: Body) -> bool:
        """What nobody knows of any more cannot be kept from running again."""
        nonces = {other.nonce, body.nonce}
        return bool(nonces & self.forgotten) or (other.journal != body.journal and bool(nonces & self.unknown))

    # -- what users do ------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Something was deleted or put back: who knows of each attempt now?

        Others know only what is written; a journal's own dispatcher has in mind what it had written.
        """
        journals = {attempt.journal for attempt in self.attempts.values()}
        written = {journal: _written(journal) for journal in journals}
        for nonce, attempt in self.attempts.items():
            bodies, disk = self.of(nonce), written[attempt.journal]
            mine = self._live().get(attempt.journal, disk)
            there = _is_there(attempt, nonce, any(body.published for body in bodies), mine)
            if not _knows(disk, nonce, bodies) and not (there and disk is not None and _waits(disk, nonce)):
                self.unknown.add(nonce)
            if not _knows(mine, nonce, bodies) and not there:
                self.forgotten.add(nonce)

    def of(self, nonce: str) -> list[Body]:
        """The bodies of an attempt."""
        return [body for body in self.bodies if body.nonce == nonce]

    def edited(self, path: str) -> None:
        """An input was written to: the success of an attempt whose journal does not know of it yet does not count."""
        for nonce, attempt in self.attempts.items():
            known = self._history(attempt.journal)
            readers = [body for body in self.of(nonce) if path in body.inputs()]
            if known is None or not readers or not all(_is_done(known, body) for body in readers):
                self.void.add((nonce, path))

    def asked(self, spec: SubmissionSpec, missing_only: bool) -> None:
        """The user wants these again, or those whose results are not here."""
        directories = {os.path.realpath(local_directory(spec) / task.task_work_path) for task in spec.tasks}
        for body in self.bodies:
            if body.directory in directories and not (missing_only and os.path.exists(f"{body.directory}/out")):
                body.asked = True

    def told(self, spec: SubmissionSpec, inputs: Mapping[str, str], touched: Sequence[str], since: float) -> None:
        """A run since then was called finished; `touched` are results that somebody has deleted meanwhile."""
        for task in spec.tasks:
            directory = os.path.realpath(local_directory(spec) / task.task_work_path)
            path = f"{directory}/out"
            if path in touched or self._others_wrote(directory, task.command, since):
                continue
            if not os.path.exists(path):
                raise BrokenPromise(f"called finished, and its result is not here: {task.task_work_path}")
            own, said = inputs[normpath(f"{task.task_work_path}/in")], Path(path).read_text().split("|")
            wanted = f"{own} {inputs['pot']}"
            if said[:2] != [task.command, wanted] and not self._overwritten(directory, task.command, said[0], wanted):
                raise BrokenPromise(f"called finished with the result of other bytes: {task.task_work_path}, {said}")

    def _overwritten(self, directory: str, command: str, by: str, read: str) -> bool:
        """It was there, until the user had another command run in that directory."""
        mine = [body for body in self.bodies if body.directory == directory and body.command == command]
        return by != command and any(body.published and body.read == read for body in mine)

    def _others_wrote(self, directory: str, command: str, since: float) -> bool:
        """Another command ran there at the same time: what it wrote over is the user's own doing."""
        return any(
            body.directory == directory and body.command != command and (not body.over or body.began >= since)
            for body in self.bodies
        )


def _holds(path: str, body: Body) -> bool:
    try:
        return Path(path).read_text() == body.result
    except OSError:
        return False


def _written(journal: Path) -> History | None:
    try:
        return read_history(journal) if begun(journal) else None
    except (JournalError, DispatcherError, OSError):
        return None


def _is_done(history: History, body: Body) -> bool:
    """Its job has its success, or has gone on to another attempt."""
    if body.nonce not in history.nonces:
        return False
    return not any(job.nonce == body.nonce and not job.done >> body.index & 1 for job in history.jobs.values())


def _knows(history: History | None, nonce: str, bodies: Sequence[Body]) -> bool:
    """A journal that has each success and where its result is, or the attempt as long as there is none."""
    if history is None or nonce not in history.nonces:
        return False
    here = {normpath(path) for path in history.results}
    found = (normpath(f"{body.where}/out") in here or _holds(body.there, body) for body in bodies if body.published)
    return all(_is_done(history, body) for body in bodies if body.published) and all(found)


def _waits(history: History, nonce: str) -> bool:
    return any(job.nonce == nonce and job.may_run for job in history.jobs.values())


def _is_there(attempt: Attempt, nonce: str, published: bool, known: History | None) -> bool:
    """Whether its place tells of it: how it ended, or until then that it was asked for; and for which job."""
    lies = {kind: os.path.exists(f"{attempt.place.control}/{nonce}.{kind}") for kind in ("sub", "id", "claim")}
    job = lies["sub"] or (known is not None and nonce in known.nonces)
    return job and (lies["claim"] if published else any(lies.values()))
