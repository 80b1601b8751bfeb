"""Job arrays on a real Grid Engine: what becomes of single elements, and of arrays beyond the site's limit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dispatcher import events as ev
from dispatcher.errors import JobsFailed

if TYPE_CHECKING:
    from .conftest import GridEngine, Once, Work

pytestmark = pytest.mark.cluster
ARRAY: dict[str, Any] = {"batch": "SGE", "queue_name": "all.q", "group_size": 0}


def kwargs(**more: Any) -> dict[str, Any]:
    return {"array": True, **more}


def test_deleted_element_costs_its_own_task_only(gridengine: GridEngine, work: Work, once: type[Once]) -> None:
    delete = once(lambda job: gridengine.ask("qdel", job, "-t", "2"), begun=4)
    work.run(work.spec(["true", work.hangs(1), "true", "true"], kwargs=kwargs(), **ARRAY), delete, grace=2)
    (cause,) = work.causes()
    assert (cause.kind, cause.native, cause.source) == ("scheduler", "failed 100, exit 137", "accounting")
    assert cause.reason.endswith("(element 1)")
    assert sorted(work.said("begin").values()) == [1, 1, 1, 2]
    assert work.said("end") == dict.fromkeys(range(4), 1)


def test_element_deleted_before_it_ran_is_run_again(gridengine: GridEngine, work: Work, once: type[Once]) -> None:
    """It leaves no record. With array_throttle one runs at a time."""
    delete = once(lambda job: (gridengine.ask("qdel", job, "-t", "3"), work.go()), begun=1)
    commands = [work.waits(), "true", "true"]
    work.run(work.spec(commands, kwargs=kwargs(array_throttle=1), **ARRAY), delete, grace=2)
    assert work.said("begin") == work.said("end") == dict.fromkeys(range(3), 1)
    assert [cause.kind for cause in work.causes()] == ["lost"]


def test_failing_element_is_named(gridengine: GridEngine, work: Work) -> None:
    spec = work.spec(["true", "echo no >&2; exit 3", "true"], machine={"retry_count": 0}, kwargs=kwargs(), **ARRAY)
    with pytest.raises(JobsFailed) as failed:
        work.run(spec)
    (job,) = failed.value.jobs
    assert (job.cause.kind, job.cause.code, job.cause.stderr) == ("task", 3, "no")
    assert work.said("end") == {0: 1, 2: 1}


def test_array_beyond_the_limit_is_asked_for_in_parts(gridengine: GridEngine, work: Work) -> None:
    gridengine.configure("max_aj_tasks", "10")
    work.run(work.spec(["true"] * 25, kwargs=kwargs(), **ARRAY))
    assert work.said("begin") == work.said("end") == dict.fromkeys(range(25), 1)
    (submitted,) = work.events(ev.Submitted)
    assert len(submitted.id.split(",")) == 3


def test_array_in_error_is_explained_and_deleted(gridengine: GridEngine, work: Work) -> None:
    spec = work.spec(
        ["true"] * 3, machine={"retry_count": 0}, custom_flags=("#$ -o /nosuch/log",), kwargs=kwargs(), **ARRAY
    )
    with pytest.raises(JobsFailed) as failed:
        work.run(spec, grace=2)
    assert "can't open output file" in failed.value.jobs[0].cause.reason
    assert gridengine.drained()
