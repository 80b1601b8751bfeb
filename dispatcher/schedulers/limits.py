"""What `kwargs` ask of any batch system, with one meaning everywhere (that of Slurm), and the keys that say it.

walltime   90              minutes            24:00:00  hours:minutes:seconds     24:00  minutes:seconds
           1-12:00:00      days-hours…        2h, 1d12h, 1.5h, 90m, 45s           units
                           -> seconds, rounded up; each dialect writes them its own way
           0               no limit: no directive
memory     16G, 16000      of each node, in K M G T, MB without a letter   -> MB, rounded up
           0               whatever the node has: no directive
account    lab             whose budget: one word

A dialect lists in its `kwargs` the keys that it reads; the schema, its checks
and its documentation are made of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Any

from ..core.errors import ConfigError
from ..core.keys import NOT_BLANK, Rule, at_least, optional
from ..core.model import ResourcesSpec

#: What would be read as more than one word, as a quote or as the begin of a comment.
_UNFIT = re.compile(r"[\s\"'\\#\x00-\x1f\x7f]")
_DAYS = re.compile(r"(\d{1,6})-(\d{1,6})(?::(\d{1,6}))?(?::(\d{1,6}))?", re.ASCII)
_CLOCK = re.compile(r"(?:(\d{1,9}):)?(\d{1,9}):(\d{1,9})", re.ASCII)
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)([KMGT]?)(?:i?B)?", re.IGNORECASE | re.ASCII)
_UNIT = re.compile(r"(\d+(?:\.\d+)?)([dhms])", re.IGNORECASE | re.ASCII)
_UNITS = re.compile(r"(?:\d{1,9}(?:\.\d{1,9})?[dhms])+", re.IGNORECASE | re.ASCII)
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_WALLTIME = "must be minutes, [days-]hours:minutes:seconds, minutes:seconds, or have units like 2h or 1d12h"
_MEMORY = "must be a size like 16G or 16000 (MB)"
_MB: dict[str, Fraction | int] = {"K": Fraction(1, 1024), "": 1, "M": 1, "G": 1024, "T": 1024 * 1024}


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
    return None if value in (None, "") else _seconds(value)


def _seconds(value: Any) -> int:
    text = str(value)
    if re.fullmatch("[0-9]{1,9}", text):
        return int(text) * 60
    if found := _DAYS.fullmatch(text) or _CLOCK.fullmatch(text):
        *days, hours, minutes, rest = (int(part or 0) for part in found.groups())
        # the first part may be any number, those behind it not: 1:90:00 is a slip
        if rest < 60 and (minutes < 60 or found[1] is None) and (not days or hours < 24):
            return ((sum(days) * 24 + hours) * 60 + minutes) * 60 + rest
    if _UNITS.fullmatch(text):
        parts = (Fraction(number) * _SECONDS[unit.lower()] for number, unit in _UNIT.findall(text))
        return math.ceil(sum(parts, Fraction()))
    raise ConfigError(f"resources/kwargs/walltime: {value!r} {_WALLTIME}")


def clock(total: int) -> str:
    """Seconds as hours:minutes:seconds."""
    return f"{total // 3600:02d}:{total // 60 % 60:02d}:{total % 60:02d}"


def megabytes(resources: ResourcesSpec) -> int | None:
    """kwargs' memory, of each node, in MB (1024 kB); None when it is not set, or 0 as in sbatch's --mem."""
    value: Any = resources.kwargs.get("memory")
    return None if value in (None, "") else _megabytes(value) or None


def _megabytes(value: Any) -> int:
    found = _SIZE.fullmatch(str(value))
    if found is None:
        raise ConfigError(f"resources/kwargs/memory: {value!r} {_MEMORY}")
    return math.ceil(Fraction(found[1]) * _MB[found[2].upper()])


def _reads(read: Callable[[Any], int], says: str) -> Rule:
    """A rule that takes what `read` does not refuse."""

    def test(value: Any) -> bool:
        try:
            return read(value) >= 0
        except ConfigError:
            return False

    return Rule(test, says)


WALLTIME = optional(
    "walltime",
    (str, int),
    "Longest time a job may run, the same on every batch system: minutes (90), minutes:seconds (24:00 is 24 minutes), "
    "[days-]hours:minutes:seconds (24:00:00 is a day), or with units (2h, 1d12h). 0: no limit.",
    rule=_reads(_seconds, _WALLTIME),
)
MEMORY = optional(
    "memory",
    (str, int),
    "Memory on each node, the same on every batch system: 16G, or MB without a letter. 0: what the node has.",
    rule=_reads(_megabytes, _MEMORY),
)
ACCOUNT = optional("account", str, "Account that is charged.", rule=NOT_BLANK)
JOB_NAME = optional("job_name", str, "Name of the job, behind the name the dispatcher gives it.", rule=NOT_BLANK)
GPU_LINE = optional(
    "custom_gpu_line",
    (str, None),
    "The line that asks for GPUs, instead of the one made from gpu_per_node; empty: none.",
)
THROTTLE = optional("array_throttle", int, "How many elements of an array may run at once.", rule=at_least(1))
_LINES: Any = list[str]
PROLOGUE = optional(
    "scheduler_prologue",
    _LINES,
    "Lines of POSIX sh that come before every question to the batch system, on the execution side: what brings its "
    "commands, or chooses a cluster (`. /etc/profile`, `module swap cluster/x`).",
)
#: What most batch systems are asked for.
USUAL = (WALLTIME, MEMORY, ACCOUNT, JOB_NAME, PROLOGUE)
