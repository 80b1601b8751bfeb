"""Submissions of one process that look at jobs on one machine: one question a round, for all of them.

    thread 1   partner.look(…) ──┐
    thread 2   partner.look(…) ──┼─▶ one text ─▶ context.run ─▶ apart ─▶ to each its own reply
    thread 3   asleep, soon due ┘   (woken: it looks with the others)

A question is asked when somebody wants to look, and not before the dialect's minimum poll interval after the last one.
Whoever would look soon anyway is woken to look with it, and whoever is still at work on the last answer is waited
for; but nobody waits longer than half of its own pause, nor than five seconds, for the other may be uploading. Nobody
believes an older answer than it has asked for. The question is asked by a thread of its own, so that whoever stops
watching leaves at once.

All of this is of one process: a forked child begins with nothing.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from types import TracebackType

from ..core.errors import Interrupted, Purged
from ..core.ports import Context, Query, Reply, Scheduler
from ..core.sharing import Asking, Mergeable, Sited
from .environment import alone
from .fencing import Fenced

#: Most jobs in one question; more are asked about in several.
MOST = 20_000
#: Seconds for which others are waited for at most.
LONGEST = 5.0


class Enquiry:
    """What one submission wants to know: answered once, or given up by whoever asked."""

    def __init__(self, partner: Partner, scheduler: Scheduler, context: Context, queries: Sequence[Query]) -> None:
        self.partner, self.scheduler, self.context, self.queries = partner, scheduler, context, queries
        self.pause = partner.pause or scheduler.min_poll_interval
        self.latest = time.monotonic() + min(self.pause / 2, LONGEST)
        self.answer: Future[Reply] = Future()

    def tell(self, reply: Reply | BaseException) -> None:
        """The answer, or why there is none; nobody may be waiting for it any more."""
        with suppress(InvalidStateError):
            if isinstance(reply, BaseException):
                self.answer.set_exception(reply)
            else:
                self.answer.set_result(reply)


class Partner:
    """One submission at work; a context manager. `look` and `rest` are what its environment has."""

    def __init__(self, sleep: Callable[[float], None], wake: Callable[[], None], stop: Callable[[], bool]) -> None:
        self._sleep, self._wake, self._stop = sleep, wake, stop
        self.pause = 0.0
        #: When its pause ends, by time.monotonic; None while it is not in one.
        self.due: float | None = None
        #: The last question that it took part in.
        self.took_part = -1
        self._party: Party | None = None
        self._look: Enquiry | None = None

    def __enter__(self) -> Partner:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._party is not None:
            self._party.leave(self)

    def look(self, scheduler: Scheduler, context: Context, queries: Sequence[Query]) -> Reply | None:
        """The answer to a question that was asked after this was called; None when the run is to be stopped."""
        inner = context.reached() if isinstance(context, Fenced) else context
        if not isinstance(scheduler, Mergeable) or not isinstance(inner, Sited):
            return alone(scheduler, context, queries)
        self._join((os.getpid(), inner.site, scheduler.settings()))
        self._look = look = Enquiry(self, scheduler, inner, queries)
        try:
            if self._stop() or self._party is None:
                return None
            self._party.ask(look)
            return look.answer.result()
        except CancelledError:
            return None
        finally:
            look.answer.cancel()
            self._look = None

    def _join(self, key: Hashable) -> None:
        if self._party is None or self._party.key != key:
            if self._party is not None:
                self._party.leave(self)
            self._party = _joined(key, self)

    def rest(self, seconds: float) -> None:
        """A pause; it ends early when others look."""
        self.pause, self.due = seconds, time.monotonic() + seconds
        if self._party is not None:
            self._party.news()
        try:
            self._sleep(seconds)
        finally:
            self.due = None

    def hasten(self) -> None:
        """End the pause that it is in."""
        if self.due is not None:
            self.due = None
            self._wake()

    def wake(self) -> None:
        """The run is to be stopped: neither a pause nor an answer is waited for."""
        if (look := self._look) is not None:
            look.answer.cancel()
        self._wake()


class Party:
    """The submissions of this process that ask one machine in one dialect."""

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.partners: set[Partner] = set()
        #: How many questions were asked, and how many looks these have answered.
        self.questions = self.looks = 0
        self._changed = threading.Condition()
        self._waiting: list[Enquiry] = []
        self._asking = False
        self._asked = float("-inf")

    def ask(self, look: Enquiry) -> None:
        """With the next question."""
        with self._changed:
            self._waiting.append(look)
            self._changed.notify_all()
            if not self._asking:
                self._asking = True
                threading.Thread(target=self._serve, name="dispatcher look", daemon=True).start()

    def news(self) -> None:
        """A partner rests, or has left."""
        with self._changed:
            self._changed.notify_all()

    def leave(self, partner: Partner) -> None:
        """It looks no more."""
        with _guard:
            self.partners.discard(partner)
            if not self.partners and _parties.get(self.key) is self:
                del _parties[self.key]
        self.news()

    def _serve(self) -> None:
        while looks := self._gathered():
            _answer(looks)
            self._asked = time.monotonic()

    def _gathered(self) -> list[Enquiry]:
        """Who looks now, when it is time; nobody: nobody waits any more."""
        with self._changed:
            while True:
                self._waiting = [look for look in self._waiting if not look.answer.done()]
                if not self._waiting:
                    self._asking = False
                    return []
                left = self._early() or self._expected()
                if left <= 0:
                    break
                self._changed.wait(left)
            looks, self._waiting = self._waiting, []
            for look in looks:
                look.partner.took_part = self.questions
            self.questions, self.looks = self.questions + 1, self.looks + len(looks)
            return looks

    def _early(self) -> float:
        """Seconds until another question may be asked."""
        pause = min(min(look.pause, look.scheduler.min_poll_interval) for look in self._waiting)
        return max(0.0, self._asked + pause - time.monotonic())

    def _expected(self) -> float:
        """Seconds for which those are still waited for that took part in the last question, and will look soon."""
        now, waiting = time.monotonic(), {look.partner for look in self._waiting}
        expected = False
        with _guard:
            absent = [one for one in self.partners - waiting if one.took_part == self.questions - 1]
        for partner in absent:
            due = partner.due
            if due is None or due - now <= partner.pause / 2:
                expected = True
                partner.hasten()
        return min(look.latest for look in self._waiting) - now if expected else 0.0


def _answer(looks: Sequence[Enquiry]) -> None:
    """Ask, and tell each. Where whoever would ask for all stops, or its directory is gone, it alone is told so."""
    while looks:
        several = _fitting(looks)
        try:
            replies = _asked(several)
        except (Purged, Interrupted) as error:
            several[0].tell(error)
            looks = looks[1:]
            continue
        except BaseException as error:
            replies = [error] * len(several)
        for look, reply in zip(several, replies, strict=True):
            look.tell(reply)
        looks = looks[len(several) :]


def _fitting(looks: Sequence[Enquiry]) -> Sequence[Enquiry]:
    """As many of them as one question may be about, at least one."""
    total, number = 0, 0
    for look in looks:
        total += len(look.queries)
        if total > MOST and number:
            break
        number += 1
    return looks[:number]


def _asked(looks: Sequence[Enquiry]) -> list[Reply | BaseException]:
    first = looks[0]
    if len(looks) == 1 or not isinstance(first.scheduler, Mergeable):
        return [first.context.run(first.scheduler.observe(first.queries, first.context.place))]
    asked = [Asking(look.queries, look.context.place) for look in looks]
    reply = first.context.run(first.scheduler.observe_all(asked))
    return list(first.scheduler.apart(reply, asked))


# -- who is here ----------------------------------------------------------------------------------------------------

_parties: dict[Hashable, Party] = {}
_guard = threading.Lock()
_forks = False


def _joined(key: Hashable, partner: Partner) -> Party:
    global _forks
    with _guard:
        if not _forks:
            os.register_at_fork(after_in_child=_begin_anew)
            _forks = True
        party = _parties.setdefault(key, Party(key))
        party.partners.add(partner)
        return party


def _begin_anew() -> None:
    """In a forked child: its threads are gone, and whoever held the lock with them."""
    global _guard
    _guard = threading.Lock()
    _parties.clear()
