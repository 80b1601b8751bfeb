"""The first records of a journal, so that it explains itself: what was asked, the jobs it makes, what is done already.

{"k":"opened","submission":"9f86…","plan":"2c26…","work":"fcde…","machine":{…},"resources":{…},"inputs":{…}}
{"k":"planned","job":"5f1c…","positions":[3,0],"tasks":[{…},{…}]}
{"k":"reused","job":"5f1c…","tasks":[1],"previous":"b5bb…"}      task 0 of the submission ran in an earlier one
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from ..core import events as ev
from ..core.model import JobSpec, SubmissionSpec, plan_hash, work_hash


class Reuse(NamedTuple):
    """Tasks (positions in the submission) that an earlier one has run; their results are on the local side."""

    previous: str = ""
    done: frozenset[int] = frozenset()


def first_records(
    spec: SubmissionSpec,
    planned: Sequence[JobSpec],
    submission: str,
    root: str,
    inputs: Mapping[str, str],
    reused: Reuse,
) -> list[ev.Event]:
    """What a new journal begins with; `root` is the local side, `inputs` the SHA-256 of each forward file."""
    opened = ev.Opened(
        submission=submission,
        plan=plan_hash(spec),
        work_base=spec.work_base,
        machine=_as_json(spec.machine),
        resources=_as_json(spec.resources),
        root=root,
        forward_common_files=spec.forward_common_files,
        backward_common_files=spec.backward_common_files,
        inputs=dict(inputs),
        work=work_hash(spec),
    )
    jobs = [ev.Planned(job.hash, job.tasks, tuple(spec.tasks[i] for i in job.tasks)) for job in planned]
    return [opened, *jobs, *(event for job in planned for event in _reused(job, reused))]


def _reused(job: JobSpec, reused: Reuse) -> list[ev.Event]:
    done = tuple(index for index, position in enumerate(job.tasks) if position in reused.done)
    if not done:
        return []
    whole: list[ev.Event] = [ev.Finished(job.hash)] if len(done) == len(job.tasks) else []
    return [ev.Reused(job.hash, done, reused.previous), *whole]


def _as_json(value: Any) -> Any:
    """What a record reads back as: lists where the value has tuples."""
    return msgspec.json.decode(msgspec.json.encode(value))
