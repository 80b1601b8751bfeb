"""One submission on a simulated cluster: the engine, the rules and the journal as they are, the world as it may be.

simulated = Simulated(path, submission(tasks=5), Conditions())
simulated.run()              one life of a dispatcher, as `Session.run`
simulated.records()          what it wrote down
"""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dispatcher.core import events as ev
from dispatcher.core.history import History
from dispatcher.core.model import SubmissionSpec
from dispatcher.core.plan import plan
from dispatcher.core.ports import Context, Item, Scheduler
from dispatcher.run.environment import real_environment
from dispatcher.run.session import Session, begin
from dispatcher.run.store import fold
from dispatcher.schema.reading import read
from journal import Journal, frames

from .cluster import Cluster
from .conditions import Conditions
from .dialects import DialectPlace, FarSide
from .hosts import FileServer, Host, HostFiles, HostLock, Process
from .ports import SimulatedPlace, SimulatedQueue
from .promises import Auditor, replayed

if TYPE_CHECKING:
    from .turns import Turns

#: What must never be written anywhere: the profile that every simulated submission is asked with.
SECRETS = ("hunter2-password", "hunter2-passphrase", "JBSWY3DPEHPK3PXP")


class Simulated:
    """One submission on a simulated cluster: `run()` is one life of a dispatcher; what it leaves is in `path`."""

    def __init__(self, path: Path, spec: SubmissionSpec, conditions: Conditions, dialect: str = "") -> None:
        self.path, self.spec, self.conditions = path / "journal", spec, conditions
        self.cluster = self._cluster()
        self.far = FarSide(self.cluster, dialect, path / "far") if dialect else None
        self.scheduler: Scheduler = self.far.scheduler if self.far else SimulatedQueue()
        where = [task.task_work_path for task in spec.tasks]
        self.uploads = [Item(f"/local/{task}/in", f"{task}/in", 3, "00") for task in where]
        self.host = Host("login1")
        self.server = FileServer(lambda: self.cluster.now, conditions, getattr(conditions, "excludes", True))
        self.auditor = Auditor(self.path, self.cluster, self.server, SECRETS)
        self.turns: Turns | None = None
        self.jobs = plan(spec)
        self.nonces = (f"d{number:08d}sim" for number in itertools.count())

    def sleep(self, seconds: float) -> None:
        """Let the cluster's time pass, and others do what they do meanwhile."""
        self.turns.pause(seconds) if self.turns else self.cluster.sleep(seconds)

    def run(self, process: Process | None = None, environment: dict[str, Any] | None = None, **how: Any) -> History:
        """From the start of a process to its end, whatever that is; see Session.run for `how`."""
        process = process or Process(self.host, 1)
        files = HostFiles(self.server, process, self.auditor.wrote)
        try:
            return self._run(process, files, environment or {}, how)
        finally:
            if process.dead:
                self.server.bury(process, files)

    def _run(self, process: Process, files: HostFiles, environment: dict[str, Any], how: dict[str, Any]) -> History:
        history = History()
        cluster, host = self.cluster, process.host
        now = lambda: cluster.now + self.conditions.skew + host.ahead  # noqa: E731
        log: Journal[Any] = Journal.open(
            self.path,
            ev.Event,
            replay=lambda frame: fold(history, frame),
            files=files,
            lock=HostLock(self.server, process, self.path),
            clock=now,
            durability="commit",
        )
        simulated: dict[str, Any] = {
            "now": now,
            "elapsed": lambda: cluster.now + host.up,
            "sleep": self.sleep,
            "nonce": lambda: next(self.nonces),
            "exists": lambda path: "/".join(path.parts[-2:]) in cluster.fetched,
            "show": lambda engine: self.auditor.committed(process, engine.recorder.history),
        }
        session = Session(
            self.spec,
            self.jobs,
            "sim",
            self.scheduler,
            lambda name: self._place(process),
            log,
            history,
            real_environment(**{**simulated, **environment}),
            self.uploads,
        )
        with session:
            begin(session, {"in": "00"})
            session.run(check_interval=8.0, **how)
        return history

    def _cluster(self) -> Cluster:
        return Cluster(self.conditions)

    def _place(self, process: Process) -> Context:
        if self.far:
            return DialectPlace(self.far, process, self.auditor.requested)
        return SimulatedPlace(self.cluster, process, self.auditor.requested)

    def close(self) -> None:
        """Let go of the machine that the commands of a dialect are typed on."""
        if self.far:
            self.far.close()
            self.far = None

    def records(self) -> list[Any]:
        """Every record of the journal."""
        return [record for frame in frames(self.path, ev.Event) for record in frame.records]

    def replayed(self) -> History:
        """The history as the journal tells it."""
        return replayed(self.path)


@cache
def submission(tasks: int = 5, group_size: int = 2, retries: int = 2, max_running: int | None = None) -> SubmissionSpec:
    """A small submission, asked for as users do, with a profile full of secrets."""
    password, passphrase, totp = SECRETS
    profile = {"hostname": "far", "username": "me", "password": password}
    data = {
        "work_base": "w",
        "machine": {
            "batch_type": "Slurm",
            "context_type": "SSHContext",
            "local_root": "/local",
            "remote_root": "/R",
            "retry_count": retries,
            "max_running": max_running,
            "remote_profile": {**profile, "passphrase": passphrase, "totp_secret": totp},
        },
        "resources": {"number_node": 1, "cpu_per_node": 1, "queue_name": "", "group_size": group_size},
        "task_list": [
            {"command": f"run {i}", "task_work_path": f"t{i}", "forward_files": ["in"], "backward_files": ["out"]}
            for i in range(tasks)
        ],
    }
    return read(data, "simulation").spec
