"""The first records of a journal, so that it explains itself: what was asked, the jobs it makes.

{"k":"opened","submission":"9f86…","plan":"2c26…","work":"fcde…","machine":{…},"resources":{…},"inputs":{…}}
{"k":"planned","job":"5f1c…","positions":[3,0],"tasks":[{…},{…}]}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from ..core import events as ev
from ..core.model import JobSpec, SubmissionSpec, plan_hash


def first_records(
    spec: SubmissionSpec,
    planned: Sequence[JobSpec],
    submission: str,
    root: str,
    inputs: Mapping[str, str],
    owner: str,
) -> list[ev.Event]:
    """What a new journal begins with; `root` is the local side, `inputs` the SHA-256 of each forward file,
    `owner` the id by which the journal owns its place."""
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
        owner=owner,
    )
    jobs = [ev.Planned(job.hash, job.tasks, tuple(spec.tasks[i] for i in job.tasks)) for job in planned]
    return [opened, *jobs]


def _as_json(value: Any) -> Any:
    """What a record reads back as: lists where the value has tuples."""
    return msgspec.json.decode(msgspec.json.encode(value))
