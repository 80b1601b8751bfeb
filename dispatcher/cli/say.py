"""Text to people: the one place that writes to stdout and stderr.

    say("3 finished\\n")                  stdout; OutputLost when nobody reads it any more, or the disk is full
    complain("no such file: a.json")     dispatcher: error: no such file: a.json       on stderr
    paint("finished", "finished")        in colour, on a terminal that wants it

What a job wrote may hold escape sequences; nothing here lets them through to a
terminal. Where the terminal has no UTF-8, arrows and lines become ASCII.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
from typing import TextIO

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_ASCII = str.maketrans({"→": "->", "…": "...", "─": "-", "·": "-"})
_COLOURS = {
    "finished": "32",
    "terminated": "31",
    "running": "36",
    "completing": "36",
    "waiting": "33",
    "faint": "2",
    "strong": "1",
}


class OutputLost(Exception):
    """What was said could not be written. `pipe`: the reader has gone, which is no mistake."""

    def __init__(self, error: OSError) -> None:
        self.pipe = isinstance(error, BrokenPipeError) or error.errno in (errno.EPIPE, errno.EIO)
        super().__init__(f"standard output cannot be written: {error.strerror or error}")


def say(text: str) -> None:
    """Write to stdout, as it is."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(_fitting(text, sys.stdout))
    except OSError as error:
        raise OutputLost(error) from error


def flush() -> None:
    """Make what was said arrive."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError as error:
        raise OutputLost(error) from error


def say_json(value: object) -> None:
    """One line of JSON, at once."""
    import msgspec  # help texts do without

    say(msgspec.json.encode(value).decode() + "\n")
    flush()


def complain(message: str) -> None:
    """One error on stderr; where that is closed, nowhere."""
    if sys.stderr is not None:
        warn(f"dispatcher: error: {message}\n")


def warn(text: str) -> None:
    """Write to stderr; a stderr that is gone is no reason to stop."""
    try:
        sys.stderr.write(_fitting(harmless(text), sys.stderr))
        sys.stderr.flush()
    except (OSError, AttributeError):
        return


def harmless(text: str) -> str:
    """The text without control characters (but line ends and tabs): it may come from a job."""
    return _CONTROL.sub("?", text)


def _fitting(text: str, stream: TextIO) -> str:
    encoding = stream.encoding or "ascii"
    if encoding.lower().startswith("utf"):
        return text.encode("utf-8", "replace").decode() if not text.isascii() else text
    return text.translate(_ASCII).encode(encoding, "replace").decode(encoding)


def on_terminal() -> bool:
    """Whether stdout is a terminal that can do more than print lines."""
    return sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def paint(text: str, word: str) -> str:
    """The text in the colour of a state (or `faint`, `strong`), where there are colours."""
    colour = _COLOURS.get(word)
    if not colour or not on_terminal() or os.environ.get("NO_COLOR"):
        return text
    return f"\x1b[{colour}m{text}\x1b[0m"


def width() -> int:
    """Columns of the terminal; 0 when there is none, and lines may be as long as they like."""
    return shutil.get_terminal_size().columns if on_terminal() else 0
