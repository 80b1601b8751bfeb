"""Of a submission: watching its run from an event loop or another thread, and what its journal tells.

outcome = await submission.async_run_submission()      submission.stop_watching()      submission.events()
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .outcome import Outcome
from .recorded import Recorded, recorded
from .threads import in_a_thread

if TYPE_CHECKING:
    from ..run.steering import Steered


class Watching:
    """What a Submission offers to those who do not want to wait for its run in their own thread."""

    _stopping: bool
    _steered: list[Steered]

    run_submission: Any

    async def async_run_submission(self, **kwargs: Any) -> Outcome:
        """As run_submission, in a thread of its own, and with clean=False unless asked; the event loop goes on.

        Cancelled, it stops watching; the jobs run on, and the same call goes on where it was.
        """
        return await in_a_thread(lambda: self.run_submission(**{"clean": False, **kwargs}), self.stop_watching)

    def stop_watching(self) -> None:
        """End a run_submission that is at work in another thread; its jobs run on. May be called from any thread."""
        self._stopping = True
        for steered in self._steered:
            steered.wake()

    @property
    def journal(self) -> Path:
        """Where the journal of this submission is, or will be."""
        from ..run.store import journal_of, local_directory

        submission: Any = self
        return journal_of(local_directory(submission.spec()), submission.submission_hash)

    def events(self) -> Iterator[Recorded]:
        """Every event in the journal so far, also while a run is at work; FileNotFoundError before there is one."""
        return recorded(self.journal)
