"""Jobs as applications of a real YARN, their files on a real HDFS."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dispatcher.core import events as ev
from dispatcher.core.errors import ConfigError, InputMissing, JobsFailed, ResultMissing
from dispatcher.core.lifecycle import State
from dispatcher.core.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec
from dispatcher.run.engine import Engine
from dispatcher.run.environment import real_environment
from dispatcher.run.session import Session, open_session

if TYPE_CHECKING:
    from .conftest import Hadoop, Once, Work

pytestmark = pytest.mark.cluster


def machine(hadoop: Hadoop, work: Work, **what: Any) -> MachineSpec:
    local, made = str(work.top / "local"), {"create_remote_root": True, **what}
    return MachineSpec("DistributedShell", "HDFSContext", local, hadoop.root, **made)


def spec(hadoop: Hadoop, work: Work, commands: Sequence[str], size: int = 1, **what: Any) -> SubmissionSpec:
    """One task a command; the machine of the containers is this one, so that they can write to the log of `work`."""
    made = work.spec(commands, "DistributedShell", "HDFSContext", group_size=size, **{"queue_name": "", **what})
    return SubmissionSpec("w", machine(hadoop, work, retry_count=1), made.resources, made.tasks)


def run(
    hadoop: Hadoop, requested: SubmissionSpec, show: Callable[[Any], object] = lambda engine: None, **how: Any
) -> Session:
    with open_session(requested, hadoop.profile, environment=real_environment(show=show)) as session:
        session.scheduler.absence_timeout = 5
        session.run(**{"check_interval": 3, "clean": False, **how})
    return session


def test_jobs_bring_back_every_byte(hadoop: Hadoop, work: Work, full: bool) -> None:
    """Three tasks a job, side by side in it."""
    jobs = 20 if full else 5
    top = work.top / "local" / "w"
    command = (
        "cat in.dat 'dïr x/deep/b' ../common.bin > 'out 1.dat' && mkdir -p left/empty && "
        "cp 'dïr x/deep/b' \"left/it's [1]*\" && chmod 755 'out 1.dat' && "
        'cp ../common.bin "../back $(basename "$PWD")"'
    )
    tasks = [TaskSpec(command, f"t {n}'é", ("in.dat", "dïr x"), ("out*", "left")) for n in range(3 * jobs)]
    for task in tasks:
        (top / task.task_work_path / "dïr x" / "deep").mkdir(parents=True)
        (top / task.task_work_path / "in.dat").write_bytes(os.urandom(3000))
        (top / task.task_work_path / "dïr x" / "deep" / "b").write_bytes(os.urandom(2000))
    (top / "common.bin").write_bytes(os.urandom(1000))
    requested = SubmissionSpec(
        "w",
        machine(hadoop, work),
        ResourcesSpec(1, 1, 0, "lab", 3, para_deg=3),
        tuple(tasks),
        ("common.bin",),
        ("back*",),
    )
    before = hadoop.listed(hadoop.root), hadoop.listed(".")
    session = run(hadoop, requested, clean=True)
    assert len(session.progress) == jobs
    assert {(job.state, job.attempt) for job in session.progress.values()} == {(State.finished, 1)}
    for task in tasks:
        here = top / task.task_work_path
        common = (top / "common.bin").read_bytes()
        deep = (here / "dïr x/deep/b").read_bytes()
        assert (here / "out 1.dat").read_bytes() == (here / "in.dat").read_bytes() + deep + common
        assert (here / "out 1.dat").stat().st_mode & 0o777 == 0o755
        assert (here / "left/it's [1]*").read_bytes() == deep
        assert (here / "left/empty").is_dir()
        assert (top / f"back {task.task_work_path}").read_bytes() == common
    assert Path(session.context.place.remote_root).name not in hadoop.listed(hadoop.root), "R is gone"
    assert hadoop.listed(hadoop.root) <= before[0], "and nothing has come beside it"
    assert hadoop.listed(".") <= before[1], "nothing of it is left in the home"
    queues = {app["id"]: app["queue"] for app in hadoop.apps()}
    assert [queues[job.id] for job in session.progress.values()] == ["root.lab"] * jobs


def test_a_failing_task_is_reported_with_its_stderr(hadoop: Hadoop, work: Work) -> None:
    requested = spec(hadoop, work, ["echo fine > out", "echo 'no such potential' >&2; exit 7", "true"], size=2)
    with pytest.raises(JobsFailed) as failed:
        run(hadoop, requested)
    (job,) = failed.value.jobs
    assert (job.cause.kind, job.cause.code, job.attempts) == ("task", 7, 2)
    assert "no such potential" in job.cause.stderr
    assert job.native_id.startswith("application_")
    assert work.said("begin") == {0: 1, 1: 2, 2: 1}, "what has finished is not run again"
    assert "no such potential" in (work.top / "local/w/t1/err").read_text()


def test_an_application_killed_through_yarn_is_retried(hadoop: Hadoop, work: Work, once: type[Once]) -> None:
    kill = once(lambda app: hadoop.run("yarn", "application", "-kill", app), begun=1)
    requested = spec(hadoop, work, [f"[ $(grep -c begin {work.log}) -gt 1 ] || sleep 600"])
    session = run(hadoop, requested, lambda engine: kill(engine, work))
    (job,) = session.progress.values()
    assert (job.state, job.attempt) == (State.finished, 2)
    (cause,) = work.causes()
    assert (cause.kind, cause.native) == ("scheduler", "KILLED")
    assert "killed" in cause.reason
    assert (work.said("begin")[0], work.said("end")[0]) == (2, 1)


def test_a_second_life_of_an_application_takes_over(hadoop: Hadoop, work: Work, once: type[Once]) -> None:
    """The application master is killed as by a lost node: YARN starts it again, and with it the script."""
    kill = once(lambda app: end_master(hadoop, app), begun=1)
    requested = spec(hadoop, work, [f"[ $(grep -c begin {work.log}) -gt 1 ] || sleep 600"])
    session = run(hadoop, requested, lambda engine: kill(engine, work))
    (job,) = session.progress.values()
    assert (job.state, job.attempt) == (State.finished, 1)
    assert (work.said("begin")[0], work.said("end")[0]) == (2, 1)


def end_master(hadoop: Hadoop, app: str) -> None:
    """Kill -9 the application master of this application, and nothing else."""
    where = f"{hadoop.knobs['HADOOP_RUN']}/nm/"
    container = f"{app.removeprefix('application')}_01_000001"  # between them is an epoch once YARN was started again
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and entry.name != str(os.getpid()):
            try:
                line, env = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
            except OSError:
                continue
            if b"ApplicationMaster" in line and container.encode() in env and where.encode() in env:
                os.kill(int(entry.name), 9)


def test_cancelling_ends_the_application(hadoop: Hadoop, work: Work) -> None:
    def cancel(engine: Engine) -> None:
        if work.said("begin"):
            engine.stop_jobs(engine.jobs.values(), ev.CauseKind.cancelled)

    with pytest.raises(JobsFailed, match="cancelled") as failed:
        run(hadoop, spec(hadoop, work, ["sleep 600"]), cancel)
    ended = {app["id"]: app["state"] for app in hadoop.apps()}
    assert [ended[job.native_id] for job in failed.value.jobs] == ["KILLED"]


def test_what_yarn_does_not_take_is_refused_with_its_reason(hadoop: Hadoop, work: Work) -> None:
    with pytest.raises(JobsFailed, match="Queue lba not present") as failed:
        run(hadoop, spec(hadoop, work, ["true"], queue_name="lba"))
    assert failed.value.jobs[0].cause.kind == "rejected"
    with pytest.raises(ConfigError, match="number_node"):
        run(hadoop, spec(hadoop, work, ["true"], number_node=2))


def test_missing_files_are_named(hadoop: Hadoop, work: Work) -> None:
    made = spec(hadoop, work, ["true"])
    task = made.tasks[0]
    (work.top / "local/w/t0/in.dat").write_text("x")
    missing = TaskSpec(task.command, "t0", ("no.dat",))
    with pytest.raises(InputMissing, match=r"t0/no\.dat"):
        run(hadoop, SubmissionSpec("w", made.machine, made.resources, (missing,)))
    unwritten = TaskSpec(task.command, "t0", ("in.dat",), ("never.out",))
    with pytest.raises(ResultMissing, match=r"t0/never\.out"):
        run(hadoop, SubmissionSpec("w", made.machine, made.resources, (unwritten,)))
    assert work.events(ev.Concluded) == []
