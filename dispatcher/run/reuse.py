"""What other submissions do, or have done, of the tasks of this one: nothing of it is run a second time.

    others = Others(spec, inputs, journal, surroundings(place, spec))
    others.refuse_live(pending)        TaskLive: task t3 is in the queue as job 4211 of submission 1f2e3d…
    others.reuse(session, profile)     "37 of 40 tasks were finished by 1f2e3d: not run again"

A task is the same when its directory, its command, its inputs and its surroundings are (`identity`). What one has
finished counts when its results are here with the digests that were recorded, or can still be fetched.
`previous_submission_hash` only says which submission must have finished something: it is looked for either way.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from .. import contexts
from ..core import events as ev
from ..core.errors import ConfigError, TaskLive
from ..core.history import History
from ..core.lifecycle import State
from ..core.model import SubmissionSpec
from ..core.ports import FileEntry, Item
from ..files import local, patterns
from ..files.listing import Listing
from . import original
from .identity import TaskIdentity, identities
from .index import IndexedTask, Neighbour, Surroundings, by_directory, index_of
from .reopen import reopened_session
from .results import received
from .store import begun, journal_errors, journal_of, read_history, spec_of
from .work import Session

_KEY = "submission/previous_submission_hash"
#: Results by path below the local side: their SHA-256.
_Results = dict[str, str]


class Others:
    """The tasks of other submissions that run, or ran, in the directories of this one's."""

    def __init__(self, spec: SubmissionSpec, inputs: Mapping[str, str], journal: Path, around: Surroundings) -> None:
        self.spec, self.inputs, self.journal = spec, inputs, journal
        self.place, self._directories = around.place, around.directories
        own = Path(os.path.realpath(journal.parents[2]), *journal.parts[-3:])
        self._theirs = by_directory(around.neighbours(own))

    def at(self, position: int) -> list[tuple[Neighbour, IndexedTask]]:
        """What others have in the directory of a task, oldest submission first."""
        return self._theirs.get(self._directories[position], [])

    @cached_property
    def tasks(self) -> list[TaskIdentity]:
        """Who each task is; not asked where nobody else has one."""
        return identities(self.spec, self.inputs)

    # -- live ---------------------------------------------------------------------------------------------------

    def refuse_live(self, positions: Iterable[int] | None = None) -> list[str]:
        """Raise TaskLive when a task that is still to be run is live elsewhere; warnings about its directory else.

        `positions`: these are to be run, whatever our own journal says.
        """
        warnings: dict[str, None] = {}
        asked = self._pending() if positions is None else positions
        for position in asked if self._theirs else ():
            for neighbour, entry in self.at(position):
                if not neighbour.is_live(entry):
                    continue
                if entry.command == self.tasks[position].command:
                    raise TaskLive(self._refusal(position, neighbour, entry))
                warnings[
                    f"another command is live in {self._directories[position]} ({_job(neighbour, entry)}): "
                    "both may write there"
                ] = None
        return list(warnings)

    def _pending(self) -> Iterable[int]:
        """The tasks that this submission may still have to start, as its own journal says, if it has begun."""
        if not begun(self.journal):
            return range(len(self.tasks))
        own = index_of(self.journal).tasks
        return [entry.position for entry in own if not entry.done and not entry.live] if own else range(len(self.tasks))

    def _refusal(self, position: int, neighbour: Neighbour, entry: IndexedTask) -> str:
        path, submission = neighbour.journal.parent, neighbour.index.submission
        task, opened = self.spec.tasks[position], read_history(neighbour.journal).opened
        before = opened.inputs if opened else {}
        read = {*before, *self.inputs} if neighbour.journal.parents[2] == self.journal.parents[2] else ()
        changed = sorted(name for name in read if before.get(name) != self.inputs.get(name))
        since = f" Inputs have changed since: {', '.join(changed[:10])}." if changed else ""
        return (
            f"task {position} ({task.task_work_path}: {task.command[:60]}) is live in submission {submission} "
            f"({_job(neighbour, entry)}): a task is run once.{since} Wait until that one has ended, or resume it with "
            f"what it was asked with, or give it up with `dispatcher cancel {path}`; then run this again: what that "
            f"one has finished is not run again (as with previous_submission_hash: {submission}). Files that tasks "
            "rewrite themselves belong into their backward_files; then they do not count as inputs."
        )

    # -- finished -----------------------------------------------------------------------------------------------

    def check_previous(self, previous: str) -> None:
        """Raise ConfigError when that submission is not one of the same tasks."""
        path = journal_of(Path(self.place), previous)
        if not begun(path):
            raise ConfigError(f"{_KEY}: there is no journal of {previous} in {path.parents[1]}")
        theirs = {(entry.directory, entry.whole) for entry in index_of(path).tasks}
        if any((task.directory, task.whole) not in theirs for task in self.tasks):
            raise ConfigError(
                f"{_KEY}: {previous} differs in more than its resources (tasks, files, or the bytes of its inputs); "
                "leave the key out: what is the same is not run again either way"
            )

    def reuse(self, session: Session, profile: Mapping[str, Any]) -> str:
        """Record what is done already; "" or the sentence that says so."""
        if not self._theirs and not original.was_here(self.spec):
            return ""
        pending = {
            position: (job.hash, index)
            for job in session.planned
            for index, position in enumerate(job.tasks)
            if session.progress[job.hash].state is State.unsubmitted
            and not session.progress[job.hash].submission_pending
            and not session.progress[job.hash].done >> index & 1
        }
        done: dict[str, int] = {}
        for neighbour, positions in self._finished(pending).items():
            found = self._results(neighbour, [position for position in positions if position in pending], profile)
            if found:
                _record(session, neighbour.index.submission, found, {at: pending.pop(at) for at in found})
                done[neighbour.index.submission[:6]] = len(found)
        if left := original.finished(self.spec, pending):
            taken = {at: {path: _digest(f"{self.place}/{path}") for path in paths} for at, paths in left.items()}
            _record(session, original.NAME, taken, {at: pending.pop(at) for at in taken})
            done[original.NAME] = len(taken)
        if not done:
            return ""
        said = f"{sum(done.values())} of {len(self.tasks)} tasks were finished by {', '.join(done)}"
        session.record(ev.Note(f"{said}: not run again"))
        return f"{said}: not run again (--rerun runs all)"

    def _finished(self, positions: Iterable[int]) -> dict[Neighbour, list[int]]:
        """Tasks by the submission that has finished the same, newest first."""
        found: dict[Neighbour, list[int]] = {}
        for position in positions:
            for neighbour, entry in self.at(position):
                if entry.done and entry.whole == self.tasks[position].whole:
                    found.setdefault(neighbour, []).append(position)
        return dict(sorted(found.items(), key=lambda pair: pair[0].journal.stat().st_mtime, reverse=True))

    def _results(
        self, neighbour: Neighbour, positions: Sequence[int], profile: Mapping[str, Any]
    ) -> dict[int, _Results]:
        """Of these tasks, those whose results are here or could be fetched, each with its results."""
        history = read_history(neighbour.journal)
        theirs = os.path.realpath(neighbour.journal.parents[2])
        real = {f"{theirs}/{path}": digest for path, digest in history.results.items()}
        known = {path.removeprefix(f"{self.place}/"): digest for path, digest in real.items()}
        listing = Listing(FileEntry(path, 0) for path in known if not path.startswith("/"))
        found: dict[int, _Results] = {}
        for position in positions:
            named, among = (known, listing) if not self._is_link(position) else self._through_link(position, real)
            files = _meant(among, patterns.wanted(self.spec, [position]))
            if files is not None and self._unchanged(named, (file.path for file in files)):
                found[position] = {file.path: named[file.path] for file in files}
        lacking = [position for position in positions if position not in found]
        if lacking and neighbour.journal.parents[2].samefile(self.place):
            found |= self._fetched(neighbour, history, lacking, profile)
        return found

    # -- overwritten --------------------------------------------------------------------------------------------

    def overwritten(self, session: Session) -> list[str]:
        """Results of finished tasks here that are another submission's by now: the same task with other inputs.

        Files are read only where there is one.
        """
        histories: dict[Neighbour, History] = {}
        found: list[str] = []
        for job in session.planned:
            for index, position in enumerate(job.tasks):
                if session.progress[job.hash].done >> index & 1 and (rivals := self._rivals(position)):
                    histories |= {other: read_history(other.journal) for other in rivals if other not in histories}
                    theirs = [
                        (os.path.realpath(other.journal.parents[2]), histories[other].results) for other in rivals
                    ]
                    home = session.history.downloaded.get(job.hash, 0) >> index & 1
                    found += self._strange(position, session.history.results if home else {}, theirs)
        return found

    def _strange(self, position: int, mine: _Results, theirs: Sequence[tuple[str, _Results]]) -> Iterable[str]:
        """What a task was to leave that does not hold what is recorded, or nothing is and it holds what is theirs."""
        wanted = patterns.wanted(self.spec, [position])
        listing = Listing(local.tree(Path(self.place), patterns.roots(wanted)))
        for file in (file for pattern in wanted for file in listing.files(pattern) if file.size >= 0):
            here, path = _digest(f"{self.place}/{file.path}"), os.path.realpath(f"{self.place}/{file.path}")
            others = [results.get(os.path.relpath(path, above)) for above, results in theirs]
            if here and (here != mine[file.path] if file.path in mine else here in others):
                yield file.path

    def _rivals(self, position: int) -> set[Neighbour]:
        """Who has been at the same command in the same directory, with other inputs."""
        mine = self.tasks[position]
        return {
            neighbour
            for neighbour, entry in self.at(position)
            if entry.command == mine.command and entry.whole != mine.whole and (entry.done or entry.live or entry.id)
        }

    def _is_link(self, position: int) -> bool:
        return self._directories[position] != f"{self.place}/{self.tasks[position].directory}".rstrip("/")

    def _through_link(self, position: int, real: _Results) -> tuple[_Results, Listing]:
        """Results in a directory that this task names by a link, by their names behind it."""
        above, name = f"{self._directories[position]}/", self.tasks[position].directory
        named = {f"{name}/{path.removeprefix(above)}": real[path] for path in real if path.startswith(above)}
        return named, Listing(FileEntry(path, 0) for path in named)

    def _unchanged(self, known: _Results, paths: Iterable[str]) -> bool:
        return all(_digest(f"{self.place}/{path}") == known[path] for path in paths)

    def _fetched(
        self, neighbour: Neighbour, history: History, positions: Sequence[int], profile: Mapping[str, Any]
    ) -> dict[int, _Results]:
        """Bring from the other's place what is still there."""
        theirs, ours = spec_of(neighbour.journal, history).machine, self.spec.machine
        if contexts.canonical(theirs.context_type) != contexts.canonical(ours.context_type):
            return {}
        wanted = {position: patterns.wanted(self.spec, [position]) for position in positions}
        if contexts.canonical(theirs.context_type) == "LazyLocalContext":  # what was changed here is changed there
            untouched = [at for at in positions if self._as_left(neighbour, history, at)]
            entries = local.tree(Path(self.place), patterns.roots(p for at in untouched for p in wanted[at]))
            whole = _whole(entries, {at: wanted[at] for at in untouched})
        elif history.cleaned:
            return {}
        else:
            with journal_errors(neighbour.journal), reopened_session(neighbour.journal, profile) as other:
                context = other.connect().context
                whole = _whole(context.tree(patterns.roots(p for each in wanted.values() for p in each)), wanted)
                if not whole:
                    return {}
                got = context.get([Item(file.path, file.path, file.size) for files in whole.values() for file in files])
                # these are results of the other one first of all, which may not be fetched a second time
                other.record(*received({item.target: item.digest for item in got if item.size >= 0}))
        return {
            position: {file.path: _digest(f"{self.place}/{file.path}") for file in files if file.size >= 0}
            for position, files in whole.items()
        }

    def _as_left(self, neighbour: Neighbour, history: History, position: int) -> bool:
        """Nobody has changed what the task left; of one that was run again, what is recorded is of the run before."""
        entries = [entry for other, entry in self.at(position) if other is neighbour]
        home = (
            history.downloaded.get(entry.job, 0) >> history.planned[entry.job].positions.index(entry.position) & 1
            for entry in entries
        )
        return not any(home) or self._unchanged(history.results, self._of(position, history.results))

    def _of(self, position: int, known: _Results) -> Iterable[str]:
        directory = self.tasks[position].directory
        return (path for path in known if path.startswith(f"{directory}/") or not directory)


