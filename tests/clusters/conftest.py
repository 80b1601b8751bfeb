"""Real servers for the tests here, started once in a session; what cannot start is an error, never a skip."""

from __future__ import annotations

import json
import os
import random
import re
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest

from dispatcher.core import events as ev
from dispatcher.core.lifecycle import State
from dispatcher.core.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec
from dispatcher.run.engine import Engine
from dispatcher.run.environment import real_environment
from dispatcher.run.session import Session, open_session
from journal import frames

from ..groups import started as servers

E = TypeVar("E")

CLUSTERS = Path(__file__).parents[2] / "fixtures" / "clusters"

#: The number of this process among those that run tests side by side; accounts and ports go by it.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
WORKERS = 20
ACCOUNT = {f"{what}_TEST_USER": f"dptest{WORKER}" for what in ("SLURM", "SGE", "SSH")}


def started(folder: str, **knobs: str) -> dict[str, str]:
    """Run the `up` of a folder and read the export lines it prints."""
    up = subprocess.run(
        [CLUSTERS / folder / "up"],
        env={**os.environ, **ACCOUNT, **knobs},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert up.returncode == 0, f"fixtures/clusters/{folder}/up failed:\n{up.stderr}"
    words = [shlex.split(line)[1] for line in up.stdout.splitlines() if line.startswith("export ")]
    return dict(word.split("=", 1) for word in words)


RUN = {"slurm": "SLURM_RUN", "ssh": "SSH_RUN", "gridengine": "SGE_RUN", "hadoop": "HADOOP_RUN"}
#: What is worth keeping of a run directory when a test has failed.
LOGS = ("log", "etc", "spool/qmaster/messages", "spool/execd", "nm/log")


@contextmanager
def room(folder: str, session: pytest.Session) -> Iterator[Path]:
    """A directory for servers, which ordinary users may enter; those in `run` are stopped in the end.

    Nothing stays of it but the logs, and they only if a test of this process has failed.
    """
    top = Path(tempfile.mkdtemp(prefix=f"dispatcher-{folder}-"))
    top.chmod(0o755)
    servers.append(top)
    try:
        yield top
    finally:
        servers.remove(top)
        failed = session.testsfailed > 0
        for name in LOGS if failed else ():
            keep(top / "run" / name, top / name)
        down = [CLUSTERS / folder / "down", "--wipe"]
        subprocess.run(down, env={**os.environ, RUN[folder]: f"{top}/run"}, check=True, stdin=subprocess.DEVNULL)
        if not failed:
            shutil.rmtree(top)


def keep(old: Path, new: Path) -> None:
    """Copy a log, or a directory of logs, if it is there."""
    new.parent.mkdir(parents=True, exist_ok=True)
    if old.is_dir():
        shutil.copytree(old, new)
    elif old.exists():
        shutil.copy(old, new)


def ports_in_a_row(many: int) -> int:
    """The first of so many ports that are free now, below those that are handed out to clients."""
    for _ in range(100):
        first = random.randrange(10_000 + 20 * (WORKER % WORKERS), 30_000, 20 * WORKERS)
        with ExitStack() as taken:
            try:
                for port in range(first, first + many):
                    taken.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            return first
    raise AssertionError(f"no {many} free ports in a row")


class Slurm:
    """The private Slurm; commands run with its settings, and a home without a profile."""

    CTL = str(CLUSTERS / "slurm" / "ctl")

    def __init__(self, top: Path, port: int) -> None:
        self.home = top / "home"
        self.home.mkdir()
        self.knobs = {"SLURM_RUN": str(top / "run"), "SLURM_PORT": str(port)}
        self.settings: dict[str, str] = {}

    def up(self, **knobs: str) -> None:
        """Start what is missing, wake what is frozen; other knobs than last time restart the daemons."""
        self.settings = {**started("slurm", **self.knobs, **knobs), "HOME": str(self.home)}

    def ctl(self, *words: str) -> str:
        """Disturb it; see fixtures/clusters/README.md."""
        return self.run(self.CTL, *words)

    def run(self, *command: str) -> str:
        """What a command prints; it must succeed."""
        done = self._run(command)
        assert done.returncode == 0, f"{shlex.join(command)}: {done.stderr}"
        return done.stdout

    def tried(self, *command: str) -> None:
        """A command that may come too early or too late, and then fails."""
        self._run(command)

    def _run(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, **self.settings}
        return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=env)

    def queued(self) -> list[str]:
        """The ids of all jobs that have not ended."""
        return self.run("squeue", "-h", "-a", "-r", "-o", "%A").split()

    def empty(self) -> None:
        """End whatever is queued."""
        end = time.monotonic() + 300
        while jobs := self.queued():
            assert time.monotonic() < end, f"jobs do not go: {jobs}"
            self.tried("scancel", *jobs)
            time.sleep(0.5)

    def accounted(self, since: str = "now-1hour") -> list[list[str]]:
        """Every life of every job: name, state, exit code."""
        lines = self.run(
            "sacct", "-n", "-P", "-D", "-X", "-S", since, "-o", "JobID,State,ExitCode,JobName"
        ).splitlines()
        return [line.split("|", 3) for line in lines]


