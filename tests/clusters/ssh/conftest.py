"""What stands between a dispatcher and its SSH server, and what runs on the server's side of it."""

from __future__ import annotations

import getpass
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from dispatcher.core import events as ev
from dispatcher.core.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec
from dispatcher.run.session import Session
from journal import frames

from ..conftest import ports_in_a_row

FOLDER = Path(__file__).parents[3] / "fixtures" / "clusters" / "ssh"


class Proxy:
    """faultproxy.py in front of a server."""

    def __init__(self, target: str, top: Path) -> None:
        command = [sys.executable, FOLDER / "faultproxy.py", "run", target, "--control", top / "c.sock"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        words = [shlex.split(self._process.stdout.readline())[1].split("=", 1) for _ in range(2)]
        self.port, self._control = int(words[0][1]), words[1][1]

    def tell(self, *words: str) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(self._control)
            line.sendall(" ".join(words).encode() + b"\n")
            answer: dict[str, Any] = json.loads(line.makefile().readline())
            return answer

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(10)


@pytest.fixture
def proxy(ssh_servers: Mapping[str, str], tmp_path: Path) -> Iterator[Proxy]:
    made = Proxy(ssh_servers["SSH_PORT_MAIN"], tmp_path)
    yield made
    made.close()


@pytest.fixture
def profile(ssh_servers: Mapping[str, str], proxy: Proxy, tmp_path: Path) -> dict[str, Any]:
    """By key, through the proxy."""
    key = Path(ssh_servers["SSH_RUN"], "keys/host_main.pub").read_text()
    (tmp_path / "known").write_text(f"[127.0.0.1]:{proxy.port} {key}")
    (tmp_path / "empty").write_text("")
    return {
        "hostname": "127.0.0.1",
        "port": proxy.port,
        "username": ssh_servers["SSH_USER"],
        "key_filename": ssh_servers["SSH_KEY_ED25519"],
        "known_hosts": str(tmp_path / "known"),
        "config_file": str(tmp_path / "empty"),
        "tar_compress": False,
        "timeout": 5,
    }


class Sessions:
    """The sessions of one sshd, as /proc shows them."""

    def __init__(self, servers: Mapping[str, str], name: str = "main") -> None:
        self._sshd = int(Path(servers["SSH_RUN"], "pid", name).read_text().split()[0])
        self._port = servers[f"SSH_PORT_{name.upper()}"]

    def line(self) -> list[int]:
        """The sshd of every connection: when they go, a line has broken, and what runs goes on."""
        return self._seen()[0]

    def inside(self) -> list[int]:
        """What runs in the sessions, without what has left for a session of its own."""
        return self._seen()[1]

    def below(self) -> list[int]:
        """What the servers of the connections have started, from parent to child: fast, but blind to orphans."""
        found = [self._sshd]
        for above in found:
            found += _children(above)
        return [pid for pid in found if _program(pid) != "sshd"]

    def logout(self) -> list[int]:
        """The connections and all that is inside: what a shell's hang-up or an administrator ends."""
        return [pid for part in self._seen() for pid in part]

    def tree(self) -> list[int]:
        """The connections, their children and all below, whatever session it is in: what `pkill -P` in a loop ends."""
        found = [self._sshd]
        table = self._table()
        for above in found:
            found += [pid for pid, (parent, _) in table.items() if parent == above]
        return found[1:]

    def scope(self) -> list[int]:
        """Whatever these logins ever started, jobs included: what KillUserProcesses of systemd-logind ends."""
        mine = f" {self._port}\0".encode()
        return [*self._seen()[0], *(pid for pid in self._table() if mine in _environment(pid))]

    def kill(self, manner: str) -> None:
        """SIGKILL, until nobody is left of those who were there at first or have come meanwhile."""
        end = time.monotonic() + 2
        while (pids := getattr(self, manner)()) and time.monotonic() < end:
            self.signal(pids, signal.SIGKILL)
            if manner != "scope":
                return

    @staticmethod
    def signal(pids: list[int], number: int) -> None:
        for pid in pids:
            with suppress(OSError):
                os.kill(pid, number)

    def _table(self) -> dict[int, tuple[int, int]]:
        """Parent and session of every process."""
        table = {}
        for name in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError):
                fields = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()
                if fields[0] != "Z":
                    table[int(name)] = (int(fields[1]), int(fields[3]))
        return table

    def _seen(self) -> tuple[list[int], list[int]]:
        table = self._table()
        servers = [self._sshd]
        for server in servers:
            servers += [pid for pid, (parent, _) in table.items() if parent == server and _program(pid) == "sshd"]
        shells = {pid for pid, (parent, _) in table.items() if parent in servers} - set(servers)
        return servers[1:], [pid for pid, (_, session) in table.items() if session in shells]


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        files = Path(f"/proc/{pid}/task").glob("*/children")
        return [int(child) for file in files for child in file.read_text().split()]
    return []


