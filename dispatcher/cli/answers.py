"""The shape of every line that `--json` prints: a struct a verb, from which the published JSON Schema is made.

    schemas()["tasks"]   ->  {"$ref": "#/$defs/TaskRecord"}

`dispatcher schema output` prints it. Fields are added, never renamed or removed.
"""

from __future__ import annotations

from inspect import cleandoc
from typing import Any

import msgspec

from ..core.events import Cause
from ..core.records import Attempt, TaskRecord
from .notices import Notice
from .telling import ReplayRow


class Problem(msgspec.Struct):
    """What an error line holds: the name of the error, its message, and the exit code."""

    type: str
    message: str
    exit_code: int


class ErrorLine(msgspec.Struct):
    """Printed by every verb instead of its answer, or behind what it had said before, when it fails."""

    error: Problem


class FailedAnswer(msgspec.Struct):
    """A job that is terminated; `attempts` how many there were."""

    job: str
    id: str
    attempts: int
    cause: Cause | None


class SubmissionAnswer(msgspec.Struct):
    """A submission in `list` and `status`. Times are seconds since the epoch.

    `state` is finished, failed, at work, stopped or damaged; `outcome` is null until the run has concluded. `rate` is
    tasks an hour, `left` seconds to the end at that rate, `queued` seconds in the queue (median); null: not known.
    `missing` are results that were never written, `gone` those that were deleted here.
    """

    submission: str
    state: str
    where: str
    journal: str
    jobs: dict[str, int]
    tasks: int
    done: int
    retries: int
    attempt: int
    attempts: int
    rate: float | None
    left: float | None
    queued: float | None
    outcome: str | None
    began: float
    ended: float
    holder: str
    budget: BudgetAnswer | None
    missing: list[str]
    failed: list[FailedAnswer]
    gone: list[str]
    notices: list[Notice]
    problem: str


class BudgetAnswer(msgspec.Struct):
    """How often a machine was asked and logged in to in the last minute, by all of a user on this host.

    A limit is null where there is none; without any, nothing is counted.
    """

    machine: str
    calls: int
    max_calls_per_minute: int | None
    logins: int
    max_logins_per_minute: int | None


class TaskAnswer(msgspec.Struct):
    """A task in `info`: with its submission, its directory on this side, and the attempts of its job."""

    submission: str
    directory: str
    task: TaskRecord
    attempts: list[Attempt]


class LogAnswer(msgspec.Struct):
    """A file in `logs`: the end of its text, or why it cannot be had."""

    task: str
    file: str
    text: str
    problem: str


class FileAnswer(msgspec.Struct):
    """A file in `files`; `size` in bytes."""

    path: str
    size: int


class DownloadAnswer(msgspec.Struct):
    """`finished` is the number of finished jobs whose results are in `where`."""

    submission: str
    finished: int
    where: str


class CleanAnswer(msgspec.Struct):
    """`obstacle` says why nothing may be removed, "" when nothing stands against it."""

    submission: str
    place: str
    obstacle: str
    removed: bool


class OpenAnswer(msgspec.Struct):
    """The command that `open` would become."""

    command: list[str]
    directory: str


class KeyAnswer(msgspec.Struct):
    """A key in `explain`; `default` is absent when there is none."""

    path: str
    reader: str
    types: list[str]
    required: bool
    alias: list[str]
    doc: str
    rule: str
    default: Any = msgspec.UNSET


class CheckAnswer(msgspec.Struct):
    """A thing that `check` looked at: `state` is ok, warning or failed; `advice` what to do."""

    what: str
    state: str
    found: str
    advice: str


class CancelAnswer(msgspec.Struct):
    """How many jobs `cancel` has ended, and how many are in each state."""

    submission: str
    ended: int
    jobs: dict[str, int]


class HoldAnswer(msgspec.Struct):
    """The jobs that `hold` has held, or `release` released."""

    submission: str
    jobs: list[str]
    released: bool


class StartLine(msgspec.Struct, tag_field="event", tag="start"):
    """The first line of `submit`, `run` and `retry`."""

    at: float
    submission: str
    where: str
    jobs: dict[str, int]
    tasks: int
    done: int


class ProgressLine(msgspec.Struct, tag_field="event", tag="progress"):
    """A line of `submit`, `run` and `retry` whenever something has changed; `next_look` in seconds from `at`."""

    at: float
    next_look: float
    jobs: dict[str, int]
    tasks: int
    done: int
    trouble: str
    notices: list[Notice]


class EndLine(msgspec.Struct, tag_field="event", tag="end"):
    """The last line of `submit`, `run` and `retry`; `scripts` after a dry run, `error` when it went wrong."""

    outcome: str
    seconds: float
    jobs: dict[str, int]
    tasks: int
    done: int
    retries: int
    submission: str
    results: str
    journal: str
    position: str
    scripts: str | msgspec.UnsetType = msgspec.UNSET
    error: Problem | msgspec.UnsetType = msgspec.UNSET


#: What each verb prints with `--json`: lines of these.
PRINTED: dict[str, tuple[type, ...]] = {
    "submit": (StartLine, ProgressLine, EndLine),
    "run": (StartLine, ProgressLine, EndLine),
    "retry": (StartLine, ProgressLine, EndLine),
    "list": (SubmissionAnswer,),
    "status": (SubmissionAnswer,),
    "tasks": (TaskRecord,),
    "info": (TaskAnswer,),
    "logs": (LogAnswer,),
    "files": (FileAnswer,),
    "open": (OpenAnswer,),
    "cancel": (CancelAnswer,),
    "hold": (HoldAnswer,),
    "release": (HoldAnswer,),
    "download": (DownloadAnswer,),
    "clean": (CleanAnswer,),
    "explain": (KeyAnswer,),
    "check": (CheckAnswer,),
    "replay": (ReplayRow,),
}


def schemas() -> dict[str, Any]:
    """`properties` by verb, and the `$defs` that they refer to."""
    kinds = list(dict.fromkeys([ErrorLine, *(kind for printed in PRINTED.values() for kind in printed)]))
    made, components = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    by_kind = dict(zip(kinds, made, strict=True))
    verbs = {
        verb: {"anyOf": [*(by_kind[kind] for kind in printed), by_kind[ErrorLine]]} for verb, printed in PRINTED.items()
    }
    return {"properties": verbs, "$defs": {name: _settled(component) for name, component in components.items()}}


def _settled(schema: Any) -> Any:
    """The same with every version of msgspec: descriptions without the docstring's indentation, null at the end."""
    if isinstance(schema, list):
        return [_settled(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    settled = {name: _settled(value) for name, value in schema.items()}
    if isinstance(settled.get("description"), str):
        settled["description"] = cleandoc(settled["description"])
    if "anyOf" in settled:
        settled["anyOf"].sort(key=lambda one: one == {"type": "null"})
    return settled
