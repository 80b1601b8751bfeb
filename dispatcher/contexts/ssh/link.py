"""The connection: one login, kept for as long as anybody here uses the machine, and made again when it is lost.

    link = shared(route(profile))        the same profile gives the same link, to any submission and thread
    with link.session() as channel:      a channel, as many at once as the server allows (perhaps one)
        …
    link.leave()                         the last one out leaves the light on for a while

A login that fails is not repeated at once: connections back off from a second
to a minute, with jitter. A login that was refused waits a minute, and so does
the second in a row of which nothing came, so that a server that counts
(fail2ban, one-time codes) has nothing to count.
"""

from __future__ import annotations

import atexit
import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError, Unreachable
from ..budget import Budget, Limits
from . import hosts as ssh_hosts
from .config import Host
from .login import Codes, LoginRefused, log_in
from .proxy import Proxy

if TYPE_CHECKING:
    from paramiko import Channel, Transport

#: Longest pause between two tries to connect, and the pause after a refused login, in seconds.
MINUTE = 60.0
#: How long a connection nobody uses is kept: the next submission of the same program needs no second login.
LINGER = 300.0
#: Channels open at once until the server says that it wants fewer.
CHANNELS = 8
_KEEPALIVE = 30
#: RFC 4254, 5.1: SSH_OPEN_ADMINISTRATIVELY_PROHIBITED.
_PROHIBITED = 1
#: Bytes in flight towards us, and in one packet: more than the default, for long and fast lines.
WINDOW, _PACKET = 1 << 23, 1 << 18


