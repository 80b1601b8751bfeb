"""The dispatchers of one simulation: on two hosts, one after the other and at once, until one has seen it through.

    Fleet(simulated, world).run()     ->  whether the last one reported failed jobs

Whenever nobody is left, the next one is started, here or on the other host.
The second of two is refused, and told who holds the journal. When that one is
suspended, an operator may shut it out and start again: what the first does
when it wakes up is looked at as closely as everything else.
"""

from __future__ import annotations

from dispatcher.core.errors import DispatcherError, JobsFailed, JournalDamaged
from journal import JournalBusy, JournalCorrupt, JournalError
from journal.lock import unlock

from .faults import Faulty
from .hosts import BrokenPromise, Host, Process
from .simulated import Simulated
from .turns import Turn, Turns

#: Lives and rounds after which a run that has not ended is a broken promise.
LIVES, ROUNDS = 400, 5_000
#: Most dispatchers at once.
AT_ONCE = 3


class Fleet:
    """Starts lives and ends them, as the world says."""

    def __init__(self, simulated: Simulated, conditions: Faulty) -> None:
        self.simulated, self.conditions, self.server = simulated, conditions, simulated.server
        self.turns = simulated.turns = Turns(simulated.cluster)
        other = Host("login2", ahead=conditions.rng.uniform(-300, 300), up=conditions.rng.uniform(0, 1e6))
        self.hosts = [simulated.host, other]
        self.processes: dict[Turn, Process] = {}
        self.ended: tuple[int, bool] | None = None
        self._pids = 4000
        conditions.passed = self._passed
        conditions.deeds = {
            "killed": self._kill,
            "host lost": lambda: self._lose("lost"),
            "host cut off": lambda: self._lose("late"),
            "suspended": self._suspend,
            "second started": self._second,
            "clock jumps": self._jump,
            "others": lambda: self.turns.pause(0.0) if len(self.processes) > 1 else None,
        }

    def run(self) -> bool:
        """Life after life; BrokenPromise when it never ends."""
        for _ in range(LIVES):
            self.start(self._next_host())
            self.turns.run(self.conditions.rng.randrange)
            self.simulated.auditor.step()
            if self.ended and self.ended[0] == self._newest():
                return self.ended[1]
            self.simulated.cluster.sleep(self.conditions.rng.choice([0.0, 0.0, 30.0]))
        raise BrokenPromise(f"not over after {LIVES} lives")

    def _newest(self) -> int:
        return len(list(self.simulated.path.glob("*.jsonl")))

    def _next_host(self) -> Host:
        now = self.simulated.cluster.now
        ready = [host for host in self.hosts if host.cut_off_until <= now] or self.hosts
        return ready[-1] if self.conditions.happens("other host") else ready[0]

    def start(self, host: Host) -> None:
        """Another dispatcher, on this host."""
        self._pids += 1
        process = Process(host, self._pids)
        turn = self.turns.start(lambda: self._live(process, turn))
        self.processes[turn] = process

    # -- one life -----------------------------------------------------------------------------------------------

    def _live(self, process: Process, turn: Turn) -> None:
        undisturbed = self.conditions.drawn >= self.conditions.calm and len(self.processes) == 1 and not self._leased()
        listings = self._listings()
        try:
            history = self.simulated.run(process)
            if process.segment == self._newest() and self.simulated.replayed().jobs != history.jobs:
                raise BrokenPromise("what was believed is not what is written")
            self.ended = process.segment, False
        except JobsFailed as error:
            self._said(error)
            self.ended = process.segment, True
        except JournalBusy as error:
            self._refused(error)
        except (DispatcherError, JournalError, OSError) as error:
            self._said(error)
            if isinstance(error, (JournalCorrupt, JournalDamaged)) and self._listings() == listings:
                raise BrokenPromise(f"a journal that is whole was called damaged: {error}") from error
            if undisturbed:
                raise BrokenPromise(f"a good world, and yet: {error}") from error
        finally:
            del self.processes[turn]

    def _leased(self) -> bool:
        return any(until > self.simulated.cluster.now for _, until in self.server.holders.values())

    def _listings(self) -> int:
        return sum(name.startswith("stale listing") for _, name in self.conditions.faults)

    def _said(self, error: BaseException) -> None:
        self.simulated.auditor.wrote(str(error).encode())

    def _refused(self, error: JournalBusy) -> None:
        """It is told who holds the journal. An operator who finds that one suspended may shut it out."""
        self._said(error)
        holders = [holder for holder, _ in self.server.holders.values()]
        if not any(f"process {holder.pid} on {holder.host.name}" in str(error) for holder in holders):
            raise BrokenPromise(f"refused without being told by whom: {error}")
        if any(holder.suspended for holder in holders) and self.conditions.happens("unlocked"):
            for holder in holders:
                holder.shut = True
            self.server.holders.clear()
            unlock(self.simulated.path)
            self.start(self._next_host())

    # -- what may befall it -------------------------------------------------------------------------------------

    def _passed(self) -> None:
        self.simulated.auditor.step()
        if self.simulated.cluster.rounds > ROUNDS:
            raise BrokenPromise(f"not over after {ROUNDS} rounds")

    def _me(self) -> Process:
        assert self.turns.current is not None
        return self.processes[self.turns.current]

    def _kill(self) -> None:
        self._me().dead = True

    def _lose(self, fate: str) -> None:
        """The host goes down, and with it what it had not written; or it is cut off with that for a while."""
        host = self._me().host
        if fate == "late":
            host.cut_off_until = self.simulated.cluster.now + self.conditions.rng.uniform(1, 120)
        for turn, process in self.processes.items():
            if process.host is host:
                process.dead, process.fate = True, fate
                turn.wake = self.simulated.cluster.now

    def _suspend(self) -> None:
        """SIGSTOP, SIGCONT much later; perhaps somebody else wonders meanwhile."""
        process = self._me()
        process.suspended = True
        if self.conditions.rng.random() < 0.7:
            self._second()
        self.turns.pause(self.conditions.rng.uniform(1, 3000))
        process.suspended = False

    def _second(self) -> None:
        if len(self.processes) < AT_ONCE:
            self.start(self.conditions.rng.choice(self.hosts))

    def _jump(self) -> None:
        self.conditions.skew += self.conditions.rng.uniform(-7200, 7200)
