"""A Slurm that does not answer, or answers wrongly: nothing is lost, nothing runs twice."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dispatcher.core import events as ev
from dispatcher.core.lifecycle import State

if TYPE_CHECKING:
    from dispatcher.run.engine import Engine

    from .conftest import Once, Slurm, Work

pytestmark = pytest.mark.cluster


def later(seconds: float, slurm: Slurm, *words: str) -> threading.Thread:
    """Disturb it from another thread after some seconds."""

    def act() -> None:
        time.sleep(seconds)
        slurm.ctl(*words)

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def notes(work: Work) -> str:
    return "\n".join(event.text for event in work.events(ev.Note))


def test_frozen_controller_accepts_the_job_after_sbatch_gave_up(slurm: Slurm, work: Work) -> None:
    """Frozen slurmctld: sbatch says "Socket timed out on send/recv operation" but the job is accepted afterwards."""
    slurm.ctl("freeze", "slurmctld")
    thaw = later(16, slurm, "thaw", "slurmctld")
    work.run(work.spec(["sleep 1"] * 2))
    thaw.join()
    assert work.said("begin") == work.said("end") == {0: 1, 1: 1}
    assert {event.how for event in work.events(ev.Submitted)} & {"queue", "claim"}
    assert work.causes() == []


def test_controller_stopped_in_mid_run(slurm: Slurm, work: Work) -> None:
    """Controller down: "Unable to contact slurm controller (connect failure)" after 9 s; the states stay."""
    done: list[str] = []

    def disturb(engine: Engine, work: Work) -> None:
        if not done and work.said("begin").total() == 3:
            done.append(slurm.ctl("stop", "slurmctld"))
        elif len(done) == 1 and "Unable to contact slurm controller" in notes(work):
            done.append(slurm.ctl("start", "slurmctld"))
            work.go()

    work.run(work.spec([work.waits()] * 3), disturb)
    assert len(done) == 2
    assert work.said("begin") == work.said("end") == dict.fromkeys(range(3), 1)
    assert "Unable to contact slurm controller" in notes(work)
    assert work.causes() == []


def test_controller_restarted_in_mid_run(slurm: Slurm, work: Work, once: type[Once]) -> None:
    restart = once(lambda _: (slurm.ctl("restart", "slurmctld"), work.go()), begun=3)
    work.run(work.spec([work.waits()] * 3), restart)
    assert work.said("begin") == work.said("end") == dict.fromkeys(range(3), 1)
    assert work.causes() == []


def test_controller_crashes_in_mid_run(
    slurm: Slurm, work: Work, once: type[Once], monkeypatch: pytest.MonkeyPatch
) -> None:
    """slurmctld killed within seconds of sbatch: an acknowledged job is lost; a running one went back to pending.

    The accounting then keeps a record of it as pending for ever, called `allocation`.
    """
    monkeypatch.setattr("dispatcher.run.observer.ACCOUNT_HOLD", 20.0)

    def crash(_: str) -> None:
        slurm.ctl("kill9", "slurmctld")
        slurm.ctl("start", "slurmctld")

    def hurry(engine: Engine, work: Work) -> None:
        crash_once(engine, work)
        for job in engine.jobs.values():
            if crash_once.done and job.state is State.waiting and job.id:
                slurm.tried(slurm.CTL, "begin", job.id)

    crash_once = once(crash, begun=3)
    work.run(work.spec(["sleep 6"] * 3), hurry, absence_timeout=6)
    assert work.said("end") == dict.fromkeys(range(3), 1)
    assert {cause.kind for cause in work.causes()} <= {"lost", "node", "scheduler"}


def forget(slurm: Slurm) -> None:
    """The controller loses all it knew of jobs, and counts ids from 1 again."""
    slurm.ctl("stop", "slurmctld")
    for file in Path(slurm.settings["SLURM_RUN"], "state").glob("job_state*"):
        file.unlink()
    slurm.ctl("start", "slurmctld")


def test_id_is_given_to_the_next_job(slurm: Slurm, work: Work) -> None:
    """slurmctld killed within seconds of sbatch: an acknowledged job is lost and its id is given to the next job."""
    spec = work.spec(["true"], custom_flags=("#SBATCH --begin=now+5minutes",))
    forget(slurm)
    work.run(spec, exit_on_submit=True)
    (submitted,) = work.events(ev.Submitted)
    forget(slurm)
    other = slurm.run("sbatch", "--parsable", "-J", "other", "-o", "/dev/null", "--wrap", "sleep 120").strip()
    assert other == submitted.id

    def hurry(engine: Engine, work: Work) -> None:
        (job,) = engine.jobs.values()
        assert job.state is not State.running or job.attempt > 1
        if job.attempt > 1 and job.id:
            slurm.tried("scontrol", "update", f"JobId={job.id}", "StartTime=now")

    work.run(spec, hurry, absence_timeout=4)
    assert work.said("begin") == work.said("end") == {0: 1}
    assert len(work.events(ev.Submitted)) == 2
    assert slurm.run("squeue", "-h", "-j", other, "-o", "%j %t").split() == ["other", "R"]


def test_slurmdbd_down_the_queue_decides(slurm: Slurm, work: Work, once: type[Once]) -> None:
    def cancel(job: str) -> None:
        slurm.ctl("stop", "slurmdbd")
        slurm.run("scancel", job)

    work.run(work.spec([work.hangs(0)]), once(cancel, begun=1))
    assert work.said("end") == {0: 1}
    (cause,) = work.causes()
    assert (cause.kind, cause.native, cause.source) == ("scheduler", "CANCELLED", "queue")
    assert "Problem talking to the database" in notes(work)


def test_without_accounting_the_queue_decides(slurm: Slurm, work: Work, once: type[Once]) -> None:
    """Without accounting "Slurm accounting storage is disabled", exit 1."""
    slurm.up(SLURM_ACCT="none")
    work.run(work.spec([work.hangs(0)]), once(lambda job: slurm.run("scancel", job), begun=1))
    (cause,) = work.causes()
    assert (cause.kind, cause.native, cause.source) == ("scheduler", "CANCELLED", "queue")
    assert "accounting storage is disabled" in notes(work)


def test_cancelling_with_a_frozen_controller_is_tried_again(slurm: Slurm, work: Work) -> None:
    """Socket timed out, the same for scancel."""
    thaws: list[threading.Thread] = []
    requested: list[float] = []

    def freeze(engine: Engine, work: Work) -> None:
        if work.said("begin") and not requested:
            requested.append(time.time())
            slurm.ctl("freeze", "slurmctld")
            thaws.append(later(15, slurm, "thaw", "slurmctld"))
            engine.stop_jobs(engine.jobs.values(), ev.CauseKind.cancelled)

    with pytest.raises(Exception, match="cancelled"):
        work.run(work.spec(["sleep 100"]), freeze)
    thaws[0].join()
    assert slurm.queued() == []
    assert [cause.kind for cause in work.causes()] == ["cancelled"]
