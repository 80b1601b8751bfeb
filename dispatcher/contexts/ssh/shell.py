"""Running things there: a script in `sh`, whatever the login shell is and whatever it prints before.

    exec   sh -c 'IFS= read -r s && eval "$(printf %b "$s")"'     the same words in sh, csh and fish
    stdin  printf …@@5f1c…; cd /scratch/R && tar -x …\n           the script: one line, which runs whole or not at all
           <bytes>                                                what the script reads
    stdout Welcome to the cluster!
           @@5f1c…                                                from here on it is the answer
           <bytes>

A script that is silent for long says so on stderr from time to time, so that
silence means that the connection is gone, however long a file is hashed.
"""

from __future__ import annotations

import secrets
import select
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from shlex import quote
from typing import TYPE_CHECKING

from ...core.errors import Unreachable
from ...core.limits import MAX_ANSWER
from ...core.ports import PURGED, Reply, ShellText
from ..local import shell_call
from .link import WINDOW, Link

if TYPE_CHECKING:
    from paramiko import Channel

_BOOT = 'sh -c \'IFS= read -r s && eval "$(printf %b "$s")"\''
#: Seconds without any sign of life after which a transfer counts as cut; there is one every _BEAT.
QUIET = 90.0
_BEAT = 20
#: What fits into one packet of OpenSSH.
BLOCK = 32000
_SLICE = 300  # milliseconds
#: Bytes that are kept of what a command says on stderr, and that a login shell may say before the script begins.
_MOST = 1 << 24
_DOT = "\0.\n"


class Silent(Unreachable):
    """Nothing was heard for too long."""


class Stream:
    """One command there: its output in pieces, then its exit code and what it complained about."""

    def __init__(self, channel: Channel, mark: str, expired: Callable[[float], bool]) -> None:
        self._channel, self._mark, self._expired = channel, f"{mark}\n".encode(), expired
        self._head: bytes | None = b""
        self._errors = bytearray()
        self._alive = time.monotonic()
        self._poll = select.poll()
        self._poll.register(channel.fileno(), select.POLLIN)
        self.code = -1

    @property
    def started(self) -> bool:
        """Whether the script was reached; all that is said before is the login shell's."""
        return self._head is None

    @property
    def noise(self) -> str:
        """What was said before the script began."""
        return shell_call.first_line(((self._head or b"") + bytes(self._errors)).decode(errors="replace"))

    @property
    def err(self) -> str:
        """What came on stderr, without the mark and the signs of life."""
        before, found, after = bytes(self._errors).partition(self._mark)
        return (after if found else before).decode(errors="replace").replace(_DOT, "")

    def __iter__(self) -> Iterator[bytes]:
        """Output after the mark, as it comes; Silent when nothing came for too long."""
        over = 0
        while True:
            try:
                piece = self._piece()
            except (OSError, EOFError) as why:  # reading makes paramiko send, too, and that may fail
                raise Unreachable("the connection broke off in mid-command; what it did is unknown") from why
            if piece:
                yield piece
                over = 0
            elif self._at_end() or over > 1:
                break
            elif not self._wait():
                # a background child may keep the output open for ever: a slice of silence after the end is enough
                over = over + 1 if self._channel.exit_status_ready() else 0
                if self._expired(self._alive):
                    raise Silent("no sign of life")
        self.code = self._channel.recv_exit_status() if self._channel.exit_status_ready() else -1

    def _wait(self) -> bool:
        """Whether there is something to read, after a slice of time at most."""
        if self._channel.eof_received:  # then a poll would always say yes
            self._channel.status_event.wait(_SLICE / 1000)
            return bool(self._channel.recv_stderr_ready())
        return bool(self._poll.poll(_SLICE))

    def _piece(self) -> bytes:
        """What is there now, of the script's output; nothing when it is the login shell's."""
        channel = self._channel
        if channel.recv_stderr_ready():
            self._errors += channel.recv_stderr(1 << 16)
            del self._errors[:-_MOST]
            self._alive = time.monotonic()
        if not channel.recv_ready():
            return b""
        self._alive = time.monotonic()
        # all there is: paramiko moves what is left to the front of its buffer each time
        piece: bytes = channel.recv(WINDOW)
        if self._head is None:
            return piece
        self._head, found, rest = (self._head + piece).partition(self._mark)
        if found:
            self._head = None
        elif len(self._head) > _MOST:
            raise Unreachable(
                f"the login shell there says more than {_MOST} bytes before it starts sh: correct its profile"
            )
        return rest

    def _at_end(self) -> bool:
        channel = self._channel
        waiting = channel.recv_ready() or channel.recv_stderr_ready()
        return (channel.closed or (channel.eof_received and channel.status_event.is_set())) and not waiting


class _Sender(threading.Thread):
    """Feeds a command while somebody else reads what it prints."""

    def __init__(self, channel: Channel, first: bytes, feed: Iterable[bytes]) -> None:
        super().__init__(daemon=True, name="ssh-feed")
        self._channel, self._first, self._feed = channel, first, feed
        self.error: Exception | None = None

    def run(self) -> None:
        """Send everything, or as much as the other side wants."""
        try:
            if self._sent(self._first) and all(map(self._sent, self._feed)):
                with suppress(OSError, EOFError):  # the reader sees that the link is broken
                    self._channel.shutdown_write()
        except Exception as why:  # of the feed: raised again by `run`, in the other thread
            self.error = why
            with suppress(Exception):
                self._channel.close()

    def _sent(self, data: bytes) -> bool:
        """False when nobody listens any more: the command is over, or the link is broken."""
        at = 0
        with suppress(OSError, EOFError):
            while at < len(data):
                count = self._channel.send(data[at : at + BLOCK])
                if not count:
                    return False
                at += count
            return True
        return False


