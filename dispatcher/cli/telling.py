"""A journal told to people and programs: values in, rows and text out. No I/O, no clock.

    TIME      JOB           TRY  EVENT       FROM → TO
    ── run 1 ── 2026-11-23 ── node7, process 4242, dispatcher 0.1.0 ──────────────
    04:12:01                     opened      runs: Slurm behind SSHContext
    04:12:01  5f1c0a2b3c4d    1  submitting  unsubmitted               as dq3v81kx0mza
    04:12:02  5f1c0a2b3c4d    1  submitted   unsubmitted → waiting     4211
    04:19:40  5f1c0a2b3c4d    1  finished    waiting → finished        exit codes 0 0 0

Rows are made one by one from frames: a journal of any length is told in the
memory that the state of its jobs takes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

import journal as journals

from ..core import events as ev
from ..core.errors import IllegalTransition
from ..core.failure import failed_job
from ..core.history import History
from ..core.lifecycle import Progress, State
from ..core.records import Chronicle

#: How many characters of a hash are shown.
SHORT = 12


class ReplayRow(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One record: its number, when, in which run (and by whom: host:pid), and what it says.

    `source` and `target` are the job's states before and after; equal when the state stayed.
    """

    number: int
    at: float
    run: int
    by: str
    event: str
    job: str = ""
    attempt: int = 0
    source: str = ""
    target: str = ""
    id: str = ""
    why: str = ""
    tasks: tuple[ev.TaskResult, ...] = ()


class Replay:
    """Folds a journal and tells each record as a row; afterwards `history` is where it stands, `chronicle` since when.

    `ended` is the time of the last record; `since`, by job, when its state last
    changed; `closed` whether the last run ended in order; `unknown` the kinds of records nobody here knows.
    """

    def __init__(self) -> None:
        self.history = History()
        self.chronicle = Chronicle(self.history, lambda: self.ended)
        self.run, self.by, self._session = 0, "", ""
        self.ended = 0.0
        self.closed = False
        self.since: dict[str, float] = {}
        self.unknown: Counter[str] = Counter()

    def rows(self, frames: Iterable[journals.Frame[Any]]) -> Iterator[ReplayRow]:
        """Every record in order. Raises IllegalTransition, with its place, at one that cannot follow."""
        for frame in frames:
            self.history.began, self.ended = self.history.began or frame.at, frame.at
            for nth, record in enumerate(frame.records):
                try:
                    yield self._row(frame.first + nth, frame.at, record)
                except IllegalTransition as error:
                    place = f"record {frame.first + nth} (segment {frame.segment:08d}.jsonl, byte {frame.offset})"
                    raise IllegalTransition(f"{place}: {error}") from None

    def fold(self, frames: Iterable[journals.Frame[Any]]) -> Replay:
        """All of it at once, for those who want only where it stands."""
        for _ in self.rows(frames):
            pass
        return self

    def _row(self, number: int, at: float, record: Any) -> ReplayRow:
        if isinstance(record, journals.Open):
            return self._opening(number, at, record)
        if isinstance(record, journals.Close):
            self.closed = True
            return ReplayRow(number, at, self.run, self.by, "close", why=record.reason)
        if isinstance(record, journals.Unknown):
            self.unknown[record.kind] += 1
            return ReplayRow(
                number, at, self.run, self.by, record.kind, why="this version does not know this kind of record"
            )
        return self._event(number, at, record)

    def _opening(self, number: int, at: float, record: journals.Open) -> ReplayRow:
        """A new run, unless the same one goes on in its next segment."""
        self.closed = False
        if self.run and record.session == self._session:
            return ReplayRow(
                number, at, self.run, self.by, "segment", why=f"the journal goes on in {record.seg:08d}.jsonl"
            )
        self.run, self.by, self._session = self.run + 1, f"{record.host}:{record.pid}", record.session
        return ReplayRow(number, at, self.run, self.by, "open", why=record.application)

    def _event(self, number: int, at: float, event: Any) -> ReplayRow:
        name = str(event.__struct_config__.tag)
        job = getattr(event, "job", "")
        before = self.history.jobs.get(job)
        self.history.fold(event)
        after = self.history.jobs.get(job)
        why = _WHY.get(type(event), _nothing)(event)
        if after is None or isinstance(event, ev.Note):
            return ReplayRow(number, at, self.run, self.by, name, job=job, why=why)
        source = before.state.value if before else ""
        if source != after.state.value:
            self.since[job] = at
        reported = getattr(event, "id", "")
        tasks = getattr(event, "tasks", ()) if isinstance(event, (ev.Finished, ev.Terminated)) else ()
        return ReplayRow(
            number, at, self.run, self.by, name, job, after.attempt, source, after.state.value, reported, why, tasks
        )


