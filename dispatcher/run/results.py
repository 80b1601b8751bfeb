"""The end of a run: what is brought to the local side.

fetch(spec, planned, history, context, local)
  ->  [Received({"t0/out.nc": "9f86…", …})], Delivered(jobs, files=12, bytes=3400000, missing=("t1/out.nc",))
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from ..core import events as ev
from ..core.history import History
from ..core.lifecycle import State
from ..core.model import JobSpec, SubmissionSpec
from ..core.ports import Context, FileEntry, Place
from ..files import local, patterns
from ..files.gate import Way
from ..files.listing import Listing


def check_way(spec: SubmissionSpec, place: Place) -> None:
    """TransferFailed, before anything runs, where a link would lead results out of the local side.

    Inputs may come from anywhere: what is read through a link is not written there.
    """
    if place.remote_root != place.local:
        everyone = range(len(spec.tasks))
        tops = {task.task_work_path for task in spec.tasks}
        tops |= {path.rpartition("/")[0] for path in patterns.roots(patterns.wanted(spec, everyone))}
        Way(place.local).check_all(tops)


def fetch(
    spec: SubmissionSpec,
    planned: Sequence[JobSpec],
    history: History,
    context: Context,
    local_path: Path,
    strange: Collection[str] = (),
) -> tuple[list[ev.Received], ev.Delivered]:
    """Bring back what finished tasks promised and what may explain the failed ones; verified by the context.

    Nothing is recorded of what is `strange`: another submission has written over it.
    """
    promised = patterns.wanted(spec, done) if (done := _positions(planned, history, done=True)) else []
    evidence = patterns.evidence(spec, _positions(planned, history, done=False))
    entries = context.tree(patterns.roots([*promised, *evidence]))
    items, absent = patterns.downloads(promised, entries)
    extra, _ = patterns.downloads(evidence, entries)
    known = {item.source for item in items}
    arrived = context.get([*items, *(item for item in extra if item.source not in known)])
    files = [item for item in arrived if item.size >= 0]
    if context.place.remote_root != context.place.local:
        local.settle(local_path, [item.target for item in files])  # what is here now may be removed there next
    finished = tuple(job.hash for job in planned if history.jobs[job.hash].state is State.finished)
    missing = _never_here(absent, spec, planned, history, local_path)
    promise = {item.target: item.digest for item in files if item.source in known}
    mine = {path: found or _digest(local_path / path) for path, found in promise.items()}
    news = {path: found for path, found in mine.items() if history.results.get(path) != found and path not in strange}
    return received(news), ev.Delivered(finished, len(files), sum(item.size for item in files), tuple(missing))


def received(files: Mapping[str, str]) -> list[ev.Received]:
    """Records of so many results, a thousand in each."""
    listed = list(files.items())
    return [ev.Received(dict(listed[at : at + 1000])) for at in range(0, len(listed), 1000)]


def _digest(path: Path) -> str:
    try:
        return local.digest(path)
    except OSError as why:
        raise local.failed("read", path, why) from why


def gone(history: History, local_path: Path, exists: Callable[[Path], bool] = os.path.lexists) -> list[str]:
    """Results that were here and are not any more."""
    return [path for path in history.results if not exists(local_path / path)]


def _positions(planned: Sequence[JobSpec], history: History, done: bool) -> list[int]:
    """Tasks, by position in the submission, that have ended well, or not; without what an earlier submission ran."""
    return [
        position
        for job in planned
        for index, position in enumerate(job.tasks)
        if bool(history.jobs[job.hash].done >> index & 1) is done and not history.jobs[job.hash].reused >> index & 1
    ]


def _never_here(
    absent: Sequence[str], spec: SubmissionSpec, planned: Sequence[JobSpec], history: History, local_path: Path
) -> list[str]:
    """Of what is not there, what was not brought here before: the other side may have been cleaned since."""
    if not absent:
        return []
    known = Listing(FileEntry(path, 0) for path in history.results)
    downloaded = [p for job in planned for i, p in enumerate(job.tasks) if history.downloaded.get(job.hash, 0) >> i & 1]
    recorded = [p for p in patterns.wanted(spec, _positions(planned, history, done=True)) if known.files(p)]
    unrecorded = [p for p in patterns.wanted(spec, downloaded) if patterns.readable(p) not in history.lacking]
    once_here = list(dict.fromkeys([*recorded, *unrecorded]))
    _, gone = patterns.downloads(once_here, local.tree(local_path, patterns.roots(once_here)))
    here = {patterns.readable(pattern) for pattern in once_here}.difference(gone)
    return [name for name in absent if name not in here]


def gone_text(lost: Sequence[str]) -> str:
    """What to tell of results that were here."""
    return (
        f"{len(lost)} results of finished tasks are not here any more, deleted or written over by a submission with "
        f"other inputs, and not on the execution side either: "
        f"{_few(lost)}. Put them back, or run the tasks they belong to again with --rerun-missing"
    )


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def missing_text(missing: Sequence[str], root: str) -> str:
    """The message about backward files that are not there."""
    return (
        f"finished tasks did not write {len(missing)} of their backward_files: {_few(missing)}. Everything else was "
        f"downloaded and nothing was removed; look into {root}, or correct backward_files. If they were removed "
        "there since, --rerun-missing runs their tasks again"
    )
