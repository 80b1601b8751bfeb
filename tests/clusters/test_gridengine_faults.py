"""A Grid Engine that does not answer, loses its daemons, its records or its numbers: nothing lost, nothing twice."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
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


def later(seconds: float, act: Callable[[], object]) -> threading.Thread:
    """Do it in another thread after some seconds."""

    def wait() -> None:
        time.sleep(seconds)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def notes(work: Work) -> str:
    return "\n".join(event.text for event in work.events(ev.Note))


@pytest.fixture
def impatient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time-out of every command is 3 s instead of a minute and more: coreutils' timeout with another number."""
    (tmp_path / "timeout").write_text('#!/bin/sh\nshift\nexec /usr/bin/timeout 3 "$@"\n')
    (tmp_path / "timeout").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def test_frozen_qmaster_is_unreachable_and_nothing_is_lost(gridengine: GridEngine, work: Work, impatient: None) -> None:
    """With qmaster frozen qstat was still hanging at 100 s."""
    done: list[str] = []

    def disturb(engine: Engine, work: Work) -> None:
        if not done and work.said("begin").total() == 3:
            done.append(gridengine.ctl("freeze", "sge_qmaster"))
        elif len(done) == 1 and "no answer in time" in notes(work):
            done.append(gridengine.ctl("thaw", "sge_qmaster"))
            work.go()

    work.run(work.spec([work.waits()] * 3, **SGE), disturb)
    assert len(done) == 2
    assert work.said("begin") == work.said("end") == dict.fromkeys(range(3), 1)
    assert work.causes() == []


def test_qsub_to_a_frozen_qmaster_is_looked_for_and_asked_again(
    gridengine: GridEngine, work: Work, impatient: None
) -> None:
    gridengine.ctl("freeze", "sge_qmaster")
    thaw = later(7, lambda: gridengine.ctl("thaw", "sge_qmaster"))
    work.run(work.spec(["sleep 1"] * 2, **SGE), absence_timeout=4)
    thaw.join()
    assert work.said("begin") == work.said("end") == {0: 1, 1: 1}
    assert work.causes() == []


def test_qmaster_killed_while_jobs_run(gridengine: GridEngine, work: Work) -> None:
    done: list[str] = []

    def disturb(engine: Engine, work: Work) -> None:
        if not done and work.said("begin").total() >= 2:
            done.append(gridengine.ctl("kill9", "sge_qmaster"))
        elif len(done) == 1 and "no good answer" in notes(work):
            done.append(gridengine.ctl("start", "sge_qmaster"))
            work.go()

    work.run(work.spec([work.waits()] * 6, **SGE), disturb)
    assert len(done) == 2
    assert work.said("end") == dict.fromkeys(range(6), 1)
    assert work.causes() == []


def test_qmaster_killed_in_mid_submit(gridengine: GridEngine, work: Work) -> None:
    def kill() -> None:
        far = work.top / "far"
        while len(list(far.glob("**/jobs/*.id"))) < 10:
            time.sleep(0.01)
        gridengine.ctl("kill9", "sge_qmaster")
        time.sleep(2)
        gridengine.ctl("start", "sge_qmaster")
        gridengine.run("qmod", "-e", "*")

    # a job that is on its way to a node when the qmaster dies stays listed as running, and never runs
    gridengine.run("qmod", "-d", "*")
    killer = later(0, kill)
    work.run(work.spec(["sleep 1"] * 40, context="LocalContext", **SGE), absence_timeout=5)
    killer.join()
    assert work.said("begin") == work.said("end") == dict.fromkeys(range(40), 1)
    assert work.causes() == []


