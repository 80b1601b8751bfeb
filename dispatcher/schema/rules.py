"""What must hold between several parameters; single values are ruled in the tables.

cuda({"strategy": {"if_cuda_multi_devices": True}, "gpu_per_node": 0, …})  ->  ConfigError: resources/gpu_per_node: …
envs({"MY-VAR": 1})                                                        ->  ConfigError: resources/envs/MY-VAR: …
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from ..core.errors import ConfigError
from .mistakes import Mistakes

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_PLAIN = (str, int, float, bool, type(None))


def cuda(values: Mapping[str, Any], path: str = "resources") -> None:
    """One GPU for each task needs GPUs, and a single node."""
    if not values.get("strategy", {}).get("if_cuda_multi_devices"):
        return
    if values["gpu_per_node"] < 1:
        raise ConfigError(
            f"{path}/gpu_per_node: is {values['gpu_per_node']}, but strategy/if_cuda_multi_devices shares out GPUs; "
            "it must be 1 or more"
        )
    if values["number_node"] != 1:
        raise ConfigError(
            f"{path}/number_node: is {values['number_node']}, but strategy/if_cuda_multi_devices knows the GPUs of "
            "one node only; it must be 1"
        )


def envs(values: Mapping[Any, Any], path: str = "resources/envs") -> None:
    """Names must be those of shell variables; values are plain, or lists of plain values."""
    for name, value in values.items():
        if not isinstance(name, str) or not _IDENTIFIER.match(name):
            raise ConfigError(
                f"{path}/{name}: no name for an environment variable; use letters, digits and _, no digit first"
            )
        for each in value if isinstance(value, (list, tuple)) else (value,):
            if not isinstance(each, _PLAIN):
                raise ConfigError(f"{path}/{name}: expected text, a number or a list of them, got {said(each)}")
            sound(str(each), f"{path}/{name}")


def sound(value: str, path: str) -> None:
    """Text must be such that a script, a journal and an argument of a command can hold it."""
    if "\0" in value:
        raise ConfigError(f"{path}: holds a NUL character, which no script and no file name can; take it out")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:  # the value is not shown, it may be a secret
            raise ConfigError(
                f"{path}: character {error.start + 1} is not valid Unicode; write it anew, or rename the file"
            ) from None


def said(value: Any) -> str:
    """The type of a value in the words of JSON."""
    words = {type(None): "null", dict: "a dict", list: "a list", tuple: "a list"}
    return words.get(type(value), type(value).__name__)


def nearest(name: object, known: Any) -> str:
    """`; did you mean 'x'?` for the most similar known name, or nothing."""
    word, names = str(name), list(known)
    close = get_close_matches(word, names, n=1, cutoff=0.5)
    close += [each for each in names if len(word) > 3 and (word in each or each in word)]
    return f"; did you mean {close[0]!r}?" if close else ""


def only(given: Any, known: Any, path: str) -> None:
    """Raise ConfigError for the names that are not known."""
    mistakes = Mistakes()
    mistakes.found += [unknown(name, known, path) for name in given if name not in known]
    mistakes.tell()


class UnknownKey(ConfigError):
    """A key that nothing reads."""


def unknown(name: object, known: Any, path: str) -> UnknownKey:
    """The error for a key that nothing reads."""
    names = ", ".join(sorted(map(str, known))) or "none"
    return UnknownKey(f"{path}/{name}: unknown key{nearest(name, known)} (keys here: {names})")
