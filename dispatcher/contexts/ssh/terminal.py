"""Asking the person at the terminal, as `ssh` does: on /dev/tty, whatever the program's own output goes to."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

#: Characters of an answer; a fingerprint has 50.
_LONGEST = 200


def ask(question: str) -> str | None:
    """The answer, without blanks around it; None where nobody can be asked: no terminal, or not in the foreground."""
    with suppress(OSError, ValueError):
        if not sys.stdin.isatty():
            return None
        fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        with open(fd, "r+b", buffering=0) as line:  # noqa: PTH123 (a descriptor, no path)
            if os.tcgetpgrp(fd) != os.getpgrp():
                return None
            line.write("".join(c if c.isprintable() or c == "\n" else "?" for c in question).encode())
            answer = line.readline(_LONGEST)
            return answer.decode(errors="replace").strip() if answer else None
    return None