def _program(pid: int) -> str:
    with suppress(OSError):
        return os.path.basename(os.readlink(f"/proc/{pid}/exe"))
    return ""


def _environment(pid: int) -> bytes:
    """The connection through which a process was started; nothing for those of others."""
    with suppress(OSError):
        for word in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if word.startswith(b"SSH_CONNECTION="):
                return word + b"\0"
    return b""


@pytest.fixture
def sessions_of() -> type[Sessions]:
    """Those of any server."""
    return Sessions


@pytest.fixture
def sessions(ssh_servers: Mapping[str, str]) -> Sessions:
    return Sessions(ssh_servers)


# a server of one's own


@pytest.fixture(scope="session")
def start_sshd(
    ssh_servers: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., dict[str, Any]]]:
    """Starts an sshd that lets the user in who runs the tests; `more` are lines of its configuration."""
    with ExitStack() as over:

        def start(**more: str) -> dict[str, Any]:
            profile, server = _sshd(ssh_servers, tmp_path_factory.mktemp("sshd"), more)
            over.callback(server.wait, 10)
            over.callback(server.terminate)
            return profile

        yield start


def _sshd(
    servers: Mapping[str, str], top: Path, more: Mapping[str, str]
) -> tuple[dict[str, Any], subprocess.Popen[bytes]]:
    port = ports_in_a_row(1)
    run = Path(servers["SSH_RUN"])
    settings = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": run / "keys/host_main",
        "AuthorizedKeysFile": run / "etc/authorized_keys",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "MaxStartups": "100",
        "SetEnv": f"HOME={top}",  # no profile of the user's
        **more,
    }
    (top / "config").write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
    (top / "known_hosts").write_text(f"[127.0.0.1]:{port} {(run / 'keys/host_main.pub').read_text()}")
    (top / "ssh_config").write_text("")
    program = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin") or "/usr/sbin/sshd"
    server = subprocess.Popen([program, "-D", "-f", top / "config", "-E", top / "log"])
    for _ in range(1000):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert server.poll() is None, (top / "log").read_text()
            time.sleep(0.1)
    profile = {
        "hostname": "127.0.0.1",
        "port": port,
        "username": getpass.getuser(),
        "key_filename": servers["SSH_KEY_ED25519"],
        "known_hosts": str(top / "known_hosts"),
        "config_file": str(top / "ssh_config"),
    }
    return profile, server


# whole runs


