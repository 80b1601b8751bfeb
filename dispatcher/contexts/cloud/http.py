"""Requests with a time-out each, told apart by what a failure leaves open.

    Http().send("GET", "https://…/job/list", again=True)   ->  Answer(200, {…}, b'{"code":0,…}')
                                       again=False, reply lost  ->  Lost: it may have had its effect
                                              nobody listening  ->  NotSent: it certainly had none

Only what may be done twice is tried again, with a back-off that grows and is
never the same for two of us. No message holds a URL's query or a header: both
carry keys.

A redirect is followed for a GET, within the same server; to another one only
when nothing of ours goes along. Plain http is spoken to this machine only, or
where the profile says `allow_http`. Proxies are those of the environment
(HTTPS_PROXY, NO_PROXY).
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests
from urllib3.exceptions import HTTPError, NewConnectionError

from ...core.errors import Unreachable
from ...core.limits import MAX_ANSWER

#: Seconds to wait for a connection, and between two pieces of an answer.
CONNECT, READ = 10.0, 60.0
_TRIES, _LONGEST_PAUSE = 5, 20.0
_BUSY = frozenset({429, 500, 502, 503, 504})
_REDIRECTS, _HOPS = frozenset({301, 302, 303, 307, 308}), 5
#: What a request may take along to another server: it says nothing of who asks.
_HARMLESS = frozenset({"range", "accept-encoding"})


class Lost(Unreachable):
    """No good answer; what was asked for may have been done."""


class NotSent(Unreachable):
    """Nobody took the question: nothing was done."""


class Forbidden(NotSent):
    """What must not be asked as it is, however often: keys would reach somebody else."""


class Answer(NamedTuple):
    """What a server said: HTTP status, headers (names in any case), body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Http:
    """One pool of connections. `plain`: http is allowed to any server. `sleep` is for tests that count pauses."""

    def __init__(self, read: float = READ, sleep: Callable[[float], None] = time.sleep, plain: bool = False) -> None:
        self._plain = plain
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
            except NotSent as error:
                if last or isinstance(error, Forbidden):
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
            return Answer(response.status_code, response.headers, _whole(response, self._limits[1]))

    @contextmanager
    def stream(self, method: str, url: str, **more: Any) -> Iterator[requests.Response]:
        """An answer whose body is still to be read; it is not tried again. Raises Lost or NotSent."""
        try:
            with self._response(method, url, **more) as response:
                yield response
        except (requests.RequestException, HTTPError) as error:
            # from None: the text of such an error may hold the whole URL
            raise _explained(error, url) from None

    def _response(self, method: str, url: str, **more: Any) -> requests.Response:
        """The answer to a question, or where it was redirected to. Raises Lost, NotSent for what must not be asked."""
        for _ in range(_HOPS):
            self.must_be_safe(url)
            response = self._session.request(
                method, url, timeout=self._limits, stream=True, allow_redirects=False, **more
            )
            target = response.headers.get("Location")
            if method != "GET" or response.status_code not in _REDIRECTS or not target:
                return response
            response.close()
            url, before = urljoin(url, target), url
            more.pop("params", None)  # the new address has its own
            if _origin(url) != _origin(before) and set(map(str.lower, more.get("headers") or {})) - _HARMLESS:
                raise Forbidden(
                    f"{_server(before)} redirects to {_server(url)}, which gets no keys of ours: if the service has "
                    "moved, write its new address in base_url"
                )
        raise Lost(f"{_server(url)} redirects again and again")

    def must_be_safe(self, url: str) -> None:
        """Raise Forbidden for an address by plain http, but of this machine, unless that is allowed."""
        parts = urlsplit(url)
        if parts.scheme == "http" and not _is_here(parts.hostname or "") and not self._plain:
            raise Forbidden(
                f"plain http to {_server(url)} is not allowed, for keys and results would pass open to all: write "
                'https, or set "allow_http": true in remote_profile'
            )

    def secured(self, url: str) -> str:
        """An address that a server named: by https, unless plain http is allowed to it."""
        try:
            self.must_be_safe(url)
        except Forbidden:
            parts = urlsplit(url)
            return urlunsplit(parts._replace(scheme="https")) if parts.scheme == "http" and not parts.port else url
        return url

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def _is_here(host: str) -> bool:
    """This machine by number, or by the one name that cannot be another's; 127.example.org can."""
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _server(url: str) -> str:
    return urlsplit(url).netloc.rpartition("@")[2] or "an address without a server"


def _whole(response: requests.Response, longest: float) -> bytes:
    """The body, decompressed; Lost when it is longer than an answer may be."""
    body = bytearray()
    for piece in pieces(response, longest):
        body += piece
        if len(body) > MAX_ANSWER:
            raise Lost(
                f"{_server(response.url)} answers with more than {MAX_ANSWER} bytes, the limit; look who answers"
            )
    return bytes(body)


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
        return NotSent(f"{where or url[:40]} is not the address of a server ({kind}); correct it")
    return Lost(f"no good answer from {where} ({kind}); asked again later")
