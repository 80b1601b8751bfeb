"""What a run of DPDispatcher has left of the same tasks: nothing is started beside what is open, nothing done again.

    R/<40 hex>.json  R/<40 hex>_job_id                          what it has submitted, by job
    R/<40 hex>_job_tag_finished  R/t1/<40 hex>_task_tag_finished       what has ended well

Looked for where this machine can look: in the work directory (LazyLocal), and in the directories below remote_root
(Local) whose state file names this work_base and one of these tasks. What is finished is taken over where its results
are: in the work directory. A tag says nothing of the inputs, so these must be older; in doubt a task is run again.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import sha1
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError
from ..core.limits import MAX_NOTE
from ..core.model import SubmissionSpec, TaskSpec
from ..core.names import CONTROL
from ..files import local, patterns
from ..files.listing import Listing
from ..files.ours import is_ours
from ..files.texts import read_text
from .store import local_directory

#: What tasks that it has finished are told to be finished by.
NAME = "DPDispatcher"
_STATE = re.compile(r"[0-9a-f]{40}\.json")
_ID = re.compile(r"\.?([0-9a-f]{40})_job_id")
#: Beside the work of a LazyLocal run of any version.
_TRACE = re.compile(r"\.?[0-9a-f]{40}(\.json|\.sub|\.sub\.run|_job_tag_finished|_flag_if_job_task_fail)")
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
                "(run your program with it once more), or end those jobs in the queue; then remove the files "
                "<40 hex digits>_job_id there, and run this again: tasks with a …_task_tag_finished whose results are "
                "here are not run again"
            )


def was_here(spec: SubmissionSpec) -> bool:
    """It has worked in this work directory, where it removes nothing."""
    if spec.machine.context_type != "LazyLocalContext":
        return False
    with suppress(OSError), os.scandir(local_directory(spec)) as entries:
        return any(_TRACE.fullmatch(entry.name) for entry in entries)
    return False


def finished(spec: SubmissionSpec, positions: Iterable[int]) -> dict[int, list[str]]:
    """Of these tasks, those that it has finished in this work directory, each with its results.

    Its tag is of exactly this task and ours, nothing that the task reads was changed since, and all results are there.
    """
    if not was_here(spec):
        return {}
    place, hashes = local_directory(spec), Counter(map(_hash, spec.tasks))
    found = {}
    for position in positions:
        task = spec.tasks[position]
        tags = [place / task.task_work_path / f"{dot}{_hash(task)}_task_tag_finished" for dot in ("", ".")]
        since = max(map(_made, tags)) if hashes[_hash(task)] == 1 else 0  # of equal tasks it has run one
        results = _there(spec, position, place, since) if since else None
        if results is not None:
            found[position] = results
    return found


def _hash(task: TaskSpec) -> str:
    """What it calls a task by."""
    keys = ("command", "task_work_path", "forward_files", "backward_files", "outlog", "errlog")
    named = (*keys, "task_name") if task.task_name else keys
    return sha1(json.dumps({key: getattr(task, key) for key in named}).encode(), usedforsecurity=False).hexdigest()


def _made(tag: Path) -> int:
    """When our own tag was made, in ns; 0 without one."""
    return tag.stat().st_mtime_ns if is_ours(tag) else 0


def _there(spec: SubmissionSpec, position: int, place: Path, since: int) -> list[str] | None:
    """The results of a task; None when one of them is missing, or an input was changed since then."""
    read, wanted = patterns.sources(spec, [position]), patterns.wanted(spec, [position])
    listing = Listing(local.tree(place, patterns.roots([*read, *wanted])))
    if not all(listing.files(pattern) for pattern in wanted if pattern):
        return None
    inputs = {file.path for pattern in read for file in listing.files(pattern) if file.size >= 0}
    results = {file.path for pattern in wanted for file in listing.files(pattern) if file.size >= 0}
    stamps = [(place / path).stat() for path in inputs - results]
    newer = any(max(stamp.st_mtime_ns, stamp.st_ctime_ns) > since for stamp in stamps)
    return None if newer else sorted(results)


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
    noted = sorted(place.glob("*_job_id"))
    # what a class of a program has noted for a run of ours is known to that run (`api.driven`)
    ours = (
        {link.readlink().name for link in place.glob(f"{CONTROL}/*/jobs/*.noted") if link.is_symlink()} if noted else ()
    )
    for path in noted:
        match = None if path.name in ours else _ID.fullmatch(path.name)
        tags = (f"{dot}{match[1]}_job_tag_finished" for dot in ("", ".")) if match else ()
        if match and is_ours(path) and not any((place / tag).exists() for tag in tags):
            ids.append(_id_in(path) or "unknown")
    return ids


def _id_in(path: Path) -> str:
    try:
        return _read(path, MAX_NOTE).strip()[:40]
    except (OSError, ValueError):
        return ""
