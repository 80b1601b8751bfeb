"""What other threads, and signal handlers, ask of a session that this process has open.

    steered = Steered(key)
    with open_session(…, environment=real_environment(sleep=steered.sleep)) as session, steered.over(session):
        session.run()                               pauses in steered.sleep

    ask(key, Session.kill)                          True when it was done; False when nothing is open under that key

One thread works on a session. It is between two rounds while it sleeps: then nothing is half done, and what was asked
is carried out, by that thread. A signal handler interrupts that very thread: asleep, it may act at once; in mid-round,
what it asks is done at the next pause, or at the latest before the session closes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from queue import Empty, SimpleQueue
from threading import RLock, get_ident

from .session import Session

_Act = Callable[[Session], None]
_open: dict[str, Steered] = {}
_lock = RLock()  # a signal handler may come while its own thread holds it


class Steered:
    """One session that is open, and what is asked of it meanwhile."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._session: Session | None = None
        self._thread = get_ident()
        self._asked: SimpleQueue[tuple[_Act, Future[None]] | None] = SimpleQueue()  # its put may interrupt itself
        self._asleep = self._acting = False

    @contextmanager
    def over(self, session: Session) -> Iterator[None]:
        """This session, for as long as the block lasts; at its end what is still asked is done."""
        with _lock:
            self._session = session
            first = _open.setdefault(self._key, self)
        try:
            yield
        finally:
            if first is self:
                with _lock:
                    del _open[self._key]
            self._carry_out()

    def sleep(self, seconds: float) -> None:
        """Wait; or until something was asked, which is done first."""
        if self._acting:
            time.sleep(seconds)
            return
        try:
            self._asleep = True
            wish = self._asked.get(timeout=seconds)
        except Empty:
            return
        finally:
            self._asleep = False
        self._do(wish)

    def ask(self, act: _Act) -> Future[None]:
        """To be done by the thread that works on the session, at its next pause."""
        answer: Future[None] = Future()
        if get_ident() == self._thread and (self._asleep or self._acting):
            self._do((act, answer))
            self._asked.put(None)  # the pause ends: there may be news
        else:
            self._asked.put((act, answer))
        return answer

    def wake(self) -> None:
        """End the pause that it is in, or the next one."""
        self._asked.put(None)

    def waits(self) -> bool:
        """Whether the caller may wait for an answer: not in the thread that is to give it."""
        return get_ident() != self._thread

    def _carry_out(self) -> None:
        while True:
            try:
                self._do(self._asked.get_nowait())
            except Empty:
                return

    def _do(self, wish: tuple[_Act, Future[None]] | None) -> None:
        if wish is None or self._session is None:
            return
        act, answer = wish
        before, self._acting = self._acting, True
        try:
            act(self._session)
        except BaseException as error:
            answer.set_exception(error)
            if not isinstance(error, Exception):
                raise
        else:
            answer.set_result(None)
        finally:
            self._acting = before


def ask(key: str, act: _Act) -> bool:
    """Have this done by whoever in this process works on the session of that key; False when nobody does.

    Raises what it raises. In a signal handler that came in mid-round it is done a little later.
    """
    with _lock:
        steered = _open.get(key)
        if steered is None:
            return False
        answer = steered.ask(act)
    if answer.done() or steered.waits():
        answer.result()
    return True
