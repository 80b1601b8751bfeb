"""Tasks handed over, to be asked about later: the futures of a run.

    handles = [dispatcher.submit_tasks(tasks, machine, resources, work_base=base) for base in bases]
    for handle in dispatcher.as_completed(handles):
        print(handle.result().failed)

A handle watches in a thread of its own process. A copy of it (pickled, or in a forked child) watches nothing: it reads
the journal, which the other one writes; when nobody writes it any more, `resume` goes on watching from here.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future
from concurrent.futures import wait as wait_for
from os import PathLike
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError, Interrupted
from .machine import Machine
from .outcome import Outcome
from .resources import Resources
from .submission import Submission
from .task import Task

#: Seconds between two looks at a journal that somebody else writes.
_PAUSE = 0.5


class Handle:
    """A submission that was handed over by submit_tasks. Its methods may be called from any thread."""

    def __init__(self, submission: Submission, journal: Path) -> None:
        self.submission, self.journal = submission, journal
        self._options: Mapping[str, Any] = {}
        self._future: Future[Outcome] | None = None
        self._process = 0

    def __reduce__(self) -> tuple[Any, ...]:
        return _attached, (self.submission.serialize(), str(self.journal))

    def resume(self, machine: Machine | None = None) -> Handle:
        """Watch from here; `machine` brings the secrets that a copy does not have. Returns itself."""
        if machine is not None:
            self.submission.bind_machine(machine)
        self._start()
        return self

    def _start(self) -> None:
        future: Future[Outcome] = Future()
        self._future, self._process = future, os.getpid()

        def run() -> None:
            try:
                result = self.submission.run_submission(**self._options)
            except Interrupted:
                future.cancel()
                future.set_running_or_notify_cancel()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        threading.Thread(target=run, name="dispatcher run", daemon=True).start()

    @property
    def _mine(self) -> Future[Outcome] | None:
        """The run that this process watches."""
        return self._future if self._process == os.getpid() else None

    @property
    def _begun(self) -> bool:
        from ..run.store import begun

        return begun(self.journal)

    def done(self) -> bool:
        """Whether it has come to an end, good or bad, or is not watched any more."""
        future = self._mine
        return future.done() if future is not None else self._concluded() is not None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end, at most so many seconds; whether it has come."""
        future = self._mine
        if future is not None:
            return bool(wait_for([future], timeout).done)
        end = time.monotonic() + (float("inf") if timeout is None else timeout)
        while not self.done() and time.monotonic() < end:
            time.sleep(_PAUSE)
        return self.done()

    def result(self, timeout: float | None = None) -> Outcome:
        """What run_submission returns, or raises: JobsFailed above all. TimeoutError after so many seconds.

        CancelledError when `submission.stop_watching` ended it.
        """
        future = self._mine
        if future is not None:
            return future.result(timeout)
        if not self.wait(timeout):
            raise TimeoutError(f"submission {self.journal.parent.name} is not over")
        outcome = Outcome(self.submission.serialize(), self.journal)
        outcome.raise_for_failed()
        return outcome

    def status(self) -> dict[str, int]:
        """How many tasks are in which state, as the journal has it now."""
        from collections import Counter

        return dict(Counter(task.state for task in Outcome({}, self.journal).tasks)) if self._begun else {}

    def cancel(self) -> None:
        """End its jobs, with all that they have started; the run then comes to its end by itself."""
        self.submission.kill()

    def _concluded(self) -> str | None:
        from ..run.store import read_history

        concluded = read_history(self.journal).concluded if self._begun else None
        return concluded.outcome if concluded else None

    def __repr__(self) -> str:
        return f"<dispatcher.Handle {self.journal.parent.name[:12]}: {self.status()}>"


def _attached(state: Mapping[str, Any], journal: str) -> Handle:
    return Handle(Submission.deserialize(state), Path(journal))


def submit_tasks(
    tasks: Iterable[Task],
    machine: Machine,
    resources: Resources,
    work_base: str | PathLike[str] = "./",
    forward_common_files: Iterable[str | PathLike[str]] = (),
    backward_common_files: Iterable[str | PathLike[str]] = (),
    **options: Any,
) -> Handle:
    """Hand tasks over and return at once; `options` are those of `Submission.run_submission`.

    Raises ConfigError and InputMissing at once for what cannot be run; whatever goes wrong later is raised by `result`.
    """
    submission = Submission(
        work_base, machine, resources, forward_common_files, backward_common_files, task_list=list(tasks)
    )
    if not submission.belonging_tasks:
        raise ConfigError("submit_tasks: there are no tasks")
    submission.get_hash()  # every mistake that can be seen here is told here
    handle = Handle(submission, submission.journal)
    handle._options = options
    handle._start()
    return handle


def as_completed(handles: Iterable[Handle], timeout: float | None = None) -> Iterator[Handle]:
    """The handles as they come to an end. TimeoutError when so many seconds are over before all have."""
    end = time.monotonic() + (float("inf") if timeout is None else timeout)
    waiting = list(handles)
    while waiting:
        for handle in [handle for handle in waiting if handle.done()]:
            waiting.remove(handle)
            yield handle
        if not waiting:
            return
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"{len(waiting)} submissions are not over")
        futures = [future for handle in waiting if (future := handle._mine) is not None]
        if len(futures) == len(waiting):
            wait_for(futures, min(left, 3600.0), FIRST_COMPLETED)
        else:
            time.sleep(min(left, _PAUSE))


__all__ = ["CancelledError", "Handle", "as_completed", "submit_tasks"]
