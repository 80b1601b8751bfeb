"""Jobs of Shell on this machine: whose environment they have, what they are known by, who is ended."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatcher.contexts.local.shell_call import run
from dispatcher.core.ports import Native, Place, Query, SubmitRequest
from dispatcher.schedulers import chosen
from dispatcher.schedulers.shell import ShellDialect
from tests.scripts.test_render import job, lay_out, resources

SHELL = ShellDialect()


class Here:
    """A control directory in which jobs are started, looked at and ended."""

    def __init__(self, top: Path) -> None:
        self.top, self.ids = top, dict[str, str]()
        self.place = Place(str(top), str(top), f"{top}/.dispatcher/s/jobs", inherits=True)

    def start(self, command: str, dialect: ShellDialect = SHELL) -> str:
        """The native id of a job of one task."""
        script = lay_out(self.top, job(self.top, command), dialect)
        request = SubmitRequest("dn1", "dn1", script.name, {}, resources())
        reply = run(dialect.submit([request], self.place), self.top)
        self.ids["dn1"] = dialect.submitted(reply, [request])["dn1"].id  # type: ignore[union-attr]
        return self.ids["dn1"]

    def seen(self, id: str = "") -> Native:
        """What one look says."""
        query = Query("dn1", id or self.ids["dn1"])
        return SHELL.observed(run(SHELL.observe([query], self.place), self.top), [query]).jobs["dn1"].native

    def kill(self, id: str = "") -> None:
        """End it."""
        run(SHELL.kill([Query("dn1", id or self.ids["dn1"])], self.place), self.top)

    def wait(self, name: str) -> str:
        """What a file says, once it is there."""
        end = time.monotonic() + 60
        while not ((self.top / name).exists() and (self.top / name).read_text()):
            assert time.monotonic() < end
            time.sleep(0.02)
        return (self.top / name).read_text().strip()


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    made = Here(tmp_path)
    yield made
    if made.ids:
        made.kill()


@pytest.mark.parametrize("inherits", [True, False])
def test_it_has_the_environment_of_the_caller_here_and_a_login_elsewhere(
    here: Here, inherits: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here.top / ".bash_profile").write_text("PATH=/login:$PATH\n")
    monkeypatch.setenv("HOME", str(here.top))
    monkeypatch.setenv("PATH", f"/conda/bin:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    here.place = Place(here.place.local, here.place.remote_root, here.place.control, inherits)
    here.start('echo "$PATH $SLURM_JOB_ID" > ../env')
    assert here.wait("env").startswith("/conda/bin:" if inherits else "/login:")
    assert (here.top / "env").read_text().endswith(" 77\n"), "in an allocation its variables are wanted"


@pytest.mark.parametrize("mask", [0o022, 0o002, 0o077])
def test_it_keeps_the_users_umask(here: Here, mask: int) -> None:
    before = os.umask(mask)
    try:
        here.start("touch ../file; umask > ../mask")
    finally:
        os.umask(before)
    assert int(here.wait("mask"), 8) == mask
    assert (here.top / "file").stat().st_mode & 0o777 == 0o666 & ~mask
    for path in (here.top / ".dispatcher/s/jobs").glob("dn1.id"):
        assert path.stat().st_mode & 0o077 == 0, "what is ours is nobody else's"


def test_strangers_under_a_reused_number_are_neither_seen_nor_ended(here: Here) -> None:
    """A container that was started anew gives numbers away again; the group of ours has lost its leader."""
    lines = "sleep 60 & echo $! > pid; exec sleep 0"
    subprocess.run(["bash", "-c", f"set -m; ({lines}) &"], cwd=here.top, start_new_session=True, check=True)
    stranger = int(here.wait("pid"))
    group = os.getpgid(stranger)
    host, boot = os.uname().nodename, Path("/proc/sys/kernel/random/boot_id").read_text().partition("-")[0]
    (here.top / ".dispatcher/s/jobs").mkdir(parents=True)
    end = time.monotonic() + 60
    while Path(f"/proc/{group}").exists() and time.monotonic() < end:
        time.sleep(0.02)
    assert here.seen(f"{host}:{group}:12345:{boot}") is Native.absent
    here.kill(f"{host}:{group}:12345:{boot}")
    assert Path(f"/proc/{stranger}").exists()
    os.kill(stranger, signal.SIGKILL)


def test_a_group_without_its_leader_is_still_ours(here: Here) -> None:
    id = here.start("touch ../begun; echo x > ../said; until [ -e ../go ]; do sleep 0.05; done")
    here.wait("said")
    os.kill(int(id.split(":")[1]), signal.SIGKILL)
    end = time.monotonic() + 60
    while here.seen() is Native.running and time.monotonic() < end:
        time.sleep(0.02)
    assert here.seen() is Native.completing
    here.kill()
    assert here.seen() is Native.absent


SURROUNDING = {
    "SLURM_JOB_ID": "7",
    "SLURM_ARRAY_TASK_ID": "3",
    "SLURM_MEM_PER_CPU": "100",
    "SBATCH_ARRAY_INX": "0-9",
    "SQUEUE_PARTITION": "x",
    "SCANCEL_STATE": "PENDING",
    "PBS_JOBID": "8.pbs",
    "PBS_ARRAY_INDEX": "4",
    "PBS_DPREFIX": "#X",
    "SGE_TASK_ID": "5",
    "JOB_ID": "9",
    "LSB_JOBID": "6",
    "LSB_JOBINDEX": "2",
    "PJM_JOBID": "5",
    "CUDA_VISIBLE_DEVICES": "3",
    "GREP_OPTIONS": "--color=always",
    "CDPATH": "/",
}
KEPT = {"SLURM_CONF": "/etc/slurm.conf", "SBATCH_ACCOUNT": "lab", "PBS_CONF_FILE": "/etc/pbs.conf", "SGE_ROOT": "/sge"}


@pytest.mark.parametrize("name", ["Slurm", "SlurmJobArray", "PBS", "Torque", "SGE", "LSF", "Fugaku", "JH_UniScheduler"])
def test_a_batch_systems_commands_do_not_see_a_surrounding_job(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in {**SURROUNDING, **KEPT}.items():
        monkeypatch.setenv(key, value)
    place = Place(str(tmp_path), str(tmp_path), str(tmp_path))
    dialect = chosen(name, resources())
    for verb in (dialect.observe, dialect.kill):
        text = verb([Query("dn1", "1")], place).text
        head = text[: text.index("\ndone\n") + 6]
        seen = dict(line.partition("=")[::2] for line in run_text(f"{head}env", tmp_path))
        assert not SURROUNDING.keys() & seen.keys()
        assert {key: seen.get(key) for key in KEPT} == KEPT


def run_text(text: str, top: Path) -> list[str]:
    """The lines that a text prints."""
    return subprocess.run(["sh"], input=text, cwd=top, capture_output=True, text=True, check=True).stdout.splitlines()


def test_a_users_default_gives_way_to_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """sbatch believes SBATCH_PARTITION before `#SBATCH --partition`."""
    (tmp_path / "sbatch").write_text("#!/bin/sh\nenv | grep ^SBATCH_ >&2; echo 101\n")
    (tmp_path / "sbatch").chmod(0o755)
    for key, value in {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SBATCH_PARTITION": "a", "SBATCH_QOS": "b"}.items():
        monkeypatch.setenv(key, value)
    place = Place(str(tmp_path), str(tmp_path), str(tmp_path))
    for queue, seen in (("gpu", "SBATCH_QOS=b"), ("", "SBATCH_PARTITION=a")):
        request = SubmitRequest(f"dn{len(queue)}", "dn", "dn.sub", {}, resources(queue_name=queue))
        reply = run(chosen("Slurm", request.resources).submit([request], place), tmp_path)
        assert seen in reply.out
        assert ("SBATCH_PARTITION" in reply.out) is not bool(queue)


def test_a_job_of_another_host_is_no_news_and_its_host_is_named() -> None:
    rows = ShellDialect().rows("dq3v81kx0mza node7:4242:88123456:1f2e3d4c H\nend", 0)
    seen = ShellDialect().observation_of(rows)
    assert (seen.native, seen.node) == (Native.unknown, "node7")
    assert "process 4242 was started on node7" in seen.hint