class Link:
    """A connection to the last host of a route, through the others."""

    def __init__(
        self,
        route: tuple[Host, ...],
        timeout: float = 10.0,
        greet: Callable[[Channel], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        codes: Codes | None = None,
    ) -> None:
        self.route, self.timeout, self.sleep = route, timeout, sleep
        self.logins = 0
        self.rate = 0.0  # bytes a second of the last large transfer, 0 while none was seen
        self._greet, self._clock = greet, clock
        self._codes = [Codes() if codes is None else codes for _ in route]
        self._transport: Transport | None = None
        self._below: list[Any] = []
        self._proxy: Proxy | None = None
        self._lock = threading.Lock()
        self._room = threading.Condition()
        self._open, self._limit = 0, CHANNELS
        self._failures, self._not_before = 0, 0.0
        self.users = 0
        #: How many logins there may be in a minute, counted for all processes; None: as many as needed.
        self.budget: Budget | None = None

    def __str__(self) -> str:
        return str(self.route[-1])

    # -- logging in -------------------------------------------------------------------------------------------------

    def transport(self) -> Transport:
        """The connection; made when there is none. Unreachable when it cannot be, or when it is too early to retry."""
        with self._lock:
            if self._transport is not None and self._transport.is_active():
                return self._transport
            self._drop()
            early = self._not_before - self._clock()
            if early > 0:
                raise Unreachable(f"{self} is out of reach; the next try is in {early:.0f} s")
            self._afford()
            self._not_before = self._clock() + self._pause()
            self._transport = self._connected()
            return self._transport

    def keep_to(self, logins: int | None) -> None:
        """The strictest of the limits that were asked for counts."""
        if logins is not None and (self.budget is None or logins < (self.budget.limits.logins or logins)):
            self.budget = Budget(str(self), Limits(logins=logins))

    def _afford(self) -> None:
        """Count a login; the first one waits for its turn, a later one is tried again by whoever needs it."""
        while self.budget is not None and (wait := self.budget.spend("logins")):
            if self.logins:
                self._not_before = self._clock() + wait
                spent = "max_logins_per_minute is spent, by all processes of yours on this host"
                raise Unreachable(f"{self}: {spent}; the next try is in {wait:.0f} s")
            self.sleep(min(wait, 1.0))

    def _pause(self) -> float:
        """Seconds from this try to the next, should it or what follows fail: 1, 2, 4 … 60, not all at one moment."""
        self._failures += 1
        longest = min(MINUTE, 2.0 ** (self._failures - 1))
        return random.uniform(longest / 2, longest)  # noqa: S311 (jitter, no secret)

    def _knock(self) -> None:
        """A server that counts logins counts this one: once one has come to nothing, the next are a minute apart."""
        if self._failures > 1:
            self._not_before = self._clock() + MINUTE * random.uniform(1, 1.25)  # noqa: S311

    def proved(self) -> None:
        """Something worked over this connection: when it is lost, the next may be made at once."""
        self._failures, self._not_before = 0, 0.0

    def early(self) -> float:
        """Seconds until the next login may be tried."""
        return max(0.0, self._not_before - self._clock())

    def _connected(self) -> Transport:
        first = self.logins == 0
        try:
            return self._way()
        except LoginRefused as why:
            self._drop()
            self._not_before = self._clock() + MINUTE
            if first:
                raise ConfigError(str(why)) from None
            raise Unreachable(f"{why}; tried again in a minute") from None
        except (ConfigError, Unreachable):
            self._drop()
            raise
        except Exception as why:  # paramiko lets errors of sockets, of ciphers and its own through alike
            reason = _said(why)
            if self._proxy is not None and (told := self._proxy.last_words()):
                reason += f"; ProxyCommand says: {told}"
            self._drop()
            raise Unreachable(f"{self} is out of reach: {reason}; tried again later") from why

    def _way(self) -> Transport:
        """Through every hop to the last host."""
        transport: Transport | None = None
        for host, codes in zip(self.route, self._codes, strict=True):
            transport = self._entered(host, transport, codes)
            self._below.append(transport)
        assert transport is not None, "a route has a host"
        self.logins += 1
        if self._greet is not None:
            self._greet(transport.open_session(timeout=self.timeout))
        return transport

    def _entered(self, host: Host, through: Transport | None, codes: Codes) -> Transport:
        """One host, known and logged in; with a code that was stale, once more with a fresh one."""
        try:
            return self._tried(host, through, codes)
        except LoginRefused as why:
            if not why.code:
                raise
            codes.spoil()
            return self._tried(host, through, codes)

    def _tried(self, host: Host, through: Transport | None, codes: Codes) -> Transport:
        from paramiko import Transport

        # without this, paramiko's tracebacks go to stderr in programs that configured no logging
        logging.getLogger("paramiko").addHandler(logging.NullHandler())
        kind = _certified(Transport) if ssh_hosts.is_certified(host) else Transport
        transport = kind(self._socket(host, through), default_window_size=WINDOW, default_max_packet_size=_PACKET)
        self._below.append(transport)
        transport.banner_timeout = transport.handshake_timeout = max(15.0, self.timeout)
        transport.auth_timeout = self.timeout + 20
        _prefer(transport, ssh_hosts.kinds(host))
        transport.start_client(timeout=self.timeout + 15)
        key = transport.get_remote_server_key()
        shown = key.public_blob.key_blob if key.public_blob else b""
        ssh_hosts.check(host, key.get_name(), key.asbytes(), shown)
        self._knock()
        log_in(transport, host, codes)
        transport.set_keepalive(_KEEPALIVE)
        return transport

    def _socket(self, host: Host, through: Transport | None) -> Any:
        if host.proxy:
            self._proxy = Proxy(host.proxy)
            self._below.append(self._proxy)
            return self._proxy.ours
        if through is None:
            bind = (host.bind, 0) if host.bind else None
            plain = socket.create_connection((host.address, host.port), self.timeout, bind)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return plain
        return self._onward(host, through)

    def _onward(self, host: Host, through: Transport) -> Channel:
        """From one host to the next; ConfigError when it does not let anybody go on."""
        from paramiko import ChannelException

        where = (host.address, host.port)
        try:
            return through.open_channel("direct-tcpip", where, ("127.0.0.1", 0), timeout=self.timeout)
        except ChannelException as why:
            gate = self.route[self.route.index(host) - 1]
            if why.code == _PROHIBITED:
                raise ConfigError(
                    f"{gate} does not let anybody go on to {host.address}:{host.port} (AllowTcpForwarding or "
                    "PermitOpen of its sshd): ask the site, or run the dispatcher there"
                ) from None
            raise Unreachable(
                f"{gate} cannot reach {host.address}:{host.port}: {_said(why)}; tried again later"
            ) from None

    def _drop(self) -> None:
        below, self._below, self._transport, self._proxy = self._below, [], None, None
        for part in reversed(below):
            with suppress(Exception):
                part.close()

    def close(self) -> None:
        """Hang up."""
        with self._lock:
            self._drop()

    # -- channels ---------------------------------------------------------------------------------------------------

    @contextmanager
    def session(self) -> Iterator[Channel]:
        """A channel to run one command; waits its turn where the server allows only few. Raises Unreachable."""
        with self._room:
            self._room.wait_for(lambda: self._open < self._limit)
            self._open += 1
        channel = None
        try:
            channel = self._opened()
            yield channel
        finally:
            if channel is not None:
                with suppress(Exception):
                    channel.close()
            with self._room:
                self._open -= 1
                self._room.notify()

    def _opened(self) -> Channel:
        end = self._clock() + MINUTE
        while True:
            transport = self.transport()
            try:
                return transport.open_session(timeout=max(self.timeout, 15.0))
            except Exception as why:
                if not _is_full(why, transport):
                    self.lost(transport)
                    raise Unreachable(f"the connection to {self} is lost: {_said(why)}; made again later") from why
                # MaxSessions: others are open, or the server has not yet noticed that the last one is over
                if self._clock() > end:
                    raise Unreachable(f"{self} opens no session: {_said(why)}; asked again later") from why
                self._make_do()

    def _make_do(self) -> None:
        """Be content with the channels that are open, and wait for one of them to be closed."""
        with self._room:
            self._limit = max(1, min(self._limit, self._open - 1))
            if self._open > self._limit:
                self._open -= 1
                self._room.wait_for(lambda: self._open < self._limit, timeout=1.0)
                self._open += 1
        time.sleep(0.05)

    def lost(self, transport: Transport | None = None) -> None:
        """This connection is of no use any more; the next operation makes another."""
        with self._lock:
            if transport is None or transport is self._transport:
                self._drop()


def _is_full(why: Exception, transport: Transport) -> bool:
    """Whether the server has only refused a channel.

    Of several threads that are refused at once, paramiko tells the reason to one, and to the others that none is known.
    """
    from paramiko import ChannelException

    return isinstance(why, ChannelException) or (
        transport.is_active() and str(why).startswith("Unable to open channel")
    )


def _certified(kind: type[Transport]) -> type[Transport]:
    """A transport that asks for a certificate before it asks for a key: paramiko has them the other way round."""

    def preferred(transport: Transport) -> tuple[str, ...]:
        names = kind.preferred_keys.fget(transport)
        return tuple(sorted(names, key=lambda name: "-cert-" not in name))

    return type("CertifiedTransport", (kind,), {"preferred_keys": property(preferred)})


def _prefer(transport: Transport, kinds: list[str]) -> None:
    """Ask for a kind of host key that is known, where there is one."""
    options = transport.get_security_options()
    rsa = ("rsa-sha2-512", "rsa-sha2-256")
    first = [name for kind in kinds for name in (rsa if kind == "ssh-rsa" else (kind,)) if name in options.key_types]
    options.key_types = tuple(dict.fromkeys([*first, *options.key_types]))
    # one pass over the data instead of two (cipher, then MAC): a third faster on large transfers
    quick = [name for name in options.ciphers if "gcm" in name]
    options.ciphers = tuple(dict.fromkeys([*quick, *options.ciphers]))


def _said(why: BaseException) -> str:
    """What an error says, or its name when it says nothing."""
    return (str(why) or type(why).__name__).splitlines()[0][:200]


# -- sharing --------------------------------------------------------------------------------------------------------

_links: dict[tuple[Any, ...], Link] = {}
_guard = threading.Lock()


def shared(route: tuple[Host, ...], timeout: float, greet: Callable[[Channel], None] | None, key: str) -> Link:
    """The link of this process for a route (secrets and `key` included), with one user more."""
    with _guard:
        if not _links:
            atexit.register(_hang_up)
        mine = (os.getpid(), route, timeout, key)
        link = _links.setdefault(mine, Link(route, timeout, greet))
        link.users += 1
        return link


def leave(link: Link) -> None:
    """One user less; a link without any hangs up after a while, unless somebody comes back."""
    with _guard:
        link.users -= 1
    if link.users <= 0:
        timer = threading.Timer(LINGER, _retire, [link])
        timer.daemon = True
        timer.start()


def _retire(link: Link) -> None:
    with _guard:
        if link.users > 0:
            return
        for key in [key for key, value in _links.items() if value is link]:
            del _links[key]
    link.close()


def _hang_up() -> None:
    for link in list(_links.values()):
        link.close()
