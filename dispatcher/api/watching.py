"""Of a submission: watching its run from an event loop or another thread, and what its journal tells.

outcome = await submission.async_run_submission()      submission.stop_watching()      submission.events()
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .bar import bar_for
from .outcome import Outcome
from .recorded import Recorded, recorded
from .threads import in_a_thread

if TYPE_CHECKING:
    from ..run.environment import Environment
    from ..run.steering import Steered


class Watching:
    """What a Submission offers to those who do not want to wait for its run in their own thread."""

    _stopping: bool
    _waking: list[Callable[[], None]]

    run_submission: Any

    async def async_run_submission(self, **kwargs: Any) -> Outcome:
        """As run_submission, in a thread of its own, and with clean=False unless asked; the event loop goes on.

        Cancelled, it stops watching; the jobs run on, and the same call goes on where it was.
        """
        return await in_a_thread(lambda: self.run_submission(**{"clean": False, **kwargs}), self.stop_watching)

    def stop_watching(self) -> None:
        """End a run_submission that is at work in another thread; its jobs run on. May be called from any thread."""
        self._stopping = True
        for wake in list(self._waking):
            wake()

    @contextmanager
    def _watched(
        self, key: str, show: Callable[[Any], None], progress: bool | str
    ) -> Iterator[tuple[Environment, Steered]]:
        """What a run of this submission is handed: it looks together with others, shows itself, and can be stopped."""
        from ..run import sharing, steering
        from ..run.environment import real_environment

        self._stopping = False
        steered = steering.Steered(key)
        partner = sharing.Partner(steered.sleep, steered.wake, lambda: self._stopping)
        with partner, bar_for(progress) as bar:

            def changed(engine: Any) -> None:
                show(engine)
                bar.changed(engine)

            self._waking.append(partner.wake)
            try:
                yield (
                    real_environment(sleep=partner.rest, look=partner.look, show=changed, stop=lambda: self._stopping),
                    steered,
                )
            finally:
                self._waking.remove(partner.wake)

    @property
    def journal(self) -> Path:
        """Where the journal of this submission is, or will be."""
        from ..run.store import journal_of, local_directory

        submission: Any = self
        return journal_of(local_directory(submission.spec()), submission.submission_hash)

    def events(self) -> Iterator[Recorded]:
        """Every event in the journal so far, also while a run is at work; FileNotFoundError before there is one."""
        return recorded(self.journal)
