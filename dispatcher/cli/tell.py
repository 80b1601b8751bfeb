"""Other forms of a replay: for spreadsheets, for the test reports of a CI system, and for the annotations of GitHub.

csv      a line for each record
junit    a test case for each task: passed, failed with its cause and stderr, or skipped when it never ended
github   ::error title=c13::python: command not found (37 jobs; first c13 …)          a line for each cause
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable
from xml.sax.saxutils import escape, quoteattr

from ..core.records import Chronicle, TaskRecord
from ..core.states import State
from .notices import line_of, notices
from .telling import Replay, ReplayRow

_NOT_XML = re.compile("[^\\t\\n -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: How a text begins that spreadsheets take for a formula, which may run programs.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_FIELDS = ("number", "at", "run", "by", "event", "job", "attempt", "source", "target", "id", "why")


def as_csv(rows: Iterable[ReplayRow]) -> Iterable[str]:
    """A head line, then a line for each row."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(_FIELDS)
    for row in rows:
        writer.writerow([cell(getattr(row, field)) for field in _FIELDS])
        yield out.getvalue()
        out.seek(0)
        out.truncate()


def cell(value: object) -> object:
    """A value that no spreadsheet computes: before a text that begins like a formula stands an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else "" if value is None else value


def as_junit(replay: Replay) -> str:
    """One suite, a case for each task in the order of the submission; times in seconds."""
    chronicle, opened = replay.chronicle, replay.history.opened
    tasks = chronicle.tasks()
    ran = _seconds(chronicle)
    failed = sum(_failed(task) for task in tasks)
    skipped = sum(not _failed(task) and task.state != State.finished.value for task in tasks)
    took = max(replay.ended - replay.history.began, 0.0)
    name = opened.work_base if opened else "submission"
    numbers = f'tests="{len(tasks)}" failures="{failed}" errors="0" skipped="{skipped}" time="{took:.3f}"'
    cases = "".join(_case(task, name, ran.get((task.job, task.attempt), 0.0)) for task in tasks)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<testsuites {numbers.replace(f' skipped={chr(34)}{skipped}{chr(34)}', '')}>\n"
        f"  <testsuite name={_attribute(name)} {numbers}>\n{cases}  </testsuite>\n</testsuites>\n"
    )


def _case(task: TaskRecord, suite: str, seconds: float) -> str:
    head = f"    <testcase classname={_attribute(suite)} name={_attribute(task.name or task.path)}"
    head += f' time="{seconds:.3f}"'
    if _failed(task):
        said = f"{task.command}\nin {task.path}, job {task.job} ({task.id or 'no native id'}), attempt {task.attempt}"
        text = escape(_printable(f"{said}\n{task.stderr}".rstrip()))
        return f"{head}>\n      <failure message={_attribute(task.cause)}>{text}</failure>\n    </testcase>\n"
    if task.state != State.finished.value:
        return f"{head}>\n      <skipped message={_attribute(task.state)}/>\n    </testcase>\n"
    return f"{head}/>\n"


def as_github(replay: Replay) -> str:
    """Workflow commands: an error for each cause, a warning for what jobs wait for."""
    lines: list[str] = []
    for notice in notices(replay.chronicle):
        word = "error" if notice.kind == "failure" else "warning"
        title = _command(f"{notice.first or notice.kind}", ",:")
        lines.append(f"::{word} title={title}::{_command(line_of(notice, replay.ended), '')}\n")
    missing = sorted(replay.history.lacking)
    lines += [f"::error title=missing::{_command(f'not written: {name}', '')}\n" for name in missing[:50]]
    return "".join(lines)


def _failed(task: TaskRecord) -> bool:
    return task.state == State.terminated.value


def _seconds(chronicle: Chronicle) -> dict[tuple[str, int], float]:
    """How long each attempt ran."""
    return {
        (attempt.job, attempt.number): max(attempt.ended - attempt.running, 0.0)
        for attempt in chronicle.attempts()
        if attempt.running and attempt.ended
    }


def _attribute(text: str) -> str:
    return quoteattr(_printable(text))


def _printable(text: str) -> str:
    """What XML may hold: no control characters but tab and line end, no halves of pairs, no non-characters."""
    return _NOT_XML.sub("?", text)


def _command(text: str, also: str) -> str:
    """As GitHub wants it in a line: percent signs and line ends, and in a property its separators, are escaped."""
    for letter in f"%\r\n{also}":
        text = text.replace(letter, f"%{ord(letter):02X}")
    return text
