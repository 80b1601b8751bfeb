"""Tasks into jobs.

    7 tasks, group_size 3  ->  JobSpec("9c…", (4, 1, 6)), JobSpec("02…", (0, 5, 3)), JobSpec("e7…", (2,))

The tasks are shuffled so that long and short ones spread evenly over the jobs;
the seed is fixed, so that the same submission always makes the same jobs.
"""

from __future__ import annotations

import random

from .errors import ConfigError
from .model import JobSpec, SubmissionSpec, job_hash, task_keys


def plan(spec: SubmissionSpec) -> tuple[JobSpec, ...]:
    """The jobs of a submission; `group_size` tasks each, 0 puts all tasks in one.

    Raises ConfigError when there are no tasks or group_size is negative.
    """
    if not spec.tasks:
        raise ConfigError("submission/task_list is empty: there is nothing to run")
    size = spec.resources.group_size
    if size < 0:
        raise ConfigError(f"resources/group_size is {size}: it must be 0 (all tasks in one job) or more")
    order = list(range(len(spec.tasks)))
    random.Random(42).shuffle(order)  # noqa: S311 (spreads load; nothing is secret)
    size = size or len(order)
    keys = task_keys(spec.tasks)
    groups = (tuple(order[start : start + size]) for start in range(0, len(order), size))
    return tuple(JobSpec(job_hash(spec.resources, [keys[i] for i in group]), group) for group in groups)
