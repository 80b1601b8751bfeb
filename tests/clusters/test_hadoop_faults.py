"""HDFS and YARN that are away, closed or full, and a dispatcher that is killed: clear words, patience, no success."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dispatcher.core import events as ev
from dispatcher.core.errors import TransferFailed, Unreachable
from dispatcher.core.lifecycle import State
from dispatcher.core.model import MachineSpec, SubmissionSpec
from dispatcher.run.engine import Engine
from dispatcher.run.environment import real_environment
from dispatcher.run.session import Session, open_session

if TYPE_CHECKING:
    from .conftest import Hadoop, Work

pytestmark = pytest.mark.cluster


def spec(hadoop: Hadoop, work: Work, *commands: str) -> SubmissionSpec:
    made = work.spec(commands, "DistributedShell", "HDFSContext", queue_name="")
    local, root = str(work.top / "local"), hadoop.root
    machine = MachineSpec("DistributedShell", "HDFSContext", local, root, retry_count=1, create_remote_root=True)
    return SubmissionSpec("w", machine, made.resources, made.tasks)


def run(hadoop: Hadoop, requested: SubmissionSpec, show: Callable[[Engine], object] = lambda engine: None) -> Session:
    with open_session(requested, hadoop.profile, environment=real_environment(show=show)) as session:
        session.run(check_interval=3, clean=False)
    return session


class Steps:
    """Does one thing after the other, each when its condition holds; called whenever something may have changed."""

    def __init__(self, *steps: tuple[Callable[[Engine], object], Callable[[], object]]) -> None:
        self.left = list(steps)

    def __call__(self, engine: Engine) -> None:
        if self.left and self.left[0][0](engine):
            self.left.pop(0)[1]()


def finished(session: Session, work: Work) -> None:
    """Every task ran once, at the first attempt."""
    assert {(job.state, job.attempt) for job in session.progress.values()} == {(State.finished, 1)}
    assert set(work.said("begin").values()) == set(work.said("end").values()) == {1}


def test_kills_of_the_dispatcher_lose_and_duplicate_nothing(hadoop: Hadoop, work: Work, full: bool) -> None:
    many = 8 if full else 4
    requested = spec(hadoop, work, *(f"sleep {n % 3}; echo {n} > out" for n in range(many)))
    file = work.top / "submission.json"
    tasks = [
        {"command": t.command, "task_work_path": t.task_work_path, "backward_files": ["out"]} for t in requested.tasks
    ]
    machine = {
        "batch_type": "DistributedShell",
        "context_type": "HDFSContext",
        "local_root": str(work.top / "local"),
        "remote_root": hadoop.root,
        "create_remote_root": True,
        "remote_profile": hadoop.profile,
    }
    resources = {"number_node": 1, "cpu_per_node": 1, "group_size": 1}
    file.write_text(json.dumps({"work_base": "w", "machine": machine, "resources": resources, "task_list": tasks}))
    command = [sys.executable, "-m", "dispatcher", "submit", str(file), "--check-interval", "2"]
    chance = random.Random(7)
    for _ in range(10 if full else 4):
        started = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(chance.uniform(0.5, 9))
        started.kill()
        started.wait()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert set(work.said("begin").values()) == set(work.said("end").values()) == {1}
    assert len(work.said("end")) == many
    for n in range(many):
        assert (work.top / f"local/w/t{n}/out").read_text() == f"{n}\n"


def test_safe_mode_before_and_during_a_job(hadoop: Hadoop, work: Work) -> None:
    requested = spec(hadoop, work, "sleep 6; echo x > out")
    hadoop.ctl("safemode", "enter")
    with pytest.raises(Unreachable, match="safe mode"):
        run(hadoop, requested)
    assert work.events(ev.Staged) == work.events(ev.Submitting) == []
    hadoop.ctl("safemode", "leave")
    steps = Steps(
        (lambda engine: work.said("begin"), lambda: hadoop.ctl("safemode", "enter")),
        (lambda engine: work.said("end"), lambda: (time.sleep(8), hadoop.ctl("safemode", "leave"))),
    )
    finished(run(hadoop, requested, steps), work)
    assert steps.left == []


@pytest.mark.parametrize("quota", ["-setSpaceQuota", "-setQuota"])
def test_a_full_quota_is_told_and_is_no_success(hadoop: Hadoop, work: Work, quota: str) -> None:
    (work.top / "local/w/t0").mkdir(parents=True)
    (work.top / "local/w/t0/in.dat").write_bytes(b"x" * 100_000)
    made = spec(hadoop, work, "true")
    requested = SubmissionSpec("w", made.machine, made.resources, made.tasks, ("t0/in.dat",))
    hadoop.run("hadoop", "fs", "-mkdir", "-p", hadoop.root)
    hadoop.run("hdfs", "dfsadmin", quota, "2", hadoop.root)
    try:
        with pytest.raises(TransferFailed, match=r"quota .*is exceeded.*make room"):
            run(hadoop, requested)
    finally:
        hadoop.run("hdfs", "dfsadmin", quota.replace("set", "clr"), hadoop.root)
    assert work.events(ev.Staged) == work.events(ev.Submitting) == []
    finished(run(hadoop, requested), work)


def test_a_stopped_resourcemanager_is_waited_for(hadoop: Hadoop, work: Work) -> None:
    """Before anything is submitted, and again, with its memory gone, while the job runs."""
    troubles: list[str] = []

    def reported(engine: Engine) -> bool:
        troubles.append(engine.trouble)
        return "YARN" in engine.trouble or "refused" in engine.trouble

    hadoop.ctl("stop", "resourcemanager")
    steps = Steps(
        (lambda engine: reported(engine) or work.events(ev.Deferred), lambda: hadoop.ctl("start", "resourcemanager")),
        (lambda engine: work.said("begin"), lambda: hadoop.ctl("kill9", "resourcemanager")),
        (reported, lambda: (hadoop.ctl("start", "resourcemanager"), work.go())),
    )
    finished(run(hadoop, spec(hadoop, work, work.waits()), steps), work)
    assert steps.left == []


def test_a_namenode_that_dies_is_waited_for(hadoop: Hadoop, work: Work) -> None:
    steps = Steps(
        (lambda engine: work.said("begin"), lambda: hadoop.ctl("kill9", "namenode")),
        (lambda engine: "HDFS" in engine.trouble and work.said("end"), lambda: hadoop.ctl("start", "namenode")),
    )
    finished(run(hadoop, spec(hadoop, work, "sleep 5; echo x > out"), steps), work)
    assert steps.left == []


def test_without_an_address_of_the_rest_yarn_itself_is_asked(hadoop: Hadoop, work: Work) -> None:
    profile: dict[str, Any] = {
        "hadoop_home": hadoop.settings["HADOOP_HOME"],
        "hadoop_conf_dir": hadoop.settings["HADOOP_CONF_DIR"],
    }
    with open_session(spec(hadoop, work, "true"), profile) as session:
        session.run(check_interval=3)
    finished(session, work)
    assert not Path(session.context.place.control).exists()
