"""The simulated cluster behind a real dialect: its shell text is really run, its commands are answered by the cluster.

    far = FarSide(cluster, "PBS")              a directory with R, and with qsub, qstat, … that ask this process
    DialectPlace(far).run(scheduler.submit(…)) a real `sh` writes scripts and receipts, and calls them
        qsub -N d00000001sim d00000001sim.sub  ->  "4001.simhost", and the cluster has a job more

Nothing but the commands' answers and the jobs is simulated, so no time passes
in between: claims lie in real files while `sh` reads them, as the world lets
them be seen, and what it withdraws is taken over afterwards.
"""

from __future__ import annotations

import getpass
import os
import re
import select
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dispatcher.core.errors import Unreachable
from dispatcher.core.ports import Call as Question
from dispatcher.core.ports import Claim, Native, Place, Reply, Scheduler, ShellText
from dispatcher.schedulers import load
from dispatcher.testing import batch
from dispatcher.testing.batch.queue import Call, Dialect, JobOrder, Said, StandInJob, Taken
from dispatcher.testing.batch.queue import load as commands

from .cluster import Cluster, Copy
from .hosts import Process
from .ports import SimulatedPlace

#: The dialects of the manual -> the stand-in whose commands they use.
KITS = {
    "PBS": "pbs", "Torque": "torque", "SGE": "sge", "Slurm": "slurm", "LSF": "lsf", "JH_UniScheduler": "jh",
    "Fugaku": "pjm",
}  # fmt: skip

#: What a command does: tells this process what it was asked, and says what it is told. `in` has what it can read.
_EXECUTABLE = """\
#!/bin/sh
{read}{{ printf '%s\\0' "$PWD" "${{0##*/}}" "$@"; printf '\\0'; }} > {top}/ask
read -r code < {top}/answer
[ ! -s {top}/out ] || cat {top}/out
[ ! -s {top}/err ] || cat {top}/err >&2
exit "$code"
"""
_ASKS = re.compile(r"^dsp_submit (\w+) \d+$", re.MULTILINE)
_WORDS = (("dsp_submit ", "submit"), ("dsp_queue()", "observe"), ("dsp_account()", "account"))
_BANNER = "*** maintenance on 24.12. at 8, job 17 of the list ***\n"


class ClusterQueue:
    """The queue of the simulated cluster, as the commands of a batch system see it."""

    host = "simhost"

    def __init__(self, cluster: Cluster, die: Callable[[], None]) -> None:
        self.cluster, self.die = cluster, die

    def wrong(self, fault: str) -> Any:
        """Most of what can go wrong is the world's business."""
        return fault == "history_off" and not self.cluster.conditions.keeps_history()

    def jobs(self) -> list[StandInJob]:
        """All copies that are visible by now."""
        return [self._job(copy) for copy in self.cluster.copies.values() if copy.visible <= self.cluster.now]

    def _job(self, copy: Copy) -> StandInJob:
        number, claim = int(copy.id.partition(".")[0]), self.cluster.claims.get(copy.nonce)
        job = StandInJob(number, copy.nonce, getpass.getuser(), "workq", 0.0)
        job.started = copy.began if copy.state is not Native.waiting else None
        job.runs = copy.restarts + 1
        if copy.state is Native.ended:
            job.ended = min(copy.due, self.cluster.now)
            job.why = {"scheduler": "deleted", "node": "node"}.get(copy.cause.kind if copy.cause else "", "")
            job.code = (claim.ended or 0) if claim and claim.owner == copy.id else 0
        return job

    def submit(self, requested: JobOrder) -> Taken | None:
        """Take it; the far side may die before it has written down the answer."""
        if self.cluster.conditions.refuses():
            return None
        stored = self.cluster.conditions.keeps_receipt()
        id = self.cluster.accept(requested.name.partition("-")[0], requested.script)
        if not stored:
            self.die()
        return Taken(int(id.partition(".")[0]))

    def end(self, number: int) -> bool:
        """At once."""
        id = self.cluster.named(number)
        if copy := self.cluster.copies.get(id):
            self.cluster.kill({copy.nonce: id})
        return True

    def hold(self, number: int, held: bool = True) -> None:
        """No dispatcher holds jobs by itself."""
        raise NotImplementedError

    def spent(self, what: str, many: int) -> int:
        """A minute of the simulation is soon over."""
        return many

    def crash(self, why: str) -> None:
        """No dialect may ask this."""
        raise AssertionError(f"the server crashed: {why}")