class Tasks:
    """A submission whose tasks write down who they are: `start 7 dq3v81kx0mza 4242`, and `overlap` beside another."""

    SAY = 'echo "{word} {n} ${{dsp_claim##*/}} $BASHPID" >> ../log'

    def __init__(self, top: Path) -> None:
        self.top, self.local = top, top / "local"
        self.local.mkdir(exist_ok=True)

    def spec(
        self,
        count: int,
        then: str = "sleep 1",
        big: int = 0,
        machine: Mapping[str, Any] | None = None,
        **resources: Any,
    ) -> SubmissionSpec:
        """One task a job; `big` bytes go up and come down with the first."""
        return SubmissionSpec(
            "local",
            MachineSpec(
                **{
                    "batch_type": "Shell",
                    "context_type": "SSHContext",
                    "local_root": str(self.top),
                    "remote_root": f"~/dispatcher-{uuid4().hex[:8]}",
                    "max_running": 4,
                    "retry_count": 100,
                    **(machine or {}),
                },
            ),
            ResourcesSpec(
                **{"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 0, "queue_name": "", "group_size": 1}
                | resources
            ),
            tuple(self._task(n, then, big if n == 0 else 0) for n in range(count)),
            (),
            ("log",),
        )

    def _task(self, n: int, then: str, big: int) -> TaskSpec:
        folder = self.local / f"t{n}"
        folder.mkdir()
        (folder / "in").write_text(f"{n}\n")
        inputs, results = ["in"], ["out"]
        if big:
            (folder / "big").write_bytes(os.urandom(big))
            inputs, results = ["in", "big"], ["out", "copy"]
            then = f"cp big copy; {then}"
        # the lock is held by everything that the task starts, to its end
        lock = f"exec 7>> lock; flock -n 7 || {self.SAY.format(word='overlap', n=n)}"
        command = f"{lock}; {self.SAY.format(word='start', n=n)}; cat in > out; {then}"
        return TaskSpec(command, f"t{n}", tuple(inputs), tuple(results))

    def starts(self, word: str = "start") -> list[tuple[int, str]]:
        """Task and attempt of every start that was written down."""
        lines = (line.split() for line in (self.local / "log").read_text().splitlines())
        return [(int(line[1]), line[2].partition(".")[0]) for line in lines if line[0] == word]

    def events(self) -> list[Any]:
        (path,) = self.local.glob(".dispatcher/*/journal")
        return [record for frame in frames(path, ev.Event) for record in frame.records]

    def given_up(self) -> dict[str, ev.Cause]:
        """Attempts that the journal says are over without success, and why."""
        nonce: dict[str, str] = {}
        over: dict[str, ev.Cause] = {}
        for event in self.events():
            if isinstance(event, (ev.Submitting, ev.EarlierAttemptFound)):
                nonce[event.job] = event.nonce
                over.pop(event.nonce, None)
            elif isinstance(event, ev.Terminated):
                over[nonce[event.job]] = event.cause
        return over

    def check(self, count: int) -> int:
        """Everything is there, and nothing ran twice; how many starts were of attempts that somebody killed.

        A task may start again only in another attempt, and only if the journal knows that the one before was killed:
        no attempt starts a task twice, no two attempts run side by side, and the last one is the one that finished.
        """
        starts = self.starts()
        over = self.given_up()
        assert {n for n, _ in starts} == set(range(count)), "lost"
        assert [start for start, times in Counter(starts).items() if times > 1] == [], "twice in one attempt"
        assert self.starts("overlap") == []
        killed = [(n, nonce) for n, nonce in starts if nonce in over]
        assert len(starts) - len(killed) == count, "an attempt that is not known to be over was started again"
        assert {over[nonce].kind for _, nonce in killed} <= {"lost", "task"}
        assert all((self.local / f"t{n}/out").read_text() == f"{n}\n" for n in range(count))
        return len(killed)


@pytest.fixture
def tasks(tmp_path: Path) -> Tasks:
    return Tasks(tmp_path)


class Aimed:
    """Ends the sessions once, at a moment that is held still: what runs in them is stopped, then looked at again.

    `phase` is what the dispatcher must be doing (put, submit, look, get), `moment` what must be true besides;
    `rate` limits the bytes a second from the beginning of that until it has happened.
    """

    def __init__(
        self,
        sessions: Sessions,
        manner: str,
        phase: str,
        moment: Callable[[], bool] = lambda: True,
        rate: Callable[[int], object] = lambda _: None,
    ) -> None:
        self.sessions, self.manner, self._moment, self._wanted = sessions, manner, moment, phase
        self._rate = rate
        self.hit = False
        self._port: Any = None
        self._phase = ""
        self._thread = threading.Thread(target=self._wait_for_the_moment, daemon=True)

    def at(self, session: Session) -> None:
        """Stand between the engine and its context."""
        engine = session.connect()
        self._port, engine.context = engine.context, self  # type: ignore[assignment]
        engine.observer.context = self  # type: ignore[assignment]
        self._thread.start()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._port, name)

    def _during(self, phase: str, work: Callable[[], Any]) -> Any:
        self._phase = phase
        if phase == self._wanted and not self.hit:  # so slow that it is caught on the way on the busiest machine
            self._rate(1 << 20)
        try:
            return work()
        finally:
            self._phase = ""

    def run(self, call: Any) -> Any:
        """Asking for jobs, or looking at them."""
        phase = "submit" if "\ndsp_submit() {" in call.text else "observe" if "dsp_markers" in call.text else "other"
        if phase == self._wanted == "observe" and not self.hit:  # as on a busy node; a quick look is hard to hit
            call = msgspec.structs.replace(call, text=f"sleep 2\n{call.text}")
        return self._during(phase, lambda: self._port.run(call))

    def put(self, *given: Any, **named: Any) -> Any:
        return self._during("put", lambda: self._port.put(*given, **named))

    def get(self, items: Any) -> Any:
        return self._during("get", lambda: self._port.get(items))

    def _now(self) -> bool:
        return self._phase == self._wanted and self._moment()

    def _wait_for_the_moment(self) -> None:
        while not self.hit:
            time.sleep(0.001)
            if not self._now() or not (inside := self.sessions.below()):
                continue
            self.sessions.signal(inside, signal.SIGSTOP)
            if self._now() and set(inside) & set(self.sessions.below()):
                self.sessions.kill(self.manner)
                self.hit = True
            self.sessions.signal(inside, signal.SIGCONT)
        self._rate(0)


@pytest.fixture
def aimed() -> type[Aimed]:
    return Aimed
