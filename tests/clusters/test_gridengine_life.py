"""Jobs on a real Grid Engine: how they end, and what the journal says of it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from dispatcher import events as ev
from dispatcher.errors import JobsFailed
from dispatcher.lifecycle import State

if TYPE_CHECKING:
    from dispatcher.engine import Engine

    from .conftest import GridEngine, Once, Work

pytestmark = pytest.mark.cluster
ONE_TRY = {"retry_count": 0}
SGE = {"batch": "SGE", "queue_name": "all.q"}


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
    assert (job.cause.kind, job.cause.code, job.cause.stderr) == ("task", 3, "no such file\nno such file")
    assert work.said("begin") == {0: 1, 1: 2}


def test_qdel_by_somebody_else_is_explained_by_the_accounting(
    gridengine: GridEngine, work: Work, once: type[Once]
) -> None:
    delete = once(lambda job: gridengine.ask("qdel", job), begun=1)
    with pytest.raises(JobsFailed) as failed:
        work.run(work.spec(["sleep 60"], machine=ONE_TRY, **SGE), delete, grace=3)
    cause = failed.value.jobs[0].cause
    assert (cause.kind, cause.signal, cause.source, cause.native) == (
        "scheduler",
        9,
        "accounting",
        "failed 100, exit 137",
    )
    assert cause.elapsed is not None


def test_qdel_costs_a_retry_only(gridengine: GridEngine, work: Work, once: type[Once]) -> None:
    spec = work.spec(["sleep 3"], **SGE)
    work.run(spec, once(lambda job: gridengine.ask("qdel", job), begun=1), grace=3)
    assert [cause.kind for cause in work.causes()] == ["scheduler"]
    assert (work.said("begin"), work.said("end")) == ({0: 2}, {0: 1})


def test_eqw_is_explained_and_does_not_stay_in_the_queue(gridengine: GridEngine, work: Work) -> None:
    """W28: Eqw is resubmitted without deleting the stuck job."""
    spec = work.spec(["true"], machine={"retry_count": 1}, custom_flags=("#$ -o /nosuch/log",), **SGE)
    with pytest.raises(JobsFailed) as failed:
        work.run(spec, grace=2)
    assert [cause.kind for cause in work.causes()] == ["scheduler"] * 2
    assert "can't open output file" in failed.value.jobs[0].cause.reason
    assert gridengine.drained()


def test_held_job_runs_when_it_is_released(gridengine: GridEngine, work: Work, once: type[Once]) -> None:
    release = once(lambda job: gridengine.ask("qrls", job), state=State.waiting)
    work.run(work.spec(["true"], custom_flags=("#$ -h",), **SGE), release)
    assert work.said("end") == {0: 1}


def test_run_time_limit(gridengine: GridEngine, work: Work) -> None:
    """failed 37: qmaster enforced h_rt."""
    with pytest.raises(JobsFailed) as failed:
        work.run(work.spec(["sleep 60"], machine=ONE_TRY, custom_flags=("#$ -l h_rt=3",), **SGE), grace=3)
    assert failed.value.jobs[0].cause.kind == "timeout"


def test_rescheduled_job_keeps_its_id_and_what_was_done(gridengine: GridEngine, work: Work, once: type[Once]) -> None:
    spec = work.spec(["true", "sleep 8"], group_size=2, para_deg=2, custom_flags=("#$ -r y",), **SGE)
    work.run(spec, once(lambda job: gridengine.ask("qmod", "-rj", job), begun=2), grace=5)
    assert work.said("begin") == {0: 1, 1: 2}
    assert work.said("end") == {0: 1, 1: 1}
    assert len(work.events(ev.Submitted)) == 1
    assert work.causes() == []


def test_qmaster_killed_and_started_again(gridengine: GridEngine, work: Work) -> None:
    done: list[str] = []

    def disturb(engine: Engine, work: Work) -> None:
        if not done and work.said("begin").total() >= 2:
            done.append(gridengine.ctl("kill9", "sge_qmaster"))
        elif len(done) == 1 and any(event.text.startswith("no good answer") for event in work.events(ev.Note)):
            done.append(gridengine.ctl("start", "sge_qmaster"))

    work.run(work.spec(["sleep 2"] * 6, **SGE), disturb)
    assert len(done) == 2
    assert work.said("end") == dict.fromkeys(range(6), 1)
    assert work.causes() == []


_PROGRAM = """
import sys
import msgspec
from dispatcher.model import SubmissionSpec
from dispatcher.session import open_session
spec = msgspec.json.decode(open(sys.argv[1], "rb").read(), type=SubmissionSpec)
with open_session(spec, {}) as session:
    session.run(check_interval=0.5, clean=False)
"""


def test_killed_ten_times_and_nothing_runs_twice(gridengine: GridEngine, work: Work) -> None:
    import msgspec

    spec, chance = work.spec(["sleep 0.3"] * 20, **SGE), random.Random(6)
    told = work.top / "spec.json"
    told.write_bytes(msgspec.json.encode(spec))
    for _ in range(10):
        program = subprocess.Popen([sys.executable, "-c", _PROGRAM, told], start_new_session=True)
        time.sleep(0.2 + chance.random() * 1.5)
        if program.poll() is None:
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()
    subprocess.run([sys.executable, "-c", _PROGRAM, told], check=True, timeout=240)
    assert work.said("begin") == work.said("end") == dict.fromkeys(range(20), 1)
    assert work.causes() == []
