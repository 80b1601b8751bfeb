"""The end of a run: what is brought to the local side.

fetch(spec, planned, history, context, local)  ->  Delivered(jobs, files=12, bytes=3400000, missing=("t1/out.nc",))
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core import events as ev
from ..core.history import History
from ..core.lifecycle import State
from ..core.model import JobSpec, SubmissionSpec
from ..core.ports import Context
from ..files import local, patterns


def fetch(
    spec: SubmissionSpec, planned: Sequence[JobSpec], history: History, context: Context, local_path: Path
) -> ev.Delivered:
    """Bring back what finished tasks promised and what may explain the failed ones; verified by the context."""
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
    return ev.Delivered(finished, len(files), sum(item.size for item in files), tuple(missing))


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
    downloaded = [p for job in planned for i, p in enumerate(job.tasks) if history.downloaded.get(job.hash, 0) >> i & 1]
    wanted_patterns = patterns.wanted(spec, downloaded) if absent and downloaded else []
    _, gone = patterns.downloads(wanted_patterns, local.tree(local_path, patterns.roots(wanted_patterns)))
    here = {patterns.readable(pattern) for pattern in wanted_patterns}.difference(gone, history.lacking)
    return [name for name in absent if name not in here]


def missing_text(missing: Sequence[str], root: str) -> str:
    """The message about backward files that are not there."""
    shown = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
    return (
        f"finished tasks did not write {len(missing)} of their backward_files: {shown}. Everything else was "
        f"downloaded and nothing was removed; look into {root}, or correct backward_files"
    )
