"""What a submission leaves on the local side: its journals, where they are, and reading them without a lock.

<local_root>/<work_base>/.dispatcher/<submission>/journal/

read_history(path).jobs["5f1c…"].state   ->  State.running
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

import journal as journals

from .. import __version__
from ..core import events as ev
from ..core.errors import ConfigError, DispatcherError, JournalDamaged, JournalDeleted, NotOurs, SubmissionBusy
from ..core.history import History
from ..core.lifecycle import TRANSITIONS, Progress
from ..core.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec, digest, plan_hash
from ..core.names import CONTROL, JOURNAL
from ..core.records import Chronicle
from ..files.ours import own

#: Digest of the table of transitions, stored in every journal it rules.
RULES = digest([(row.event, [source.value for source in row.sources], row.target, row.pending) for row in TRANSITIONS])

_OF_THE_JOURNAL = frozenset({journals.Open, journals.Close, journals.Unknown})


def local_directory(spec: SubmissionSpec) -> Path:
    """The local side of a submission: local_root/work_base, absolute."""
    return Path(spec.machine.local_root).expanduser().absolute() / Path(spec.work_base).expanduser()


def journal_of(place: Path, submission: str) -> Path:
    """Where the journal of a submission of this local side lies."""
    return place / CONTROL / submission / JOURNAL


def open_journal(path: Path, replay: Callable[[journals.Frame[Any]], None]) -> journals.Journal[Any]:
    """Take the lock of a journal and fold what it holds; made when it is not there.

    Raises as Journal.open, and NotOurs when a directory of ours above it is not.
    """
    path = path.absolute()
    for private in (path.parents[1], path.parent):
        own(private)
    application = f"dispatcher {__version__}"
    return journals.Journal.open(path, ev.Event, application=application, rules=RULES, replay=replay)


def fold(history: History, frame: journals.Frame[Any]) -> None:
    """Apply the records of a frame; JournalDamaged for a kind that this version does not know."""
    history.began = history.began or frame.at
    for record in frame.records:
        if type(record) in _OF_THE_JOURNAL:
            if isinstance(record, journals.Unknown):
                raise JournalDamaged(f"record kind {record.kind!r} was written by a newer version: update dispatcher")
        else:
            history.fold(record)


def begun(journal: Path) -> bool:
    """Whether a journal lies there; a directory without one is what a death while it was being made leaves behind."""
    return (journal / journals.FIRST).is_file()


def stored_journals(place: Path) -> list[Path]:
    """The journals below a local side, oldest first."""
    found = [path.parent for path in (place / CONTROL).glob(f"*/{JOURNAL}/{journals.FIRST}")]
    return sorted(found, key=lambda path: path.stat().st_mtime)


def read_history(path: Path) -> History:
    """Fold a journal without its lock: safe while a dispatcher is at work."""
    history = History()
    with journal_errors(path):
        for frame in journals.frames(path, ev.Event):
            fold(history, frame)
    return history


def events_of(path: Path) -> Iterator[tuple[int, float, ev.Event]]:
    """Every event with its number and the time of its commit, without the lock."""
    with journal_errors(path):
        for frame in journals.frames(path, ev.Event):
            for nth, record in enumerate(frame.records):
                if type(record) not in _OF_THE_JOURNAL:
                    yield frame.first + nth, frame.at, record


def read_chronicle(path: Path) -> Chronicle:
    """The same, with when and why of every attempt."""
    history, at = History(), [0.0]
    chronicle = Chronicle(history, lambda: at[0])
    with journal_errors(path):
        for frame in journals.frames(path, ev.Event):
            at[0] = frame.at
            fold(history, frame)
    return chronicle


def read_progress(spec: SubmissionSpec) -> Mapping[str, Progress]:
    """How far the newest run of this plan is, from its journal, without a lock; {} when there is none."""
    requested = plan_hash(spec)
    for path in reversed(stored_journals(local_directory(spec))):
        opened = opening_of(path)
        if opened is not None and opened.plan == requested:
            return read_history(path).jobs
    return {}


def opening_of(path: Path) -> ev.Opened | None:
    """The first record of a journal; None when it does not hold one yet."""
    with journal_errors(path):
        for frame in journals.frames(path, ev.Event):
            for record in frame.records:
                if isinstance(record, ev.Opened):
                    return record
    return None


def spec_of(path: Path, history: History) -> SubmissionSpec:
    """What the journal at `path` says was asked, with the local side where it lies now.

    Raises ConfigError when it does not say that yet, JournalDamaged when it cannot be read again.
    """
    opened = history.opened
    if opened is None:
        raise ConfigError(f"{path} does not say what was asked: the dispatcher died before it began; nothing runs")
    tasks: dict[int, TaskSpec] = {}
    for planned in history.planned.values():
        tasks.update(zip(planned.positions, planned.tasks, strict=False))
    counted = sum(len(planned.positions) for planned in history.planned.values())
    if sorted(tasks) != list(range(counted)):
        raise JournalDamaged(f"{path}: the positions of its tasks are not 0 to {counted - 1}, each once")
    # Both together are the local side: where the journal is now, whatever it was when it was made.
    machine = {**opened.machine, "local_root": str(path.absolute().parents[2])}
    try:
        return SubmissionSpec(
            work_base=".",
            machine=msgspec.convert(machine, MachineSpec),
            resources=msgspec.convert(opened.resources, ResourcesSpec),
            tasks=tuple(tasks[position] for position in sorted(tasks)),
            forward_common_files=opened.forward_common_files,
            backward_common_files=opened.backward_common_files,
        )
    except msgspec.ValidationError as error:
        raise JournalDamaged(f"{path}: what was asked cannot be read again: {error}") from error


def holder_of(path: Path) -> str:
    """Who is at work on a journal, "" when nobody is as far as can be seen from here."""
    found = journals.read_holder(path)
    if found is None or (not found.away and not _alive(found.pid)):
        return ""
    return str(found)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def settled(history: History) -> bool:
    """Whether nothing of this run is in a queue or may be."""
    return not any(job.may_run for job in history.jobs.values())


@contextmanager
def journal_errors(path: Path) -> Iterator[None]:
    """The journal's errors in this package's words."""
    try:
        yield
    except journals.JournalBusy as error:
        raise SubmissionBusy(str(error)) from error
    except journals.JournalFenced as error:
        raise SubmissionBusy(f"{error}; this process has stopped, the jobs run on") from error
    except journals.JournalGone as error:
        raise JournalDeleted(str(error)) from error
    except journals.JournalCorrupt as error:
        raise JournalDamaged(str(error)) from error
    except journals.JournalNotOurs as error:
        raise NotOurs(str(error)) from error
    except journals.JournalError as error:
        raise DispatcherError(str(error)) from error
    except OSError as error:
        if isinstance(error, DispatcherError):
            raise
        named = error.filename is not None and not str(error.filename).startswith(str(path))
        what = f"{error}" if named else f"the journal {path}: {error}"
        raise DispatcherError(f"{what}; nothing is lost, run again") from error