# -- what an event says ---------------------------------------------------------------------------------------------


def _nothing(event: Any) -> str:
    return ""


def _opened(event: ev.Opened) -> str:
    return f"{event.work_base}: {_asked_of(event)}"


def _asked_of(event: ev.Opened) -> str:
    return f"{event.machine.get('batch_type')} behind {event.machine.get('context_type')}"


def _delivered(event: ev.Delivered) -> str:
    missing = f"; missing: {' '.join(event.missing)}" if event.missing else ""
    return f"{count(event.files, 'file')}, {size(event.bytes)}, of {count(len(event.jobs), 'job')}{missing}"


def _concluded(event: ev.Concluded) -> str:
    return f"{event.outcome}, {count(event.failed, 'job')} failed" if event.failed else event.outcome


_WHY: dict[type, Callable[[Any], str]] = {
    ev.Opened: _opened,
    ev.Planned: lambda event: count(len(event.positions), "task"),
    ev.Recalled: lambda event: f"{count(len(event.attempts), 'attempt')} known by name, from what lies where jobs run",
    ev.Placed: lambda event: f"in {event.name}: the submission's own name is another journal's",
    ev.Staged: lambda event: f"{count(event.files, 'file')}, {size(event.bytes)}",
    ev.Submitting: lambda event: f"as {event.nonce}",
    ev.Submitted: lambda event: "" if event.how == "reply" else f"found by its {event.how}",
    ev.Deferred: lambda event: str(event.why),
    ev.InDoubt: lambda event: f"{event.why}{'' if event.known else ' (not understood)'}; it is looked for",
    ev.NotFound: lambda event: str(event.why),
    ev.Rejected: lambda event: str(event.cause),
    ev.Waiting: lambda event: str(event.why),
    ev.Running: lambda event: f"on {event.node}" if event.node else "",
    ev.OwnerChanged: lambda event: str(event.why),
    ev.Stopping: lambda event: str(event.why.value),
    ev.Terminated: lambda event: str(event.cause),
    ev.Reused: lambda event: f"{count(len(event.tasks), 'task')} done by submission {event.previous}",
    ev.EarlierAttemptFound: lambda event: f"{event.nonce} had been given up and was found",
    ev.Retried: lambda event: "a new round of attempts" if event.fresh else "",
    ev.Rerun: lambda event: f"{count(len(event.tasks), 'task')} again: {event.why}",
    ev.Received: lambda event: count(len(event.files), "file"),
    ev.Delivered: _delivered,
    ev.Concluded: _concluded,
    ev.Hooked: lambda event: str(event.hook),
    ev.Note: lambda event: str(event.text),
}


