"""A run that was told event by event, on a clock of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from dispatcher.core import events as ev
from dispatcher.core.history import History
from dispatcher.core.model import TaskSpec
from dispatcher.core.records import Chronicle

BEGUN = 1_790_000_000.0


class Told:
    """`at(seconds, event)` lets an event happen so many seconds after the beginning."""

    def __init__(self, jobs: int, **resources: Any) -> None:
        self.history, self._now = History(), BEGUN
        self.history.began = BEGUN
        self.chronicle = Chronicle(self.history, lambda: self._now)
        asked = {"number_node": 2, "cpu_per_node": 8, "gpu_per_node": 1, "group_size": 1} | resources
        self.at(
            0, ev.Opened("5" * 40, "p" * 40, "runs", {"batch_type": "Slurm", "retry_count": 1}, asked, "/proj/runs")
        )
        for n in range(jobs):
            task = TaskSpec("lmp -i in", f"c{n}")
            self.at(0, ev.Planned(self.job(n), (n,), (task,)))

    def job(self, n: int) -> str:
        return f"{n:040x}"

    def at(self, seconds: float, *events: Any) -> None:
        self._now = BEGUN + seconds
        for event in events:
            self.history.fold(event)

    def attempt(
        self, n: int, number: int, queued: float, runs: float, ends: float, cause: ev.Cause | None = None
    ) -> None:
        """One attempt of job n: when it is queued, runs and ends."""
        job = self.job(n)
        self.at(queued, ev.Submitting(job, number, f"n{n}x{number}"), ev.Submitted(job, str(4000 + n)))
        self.at(runs, ev.Running(job, node=f"node{n}"))
        tasks = ((0, 1 if cause else 0, BEGUN + ends),)
        self.at(ends, ev.Terminated(job, cause, tasks) if cause else ev.Finished(job, tasks))


@pytest.fixture
def told() -> Callable[..., Told]:
    return Told