def _job(neighbour: Neighbour, entry: IndexedTask) -> str:
    if entry.live:
        return f"job {entry.id}" if entry.id else f"job {entry.job[:12]}, which may be in the queue"
    return f"job {entry.job[:12]}, which {neighbour.holder} is at work on"


def _meant(listing: Listing, wanted: Sequence[str]) -> list[FileEntry] | None:
    """The files that these patterns mean; None when one of them means nothing."""
    found: dict[str, FileEntry] = {}
    for pattern in wanted:
        files = listing.files(pattern)
        if pattern and not files:
            return None
        found.update((file.path, file) for file in files)
    return list(found.values())


def _whole(entries: Sequence[FileEntry], wanted: Mapping[int, Sequence[str]]) -> dict[int, list[FileEntry]]:
    """The tasks of which all that is wanted is there, with the files that are meant."""
    listing = Listing(entries)
    found = {position: _meant(listing, each) for position, each in wanted.items()}
    return {position: files for position, files in found.items() if files is not None}


def _digest(path: str) -> str:
    """SHA-256 of a file, "" when it cannot be read."""
    try:
        return local.digest(path)
    except OSError:
        return ""


def _record(session: Session, previous: str, found: Mapping[int, _Results], at: Mapping[int, tuple[str, int]]) -> None:
    """These tasks are done: their results first, then that they need not be run."""
    by_job: dict[str, list[int]] = {}
    for position in sorted(found):
        job, index = at[position]
        by_job.setdefault(job, []).append(index)
    session.record(*received({path: digest for results in found.values() for path, digest in results.items()}))
    session.record(*(ev.Reused(job, tuple(indexes), previous) for job, indexes in by_job.items()))
    session.record(*(ev.Finished(job) for job in by_job if not session.progress[job].unfinished))