@pytest.fixture(scope="session")
def slurm_daemons(request: pytest.FixtureRequest) -> Iterator[Slurm]:
    """One Slurm for the whole session, in a run directory and on ports of its own."""
    with room("slurm", request.session) as top:
        yield Slurm(top, ports_in_a_row(15))


@pytest.fixture
def slurm(slurm_daemons: Slurm, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    """A Slurm on which everything runs and nothing is queued, whatever the test before did to it."""
    slurm_daemons.up()
    slurm_daemons.empty()
    for name, value in slurm_daemons.settings.items():
        monkeypatch.setenv(name, value)
    return slurm_daemons


class Work:
    """A submission in a directory of its own, with an odd name. Each task tells a log when it begins and ends."""

    def __init__(self, top: Path) -> None:
        self.top, self.log = top / "a b'é%j#x", top / "log"
        self.log.touch()

    def spec(
        self,
        commands: Sequence[str],
        batch: str = "Slurm",
        context: str = "LazyLocalContext",
        machine: Mapping[str, Any] | None = None,
        **resources: Any,
    ) -> SubmissionSpec:
        """One task a command, in a directory t0, t1, … each; one task a job unless `group_size` says otherwise."""
        for number in range(len(commands)):
            (self.top / "local" / "w" / f"t{number}").mkdir(parents=True, exist_ok=True)
        requested = {"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 0, "queue_name": "main", "group_size": 1}
        tasks = [
            TaskSpec(f"echo begin {n} >> {self.log} && {{ {command}; }} && echo end {n} >> {self.log}", f"t{n}")
            for n, command in enumerate(commands)
        ]
        return SubmissionSpec(
            "w",
            MachineSpec(batch, context, str(self.top / "local"), str(self.top / "far"), **(machine or {})),
            ResourcesSpec(**{**requested, **resources}),
            tuple(tasks),
        )

    def hangs(self, number: int) -> str:
        """The command of a task of this number that hangs when it begins for the first time, and only then."""
        return f"[ $(grep -cx 'begin {number}' {self.log}) -gt 1 ] || sleep 6000"

    def waits(self) -> str:
        """The command of a task that ends after `go`."""
        return f"until [ -e {self.log.with_name('go')} ]; do sleep 0.2; done"

    def go(self) -> None:
        """Let tasks end that wait for it."""
        self.log.with_name("go").touch()

    def said(self, word: str) -> Counter[int]:
        """How often each task said `begin` or `end`."""
        lines = (line.split() for line in self.log.read_text().splitlines())
        return Counter(int(line[1]) for line in lines if line[0] == word)

    def run(
        self,
        spec: SubmissionSpec,
        disturb: Callable[[Engine, Work], object] = lambda engine, work: None,
        absence_timeout: float | None = None,
        **how: Any,
    ) -> Session:
        """Run it here; `disturb` is called whenever something may have changed."""
        with open_session(spec, {}, environment=real_environment(show=lambda engine: disturb(engine, self))) as session:
            if absence_timeout is not None:
                session.scheduler.absence_timeout = absence_timeout
            session.run(**{"check_interval": 1, "clean": False, **how})
        return session

    def nonces(self) -> set[str]:
        """The names under which jobs were submitted."""
        return {event.nonce for event in self.events(ev.Submitting)}

    def events(self, kind: type[E]) -> list[E]:
        """The events of one kind in the journal, in their order."""
        (path,) = (self.top / "local" / "w").glob(".dispatcher/*/journal")
        return [record for frame in frames(path, ev.Event) for record in frame.records if isinstance(record, kind)]

    def causes(self) -> list[ev.Cause]:
        """Why attempts ended without success."""
        return [event.cause for event in self.events(ev.Terminated)]


class Once:
    """Calls `act` with the job's id once, when so many tasks have begun and the first job is in a state."""

    def __init__(self, act: Callable[[str], object], begun: int = 0, state: State = State.running) -> None:
        self.act, self.begun, self.state, self.done = act, begun, state, False

    def __call__(self, engine: Engine, work: Work) -> None:
        found = next((job for job in engine.jobs.values() if job.state is self.state), None)
        if found and not self.done and work.said("begin").total() >= self.begun:
            self.done = True
            self.act(found.id)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """Where a test runs its submission."""
    return Work(tmp_path)


@pytest.fixture
def once() -> type[Once]:
    """Something to do once, when a job is in a state."""
    return Once


@pytest.fixture(scope="session")
def ssh_servers(request: pytest.FixtureRequest) -> Iterator[Mapping[str, str]]:
    """The sshds of fixtures/clusters/ssh, in a run directory and on ports of their own; what `up` printed."""
    with room("ssh", request.session) as top:
        yield started("ssh", SSH_RUN=f"{top}/run", SSH_PORT=str(ports_in_a_row(9)))


WRAPPER = """#!/bin/sh
echo {name} >> {log}
PATH={path}
exec {name} "$@"
"""


class Meter:
    """Counts a scheduler's commands by wrappers that stand before them in PATH."""

    def __init__(self, top: Path, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        self.log, folder = top / "commands", top / "wrappers"
        folder.mkdir()
        self.log.touch()
        for name in names:
            file = folder / name
            file.write_text(WRAPPER.format(name=name, log=self.log, path=os.environ["PATH"]))
            file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def counts(self) -> Counter[str]:
        """How often each was run."""
        return Counter(self.log.read_text().split())


@pytest.fixture
def count_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Meter]:
    """Counts these commands from now on."""
    return lambda *names: Meter(tmp_path, monkeypatch, *names)


_CHILD = """
import sys
from pathlib import Path
import msgspec
from dispatcher.core.model import SubmissionSpec
from dispatcher.run.session import open_session
spec = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=SubmissionSpec)
with open_session(spec, {}) as session:
    session.scheduler.absence_timeout = float(sys.argv[2])
    session.run(check_interval=1, clean=False)
"""


class Mortal:
    """A dispatcher in a process of its own that is killed again and again, and then left to end."""

    def __init__(self, work: Work, spec: SubmissionSpec, absence_timeout: float) -> None:
        self.work, requested = work, work.top / "spec.json"
        requested.write_bytes(msgspec.json.encode(spec))
        self.command = [sys.executable, "-c", _CHILD, str(requested), str(absence_timeout)]

    def live(self, kills: int, after: Callable[[int], object] = lambda kill: None) -> None:
        """Kill it so often, each time within 2.5 s; `after` is told the number of each kill. Then it must succeed.

        The run must last till then: one of its tasks at least has to be `work.waits()`.
        """
        chance, killed = random.Random(4), 0
        while True:
            child = subprocess.Popen(self.command, cwd=Path(__file__).parents[2])
            try:
                code = child.wait(chance.uniform(0.2, 2.5) if killed < kills else 500)
                break
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            killed += 1
            after(killed)
            if killed == kills:
                self.work.go()
        assert (code, killed) == (0, kills)


@pytest.fixture
def mortal() -> type[Mortal]:
    """A dispatcher to be killed."""
    return Mortal


class BehindSsh:
    """`dispatcher selftest` through a real sshd, started when a scheduler is up: remote commands find its settings."""

    def __init__(self, top: Path, run: Path) -> None:
        self.top = top
        self.env = {**os.environ, "SSH_RUN": str(run), "SSH_PORT": str(ports_in_a_row(9))}
        self.sshd: Mapping[str, str] = {}
        self.profile: dict[str, Any] = {}

    def up(self, settings: Mapping[str, str]) -> None:
        """Start the sshds."""
        (self.top / "empty").write_text("")
        self.env = {**self.env, **settings, "HOME": os.environ["HOME"]}
        self.sshd = sshd = started("ssh", **self.env)
        self.profile = {
            "hostname": sshd["SSH_HOST"],
            "port": int(sshd["SSH_PORT_MAIN"]),
            "username": sshd["SSH_USER"],
            "known_hosts": sshd["SSH_KNOWN_HOSTS"],
            "key_filename": sshd["SSH_KEY_ED25519"],
            "config_file": str(self.top / "empty"),
        }

    def selftest(self, batch: str, resources: Mapping[str, Any], *words: str) -> dict[str, Any]:
        """What it tells; it must pass."""
        machine = {"batch_type": batch, "context_type": "SSHContext", "local_root": "./", "remote_root": "~/selftest"}
        return selftest(self.top, {**machine, "remote_profile": self.profile}, resources, *words)


@pytest.fixture
def behind_ssh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BehindSsh]:
    """The sshds, stopped afterwards."""
    with room("ssh", request.session) as top:
        yield BehindSsh(tmp_path, top / "run")


def selftest(top: Path, machine: Mapping[str, Any], resources: Mapping[str, Any], *words: str) -> dict[str, Any]:
    """Run `dispatcher selftest` on a machine; what it tells, which must be that it passed."""
    requested = {"number_node": 1, "cpu_per_node": 1, **resources}
    (top / "machine.json").write_text(json.dumps(machine))
    (top / "resources.json").write_text(json.dumps(requested))
    command = [sys.executable, "-m", "dispatcher", "selftest", "--machine", "machine.json"]
    command += ["--resources", "resources.json", "--check-interval", "2", "--json", *words]
    done = subprocess.run(command, cwd=top, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    reported: dict[str, Any] = json.loads(done.stdout)
    assert (done.returncode, reported["verdict"], reported["facts"]) == (0, "passed", [])
    return reported


@pytest.fixture
def selftest_here(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run `dispatcher selftest` on this machine, and see that nothing of it is left."""

    def run(batch: str, resources: Mapping[str, Any], *words: str) -> dict[str, Any]:
        machine = {"batch_type": batch, "context_type": "LocalContext", "local_root": "./", "remote_root": "far"}
        reported = selftest(tmp_path, machine, resources, *words)
        assert not list(tmp_path.glob("dispatcher-selftest-*"))
        assert not list((tmp_path / "far").iterdir())
        return reported

    return run


class GridEngine:
    """The private Grid Engine; commands run with its settings, and a home without a profile."""

    CTL = str(CLUSTERS / "gridengine" / "ctl")

    def __init__(self, top: Path, port: int) -> None:
        self.home = top / "home"
        self.home.mkdir()
        self.knobs = {"SGE_RUN": str(top / "run"), "SGE_PORT": str(port)}
        self.settings: dict[str, str] = {}

    def up(self) -> None:
        """Start what is missing, wake what is frozen."""
        self.settings = {**started("gridengine", **self.knobs), "HOME": str(self.home)}

    def ctl(self, *words: str) -> str:
        """Disturb it; see fixtures/clusters/README.md."""
        return self.run(self.CTL, *words)

    def run(self, *command: str, code: int | None = 0) -> str:
        """What a command prints; it must end with this code, unless it is None."""
        env = {**os.environ, **self.settings}
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=env)
        assert code is None or done.returncode == code, f"{shlex.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def configure(self, name: str, value: str) -> None:
        """Change a line of the global configuration (sge_conf)."""
        old = self.run("qconf", "-sconf")
        file = self.home / "global"
        file.write_text(re.sub(rf"^{name} .*$", f"{name} {value}", old, flags=re.M))
        self.run("qconf", "-Mconf", str(file))

    def next_id(self, number: int) -> None:
        """Give this id to the next job; qmaster is started anew for it."""
        self.ctl("stop", "sge_qmaster")
        Path(self.settings["SGE_RUN"], "spool/qmaster/jobseqnum").write_text(f"{number - 1}\n")
        self.ctl("start", "sge_qmaster")

    @property
    def accounting(self) -> Path:
        """The file that qacct reads."""
        return Path(self.settings["SGE_ROOT"], self.settings["SGE_CELL"], "common/accounting")

    def lives(self, nonces: Collection[str]) -> Counter[tuple[str, str, str, str]]:
        """Every life of these jobs and of their elements: nonce, element, why it failed, exit code (accounting(5))."""
        lines = (line.split(":") for line in self.accounting.read_text().splitlines())
        reported = ((f[4].partition("-")[0], f[35], f[11], f[12]) for f in lines if len(f) > 35)
        return Counter(life for life in reported if life[0] in nonces)

    def queued(self) -> list[str]:
        """The ids of all jobs that have not left."""
        lines = self.run("qstat", "-u", "*").splitlines()[2:]
        return [line.split()[0] for line in lines]

    def drained(self) -> bool:
        """Whether all jobs leave by themselves: their scripts have ended a moment before."""
        end = time.monotonic() + 120
        while self.queued() and time.monotonic() < end:
            time.sleep(0.2)
        return not self.queued()

    def empty(self) -> None:
        """End whatever is queued."""
        end = time.monotonic() + 300
        while jobs := self.queued():
            assert time.monotonic() < end, f"jobs do not go: {jobs}"
            self.run("qdel", "-f", ",".join(jobs), code=None)
            time.sleep(0.5)


@pytest.fixture(scope="session")
def gridengine_daemons(request: pytest.FixtureRequest) -> Iterator[GridEngine]:
    """One Grid Engine for the whole session, in a run directory and on ports of its own."""
    with room("gridengine", request.session) as top:
        yield GridEngine(top, ports_in_a_row(2))


@pytest.fixture
def gridengine(gridengine_daemons: GridEngine, monkeypatch: pytest.MonkeyPatch) -> GridEngine:
    """A Grid Engine on which everything runs and nothing is queued, whatever the test before did to it."""
    gridengine_daemons.up()
    gridengine_daemons.empty()
    gridengine_daemons.run("qmod", "-usq", "*", code=None)
    for limit, usual in (("max_u_jobs", "0"), ("max_aj_tasks", "75000")):
        if not re.search(rf"^{limit} +{usual}$", gridengine_daemons.run("qconf", "-sconf"), re.M):
            gridengine_daemons.configure(limit, usual)
    for name, value in gridengine_daemons.settings.items():
        monkeypatch.setenv(name, value)
    return gridengine_daemons


class Hadoop:
    """The private HDFS and YARN; commands run with its settings."""

    CTL = str(CLUSTERS / "hadoop" / "ctl")

    def __init__(self, top: Path, port: int) -> None:
        self.knobs = {"HADOOP_RUN": str(top / "run"), "HADOOP_PORT": str(port)}
        self.settings: dict[str, str] = {}

    @property
    def root(self) -> str:
        """A remote_root on it."""
        return f"{self.settings['HADOOP_FS']}/user/it's me/runs"

    @property
    def profile(self) -> dict[str, str]:
        """What a remote_profile says of it."""
        return {"resourcemanager": self.settings["HADOOP_RESOURCEMANAGER"]}

    def up(self) -> None:
        """Start what is missing, wake what is frozen, leave safe mode."""
        self.settings = started("hadoop", **self.knobs)

    def ctl(self, *words: str) -> str:
        """Disturb it; see fixtures/clusters/README.md."""
        return self.run(self.CTL, *words)

    def run(self, *command: str, code: int | None = 0) -> str:
        """What a command prints; it must end with this code, unless it is None."""
        env = {**os.environ, **self.knobs, **self.settings}
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=env)
        assert code is None or done.returncode == code, f"{shlex.join(command)}: {done.stdout}{done.stderr}"
        return done.stdout

    def apps(self) -> list[dict[str, Any]]:
        """All applications that YARN knows."""
        url = f"{self.settings['HADOOP_RESOURCEMANAGER']}/ws/v1/cluster/apps"
        found: list[dict[str, Any]] = (json.loads(self.run("curl", "-sS", "-f", url))["apps"] or {}).get("app", [])
        return found

    def selftest(self, top: Path, resources: Mapping[str, Any], *words: str) -> dict[str, Any]:
        """What `dispatcher selftest` tells of it; it must pass, and leave nothing here."""
        machine = {"batch_type": "DistributedShell", "context_type": "HDFSContext", "local_root": "./"}
        machine = {**machine, "create_remote_root": True, "remote_root": self.root, "remote_profile": self.profile}
        reported = selftest(top, machine, resources, *words)
        assert not list(top.glob("dispatcher-selftest-*"))
        return reported

    def listed(self, path: str) -> set[str]:
        """The names in a directory of HDFS, which is made when there is none; tests before may have left some."""
        self.run("hadoop", "fs", "-mkdir", "-p", path)
        return {Path(line).name for line in self.run("hadoop", "fs", "-ls", "-C", path).splitlines()}

    def live(self) -> list[str]:
        """The ids of all applications that have not ended."""
        return [app["id"] for app in self.apps() if app["state"] not in ("FINISHED", "FAILED", "KILLED")]

    def drained(self) -> bool:
        """Whether all applications end by themselves: their scripts have ended a moment before."""
        end = time.monotonic() + 300
        while self.live() and time.monotonic() < end:
            time.sleep(0.5)
        return not self.live()

    def empty(self) -> None:
        """End whatever has not ended."""
        if left := self.live():
            self.run("yarn", "application", "-kill", *left)


@pytest.fixture(scope="session")
def hadoop_daemons(request: pytest.FixtureRequest) -> Iterator[Hadoop]:
    """One Hadoop for the whole session, in a run directory and on ports of its own."""
    with room("hadoop", request.session) as top:
        yield Hadoop(top, ports_in_a_row(13))


@pytest.fixture
def hadoop(hadoop_daemons: Hadoop, monkeypatch: pytest.MonkeyPatch) -> Hadoop:
    """A Hadoop on which everything runs and nothing is queued, whatever the test before did to it."""
    hadoop_daemons.up()
    hadoop_daemons.empty()
    for name, value in hadoop_daemons.settings.items():
        monkeypatch.setenv(name, value)
    return hadoop_daemons
