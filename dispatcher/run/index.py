"""Which tasks the submissions around here have, and how far they are: what is asked before any task is started.

    surroundings(place, spec)     ->  Surroundings: real directories of tasks, where to look for other submissions
    index_of(journal)             ->  Index: a line a task, from index.json beside the journal, or from the journal

An index repeats what a journal says, so that hundreds of them are looked through in no time. It carries the journal's
fingerprint, and is not believed without it: a journal that has grown since, or was put back, is folded again.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

import journal as journals
from journal.files import LARGEST
from journal.ownership import doubt

from ..core.errors import NotOurs, TransferFailed
from ..core.history import History
from ..core.keys import HASH
from ..core.model import SubmissionSpec
from ..core.names import CONTROL, INDEX, JOURNAL
from ..files.incoming import write_atomic
from ..files.patterns import clean
from ..files.texts import read_text
from .identity import identities
from .store import begun, holder_of, journal_errors, read_history, spec_of

#: Changes with the meaning of what stands in an index.
_VERSION = 1


class IndexedTask(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A task: where it runs (below the real work directory, or absolute behind a link), and who it is.

    `done`: it has ended with code 0; `live`: the batch system has its job, or may have it. `id` is the job's native id.
    """

    directory: str
    command: str
    whole: str
    position: int
    job: str
    id: str
    done: bool
    live: bool


class Index(msgspec.Struct, frozen=True):
    """The tasks of one submission, by position; `fingerprint` is the journal's."""

    version: int
    fingerprint: str
    submission: str
    tasks: tuple[IndexedTask, ...]


class Neighbour(msgspec.Struct, frozen=True, eq=False):
    """Another submission: its journal, its tasks, and who is at work on it ("": nobody)."""

    journal: Path
    index: Index
    holder: str

    def is_live(self, entry: IndexedTask) -> bool:
        """Whether that task is in the queue, or will be: somebody is at work on its submission."""
        return entry.live or (bool(self.holder) and not entry.done)


def _work_directory(journal: Path) -> str:
    return os.path.realpath(journal.parents[2])


def index_of(journal: Path) -> Index:
    """Raises JournalDamaged for a journal that cannot be folded."""
    with journal_errors(journal):
        fingerprint = journals.fingerprint(journal)
    try:
        found = msgspec.json.decode(read_text(journal.parent / INDEX, LARGEST), type=Index)
        if (found.version, found.fingerprint) == (_VERSION, fingerprint):
            return found
    except (OSError, ValueError, RecursionError):
        pass
    return write(journal, read_history(journal), fingerprint)


def write(journal: Path, history: History, fingerprint: str) -> Index:
    """The index of a journal of which this is the history; where it cannot be kept it is made again next time."""
    index = Index(_VERSION, fingerprint, journal.parent.name, _entries(journal, history))
    with suppress(TransferFailed):
        write_atomic(journal.parent / INDEX, msgspec.json.encode(index))
    return index


def _entries(journal: Path, history: History) -> tuple[IndexedTask, ...]:
    if history.opened is None:
        return ()
    spec = spec_of(journal, history)
    place, found = _work_directory(journal), identities(spec, history.opened.inputs)
    real = real_directories(place, [task.directory for task in found])
    entries = {
        position: IndexedTask(
            real[position].removeprefix(f"{place}/"),
            found[position].command,
            found[position].whole,
            position,
            job.job,
            job.id,
            bool(job.done >> index & 1),
            job.may_run,
        )
        for job in history.jobs.values()
        for index, position in enumerate(history.planned[job.job].positions)
    }
    return tuple(entries[position] for position in sorted(entries))


def real_directories(place: str, below: Iterable[str]) -> list[str]:
    """Directories below a place without links, absolute: as os.path.realpath, but each name is looked at once."""
    top = os.path.realpath(place).rstrip("/")
    known = {"": top}
    for directory in below:
        start = directory
        while start not in known:
            start = start.rpartition("/")[0]
        for name in directory[len(start) :].split("/"):
            if name:
                above, start = known[start], f"{start}/{name}" if start else name
                known[start] = _behind(f"{above}/{name}")
    return [known[directory] or "/" for directory in below]


def _behind(path: str) -> str:
    """Where a path leads of which only the last name may be a link."""
    try:
        is_link = stat.S_ISLNK(os.lstat(path).st_mode)
    except OSError:
        is_link = False
    return os.path.realpath(path).rstrip("/") if is_link else path


class Surroundings(msgspec.Struct, frozen=True):
    """The real work directory, those of its tasks, by position, and where submissions that name one of them are kept.

    That is in a `.dispatcher` at, above or below the work directory, on the way to the tasks' directories.
    """

    place: str
    directories: list[str]
    controls: list[Path]

    def neighbours(self, but: Path) -> list[Neighbour]:
        """The submissions that may name one of these directories, newest last; `but` is left out."""
        found = [journal for control in self.controls for journal in _journals(control) if journal != but]
        return [Neighbour(path, index_of(path), holder_of(path)) for path in sorted(found, key=_age)]


def surroundings(place: str, spec: SubmissionSpec) -> Surroundings:
    """Of a submission in this work directory."""
    below = [clean(task.task_work_path, "task_work_path") for task in spec.tasks]
    found, top = real_directories(place, below), os.path.realpath(place)
    return Surroundings(top, found, _controls((top, *found)))


def _controls(found: Iterable[str]) -> list[Path]:
    """The directories of ours on the ways from the root to these; what belongs to somebody else is passed over.

    Raises NotOurs for one that others may write to: they would say what is finished, and need not be run.
    """
    seen: dict[str, None] = {}
    for directory in found:
        while directory not in seen:
            seen[directory] = None
            directory = directory.rpartition("/")[0] or "/"
    return [Path(name) for name in sorted(f"{above.rstrip('/')}/{CONTROL}" for above in seen) if _is_ours(name)]


def _is_ours(control: str) -> bool:
    try:
        status = os.lstat(control)
    except OSError:
        return False
    if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode):
        return False
    if why := doubt(control):
        raise NotOurs(f"{control} is not used: {why}")
    return True


def _journals(control: Path) -> list[Path]:
    """In directories named by a submission's hash: what somebody has moved aside says nothing any more."""
    with os.scandir(control) as entries:
        ours = sorted(e.name for e in entries if e.is_dir(follow_symlinks=False) and HASH.test(e.name))
    return [journal for journal in (control / name / JOURNAL for name in ours) if begun(journal)]


def _age(journal: Path) -> float:
    return (journal / journals.FIRST).stat().st_mtime


def by_directory(neighbours: Iterable[Neighbour]) -> Mapping[str, list[tuple[Neighbour, IndexedTask]]]:
    """Every task of theirs by its real directory."""
    found: dict[str, list[tuple[Neighbour, IndexedTask]]] = {}
    for neighbour in neighbours:
        place = _work_directory(neighbour.journal)
        for entry in neighbour.index.tasks:
            directory = os.path.join(place, entry.directory)  # noqa: PTH118 (an absolute one wins)
            found.setdefault(directory, []).append((neighbour, entry))
    return found