def run(
    link: Link,
    script: str,
    take: Callable[[Iterator[bytes]], object],
    feed: Iterable[bytes] = (),
    expired: Callable[[float], bool] | None = None,
) -> Stream:
    """Run a script in `sh` there, give it bytes to read, hand what it prints to `take`.

    Unreachable when the link broke before it was over, whatever it did until then. What `feed` or `take` raise is
    raised.
    """
    mark = f"@@{secrets.token_hex(8)}"
    said = f"printf '\\n%s\\n' {mark}"
    body = script if expired else _beating(script)
    with link.session() as channel:
        stream = Stream(channel, mark, expired or _quiet)
        sender = _Sender(channel, encoded(f"{said}; {said} >&2; {body}"), feed)
        _start(link, channel)
        sender.start()
        try:
            take(iter(stream))
        except Silent:
            _give_up(link, channel, frozen=expired is None or sender.is_alive())
            raise
        finally:
            with suppress(Exception):
                channel.close()
            sender.join(5.0)
        if sender.error is not None:
            raise sender.error
        return _judged(link, stream, channel.get_transport().is_active())


def all_of(out: list[bytes]) -> Callable[[Iterator[bytes]], None]:
    """Takes the whole output into a list; Unreachable when it is longer than an answer may be."""

    def take(pieces: Iterator[bytes]) -> None:
        size = 0
        for piece in pieces:
            out.append(piece)
            size += len(piece)
            if size > MAX_ANSWER:
                raise Unreachable(
                    f"an answer of more than {MAX_ANSWER} bytes (the limit) was cut off; look who answers"
                )

    return take


def output_of(link: Link, script: str) -> tuple[Stream, bytes]:
    """Run a script that prints little; how it ended, and what it printed."""
    out: list[bytes] = []
    stream = run(link, script, all_of(out))
    return stream, b"".join(out)


def _quiet(alive: float) -> bool:
    return time.monotonic() - alive > QUIET


def _start(link: Link, channel: Channel) -> None:
    try:
        channel.exec_command(_BOOT)
    except Exception as why:  # paramiko lets errors of sockets through beside its own
        link.lost(channel.get_transport())
        raise Unreachable(f"the connection to {link} is lost: {why or type(why).__name__}; made again later") from why


def _give_up(link: Link, channel: Channel, frozen: bool) -> None:
    """End what does not answer; a link that takes no bytes either is dropped (closing a channel on it would hang)."""
    if frozen:
        link.lost(channel.get_transport())
        return
    with suppress(Exception):
        _kill(channel)


def _kill(channel: Channel) -> None:
    """SIGKILL to all that runs in the session (RFC 4254, 6.9; older servers do not listen)."""
    from paramiko import Message
    from paramiko.common import cMSG_CHANNEL_REQUEST

    message = Message()
    message.add_byte(cMSG_CHANNEL_REQUEST)
    message.add_int(channel.remote_chanid)
    message.add_string("signal")
    message.add_boolean(False)
    message.add_string("KILL")
    channel.get_transport()._send_user_message(message)


def _judged(link: Link, stream: Stream, alive: bool) -> Stream:
    """Without an exit code, a shell was killed when the connection still is `alive`; otherwise nothing is known."""
    if stream.started and (stream.code >= 0 or alive):
        link.proved()
        return stream
    if stream.code >= 0:
        raise Unreachable(f"the login shell of {link} did not start sh (exit {stream.code}): {stream.noise}")
    raise Unreachable(f"the connection to {link} broke off in mid-command; what it did is unknown")


def encoded(script: str) -> bytes:
    """A script as one line for the words that start it; any bytes but NUL may be in it."""
    raw = script.encode(errors="surrogateescape")
    return raw.replace(b"\\", b"\\\\").replace(b"\n", b"\\n") + b"\n"


def _beating(script: str) -> str:
    """A script that shows now and then that it is alive, and leaves nobody behind who does."""
    beat = f"while sleep {_BEAT} > /dev/null 2>&1; do printf '\\0.\\n' >&2 || exit; done"
    return f"({beat}) < /dev/null > /dev/null & b=$!\n(\n{script}\n)\nc=$?; kill $b; exit $c"


def run_call(link: Link, call: ShellText, directory: str) -> Reply:
    """Run a text with `sh` in a directory and wait for it; Unreachable without an answer in time."""
    out: list[bytes] = []
    there = quote(directory)
    gone = f"LC_ALL=C ls -d -- {there}/. 2>&1 >/dev/null | grep 'No such file' >&2 && exit {PURGED}"
    enter = f"cd -- {there} && exec sh; {gone}; exit 255"
    text = shell_call.wrapped(call.text).encode(errors="surrogateescape")
    end = time.monotonic() + call.timeout
    try:
        stream = run(link, enter, all_of(out), [text], expired=lambda _: time.monotonic() > end)
    except Silent:
        said = shell_call.first_line(call.text)
        lost = f"no answer within {call.timeout:g} s from: {said}; what it did is unknown, asked again"
        raise Unreachable(lost) from None
    return Reply(stream.code, b"".join(out).decode(errors="replace"), stream.err)
