"""The objects of a submission follow its run, and the logger `dispatcher` tells it.

submission 1f2e3d4c…: 3 jobs, 7 tasks
job 5f1c…: submitted, id 4211
job 5f1c… (4211): running
job 5f1c… (4211): failed 1 time: exit code 3 of task 0
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.lifecycle import Progress, Todo
from ..core.states import State
from .job import Job
from .status import JobStatus
from .task import Task

_log = logging.getLogger("dispatcher")


class Follower:
    """Puts what changed onto jobs and tasks, and into the log; `positions` are the tasks of each job, by its hash."""

    def __init__(self, jobs: Sequence[Job], tasks: Sequence[Task], positions: Mapping[str, Sequence[int]]) -> None:
        self._jobs = {job.job_hash: job for job in jobs}
        self._tasks, self._positions = tasks, positions
        self._seen: dict[str, Progress] = {}
        self._trouble = ""

    def begin(self, submission: str, progress: Mapping[str, Progress]) -> None:
        """A session was opened: where it stands, without a line for each job."""
        _log.info("submission %s: %d jobs, %d tasks", submission, len(self._jobs), len(self._tasks))
        self.show(progress)

    def changed(self, engine: Any) -> None:
        """Called by the engine after each commit and before each pause."""
        partial = engine.observer.partial
        found = {job.job: job for job in engine.due.news()}
        found |= {job.job: job for job in engine.due_for(Todo.observe) if partial.get(job.job)}
        self.show(found, partial, tell=True)
        if engine.trouble != self._trouble:
            self._trouble = engine.trouble
            if self._trouble:
                _log.warning("no good answer: %s; asking again", self._trouble)

    def show(
        self, progress: Mapping[str, Progress], partial: Mapping[str, int] | None = None, tell: bool = False
    ) -> None:
        """What is known; only jobs of which it changed are touched."""
        for name, found in progress.items():
            before, job = self._seen.get(name), self._jobs.get(name)
            more = (partial or {}).get(name, 0) if found.state not in (State.finished, State.terminated) else 0
            if job is None or (found is before and not more):
                continue
            self._seen[name] = found
            self._put(job, found, found.done | more)
            if tell and before is not None and found is not before:
                _tell(name, before, found)

    def _put(self, job: Job, found: Progress, done: int) -> None:
        job.job_state = JobStatus[found.state.value]
        job.job_id, job.fail_count = found.id, found.fails
        for index, position in enumerate(self._positions[job.job_hash]):
            finished = done >> index & 1
            self._tasks[position].task_state = JobStatus.finished if finished else job.job_state


def _tell(name: str, before: Progress, found: Progress) -> None:
    if found.id != before.id and found.id:
        _log.info("job %s: submitted, id %s", name, found.id)
    if found.fails > before.fails:
        _log.error("job %s (%s): failed %d times: %s", name, found.id, found.fails, found.cause)
    elif found.state is State.terminated and before.state is not State.terminated:
        _log.error("job %s (%s): terminated: %s", name, found.id, found.cause)
    elif found.state is State.unsubmitted and before.state is State.terminated:
        _log.info("job %s: is tried again, attempt %d", name, found.attempt)
    elif found.state is not before.state and found.state is not State.waiting:
        _log.info("job %s (%s): %s", name, found.id, found.state.value)
