"""Jobs on a real Slurm: how they end, and what the journal says of it."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest

from dispatcher.core import events as ev
from dispatcher.core.errors import JobsFailed
from dispatcher.core.lifecycle import State

if TYPE_CHECKING:
    from dispatcher.run.engine import Engine

    from .conftest import Once, Slurm, Work

pytestmark = pytest.mark.cluster
ONE_TRY = {"retry_count": 0}


@pytest.mark.parametrize("context", ["LazyLocalContext", "LocalContext"])
@pytest.mark.parametrize("batch", ["Slurm", "SlurmJobArray"])
def test_five_tasks_finish(slurm: Slurm, work: Work, batch: str, context: str) -> None:
    work.run(work.spec(["true"] * 5, batch, context, group_size=1 if batch == "Slurm" else 3))
    assert work.said("begin") == work.said("end") == dict.fromkeys(range(5), 1)
    assert {event.how for event in work.events(ev.Submitted)} == {"reply"}
    assert list(work.top.glob("*/**/jobs/d*.log"))  # where blanks, quotes and % are part of the path


def test_failing_task_is_tried_again_and_named(slurm: Slurm, work: Work) -> None:
    with pytest.raises(JobsFailed) as failed:
        work.run(work.spec(["true", "echo no such file >&2; exit 3"], group_size=2, machine={"retry_count": 1}))
    (job,) = failed.value.jobs
    assert (job.cause.kind, job.cause.code, job.cause.stderr) == ("task", 3, "no such file")
    assert job.attempts == 2
    assert work.said("begin") == {0: 1, 1: 2}


def test_scancel_by_somebody_else_is_recorded_with_who_did_it(slurm: Slurm, work: Work, once: type[Once]) -> None:
    cancel = once(lambda job: slurm.run("scancel", job))
    with pytest.raises(JobsFailed) as failed:
        work.run(work.spec(["sleep 60"], machine=ONE_TRY), cancel)
    (job,) = failed.value.jobs
    assert (job.cause.kind, job.cause.source) == ("scheduler", "accounting")
    assert re.fullmatch(r"cancelled by uid \d+, not by the dispatcher", job.cause.reason)
    assert job.cause.node in {"c1", "c2", "c3", "c4"}


def test_scancel_costs_a_retry_only(slurm: Slurm, work: Work, once: type[Once]) -> None:
    work.run(work.spec([work.hangs(0)]), once(lambda job: slurm.run("scancel", job), begun=1))
    assert [cause.kind for cause in work.causes()] == ["scheduler"]
    assert (work.said("begin"), work.said("end")) == ({0: 2}, {0: 1})


def test_cancelled_element_fails_its_task_only(slurm: Slurm, work: Work, once: type[Once]) -> None:
    cancel = once(lambda job: slurm.run("scancel", f"{job}_1"), begun=4)
    work.run(work.spec(["true", work.hangs(1), "true", "true"], "SlurmJobArray", group_size=4), cancel)
    (cause,) = work.causes()
    assert cause.kind == "scheduler"
    assert "CANCELLED by" in cause.native
    assert sorted(work.said("begin").values()) == [1, 1, 1, 2]
    assert work.said("end") == dict.fromkeys(range(4), 1)


def test_element_cancelled_while_pending_is_run_again(slurm: Slurm, work: Work, once: type[Once]) -> None:
    """Pending elements cancelled singly leave no trace in squeue or sacct."""
    commands = [work.waits(), "true", "true"]
    spec = work.spec(commands, "SlurmJobArray", group_size=3, kwargs={"array_throttle": 1})
    work.run(spec, once(lambda job: (slurm.run("scancel", f"{job}_2"), work.go())), absence_timeout=3)
    assert work.said("begin") == work.said("end") == dict.fromkeys(range(3), 1)
    assert len(work.causes()) == 1


def test_time_limit(slurm: Slurm, work: Work, once: type[Once]) -> None:
    with pytest.raises(JobsFailed) as failed:
        work.run(work.spec(["sleep 100"], machine=ONE_TRY), once(lambda job: slurm.ctl("expire", job)))
    cause = failed.value.jobs[0].cause
    assert (cause.kind, cause.native, cause.source) == ("timeout", "TIMEOUT", "accounting")
    assert cause.elapsed is not None


def test_out_of_memory(slurm: Slurm, work: Work) -> None:
    """OOM is reported even when the script exits 0."""
    slurm.up(SLURM_OOM="1")
    hungry = "python3 -c 'x = bytearray(500 << 20)'"
    with pytest.raises(JobsFailed) as failed:
        work.run(work.spec([hungry], machine=ONE_TRY, kwargs={"memory": "60M"}))
    cause = failed.value.jobs[0].cause
    assert (cause.kind, cause.native, cause.task) == ("memory", "OUT_OF_MEMORY", 0)


@pytest.mark.parametrize("flag", ["--no-requeue", "--requeue"])
def test_node_set_down_in_mid_job(slurm: Slurm, work: Work, flag: str) -> None:
    """Requeue and NODE_FAIL return to PD (BeginTime, 120 s) under the same id; neither uses up retries."""
    node: list[str] = []

    def disturb(engine: Engine, work: Work) -> None:
        (job,) = engine.jobs.values()
        if job.state is State.running and not node and work.said("begin"):
            node.append(slurm.run("squeue", "-h", "-j", job.id, "-o", "%N").strip())
            slurm.ctl("down", *node)
        elif node and job.state is State.waiting:
            slurm.tried(slurm.CTL, "begin", job.id)

    work.run(work.spec([work.hangs(0)], machine=ONE_TRY, custom_flags=(f"#SBATCH {flag}",)), disturb)
    assert (work.said("begin"), work.said("end")) == ({0: 2}, {0: 1})
    if flag == "--requeue":
        assert {event.why.split()[0] for event in work.events(ev.Waiting)} == {"PD"}
        assert work.causes() == []
    else:
        assert [(cause.kind, cause.native, [cause.node]) for cause in work.causes()] == [("node", "NODE_FAIL", node)]


def test_requeue_keeps_the_id_and_what_was_done(slurm: Slurm, work: Work) -> None:
    done: list[str] = []

    def requeue(engine: Engine, work: Work) -> None:
        (job,) = engine.jobs.values()
        if not done and work.said("begin")[1]:
            done.append(slurm.run("scontrol", "requeue", job.id))
        elif done and job.state is State.waiting:
            slurm.tried(slurm.CTL, "begin", job.id)

    work.run(work.spec(["true", work.hangs(1)], group_size=2), requeue)
    assert work.said("begin") == {0: 1, 1: 2}
    assert work.said("end") == {0: 1, 1: 1}
    assert len(work.events(ev.Submitted)) == 1
    assert work.causes() == []


@pytest.mark.parametrize("partition", ["scavenge", "spare"])
def test_preemption_uses_up_no_retries(slurm: Slurm, work: Work, once: type[Once], partition: str) -> None:
    def preempt(job: str) -> None:
        slurm.run("sbatch", "-p", "urgent", "--exclusive", "-o", "/dev/null", "--wrap", "sleep 2")
        time.sleep(4)
        if partition == "scavenge":
            slurm.tried(slurm.CTL, "begin", job)

    work.run(work.spec([work.hangs(0)], queue_name=partition, machine=ONE_TRY), once(preempt))
    assert work.said("end") == {0: 1}
    assert [cause.kind for cause in work.causes()] == ([] if partition == "scavenge" else ["preempted"])


@pytest.mark.parametrize("others", [0, 2])
def test_job_limit_of_a_qos_postpones_and_feeds(slurm: Slurm, work: Work, others: int) -> None:
    """QOS `small` takes three jobs, other jobs of the same user included."""
    most: list[int] = []
    for _ in range(others):
        slurm.run("sbatch", "-q", "small", "--hold", "-o", "/dev/null", "--wrap", "true")

    def count(engine: Engine, work: Work) -> None:
        most.append(len(slurm.queued()) - others)

    work.run(work.spec(["sleep 1"] * 6, kwargs={"qos": "small"}, machine=ONE_TRY), count)
    assert max(most) == 3 - others
    assert work.said("begin") == work.said("end") == dict.fromkeys(range(6), 1)
    assert any("QOSMaxSubmitJobPerUserLimit" in event.why for event in work.events(ev.Deferred))
    assert work.causes() == []


def test_max_running(slurm: Slurm, work: Work) -> None:
    most: list[int] = []
    spec = work.spec(["sleep 1"] * 6, machine={"max_running": 2})
    work.run(spec, lambda engine, work: most.append(len(slurm.queued())))
    assert max(most) == 2
    assert work.said("end") == dict.fromkeys(range(6), 1)


def test_refused_for_good_is_said_at_once(slurm: Slurm, work: Work) -> None:
    with pytest.raises(JobsFailed) as failed:
        work.run(work.spec(["true"], queue_name="nosuch"))
    assert failed.value.jobs[0].cause.kind == "rejected"
    assert "invalid partition specified: nosuch" in failed.value.jobs[0].cause.reason


def test_array_beyond_the_limit_is_asked_for_in_parts(slurm: Slurm, work: Work) -> None:
    slurm.up(SLURM_MAX_ARRAY="11")
    work.run(work.spec(["true"] * 25, "SlurmJobArray", group_size=25))
    assert work.said("begin") == work.said("end") == dict.fromkeys(range(25), 1)
    (submitted,) = work.events(ev.Submitted)
    assert len(submitted.id.split(",")) == 3
