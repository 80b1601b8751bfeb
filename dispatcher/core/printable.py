r"""Text for a terminal: what it holds may have been written by anybody.

    harmless("a\x1b[2Jb\u202e")        ->  "a?[2Jb?"             for people
    escaped('{"a":"<U+009B>2J"}')      ->  '{"a":"\\u009b2J"}'    JSON: the same value, spelt in other letters

Control characters move cursors and write into clipboards and title bars, and
bidirectional ones make a line read as what it is not: none of them is printable
in the sense of Python.
"""

from __future__ import annotations

import json
from collections.abc import Callable


def harmless(text: str) -> str:
    """The text with a question mark for each character but line ends and tabs that is not printable."""
    return _without(text, lambda letter: "?")


def escaped(text: str) -> str:
    """JSON in which no string holds such a character as it is; it says the same."""
    return _without(text, lambda letter: json.dumps(letter)[1:-1])


def _without(text: str, instead: Callable[[str], str]) -> str:
    if all(part.isprintable() for line in text.split("\n") for part in line.split("\t")):
        return text
    return "".join(letter if letter.isprintable() or letter in "\n\t" else instead(letter) for letter in text)
