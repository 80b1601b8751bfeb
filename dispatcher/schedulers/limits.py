"""What `kwargs` ask of any batch system, with one meaning everywhere (that of Slurm).

walltime   90              minutes            24:00:00  hours:minutes:seconds
           1-12:00:00      days-hours…        -> seconds; each dialect writes them its own way
           0               no limit: no directive
memory     16G, 16000      of each node, in K M G T, MB without a letter   -> MB, rounded up
           0               whatever the node has: no directive
account    lab             whose budget: one word
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

from ..core.errors import ConfigError
from ..core.model import ResourcesSpec

#: What would be read as more than one word, as a quote or as the begin of a comment.
_UNFIT = re.compile(r"[\s\"'\\#\x00-\x1f\x7f]")
_DAYS = re.compile(r"(\d+)-(\d+)(?::(\d+))?(?::(\d+))?")
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):(\d+)")
_SIZE = re.compile(r"(\d+)([KMGT]?)(?:i?B)?", re.IGNORECASE)
_MB = {"K": 1 / 1024, "": 1, "M": 1, "G": 1024, "T": 1024 * 1024}


def fit(resources: ResourcesSpec, keys: Iterable[str] = ()) -> None:
    """Raise ConfigError for a queue, or one of these kwargs, that would not stay one word of a directive."""
    named = {"queue_name": resources.queue_name} | {f"kwargs/{key}": resources.kwargs.get(key) for key in keys}
    for key, value in named.items():
        if value is not None and _UNFIT.search(str(value)):
            raise ConfigError(
                f"resources/{key}: {value!r} must be one word without quotes, backslashes, # and control characters"
            )
    seconds(resources)
    megabytes(resources)


def seconds(resources: ResourcesSpec) -> int | None:
    """kwargs' walltime in seconds; None when there is no limit: it is not set, or 0 as in sbatch's --time."""
    return _limit(resources) or None


def _limit(resources: ResourcesSpec) -> int | None:
    value: Any = resources.kwargs.get("walltime")
    if value in (None, ""):
        return None
    text = str(value)
    if text.isascii() and text.isdigit():
        return int(text) * 60
    if found := _DAYS.fullmatch(text):
        days, hours, minutes, rest = (int(part or 0) for part in found.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + rest
    if found := _CLOCK.fullmatch(text):
        hours, minutes, rest = (int(part or 0) for part in found.groups())
        return (hours * 60 + minutes) * 60 + rest
    raise ConfigError(f"resources/kwargs/walltime: {value!r} is neither minutes nor [days-]hours:minutes:seconds")


def clock(total: int) -> str:
    """Seconds as hours:minutes:seconds."""
    return f"{total // 3600:02d}:{total // 60 % 60:02d}:{total % 60:02d}"


def megabytes(resources: ResourcesSpec) -> int | None:
    """kwargs' memory, of each node, in MB (1024 kB); None when it is not set, or 0 as in sbatch's --mem."""
    value: Any = resources.kwargs.get("memory")
    if value in (None, ""):
        return None
    found = _SIZE.fullmatch(str(value))
    if found is None:
        raise ConfigError(f"resources/kwargs/memory: {value!r} is no size like 16G or 16000 (MB)")
    return math.ceil(int(found[1]) * _MB[found[2].upper()]) or None