class FarSide:
    """The machine that the commands are typed on. It outlives every dispatcher; `close` removes it."""

    def __init__(self, cluster: Cluster, dialect: str, top: Path) -> None:
        self.cluster, self.top = cluster, top
        self.process: subprocess.Popen[bytes] | None = None
        self.scheduler: Scheduler = load(dialect)
        self.scheduler.absence_timeout = 20.0
        self.queue = ClusterQueue(cluster, self._die)
        self.commands: Dialect = commands(KITS[dialect], self.queue)
        if KITS[dialect] in ("pbs", "torque"):
            cluster.named = lambda number: f"{number}.{self.queue.host}"
        self.place = Place("/local", str(top / "R"), str(top / "R/.dispatcher/x/jobs"))
        self.home = Path(self.place.control)
        self._install(KITS[dialect])

    def _install(self, kit: str) -> None:
        for folder in (self.home, self.top / "bin"):
            folder.mkdir(parents=True)
        for name in ("ask", "answer"):
            os.mkfifo(self.top / name)
        self._request, self._answer = (os.open(self.top / name, os.O_RDWR) for name in ("ask", "answer"))
        for command in batch.DIALECTS[kit][1]:
            reads = f"cat > {self.top}/in\n" if command in ("bsub", "jsub") else ""
            file = self.top / "bin" / command
            file.write_text(_EXECUTABLE.format(top=self.top, read=reads))
            file.chmod(0o755)

    def close(self) -> None:
        """Nothing is left of it."""
        os.close(self._request)
        os.close(self._answer)
        shutil.rmtree(self.top)

    # -- running shell text -------------------------------------------------------------------------------------

    def run(self, text: str, what: str) -> Reply:
        """Run it there, its commands answered one after the other; what it withdrew is withdrawn."""
        self._show(stale=what == "observe")
        down = what == "account" and not self.cluster.conditions.accounting()
        env = {"PATH": f"{self.top}/bin:/usr/bin:/bin", "HOME": str(self.top)}
        (self.top / "text").write_text(text)
        with (
            (self.top / "text").open("rb") as read,
            (self.top / "stdout").open("wb") as out,
            (self.top / "stderr").open("wb") as err,
        ):
            process = subprocess.Popen(["sh"], stdin=read, stdout=out, stderr=err, env=env, start_new_session=True)
            self.process = process
            self._serve(process, down)
        self._withdraw()
        said = [(self.top / name).read_text(errors="replace") for name in ("stdout", "stderr")]
        return Reply(process.returncode, _BANNER + said[0], said[1])

    def _serve(self, process: subprocess.Popen[bytes], down: bool) -> None:
        over, requested = os.pidfd_open(process.pid), b""
        try:
            while process.returncode is None:
                ready, _, _ = select.select([self._request, over], [], [])
                if self._request in ready:
                    requested += os.read(self._request, 65536)
                    if requested.endswith(b"\0\0"):
                        self._reply(requested.decode().split("\0")[:-2], down)
                        requested = b""
                else:
                    process.wait()
        finally:
            os.close(over)

    def _reply(self, words: list[str], down: bool) -> None:
        call = Call(words[1], words[2:], words[0], (self.top / "in").read_text)
        said: Said = self.commands.down(call.command) if down else self.commands.answer(call)
        (self.top / "out").write_text(said.out)
        (self.top / "err").write_text(said.err)
        os.write(self._answer, f"{said.code}\n".encode())

    def _die(self) -> None:
        """The machine dies, and with it whatever runs on it just now."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self._answer)
        self._answer = os.open(self.top / "answer", os.O_RDWR)

    # -- claims -------------------------------------------------------------------------------------------------

    def _show(self, stale: bool) -> None:
        """Write every claim as it can be seen now; what is unchanged is not touched: that were a sign of life."""
        for nonce, claim in self.cluster.claims.items():
            shown = self.cluster.seen(nonce) if stale else claim
            file = self.home / f"{nonce}.claim"
            if shown is None:
                file.unlink(missing_ok=True)
                continue
            if not file.exists() or file.read_text() != _text(shown):
                file.write_text(_text(shown))
            fences = "".join(f"fenced {id}\n" for id in shown.fenced)
            (self.home / f"{nonce}.claim.fenced").write_text(fences)

    def _withdraw(self) -> None:
        for file in self.home.glob("*.claim"):
            nonce = file.name.partition(".")[0]
            if file.read_text() == "revoked\n" and self.cluster.claims.get(nonce) != Claim(owner=""):
                self.cluster.write(nonce, Claim(owner=""))


class DialectPlace(SimulatedPlace):
    """The context of the simulated cluster for a real dialect."""

    def __init__(self, far: FarSide, process: Process, audit: Callable[[Process, str, Any], None]) -> None:
        super().__init__(far.cluster, process, audit)
        self.far, self.place = far, far.place

    def run(self, call: Question) -> Reply:
        """Run it on the far side; Unreachable when the world loses it, before or after the effect."""
        assert isinstance(call, ShellText), "these batch systems are asked by commands"
        what = next((what for sign, what in _WORDS if sign in call.text), "kill")
        self._audit(
            self.process,
            what,
            {"requests": [{"nonce": found} for found in _ASKS.findall(call.text)], "text": call.text},
        )
        self.cluster.calls.append(what)
        conditions = self.cluster.conditions
        self._step(f"before {what}")
        if conditions.call_lost(what):
            raise Unreachable(f"{what}: the call was lost")
        if what == "submit" and (delay := conditions.call_late(what)):
            self.cluster.late.append((self.cluster.now + delay, lambda: self.far.run(call.text, what)))
            raise Unreachable(f"{what}: no answer in time")
        reply = self.far.run(call.text, what)
        if conditions.call_doubled(what):
            reply = self.far.run(call.text, what)
        self._step(f"after {what}")
        if conditions.reply_lost(what):
            raise Unreachable(f"{what}: the reply was lost")
        return reply


def _text(claim: Claim) -> str:
    """A claim as the job writes it; see `scripts.bash`."""
    if not claim.owner:
        return "revoked\n"
    lines = [f"claim {claim.owner} {claim.restarts} {claim.node} 1 1"]
    lines += [f"task {index} {code} {time:.0f} ." for index, code, time in claim.tasks]
    lines += [f"end {claim.ended} 1790000000 ."] * (claim.ended is not None)
    return "\n".join([*lines, ""])
