"""The words of the stand-ins, and the port between the commands of a batch system and where its jobs are.

    pbs.PBS(queue).answer(Call("qsub", ["job.sh"], "/home/u"))    ->  Said(0, "1001.batchhost\n", "")

The queue is one of a directory, with real processes (`directory`), or one in
memory on a clock of its own (`tests.simulation.dialects`): the commands
cannot tell which.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Protocol, cast

#: Name of a stand-in -> the class that knows its commands, and these commands.
DIALECTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "pbs": ("pbs:PBSStandIn", ("qsub", "qstat", "qdel", "qselect", "qhold", "qrls")),
    "torque": ("pbs:TorqueStandIn", ("qsub", "qstat", "qdel", "qselect", "qhold", "qrls")),
    "sge": ("sge:SGEStandIn", ("qsub", "qstat", "qdel", "qacct", "qhold", "qrls")),
    "slurm": ("slurm:SlurmStandIn", ("sbatch", "squeue", "sacct", "scancel", "scontrol")),
    "lsf": ("lsf:LSFStandIn", ("bsub", "bjobs", "bhist", "bkill", "bstop", "bresume")),
    "jh": ("lsf:JHStandIn", ("jsub", "jjobs", "jhist", "jctrl")),
    "pjm": ("pjm:PJMStandIn", ("pjsub", "pjstat", "pjdel")),
}

#: What can be wrong with a site: name -> what it means. Numbers, unless it says so.
FAULTS: Mapping[str, str] = {
    "down": "nobody can connect to the server (true)",
    "slow": "seconds that every command takes",
    "lost_call": "so many submissions fail before the server heard of them, as if the line was cut",
    "lost_reply": "so many submissions are accepted, and their answer is lost",
    "ghost": "so many submissions fail, and their jobs come a second later all the same",
    "forgets": "so many jobs are lost behind their answer, and their ids are given away again",
    "late": "seconds before a new job is listed",
    "limit": "most jobs of a user; more are refused",
    "slots": "how many jobs run at once (4)",
    "banner": "a message of the day before each answer (true)",
    "noise": "a warning on the error output of each answer (true)",
    "history_off": "nothing is told of what has ended (true)",
    "lingers": "seconds that a deleted job is still running",
    "exits": "seconds that a job is exiting before it is over",
    "speed": "how many times faster the limits of run time are reached",
    "server": "the name of the server (text), in ids and lists: PBS and Torque",
    "disabled": "queues take no jobs (true): PBS and Torque",
    "stopped": "queues start no jobs (true): PBS and Torque",
    "keep_completed": "seconds after which Torque forgets what has ended",
    "kill_delay": "seconds between TERM and KILL of a job that is ended: PBS and Torque (2)",
}


@dataclass
class StandInJob:
    """One job, as the server knows it. Times in seconds since the epoch, None while it has not come so far.

    `code` and `signal` are those of its script; `why` is what ended it when that was not the script itself: "deleted",
    "walltime", "memory" or "node". `lost`: the node it runs on does not answer. `runs` is how often it was started.
    Of an array, `elements` is how many it has, and `codes` are the exit codes of those that have ended, by index.
    """

    number: int
    name: str
    user: str
    queue: str
    submitted: float
    walltime: float | None = None
    held: bool = False
    started: float | None = None
    exiting: float | None = None
    ended: float | None = None
    code: int = 0
    signal: int = 0
    why: str = ""
    lost: bool = False
    runs: int = 0
    elements: int = 0
    codes: dict[str, int] = field(default_factory=dict)

    @property
    def state(self) -> str:
        """Q queued, H held, R running, E exiting, F over."""
        if self.ended is not None:
            return "F"
        if self.started is not None:
            return "R" if self.exiting is None else "E"
        return "H" if self.held else "Q"

    @property
    def elapsed(self) -> int:
        """Seconds that it ran."""
        return int((self.ended or self.exiting or self.started or 0) - self.started) if self.started else 0


@dataclass
class JobOrder:
    """What a submit command asks for. `{id}` in a value of `env` stands for the number of the job.

    `told`: to end it, TERM goes to its processes one by one before KILL goes to all. `killed` is what its log is told
    when its run time is over, with `{ran}` and `{limit}`.
    """

    name: str
    queue: str
    script: str
    cwd: str
    log: str = ""
    env: dict[str, str] = field(default_factory=dict)
    walltime: float | None = None
    held: bool = False
    elements: int = 0
    told: bool = False
    killed: str = ""


@dataclass
class Taken:
    """What became of it; number 0: the server never heard of it. `answered`: the one who asked is told."""

    number: int
    answered: bool = True


@dataclass
class Call:
    """A command of the batch system: its name, the words behind it, where it was typed and what it can read."""

    command: str
    args: list[str]
    cwd: str
    stdin: Callable[[], str] = lambda: ""

    def option(self, name: str) -> str | None:
        """The word behind an option, or right behind its letter."""
        for nth, word in enumerate(self.args):
            if word == name:
                return self.args[nth + 1] if nth + 1 < len(self.args) else ""
        return None


@dataclass
class Said:
    """What a command prints, and its exit code."""

    code: int = 0
    out: str = ""
    err: str = ""


class Queue(Protocol):
    """Where the jobs are."""

    @property
    def host(self) -> str:
        """The name of the server."""
        ...

    def wrong(self, fault: str) -> Any:
        """The value of a fault, 0 when there is none."""
        ...

    def jobs(self) -> list[StandInJob]:
        """The jobs that the server lists, by number."""
        ...

    def submit(self, order: JobOrder) -> Taken | None:
        """Take a job; None when the user has too many already."""
        ...

    def end(self, number: int) -> bool:
        """Delete a job that is not over; false when its node does not answer."""
        ...

    def hold(self, number: int, held: bool = True) -> None:
        """Hold a waiting job, or let it go."""
        ...

    def spent(self, what: str, many: int) -> int:
        """Note that so many were used, and tell how many were within the last minute."""
        ...

    def crash(self, why: str) -> None:
        """The server dies of this question."""
        ...


class Dialect(Protocol):
    """The commands of a batch system."""

    def down(self, command: str) -> Said:
        """What a command says when it cannot connect."""
        ...

    def answer(self, call: Call) -> Said:
        """Do what it says."""
        ...


def load(name: str, queue: Queue) -> Dialect:
    """The commands of that name on a queue; KeyError for an unknown one."""
    module, _, kind = DIALECTS[name][0].partition(":")
    return cast("Dialect", getattr(import_module(f"{__package__}.{module}"), kind)(queue))


def directives(script: str, mark: str) -> list[list[str]]:
    """The words of the directive lines at the head of a script."""
    found = []
    for line in script.split("\n"):
        if line.strip() and not line.startswith("#"):
            break
        if line.startswith(f"{mark} "):
            found.append(line[len(mark) :].split())
    return found


def seconds(text: str) -> float:
    """[[hours:]minutes:]seconds; ValueError when it is none."""
    total = 0.0
    for part in text.split(":"):
        total = total * 60 + float(part)
    return total


def clock(total: float) -> str:
    """Seconds as hours:minutes:seconds."""
    return f"{int(total) // 3600:02}:{int(total) // 60 % 60:02}:{int(total) % 60:02}"
