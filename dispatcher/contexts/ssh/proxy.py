"""A ProxyCommand: its input and output are the connection, what it complains about is told when there is none."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from contextlib import suppress

#: Bytes that are kept of its standard error.
_LAST = 2000


class Proxy:
    """A proxy command at work; `ours` is our end of the connection."""

    def __init__(self, command: str) -> None:
        self.ours, its = socket.socketpair()
        with its:
            words, end = ["sh", "-c", f"exec {command}"], its.fileno()
            # a session of its own, for Ctrl-C is not meant for it
            self._process = subprocess.Popen(
                words, stdin=end, stdout=end, stderr=subprocess.PIPE, start_new_session=True
            )
        self._said = b""
        self._reader = threading.Thread(target=self._read, daemon=True, name="ssh-proxy-stderr")
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None, "a pipe was asked for"
        with suppress(OSError, ValueError), self._process.stderr as stream:
            while piece := os.read(stream.fileno(), _LAST):
                self._said = (self._said + piece)[-_LAST:]

    def last_words(self) -> str:
        """What it complained about last, in one line."""
        if self._process.poll() is not None:
            self._reader.join(1.0)
        lines = [line.strip() for line in self._said.decode(errors="replace").splitlines() if line.strip()]
        return " / ".join(lines[-3:])[-300:]

    def close(self) -> None:
        """End it and everything it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(2)
