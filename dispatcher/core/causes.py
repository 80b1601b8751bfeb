"""What a cause is called, and which causes are the same: functions of text.

telling(["Traceback …", "ValueError: x", "exiting"])    ->  "ValueError: x"
pattern("dq3.sub: step 17 of c13: no POTCAR", "c13")    ->  "dq3.sub: step N of …: no POTCAR"
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_TELLING = re.compile(
    r"error|exception|not found|no such|cannot|can't|unable|denied|killed|fail|fault|abort|refused|invalid|memory",
    re.IGNORECASE,
)
#: What a shell puts before its message: the name of the script and the line, which differ in every attempt.
_SHELL = re.compile(r"^\S*?(?:\.sub|\.run|\.bash|bash|sh|eval|environment)?: (?:eval: )?line \d+: ")
_LONGEST = 200


def telling(lines: Iterable[str]) -> str:
    """The last line that speaks of an error; the last one when none does, "" when there is none."""
    said = [_SHELL.sub("", line).strip() for line in lines if line.strip()]
    found = [line for line in said if _TELLING.search(line)]
    return (found or said or [""])[-1][:_LONGEST]


def pattern(text: str, path: str = "") -> str:
    """The same text for what differs only in numbers, or in the name of the task itself."""
    named = text.replace(path, "…") if len(path) > 1 else text
    return re.sub(r"0x[0-9a-fA-F]+|\d+", "N", named)
