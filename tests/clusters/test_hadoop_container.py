"""What a script does in its container, and what the context makes of it: scripts run here, against a real HDFS."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pytest

from dispatcher import contexts
from dispatcher.core.errors import InputMissing, TransferFailed
from dispatcher.core.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec
from dispatcher.core.ports import Claim, Context, Item, Query
from dispatcher.files import local, patterns
from dispatcher.schedulers.yarn.dialect import DistributedShellDialect
from dispatcher.scripts.render import job_script, render

if TYPE_CHECKING:
    from .conftest import Hadoop

pytestmark = pytest.mark.cluster
YARN = DistributedShellDialect()
ODD = ["a b", "it's", "two\nlines", "-rf", "ünï→", "$HOME", "`id`", "*", "a[1]", "semi;colon"]


class Site(NamedTuple):
    """A submission of one job, its context, and a place for containers."""

    hadoop: Hadoop
    top: Path
    spec: SubmissionSpec
    context: Context

    @property
    def ours(self) -> str:
        return f"{self.context.place.remote_root}/.dispatcher"

    def items(self) -> list[Item]:
        here = self.top / "local"
        entries = local.tree(here, patterns.roots(patterns.sources(self.spec)))
        items = patterns.uploads(self.spec, entries, str(here))
        sums = local.digests(here, [item.source for item in items if item.size >= 0])
        return [msgspec.structs.replace(item, digest=sums.get(item.source, "")) for item in items]

    def start(self, nonce: str, number: int, life: int = 2, attempt: int = 1) -> subprocess.Popen[bytes]:
        """The script of an attempt in a container of its own, as YARN would start it."""
        tasks = dict(enumerate(range(len(self.spec.tasks))))
        script = render(job_script(self.spec, "job", nonce, nonce, tasks, self.context.place), YARN).text()
        where = self.top / f"container {number} {attempt} {life}"
        where.mkdir()
        (where / "ExecScript.sh").write_text(script)
        name = f"container_e17_1795_{number:04d}_{attempt:02d}_{life:06d}"
        env = {**os.environ, "CONTAINER_ID": name}
        return subprocess.Popen(
            ["bash", "ExecScript.sh"], cwd=where, env=env, stdin=subprocess.DEVNULL, start_new_session=True
        )

    def run(self, nonce: str, number: int, life: int = 2, attempt: int = 1) -> int:
        return self.start(nonce, number, life, attempt).wait()

    def claim(self, nonce: str) -> Claim | None:
        reply = self.context.run(YARN.observe([Query(nonce)], self.context.place))
        return YARN.observed(reply, [Query(nonce)]).jobs[nonce].claim

    def fetch(self) -> list[Item]:
        wanted_patterns = patterns.wanted(self.spec, list(range(len(self.spec.tasks))))
        items, missing = patterns.downloads(wanted_patterns, self.context.tree(patterns.roots(wanted_patterns)))
        assert missing == []
        return self.context.get(items)


def site(hadoop: Hadoop, tmp: Path, *tasks: TaskSpec, common: tuple[str, ...] = ()) -> Site:
    machine = MachineSpec(
        "DistributedShell", "HDFSContext", str(tmp), f"{hadoop.root}/{tmp.name}", create_remote_root=True
    )
    spec = SubmissionSpec("local", machine, ResourcesSpec(1, 1, 0, "", 0), tasks, common)
    for task in tasks:
        (tmp / "local" / task.task_work_path).mkdir(parents=True, exist_ok=True)
    context = contexts.load("HDFSContext").open(machine, hadoop.profile, "s", "local")
    return Site(hadoop, tmp, spec, context)


def test_odd_names_travel_both_ways(hadoop: Hadoop, tmp_path: Path) -> None:
    tasks = [
        TaskSpec("mkdir out; cp -- ./* out 2> /dev/null; rm out/err out/log; :", f"d {name}", (".",), ("out",))
        for name in ODD
    ]
    made = site(hadoop, tmp_path, *tasks)
    for name in ODD:
        for other in ODD:
            (tmp_path / "local" / f"d {name}" / other).write_bytes(other.encode() * 3)
    made.context.put(made.items(), True)
    assert made.run("dodd", 1) == 0
    assert len(made.fetch()) == len(ODD) ** 2
    for name in ODD:
        back = tmp_path / "local" / f"d {name}" / "out"
        assert {path.name: path.read_bytes() for path in back.iterdir()} == {o: o.encode() * 3 for o in ODD}


def test_one_of_many_copies_runs(hadoop: Hadoop, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    made = site(hadoop, tmp_path, TaskSpec(f"echo run >> '{ran}'", "t"))
    made.context.put(made.items(), True)
    assert [copy.wait() for copy in [made.start("dmany", number) for number in (1, 2, 3)]] == [0, 0, 0]
    assert ran.read_text() == "run\n"
    claim = made.claim("dmany")
    assert claim is not None
    assert (claim.ended, len(claim.fenced)) == (0, 2)
    assert {claim.owner, *claim.fenced} == {f"application_1795_{number:04d}" for number in (1, 2, 3)}
    assert made.run("dmany", 1, life=3) == 0, "a life that comes after the end"
    assert ran.read_text() == "run\n"


def test_a_later_life_takes_over_and_a_withdrawn_attempt_does_not_begin(hadoop: Hadoop, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    made = site(hadoop, tmp_path, TaskSpec(f"echo run >> '{ran}'; [ $(wc -l < '{ran}') -gt 1 ] || sleep 600", "t"))
    made.context.put(made.items(), True)
    first = made.start("dlife", 1)
    subprocess.run(["sh", "-c", f"until [ -e '{ran}' ]; do sleep 0.2; done"], check=True, timeout=600)
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()
    for name in ("end-0", "life-7"):  # it was about to tell something
        hadoop.run("hadoop", "fs", "-touchz", f"{made.ours}/jobs/dlife.{name}._COPYING_")
    assert made.run("dlife", 1, attempt=2) == 0
    claim = made.claim("dlife")
    assert claim is not None
    assert (claim.ended, claim.restarts, ran.read_text()) == (0, 100000, "run\nrun\n")

    (tmp_path / "dgone.withdrawn").write_text("dgone.withdrawn:withdrawn\n")
    hadoop.run("hadoop", "fs", "-put", str(tmp_path / "dgone.withdrawn"), f"{made.ours}/jobs/")
    assert made.run("dgone", 5) == 0
    assert ran.read_text() == "run\nrun\n"


def test_sending(hadoop: Hadoop, tmp_path: Path) -> None:
    """Sent once; sent anew when it changed; what is damaged there is not used."""
    made = site(
        hadoop,
        tmp_path,
        TaskSpec("cp ../pot.json in.dat out/ 2> /dev/null || mkdir out", "t", ("in.dat",)),
        common=("pot.json",),
    )
    (tmp_path / "local/t/in.dat").write_bytes(b"one")
    (tmp_path / "local/pot.json").write_bytes(b"pot")
    items = made.items()
    made.context.put(items, True)
    index = hadoop.run("hadoop", "fs", "-cat", f"{made.ours}/in/index")
    assert [line.split()[2] for line in index.splitlines()] == ["./", "./t", "./t"]
    made.context.put(items, False)
    (tmp_path / "local/t/in.dat").write_bytes(b"two")
    with pytest.raises(TransferFailed, match="changed since it was listed"):
        made.context.put(items, True)
    (tmp_path / "local/t/in.dat").unlink()
    with pytest.raises(InputMissing, match=r"t/in\.dat"):
        made.context.put(items, True)
    archive = next(line.split()[0] for line in index.splitlines() if line.endswith("./t"))
    (tmp_path / "bad").write_bytes(b"not what was sent")
    hadoop.run("hadoop", "fs", "-put", "-f", str(tmp_path / "bad"), f"{made.ours}/in/{archive}.tar")
    assert made.run("dbad", 1) == 93
    claim = made.claim("dbad")
    assert claim is not None
    assert claim.ended is None


def test_results_that_were_damaged_are_refused(hadoop: Hadoop, tmp_path: Path) -> None:
    made = site(hadoop, tmp_path, TaskSpec("echo good > out", "t", (), ("out",)))
    made.context.put(made.items(), True)
    assert made.run("dres", 1) == 0
    (tmp_path / "bad").write_bytes(b"not what was handed over")
    hadoop.run("hadoop", "fs", "-put", "-f", str(tmp_path / "bad"), f"{made.ours}/out/dres.application_1795_0001.0.tar")
    with pytest.raises(TransferFailed, match="not what its job handed over"):
        made.fetch()
    assert not (tmp_path / "local/t/out").exists()
