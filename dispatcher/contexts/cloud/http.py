"""Requests with a time-out each, told apart by what a failure leaves open.

    Http().send("GET", "https://…/job/list", again=True)   ->  Answer(200, {…}, b'{"code":0,…}')
                                       again=False, reply lost  ->  Lost: it may have had its effect
                                              nobody listening  ->  NotSent: it certainly had none

Only what may be done twice is tried again, with a back-off that grows and is
never the same for two of us. No message holds a URL's query or a header: both
carry keys.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError, NewConnectionError

from ...core.errors import Unreachable

#: Seconds to wait for a connection, and between two pieces of an answer.
CONNECT, READ = 10.0, 60.0
_TRIES, _LONGEST_PAUSE = 5, 20.0
_BUSY = frozenset({429, 500, 502, 503, 504})


class Lost(Unreachable):
    """No good answer; what was asked for may have been done."""


class NotSent(Unreachable):
    """Nobody took the question: nothing was done."""


class Answer(NamedTuple):
    """What a server said: HTTP status, headers (names in any case), body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Http:
    """One pool of connections. `sleep` is handed in by tests that count pauses."""

    def __init__(self, read: float = READ, sleep: Callable[[float], None] = time.sleep) -> None:
        self._session = requests.Session()
        self._session.auth = _as_it_is
        self._limits = (CONNECT, read)
        self._sleep = sleep

    def send(self, method: str, url: str, again: bool, tries: int = _TRIES, **more: Any) -> Answer:
        """Ask and read the whole answer; `again`: it may be repeated, so it is, after 5xx, 429 and broken links.

        An answer of any status comes back when it is the last; raises Lost or NotSent when there is none.
        """
        for nth in range(tries):
            last = nth == tries - 1
            try:
                answer = self._once(method, url, **more)
            except NotSent:
                if last:
                    raise
            except Lost:
                if last or not again:
                    raise
            else:
                if last or not again or answer.status not in _BUSY:
                    return answer
            self._sleep(_pause(nth))
        raise AssertionError("the last try returns or raises")

    def _once(self, method: str, url: str, **more: Any) -> Answer:
        with self.stream(method, url, **more) as response:
            return Answer(response.status_code, response.headers, b"".join(pieces(response, self._limits[1])))

    @contextmanager
    def stream(self, method: str, url: str, **more: Any) -> Iterator[requests.Response]:
        """An answer whose body is still to be read; it is not tried again. Raises Lost or NotSent."""
        try:
            with self._session.request(
                method, url, timeout=self._limits, stream=True, allow_redirects=method == "GET", **more
            ) as response:
                yield response
        except (requests.RequestException, HTTPError) as error:
            # from None: the text of such an error may hold the whole URL
            raise _explained(error, url) from None

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def pieces(response: requests.Response, longest: float) -> Iterator[bytes]:
    """The body as it arrives, at most `longest` seconds of it in all: one that drips does not hold us for ever."""
    end = time.monotonic() + longest
    while piece := response.raw.read1(1 << 20, decode_content=True):
        yield piece
        if time.monotonic() > end:
            raise requests.exceptions.ReadTimeout("the body is too slow")
    missing = response.raw.length_remaining
    if missing:
        raise requests.exceptions.ChunkedEncodingError(f"{missing} bytes are missing")


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Or a .netrc would replace our Authorization."""
    return request


def _pause(nth: int) -> float:
    return float(min(0.5 * 2**nth, _LONGEST_PAUSE) * random.uniform(0.5, 1.5))  # noqa: S311 (no secret)


def _explained(error: Exception, url: str) -> Unreachable:
    kind = type(error).__name__
    where = urlsplit(url).netloc.rpartition("@")[2]
    reason = getattr(error.args[0], "reason", None) if error.args else None
    if isinstance(error, requests.exceptions.ConnectTimeout) or isinstance(reason, NewConnectionError):
        return NotSent(f"cannot reach {where} ({kind}); asked again later")
    if isinstance(error, (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema)):
        return NotSent(f"{where or url[:40]} is no address of a server ({kind}); correct it")
    return Lost(f"no good answer from {where} ({kind}); asked again later")
