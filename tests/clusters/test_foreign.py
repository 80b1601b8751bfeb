"""The same suite for any batch system that is asked by commands: the life of jobs, failures, kills, a crash loop.

    make test-clusters SCHEDULER=pbs              the real PBS, when its qsub is on PATH; else the stand-in
    QUEUE=short WORK=/shared/me make …            in that queue, in a directory that the nodes see, too

Without SCHEDULER all run on their stand-ins (dispatcher.testing.batch).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dispatcher.core.errors import JobsFailed
from dispatcher.testing.batch import DIALECTS, install
from tests.simulation.dialects import KITS

from .conftest import Once, Work

if TYPE_CHECKING:
    from dispatcher.run.engine import Engine

pytestmark = pytest.mark.cluster

FOREIGN = {name.lower(): name for name in KITS if name not in ("Slurm", "SGE")}
KILL = {"pbs": "qdel", "torque": "qdel", "lsf": "bkill", "fugaku": "pjdel", "jh_unischeduler": "jctrl kill"}


class Foreign:
    """A batch system on PATH, and where its jobs run."""

    def __init__(self, name: str, top: Path, real: bool) -> None:
        self.name, self.batch, self.real, self.work = name, FOREIGN[name], real, Work(top)
        self.queue = os.environ.get("QUEUE", "") if real else ""

    def spec(self, *commands: str, **how: Any) -> Any:
        """Commands, a job each."""
        return self.work.spec(commands, self.batch, queue_name=self.queue, **how)

    def run(self, *commands: str, disturb: Any = lambda engine, work: None, **how: Any) -> None:
        """Run them; a stand-in never lists anything late."""
        self.work.run(self.spec(*commands, **how), disturb, absence_timeout=None if self.real else 3.0)

    def kill(self, id: str) -> None:
        """What somebody else types."""
        subprocess.run([*KILL[self.name].split(), id], check=True, capture_output=True, stdin=subprocess.DEVNULL)


@pytest.fixture(params=FOREIGN)
def foreign(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Foreign]:
    """The real thing when it is asked for and there, else its stand-in."""
    name: str = request.param
    requested = os.environ.get("SCHEDULER", "").lower() == name
    kit = KITS[FOREIGN[name]]
    if requested and shutil.which(DIALECTS[kit][1][0]):
        with tempfile.TemporaryDirectory(dir=os.environ.get("WORK") or tmp_path, prefix="dispatcher-") as top:
            yield Foreign(name, Path(top), real=True)
        return
    site = install(kit, tmp_path / "site")
    monkeypatch.setenv("PATH", site.path())
    monkeypatch.setenv("HOME", str(tmp_path))
    yield Foreign(name, tmp_path, real=False)
    assert not site.crashed
    left = [job for job in site.jobs() if job.ended is None]
    site.end()
    assert not left


def once_each(many: int) -> dict[int, int]:
    return dict.fromkeys(range(many), 1)


def test_five_tasks_finish(foreign: Foreign) -> None:
    foreign.run(*["true"] * 5)
    assert foreign.work.said("begin") == foreign.work.said("end") == once_each(5)
    assert foreign.work.causes() == []


def test_two_hundred_tasks_in_twenty_jobs(foreign: Foreign) -> None:
    foreign.run(*["true"] * 200, group_size=10)
    assert foreign.work.said("begin") == foreign.work.said("end") == once_each(200)


def test_a_failing_task_is_tried_again_and_named(foreign: Foreign) -> None:
    with pytest.raises(JobsFailed) as failed:
        foreign.run("true", "echo no such file >&2; exit 3", group_size=2, machine={"retry_count": 1})
    (job,) = failed.value.jobs
    assert (job.cause.kind, job.cause.code, job.attempts) == ("task", 3, 2)
    assert "no such file" in job.cause.stderr
    assert foreign.work.said("begin") == {0: 1, 1: 2}


def test_a_job_that_somebody_else_deletes_costs_a_retry_only(foreign: Foreign) -> None:
    """The first time it would sleep for ever."""
    flag = foreign.work.log.with_name("again")
    command = f"if [ -e {flag} ]; then true; else touch {flag}; sleep 600; fi"
    foreign.run(command, disturb=Once(foreign.kill, begun=1), machine={"retry_count": 1})
    assert (foreign.work.said("begin"), foreign.work.said("end")) == ({0: 2}, {0: 1})
    assert [cause.kind for cause in foreign.work.causes()] == ["scheduler"]


def test_cancelled_by_us_everything_that_was_started_ends(foreign: Foreign) -> None:
    def cancel(engine: Engine, work: Work) -> None:
        if work.said("begin"):
            for path in (work.top / "local" / "w").glob(".dispatcher/*/journal"):
                path.with_name("cancel").touch()

    with suppress(JobsFailed):
        foreign.run(*["sleep 600"] * 3, disturb=cancel)
    assert {cause.kind for cause in foreign.work.causes()} == {"cancelled"}
    assert foreign.work.said("end") == {}


def test_holds_under_chaos(foreign: Foreign, full: bool) -> None:
    """`dispatcher selftest`: its dispatcher is killed again and again, nothing twice, nothing lost.

    Twenty times when this batch system is asked for by name; a few times when all of them are tested.
    """
    kills = 20 if os.environ.get("SCHEDULER") else 5 if full else 3
    top = foreign.work.top.parent
    machine = {"batch_type": foreign.batch, "context_type": "LocalContext", "local_root": "./", "remote_root": "far"}
    resources = {"number_node": 1, "cpu_per_node": 1, "queue_name": foreign.queue, "group_size": 2}
    (top / "machine.json").write_text(json.dumps(machine))
    (top / "resources.json").write_text(json.dumps(resources))
    words = ["--machine", "machine.json", "--resources", "resources.json", "--check-interval", "2", "--json"]
    command = [sys.executable, "-m", "dispatcher", "selftest", "--chaos", str(kills), "--tasks", "8", *words]
    done = subprocess.run(command, cwd=top, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    reported = json.loads(done.stdout)
    assert (done.returncode, reported["verdict"], reported["kills"]) == (0, "passed", kills)
    assert (reported["twice"], reported["lost"]) == (0, 0)
    assert reported["accepted"] == reported["run"] == reported["tasks"]