def test_execd_killed_and_back(gridengine: GridEngine, work: Work, once: type[Once]) -> None:
    """Its jobs run on: what ended meanwhile is told by the markers."""
    back: list[threading.Thread] = []

    def kill(_: str) -> None:
        gridengine.ctl("kill9", "sge_execd")
        work.go()
        back.append(later(6, lambda: gridengine.ctl("start", "sge_execd")))

    work.run(work.spec([work.waits()] * 3, **SGE), once(kill, begun=3))
    back[0].join()
    assert work.said("begin") == work.said("end") == dict.fromkeys(range(3), 1)
    assert work.causes() == []
    assert gridengine.drained()


def test_rescheduled_by_force_while_its_node_is_cut_off(gridengine: GridEngine, work: Work, once: type[Once]) -> None:
    """The life that still runs loses its claim: it publishes nothing more, and the task counts once."""
    back: list[threading.Thread] = []

    def cut_off(job: str) -> None:
        gridengine.ctl("kill9", "sge_execd")
        gridengine.run("qmod", "-f", "-rj", job)
        back.append(later(2, lambda: (gridengine.ctl("start", "sge_execd"), time.sleep(2), work.go())))

    spec = work.spec(
        ["true", work.waits()], group_size=2, para_deg=2, custom_flags=("#$ -r y",), machine=ONE_TRY, **SGE
    )
    work.run(spec, once(cut_off, begun=2), absence_timeout=5)
    back[0].join()
    assert work.said("begin")[0] == work.said("end")[0] == 1
    assert work.said("end")[1] >= 1
    assert work.causes() == []
    assert len(work.events(ev.Submitted)) == 1


def test_id_is_given_to_the_next_job(gridengine: GridEngine, work: Work) -> None:
    """A qmaster that lost its counter: neither the queue's job of that id is ours, nor its record."""
    spec = work.spec(["true"], custom_flags=("#$ -h",), **SGE)
    work.run(spec, exit_on_submit=True)
    (submitted,) = work.events(ev.Submitted)
    gridengine.run("qdel", submitted.id)
    gridengine.next_id(int(submitted.id))
    other = gridengine.run("qsub", "-terse", "-N", "other", "-o", "/dev/null", "-j", "y", "-b", "y", "sleep", "100")
    assert other.strip() == submitted.id

    def hurry(engine: Engine, work: Work) -> None:
        (job,) = engine.jobs.values()
        assert job.state is not State.running or job.attempt > 1
        if job.attempt > 1 and job.id:
            gridengine.run("qrls", job.id, code=None)

    work.run(spec, hurry, absence_timeout=3)
    assert work.said("begin") == work.said("end") == {0: 1}
    assert len(work.events(ev.Submitted)) == 2
    end = time.monotonic() + 120
    while gridengine.queued() != [submitted.id]:  # the marker of ours is there before the queue forgets it
        assert time.monotonic() < end
        time.sleep(0.5)


def test_ids_wrap(gridengine: GridEngine, work: Work) -> None:
    """After 9999999 comes 1."""
    gridengine.next_id(9999999)
    work.run(work.spec(["sleep 1"] * 4, **SGE), absence_timeout=3)
    ids = [int(event.id) for event in work.events(ev.Submitted)]
    assert max(ids) == 9999999
    assert min(ids) < 10
    assert work.said("begin") == work.said("end") == dict.fromkeys(range(4), 1)
    assert work.causes() == []


def test_rotated_accounting_leaves_it_to_queue_and_markers(
    gridengine: GridEngine, work: Work, once: type[Once]
) -> None:
    def delete(job: str) -> None:
        gridengine.run("qdel", job)
        assert gridengine.drained()
        gridengine.accounting.rename(gridengine.accounting.with_suffix(".0"))

    with pytest.raises(JobsFailed) as failed:
        work.run(work.spec(["true", "sleep 60"], machine=ONE_TRY, **SGE), once(delete, begun=2), absence_timeout=2)
    (job,) = failed.value.jobs
    assert (job.cause.kind, job.cause.reason) == ("lost", "it left the queue without an exit marker")
    assert "accounting gave no answer, markers and the queue decide: qacct: no jobs" in notes(work)
    assert work.said("end") == {0: 1}
