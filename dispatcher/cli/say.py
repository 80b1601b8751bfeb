"""Text to people: the one place that writes to stdout and stderr.

    say("3 finished\\n")                  stdout; OutputLost when nobody reads it any more, or the disk is full
    complain("no such file: a.json")     dispatcher: error: no such file: a.json       on stderr
    paint("finished", "finished")        in colour, on a terminal that wants it

What is said may come from a job, a site or a stranger's file: whatever it holds, no
control character gets through but the colours of `paint`, which carry a word that
is new in every process. Where the terminal has no UTF-8, arrows and lines become ASCII.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import sys
from secrets import token_hex
from typing import TextIO

from ..core.printable import escaped, harmless

_WORD = token_hex(8)
_PAINTED = re.compile(f"\0{_WORD}([0-9]{{1,2}})\0")
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
    """Write to stdout, without anything that does something to a terminal."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(_fitting(_coloured(text), sys.stdout))
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

    say(escaped(msgspec.json.encode(value).decode()) + "\n")
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


def _coloured(text: str) -> str:
    """Harmless, but for the colours that were put in by `paint`."""
    if _WORD not in text:
        return harmless(text)
    parts = _PAINTED.split(text)
    return "".join(f"\x1b[{part}m" if nth % 2 else harmless(part) for nth, part in enumerate(parts))


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
    return f"\0{_WORD}{colour}\0{text}\0{_WORD}0\0"


def width() -> int:
    """Columns of the terminal; 0 when there is none, and lines may be as long as they like."""
    return shutil.get_terminal_size().columns if on_terminal() else 0
