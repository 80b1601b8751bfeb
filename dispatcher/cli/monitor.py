"""What the outside world is to a run that people or programs watch: signals, the request to cancel, and progress.

    with Monitor(PlainLines()) as monitor, open_session(spec, profile, environment=monitor.environment()) as session:
        session.run()

The first signal is a request, recorded by the run, which then ends in order;
the second one stops it at once; nothing is lost either way. Whoever reads
along is told when something changed, and never more than the display can take.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

import journal as journals

from ..core.events import Event
from ..core.lifecycle import State
from ..core.names import CANCEL
from ..core.records import Chronicle
from ..files.ours import is_ours
from .notices import Notice, notices
from .say import OutputLost
from .telling import Replay, Tally, tally

if TYPE_CHECKING:
    from ..run.engine import Engine
    from ..run.environment import Environment
    from ..run.session import Session

#: What the first signal is answered with.
STOPPING = "stopping when what is under way is done; the jobs run on (again: stop at once)"

#: Seconds between two looks at what is to be told; also how soon a signal ends a pause.
_TICK = 0.1
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Snapshot(msgspec.Struct, frozen=True):
    """A run at one moment. `next_query` is on the clock of `time.monotonic`; `notices`: what to know of it."""

    tally: Tally
    failed: int
    notices: tuple[Notice, ...]
    next_query: float
    over: bool


class Display(Protocol):
    """Something that shows a run. `every`: seconds between two updates at least."""

    every: float

    def start(self, monitor: Monitor) -> None:
        """The run begins; nothing is known of it yet."""
        ...

    def opened(self, submission: str, where: str, begun: Tally) -> None:
        """The journal is open; `begun` is how far earlier runs came."""
        ...

    def update(self, seen: Snapshot) -> None:
        """Something may have changed."""
        ...

    def interrupted(self, signum: int) -> None:
        """A signal asked the run to end; called from its handler, so nothing buffered may be written here."""
        ...

    def stop(self) -> None:
        """Nothing more will be shown."""
        ...


class Monitor:
    """Joins signals, the request to cancel, and a display to a run; `deadline` (monotonic) ends it as a signal does."""

    def __init__(self, display: Display) -> None:
        self.display = display
        self.signum = 0
        self.began = time.time()
        self.request: Path | None = None
        self.deadline = float("inf")
        self._engine: Engine | None = None
        self._chronicle: Chronicle | None = None
        self._dirty = False
        self._shown = 0.0
        self._lost = self._heard = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Monitor:
        for signum in _SIGNALS:
            if signal.getsignal(signum) is not signal.SIG_IGN:  # nohup, and background jobs of plain shells
                self._before[signum] = signal.signal(signum, self._caught)
        self._safely(lambda: self.display.start(self))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        with suppress(OutputLost, OSError):
            self._tell(force=True)
            self.display.stop()
        for signum, handler in self._before.items():
            signal.signal(signum, handler)

    def environment(self) -> Environment:
        """What the engine is handed."""
        from ..run.environment import real_environment

        return real_environment(sleep=self._sleep, stop=self._stop, show=self._show)

    def follow(self, session: Session) -> None:
        """Tell what was opened; from now on a request to cancel ends a pause."""
        stored = session.journal.path.parent
        self.request = stored / CANCEL
        begun = tally(session.progress.values())
        self._chronicle = Replay().fold(journals.frames(session.journal.path, Event)).chronicle
        self._chronicle.follow(session.history, time.time)
        self._safely(lambda: self.display.opened(session.submission, str(stored), begun))

    # -- asked by the engine ------------------------------------------------------------------------------------

    def _stop(self) -> bool:
        return bool(self.signum) or time.monotonic() > self.deadline

    def _sleep(self, seconds: float) -> None:
        """Ends early at a signal, and once at a request to cancel."""
        end = time.monotonic() + seconds
        while not self._stop() and not self._news() and (left := end - time.monotonic()) > 0:
            self._safely(self._tell)
            time.sleep(min(_TICK, left))

    def _news(self) -> bool:
        if self._heard or self.request is None or not is_ours(self.request):
            return False
        self._heard = True
        return True

    def _show(self, engine: Engine) -> None:
        self._engine, self._dirty = engine, True
        self._safely(self._tell)

    # -- telling ------------------------------------------------------------------------------------------------

    def _tell(self, force: bool = False) -> None:
        """Show what changed, when the display may take something new."""
        now = time.monotonic()
        if self._engine is None or not self._dirty or (now - self._shown < self.display.every and not force):
            return
        self._dirty, self._shown = False, now
        self.display.update(snapshot(self._engine, self._chronicle))

    def _safely(self, telling: Callable[[], object]) -> None:
        """A reader that has gone is no reason to stop a run: it goes on in silence."""
        if not self._lost:
            try:
                telling()
            except (OutputLost, OSError):
                self._lost = True

    # -- signals ------------------------------------------------------------------------------------------------

    def _caught(self, signum: int, frame: FrameType | None) -> None:
        if self.signum:
            signal.signal(signum, signal.SIG_DFL)
            raise KeyboardInterrupt
        self.signum = signum
        self._safely(lambda: self.display.interrupted(signum))


def snapshot(engine: Engine, chronicle: Chronicle | None) -> Snapshot:
    """What there is to tell of a run now."""
    jobs = list(engine.jobs.values())
    return Snapshot(
        tally=tally(jobs, engine.done_tasks()),
        failed=sum(job.state is State.terminated for job in jobs),
        notices=tuple(notices(chronicle)) if chronicle else (),
        next_query=engine.next_query,
        over=engine.over(),
    )
