"""A run of DPDispatcher that may still be at work on the same tasks: nothing is started beside it.

    R/<40 hex>.json  R/<40 hex>_job_id                          what it has submitted, by job
    R/<40 hex>_job_tag_finished  R/t1/<40 hex>_task_tag_finished       what has ended well

Looked for where this machine can look: in the work directory (LazyLocal), and in the directories below remote_root
(Local) whose state file names this work_base and one of these tasks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError
from ..core.limits import MAX_NOTE
from ..core.model import SubmissionSpec
from ..files.ours import is_ours
from ..files.texts import read_text
from .store import local_directory

_STATE = re.compile(r"[0-9a-f]{40}\.json")
_ID = re.compile(r"([0-9a-f]{40})_job_id")
#: State files larger than this are not read; then only the names of the files count.
_LARGEST = 64 << 20


def refuse(spec: SubmissionSpec) -> None:
    """Raise ConfigError that names the jobs of DPDispatcher that have not ended, and says what to do."""
    for place in _places(spec):
        open_ids = _unfinished(place)
        if open_ids:
            shown = ", ".join(open_ids[:5]) + (" …" if len(open_ids) > 5 else "")
            raise ConfigError(
                f"{place} holds a run of DPDispatcher with {len(open_ids)} jobs that have not ended "
                f"(native ids {shown}): starting these tasks now could run them twice. Let it end with DPDispatcher "
                "(run your program with it once more), or end those jobs in the queue; then remove its files there "
                "(<40 hex digits>_job_id, …_tag_finished, ….sub, ….json), and run this again"
            )


def _places(spec: SubmissionSpec) -> Iterator[Path]:
    """Directories in which such a run of these tasks would be."""
    context, root = spec.machine.context_type, spec.machine.remote_root
    if context == "LazyLocalContext":
        yield local_directory(spec)
    elif context == "LocalContext" and root:
        tasks = {(task.command, task.task_work_path) for task in spec.tasks}
        for state in Path(root).expanduser().glob("*/*.json"):
            if (
                _STATE.fullmatch(state.name)
                and state.stem == state.parent.name
                and tasks & _tasks(state, spec.work_base)
            ):
                yield state.parent


def _tasks(state: Path, work_base: str) -> set[tuple[str, str]]:
    """Commands and directories that a state file names, if it is of this work_base; nothing of what is none."""
    try:
        found: Any = json.loads(_read(state, _LARGEST))
        if found["work_base"] != work_base:
            return set()
        jobs = [content for job in found["belonging_jobs"] for content in job.values()]
        return {(task["command"], task["task_work_path"]) for job in jobs for task in job["job_task_list"]}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return set()


def _read(path: Path, limit: int) -> str:
    """A file of ours: in a shared directory anybody may have put one there. OSError, and ValueError, else."""
    if not is_ours(path):
        raise PermissionError(f"{path} is not ours")
    return read_text(path, limit)


def _unfinished(place: Path) -> list[str]:
    """Native ids of jobs that were submitted from this directory and have no tag."""
    ids = []
    for path in sorted(place.glob("*_job_id")):
        match = _ID.fullmatch(path.name)
        if match and is_ours(path) and not (place / f"{match[1]}_job_tag_finished").exists():
            ids.append(_id_in(path) or "unknown")
    return ids


def _id_in(path: Path) -> str:
    try:
        return _read(path, MAX_NOTE).strip()[:40]
    except (OSError, ValueError):
        return ""
