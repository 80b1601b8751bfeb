"""Tasks into jobs, and what belongs to the identity of a submission."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.core.errors import ConfigError
from dispatcher.core.model import (
    MachineSpec,
    ResourcesSpec,
    SubmissionSpec,
    TaskSpec,
    plan_hash,
    submission_hash,
    task_keys,
)
from dispatcher.core.plan import plan


def spec(tasks: int = 7, group_size: int = 3, **resources: Any) -> SubmissionSpec:
    return SubmissionSpec(
        "w",
        MachineSpec("Shell", "LazyLocal", "/p"),
        ResourcesSpec(1, 1, 0, "", group_size, **resources),
        tuple(TaskSpec(f"run {i}", f"t{i}") for i in range(tasks)),
    )


def test_the_order_is_the_seeded_shuffle_of_the_manual() -> None:
    order = list(range(7))
    random.Random(42).shuffle(order)
    assert [index for job in plan(spec()) for index in job.tasks] == order


def test_the_callers_random_numbers_are_left_alone() -> None:
    random.seed(1)
    before = random.getstate()
    plan(spec())
    assert random.getstate() == before


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 60), st.integers(0, 20))
def test_every_task_is_in_exactly_one_job(tasks: int, group_size: int) -> None:
    jobs = plan(spec(tasks, group_size))
    assert sorted(index for job in jobs for index in job.tasks) == list(range(tasks))
    assert len({job.hash for job in jobs}) == len(jobs)
    sizes = {len(job.tasks) for job in jobs[:-1]}
    assert sizes <= {group_size or tasks}


def test_identical_tasks_are_different_tasks() -> None:
    same = TaskSpec("run", "t")
    assert len(set(task_keys([same, same, same]))) == 3
    assert len({job.hash for job in plan(msgspec.structs.replace(spec(group_size=1), tasks=(same,) * 3))}) == 3


@pytest.mark.parametrize(
    ("tasks", "group_size", "message"), [(0, 1, "task_list is empty"), (1, -1, "group_size is -1")]
)
def test_what_cannot_be_planned_is_refused(tasks: int, group_size: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(spec(tasks, group_size))


def test_the_order_of_keys_is_no_part_of_identity() -> None:
    assert plan_hash(spec(envs={"A": "1", "B": "2"})) == plan_hash(spec(envs={"B": "2", "A": "1"}))


def test_policy_is_no_part_of_identity_but_what_is_asked_is() -> None:
    requested = spec()
    changed = msgspec.structs.replace(
        requested, machine=msgspec.structs.replace(requested.machine, retry_count=9, max_running=1)
    )
    assert plan_hash(changed) == plan_hash(requested)
    assert plan_hash(spec(para_deg=2)) != plan_hash(requested)
    assert plan_hash(msgspec.structs.replace(requested, work_base="v")) != plan_hash(requested)


def test_the_bytes_of_inputs_are_part_of_identity() -> None:
    assert submission_hash("p", {"a": "1"}) != submission_hash("p", {"a": "2"})
    assert submission_hash("p", {"a": "1", "b": "2"}) == submission_hash("p", {"b": "2", "a": "1"})


def test_hashes_stay_what_they_are() -> None:
    """A changed hash would make every running submission a stranger to the next version."""
    assert plan(spec(2, 0))[0].hash == HASH
    assert plan_hash(spec(2, 0)) == PLAN


HASH = "38a0e607997dedbfd3b014fbfaa2270021d17f64"
PLAN = "60af409e9040ec83632b1019ed07d0a150f4c502"
