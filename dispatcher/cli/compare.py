"""Where two tellings of the same tasks differ: two journals, or a journal and what the batch system and the files show.

TASK  HERE          THERE
c13   finished      terminated: python: command not found
c14   running       absent
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..core.ports import Native, Query
from ..core.records import TaskRecord
from ..core.states import State
from ..run.observer import understood
from .elsewhere import Elsewhere
from .telling import Replay
from .wanted import Chosen


class Difference(msgspec.Struct):
    """A task that is not the same on both sides; "" where it is not there at all."""

    task: str
    here: str
    there: str


def journals(one: Replay, other: Replay) -> list[Difference]:
    """Tasks by directory and command: their state, exit code and cause."""
    first, second = _by_task(one), _by_task(other)
    found = [Difference(key[0], first.get(key, ""), second.get(key, "")) for key in dict.fromkeys([*first, *second])]
    return [difference for difference in found if difference.here != difference.there]


def _by_task(replay: Replay) -> dict[tuple[str, str, int], str]:
    found: dict[tuple[str, str, int], str] = {}
    for task in replay.chronicle.tasks():
        nth = 0
        while (task.path, task.command, nth) in found:  # two equal tasks are two tasks
            nth += 1
        found[task.path, task.command, nth] = f"{task.state}: {task.cause}" if task.cause else task.state
    return found


def live(found: Chosen, there: Elsewhere) -> Iterator[Difference]:
    """What the batch system shows of jobs that should be in it, and results of finished tasks that are not here."""
    history, context = found.replay.history, there.context
    scheduler, spec = there.scheduler, there.spec
    jobs = [job for job in history.jobs.values() if job.may_run]
    if jobs:
        queries = [Query(job.nonce, job.id, history.began) for job in jobs]
        seen = understood(scheduler.observed, context.run(scheduler.observe(queries, context.place)), queries)
        if seen.trouble:
            yield Difference("", "", f"no good answer: {seen.trouble}")
        for job in jobs:
            native = seen.jobs[job.nonce].native
            if native.value != job.state.value and native is not Native.unknown:
                yield Difference(_path(found.tasks, job.job), job.state.value, native.value)
    for task in found.tasks:
        if task.state == State.finished.value and not task.reused:
            yield from _missing(found.local, task, spec.tasks[task.position].backward_files)


def _missing(local: Path, task: TaskRecord, promised: tuple[str, ...]) -> Iterator[Difference]:
    for name in promised:
        if not any((local / task.path).glob(name)):
            yield Difference(task.path, f"finished, {name} promised", "not here")


def _path(tasks: list[TaskRecord], job: str) -> str:
    return next((task.path for task in tasks if task.job == job), job[:12])
