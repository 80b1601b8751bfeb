"""The words of ssh_config: how a line is cut, and what its %-tokens and ${variables} stand for.

words('IdentityFile "/home/ann/my key"  # comment')     ->  ["IdentityFile", "/home/ann/my key"]
expanded("~/.ssh/%r_%h", tokens)                        ->  "/home/ann/.ssh/bob_login.example"
"""

from __future__ import annotations

import getpass
import os
import re
import socket
from collections.abc import Mapping
from hashlib import sha1
from pathlib import Path

from ...core.errors import ConfigError

_TWO, _ONE, _ESCAPED = r'"(?:\\.|[^"\\])*"', r"'(?:\\.|[^'\\])*'", r"\\[\"'\\ ]"
_WORD = re.compile(rf"\s*(?P<word>(?:{_TWO}|{_ONE}|{_ESCAPED}|\\(?![\"'\\ ])|[^\s\"'\\])+)")
_PART = re.compile(rf"(?P<quoted>{_TWO}|{_ONE})|\\(?P<escaped>[\"'\\ ])|(?P<plain>.)", re.DOTALL)
_QUOTED = re.compile(r"""\\(["'\\])""")
_VARIABLE = re.compile(r"\$\{(\w+)\}")


class Unbalanced(ValueError):
    """A quote is not closed."""


def words(text: str) -> list[str]:
    """The words of a line, quotes taken away; what follows a `#` at a word's beginning is a comment."""
    found: list[str] = []
    at = 0
    while match := _WORD.match(text, at):
        if match["word"].startswith("#"):
            return found
        found.append("".join(map(_unquoted, _PART.finditer(match["word"]))))
        at = match.end()
    if text[at:].strip():
        raise Unbalanced(text.strip())
    return found


def _unquoted(part: re.Match[str]) -> str:
    if part["quoted"] is not None:
        return _QUOTED.sub(r"\1", part["quoted"][1:-1])
    return part["escaped"] or part["plain"]


def tokens(name: str, address: str, port: int, user: str, alias: str = "", jump: str = "") -> dict[str, str]:
    """What may stand for a host: `name` as asked for, `address` as connected to (TOKENS in ssh_config(5))."""
    local = socket.gethostname()
    joined = f"{local}{address}{port}{user}{jump}"
    return {
        "%": "%",
        "C": sha1(joined.encode(), usedforsecurity=False).hexdigest(),
        "d": str(Path.home()),
        "h": address,
        "i": str(os.getuid()),
        "j": jump,
        "k": alias or name,
        "L": local.partition(".")[0],
        "l": local,
        "n": name,
        "p": str(port),
        "r": user,
        "u": getpass.getuser(),
    }


def filled(text: str, values: Mapping[str, str], where: str) -> str:
    """The text with its %-tokens; ConfigError for one that nothing is known of. `where` says who wrote it."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise ConfigError(f"{where}: the token {match[0]!r} is not known here; write what it stands for")
        return values[match[1]]

    return re.sub(r"%(.?)", value, text, flags=re.DOTALL)


def expanded(path: str, values: Mapping[str, str], where: str) -> str:
    """A file name with its tokens, its variables of the environment, and `~`; ConfigError for an unknown one."""

    def variable(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise ConfigError(
                f"{where}: the environment has no variable {match[1]}; set it, or write what it stands for"
            )
        return os.environ[match[1]]

    return os.path.expanduser(_VARIABLE.sub(variable, filled(path, values, where)))  # noqa: PTH111 (a Path drops a final /.)
