"""Jobs on a real Grid Engine: how they end, and what the journal says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dispatcher.core import events as ev
from dispatcher.core.errors import JobsFailed
from dispatcher.core.lifecycle import State

if TYPE_CHECKING:
    from dispatcher.run.engine import Engine

    from .conftest import GridEngine, Once, Work

pytestmark = pytest.mark.cluster
ONE_TRY = {"retry_count": 0}
SGE: dict[str, Any] = {"batch": "SGE", "queue_name": "all.q"}
_AS = ("setpriv", "--clear-groups", "--regid=nogroup", "--reuid")


@pytest.mark.parametrize("context", ["LazyLocalContext", "LocalContext"])
def test_twenty_jobs_finish(gridengine: GridEngine, work: Work, context: str) -> None:
    work.run(work.spec(["true"] * 20, context=context, **SGE))
    assert work.said("begin") == work.said("end") == dict.fromkeys(range(20), 1)
    assert {event.how for event in work.events(ev.Submitted)} == {"reply"}
    assert gridengine.drained()


def test_failing_task_is_tried_again_and_named(gridengine: GridEngine, work: Work) -> None:
    spec = work.spec(["true", "echo no such file >&2; exit 3"], group_size=2, machine={"retry_count": 1}, **SGE)
    with pytest.raises(JobsFailed) as failed:
        work.run(spec)
    (job,) = failed.value.jobs
    assert (job.cause.kind, job.cause.code, job.cause.stderr) == ("task", 3, "no such file")
    assert work.said("begin") == {0: 1, 1: 2}


def test_qdel_by_somebody_else_is_explained_by_the_accounting(
    gridengine: GridEngine, work: Work, once: type[Once]
) -> None:
    def foreign(job: str) -> None:
        """A stranger may not; an operator of the site may."""
        user = gridengine.settings["SGE_TEST_USER"]
        assert "you do not have the necessary privileges" in gridengine.run(*_AS, user, "qdel", job, code=None)
        gridengine.run(*_AS, "sgeadmin", "qdel", job)

    delete = once(foreign, begun=1)
    with pytest.raises(JobsFailed) as failed:
        work.run(work.spec(["sleep 60"], machine=ONE_TRY, **SGE), delete, absence_timeout=3)
    cause = failed.value.jobs[0].cause
    assert (cause.kind, cause.signal, cause.source, cause.native) == (
        "scheduler",
        9,
        "accounting",
        "failed 100, exit 137",
    )
    assert cause.elapsed is not None


def test_qdel_costs_a_retry_only(gridengine: GridEngine, work: Work, once: type[Once]) -> None:
    spec = work.spec([work.hangs(0)], **SGE)
    work.run(spec, once(lambda job: gridengine.run("qdel", job), begun=1), absence_timeout=3)
    assert [cause.kind for cause in work.causes()] == ["scheduler"]
    assert (work.said("begin"), work.said("end")) == ({0: 2}, {0: 1})


def test_eqw_is_explained_and_does_not_stay_in_the_queue(gridengine: GridEngine, work: Work) -> None:
    """W28: Eqw is resubmitted without deleting the stuck job."""
    spec = work.spec(["true"], machine={"retry_count": 1}, custom_flags=("#$ -o /nosuch/log",), **SGE)
    with pytest.raises(JobsFailed) as failed:
        work.run(spec, absence_timeout=2)
    assert [cause.kind for cause in work.causes()] == ["scheduler"] * 2
    assert "can't open output file" in failed.value.jobs[0].cause.reason
    assert gridengine.drained()


def test_held_job_runs_when_it_is_released(gridengine: GridEngine, work: Work, once: type[Once]) -> None:
    release = once(lambda job: gridengine.run("qrls", job), state=State.waiting)
    work.run(work.spec(["true"], custom_flags=("#$ -h",), **SGE), release)
    assert work.said("end") == {0: 1}


def test_run_time_limit(gridengine: GridEngine, work: Work) -> None:
    """failed 37: qmaster enforced h_rt."""
    with pytest.raises(JobsFailed) as failed:
        work.run(work.spec(["sleep 60"], machine=ONE_TRY, custom_flags=("#$ -l h_rt=3",), **SGE), absence_timeout=3)
    assert failed.value.jobs[0].cause.kind == "timeout"


def test_rescheduled_job_keeps_its_id_and_what_was_done(gridengine: GridEngine, work: Work, once: type[Once]) -> None:
    spec = work.spec(["true", work.hangs(1)], group_size=2, para_deg=2, custom_flags=("#$ -r y",), **SGE)
    work.run(spec, once(lambda job: gridengine.run("qmod", "-rj", job), begun=2), absence_timeout=5)
    assert work.said("begin") == {0: 1, 1: 2}
    assert work.said("end") == {0: 1, 1: 1}
    assert len(work.events(ev.Submitted)) == 1
    assert work.causes() == []


def test_memory_limit_is_told_from_the_run_time_limit(gridengine: GridEngine, work: Work) -> None:
    """failed 37 is one number for both: three processes that are too large together, in no more than seconds."""
    hungry = "for i in 1 2 3; do python3 -c 'x = bytearray(120 << 20); import time; time.sleep(40)' & done; wait"
    kwargs = {"memory": "200M", "walltime": "10"}
    with pytest.raises(JobsFailed) as failed:
        work.run(work.spec([hungry], machine=ONE_TRY, kwargs=kwargs, **SGE), absence_timeout=2)
    cause = failed.value.jobs[0].cause
    assert (cause.kind, cause.source, cause.native) == ("memory", "accounting", "failed 37, exit 137")
    assert "h_vmem limit was exceeded" in cause.reason


def test_suspended_queue_is_waited_for(gridengine: GridEngine, work: Work, once: type[Once]) -> None:
    suspend = once(lambda _: gridengine.run("qmod", "-sq", "all.q"), begun=2)
    resume = once(lambda _: (gridengine.run("qmod", "-usq", "all.q"), work.go()), state=State.waiting)

    def disturb(engine: Engine, work: Work) -> None:
        suspend(engine, work)
        if suspend.done:
            resume(engine, work)

    work.run(work.spec([work.waits()] * 2, **SGE), disturb)
    assert resume.done
    assert {event.why for event in work.events(ev.Waiting)} == {"S"}
    assert work.said("begin") == work.said("end") == {0: 1, 1: 1}
    assert work.causes() == []


def test_job_limit_of_a_user_postpones_and_feeds(gridengine: GridEngine, work: Work) -> None:
    most: list[int] = []
    gridengine.configure("max_u_jobs", "3")
    spec = work.spec(["sleep 1"] * 6, machine=ONE_TRY, **SGE)
    work.run(spec, lambda engine, work: most.append(len(gridengine.queued())))
    assert max(most) == 3
    assert work.said("begin") == work.said("end") == dict.fromkeys(range(6), 1)
    assert any("only 3 jobs are allowed per user" in event.why for event in work.events(ev.Deferred))
    assert work.causes() == []


@pytest.mark.parametrize(
    ("requested", "why"), [({"queue_name": "nosuch"}, "nosuch"), ({"kwargs": {"pe_name": "no"}}, "no")]
)
def test_refused_for_good_is_said_at_once(
    gridengine: GridEngine, work: Work, requested: dict[str, Any], why: str
) -> None:
    with pytest.raises(JobsFailed) as failed:
        work.run(work.spec(["true"], **{**SGE, **requested}))
    assert failed.value.jobs[0].cause.kind == "rejected"
    assert why in failed.value.jobs[0].cause.reason