def count(number: int, noun: str) -> str:
    """`3 jobs`, `1 job`, `0 tries`."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def size(number: float) -> str:
    """Bytes as people read them: 812 B, 4.1 kB, 12 MB."""
    power = 0
    while number >= 1000 and power < 4:
        number, power = number / 1000, power + 1
    unit = ("B", "kB", "MB", "GB", "TB")[power]
    return f"{number:.1f} {unit}" if power and number < 10 else f"{number:.0f} {unit}"


def duration(seconds: float) -> str:
    """Seconds as people read them: 4s, 3m 12s, 2h 05m, 3d 04h."""
    whole = max(int(seconds), 0)
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if not minutes:
        return f"{whole}s"
    if not hours:
        return f"{minutes}m {whole % 60:02d}s"
    return f"{days}d {hours % 24:02d}h" if days else f"{hours}h {minutes % 60:02d}m"


def clock(at: float) -> str:
    """Time of day, local."""
    return _local("%H:%M:%S", at)


def date(at: float) -> str:
    """Day, local."""
    return _local("%Y-%m-%d", at)


def _local(pattern: str, at: float) -> str:
    """A time that no calendar has (a clock that was wrong wrote it) is shown as it is."""
    try:
        return time.strftime(pattern, time.localtime(at))
    except (OverflowError, ValueError, OSError):
        return f"{at:g}"


def codes(tasks: Sequence[ev.TaskResult]) -> str:
    """Exit codes by position; of many tasks only those that are not 0."""
    if not tasks:
        return ""
    if len(tasks) <= 12 and all(nth == task[0] for nth, task in enumerate(tasks)):
        return f"exit code{'s' if len(tasks) > 1 else ''} {' '.join(str(code) for _, code, _ in tasks)}"
    bad = [f"task {index}: {code}" for index, code, _ in tasks if code]
    shown = f", {', '.join(bad[:8])}{', …' if len(bad) > 8 else ''}" if bad else ""
    return f"exit code 0 of {count(len(tasks) - len(bad), 'task')}{shown}"


# -- where it stands ------------------------------------------------------------------------------------------------


class Tally(msgspec.Struct, frozen=True):
    """A submission in numbers: jobs by state (those there are, in the order of life), tasks, attempts beyond the first.

    `asking`: jobs whose submission is not answered yet; they are counted as unsubmitted.
    """

    jobs: dict[str, int]
    done: int
    tasks: int
    retries: int
    submission_pending: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{number:,} {state}" for state, number in self.jobs.items()) or "none"


def tally(jobs: Iterable[Progress], done: int | None = None) -> Tally:
    """Count them; `done` when the number of finished tasks is known better than by the journal."""
    listed = list(jobs)
    states = Counter(job.state for job in listed)
    return Tally(
        jobs={state.value: states[state] for state in State if states[state]},
        done=sum(job.done.bit_count() for job in listed) if done is None else done,
        tasks=sum(job.size for job in listed),
        retries=sum(max(job.attempt - 1, 0) for job in listed),
        submission_pending=sum(job.submission_pending for job in listed),
    )


def failures(history: History) -> list[str]:
    """What is known of every job that is terminated: a block of lines each."""
    over = [job for job in history.jobs.values() if job.state is State.terminated]
    return [str(failed_job(job, history.planned[job.job].tasks)) for job in over]


def requested(history: History, here: Path | None = None) -> list[tuple[str, str]]:
    """What was asked, as pairs of a word and a value; [] for a journal that has no first record yet.

    `here`: the work directory now, if it may have been moved since.
    """
    opened = history.opened
    if opened is None:
        return []
    remote = opened.machine.get("remote_root")
    policy = f"group_size {opened.resources.get('group_size')}, retry_count {opened.machine.get('retry_count')}"
    return [
        ("submission", opened.submission),
        ("where", str(here or opened.root) + (f", runs below {remote}" if remote else "")),
        ("asked", f"{_asked_of(opened)}, {policy}"),
    ]


def pairs(found: Iterable[tuple[str, str]], wide: int = 12) -> str:
    """Words and values in two columns; further lines of a value are indented to its column."""
    indent = "\n" + " " * (wide + 2)
    return "".join(f"{word:<{wide}}  {value}".rstrip().replace("\n", indent) + "\n" for word, value in found)
