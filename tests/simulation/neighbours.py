"""Submissions below one work directory, and people who purge, edit and delete: the real sessions, on real directories.

    simulate(17)       two or three submissions that name the same tasks, a dozen commands, and what befalls them

A command is what a user types: `submit`, `submit --rerun`, `adopt`, `cancel`. Each is a process of its own, two at
once, killed at any step. What stands between a command and the world is real: survey, identity, index, ownership,
reuse, inputs, journal, contexts; the batch system and its jobs are simulated (`directories`). What is promised of all
of them together: see `ledger`. In the end the world is good, users do what they are told, and everything is finished.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec

import journal as journals
from dispatcher import contexts
from dispatcher.core.errors import DispatcherError, JournalDamaged, ResultMissing, TaskLive
from dispatcher.core.history import History
from dispatcher.core.lifecycle import OVER
from dispatcher.core.model import SubmissionSpec, TaskSpec
from dispatcher.run.adopt import adopt, adopt_restored
from dispatcher.run.environment import Environment, real_environment
from dispatcher.run.reopen import reopened_session
from dispatcher.run.session import open_session
from dispatcher.run.work import Session
from journal import JournalError
from journal.files import Files
from journal.lock import Holder, Lock

from .directories import DirectoryCluster, kinds
from .faults import Neighbourly
from .hosts import BrokenPromise, Host, Killed, Process
from .ledger import Ledger
from .people import People
from .ports import SimulatedQueue
from .simulated import submission
from .turns import Turn, Turns

#: Commands that users type while the world is bad, and rounds of all submissions in which it must all end well then.
COMMANDS, ROUNDS = 7, 15
#: Pauses of all dispatchers together after which a seed that has not ended is a broken promise.
PAUSES = 5_000


class ProcessFiles(Files):
    """The files of a journal; every call with an effect is a point where its writer may be killed."""

    def __init__(self, world: World, process: Process) -> None:
        self.world, self.process = world, process

    def _step(self, point: str) -> None:
        self.process.step(self.world.conditions, point)

    def create(self, path: str) -> int:
        self._step("before create")
        fd = super().create(path)
        self.world.date(os.path.dirname(path))
        return fd

    def touch(self, path: str) -> None:
        self._step("before freeze")
        super().touch(path)
        self.world.date(os.path.dirname(path))

    def write(self, fd: int, data: bytes) -> int:
        self._step("before journal write")
        written = super().write(fd, data)
        os.utime(fd, ns=(self.world.nanoseconds(), self.world.nanoseconds()))
        return written

    def datasync(self, fd: int) -> None:
        self._step("before sync")
        self._step("after sync")

    def sync(self, fd: int) -> None:
        self.datasync(fd)

    def sync_dir(self, path: str) -> None:
        """Machines do not die here: see `hosts`."""

    def link(self, old: str, new: str) -> None:
        self._step("before link")
        super().link(old, new)
        self._step("after link")

    def unlink(self, path: str) -> None:
        super().unlink(path)
        self.world.date(os.path.dirname(path))


class ProcessLock(Lock):
    """The real lock: who waits for it lets others go on, and the kernel gives back what the dead held."""

    def __init__(self, world: World, process: Process, path: Path) -> None:
        super().__init__(path)
        self.world, self.process = world, process

    def acquire(self, timeout: float, session: str) -> None:
        self.process.step(self.world.conditions, "before lock")
        until = self.world.now() + timeout
        while True:
            try:
                super().acquire(0.0, session)
                break
            except journals.JournalBusy:
                if self.world.now() >= until:
                    raise
                self.world.turns.pause(1.0)
        self.world.date(str(self.path))

    def _introduce(self, holder: Holder) -> None:
        super()._introduce(msgspec.structs.replace(holder, pid=self.process.pid, since=self.world.now()))

    def release(self) -> None:
        if self.process.dead and self._lock is not None:
            lock, self._lock = self._lock, None
            lock.release()
        super().release()
        if self.path.is_dir():
            self.world.date(str(self.path))


class Command(msgspec.Struct, frozen=True):
    """What a user types for a submission: "submit", "adopt", or "cancel" with the directory that it names."""

    verb: str
    spec: SubmissionSpec
    rerun: bool = False
    missing: bool = False
    clean: bool = True
    directory: str = ""


class World:
    """Work directories a and b below `top`, a batch system, and who is at work."""

    def __init__(self, top: Path, conditions: Neighbourly, tasks: int | None) -> None:
        self.top, self.conditions = top, conditions
        self.sessions: dict[Process, Session] = {}
        self.processes: dict[Turn, Process] = {}
        self.ledger = Ledger(self.at_work)
        self.cluster = DirectoryCluster(conditions, self.ledger)
        self.turns = Turns(self.cluster)
        self.host = Host(os.uname().nodename)
        self.nonces = (f"d{number:08d}sim" for number in itertools.count())
        self._pids, self._kinds = itertools.count(4001), kinds(self)
        self.people = People(self)
        rng = conditions.rng
        self.profile = {"symlink": rng.random() < 0.5}
        self.specs = _specs(conditions, tasks)
        for work in ("a", "b"):
            for task in ("t0", "t1", "t2", "t3"):
                (top / work / task).mkdir(parents=True)
                self.people.write(top / work / task / "in", "000000")
            self.people.write(top / work / "pot", "000000")
        (top / "l").symlink_to(top / "a")

    # -- clocks and processes -----------------------------------------------------------------------------------

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.cluster.now

    def nanoseconds(self) -> int:
        """The same, as files have it."""
        return int(self.cluster.now * 1e9)

    def date(self, path: str) -> None:
        """A directory was changed now."""
        os.utime(path, ns=(self.nanoseconds(), self.nanoseconds()))

    @property
    def me(self) -> Process:
        """Whose turn it is."""
        assert self.turns.current is not None
        return self.processes[self.turns.current]

    def at_work(self) -> dict[Path, History]:
        """What living dispatchers have in mind, by journal."""
        return {one.journal.path: one.history for process, one in self.sessions.items() if not process.dead}

    def environment(self) -> Environment:
        """For a process whose turn it is."""
        return real_environment(now=self.now, elapsed=self.now, sleep=self.turns.pause, nonce=lambda: next(self.nonces))

    @contextmanager
    def inhabited(self) -> Iterator[None]:
        """The real code finds this world's batch system, contexts, files, locks and processes."""
        opened = journals.Journal.open.__func__  # type: ignore[attr-defined]

        def open_journal(cls: Any, path: Any, kind: Any, /, **how: Any) -> Any:
            where, me = Path(path).absolute(), self.me
            files, lock = ProcessFiles(self, me), ProcessLock(self, me, where)
            return opened(cls, where, kind, **how, files=files, lock=lock, clock=self.now)

        gone = lambda path: shutil.rmtree(path, ignore_errors=True)  # noqa: E731 (a process of `rm` takes too long)
        alive = lambda pid: any(one.pid == pid and not one.dead for one in self.processes.values())  # noqa: E731
        with ExitStack() as stack:
            for target, name, value in (
                ("journal.writer.Journal", "open", classmethod(open_journal)),
                ("journal", "Lock", lambda path: ProcessLock(self, self.me, path)),
                ("dispatcher.contexts", "load", lambda name: self._kinds[contexts.canonical(name)]),
                ("dispatcher.schedulers", "chosen", lambda name, resources: SimulatedQueue()),
                ("dispatcher.contexts", "_installed", dict),
                ("dispatcher.contexts.local.local", "remove_tree", gone),
                ("dispatcher.contexts.local.lazy_local", "remove_tree", gone),
                ("dispatcher.run.store", "_alive", alive),
            ):
                stack.enter_context(patch(f"{target}.{name}", value))
            yield

    def start(self, command: Command) -> _Life:
        """Another process."""
        life = _Life(self, command, Process(self.host, next(self._pids)))
        turn = self.turns.start(lambda: life.live(turn))
        self.processes[turn] = life.process
        return life


class _Life:
    """One command, from its start to its end; `error` is what it was told, None when all went well."""

    def __init__(self, world: World, command: Command, process: Process) -> None:
        self.world, self.command, self.process = world, command, process
        self.error: Exception | None = None
        self.killed = False

    def live(self, turn: Turn) -> None:
        try:
            getattr(self, f"_{self.command.verb}")()
        except Killed:
            self.killed = self.process.dead = True
            raise
        except (DispatcherError, JournalError) as error:
            self.error = error
        finally:
            self.world.sessions.pop(self.process, None)
            del self.world.processes[turn]
            self.world.ledger.look() if self.world.conditions.forgetful else None

    def _submit(self) -> None:
        world, command, began = self.world, self.command, self.world.now()
        if command.rerun or command.missing:
            world.ledger.asked(command.spec, command.missing)
        with open_session(command.spec, world.profile, environment=world.environment(), rerun=command.rerun) as session:
            world.sessions[self.process] = session
            if command.rerun or command.missing:
                session.rerun(everything=command.rerun)
            session.run(check_interval=8.0, clean=command.clean)
            self._told(session, began)

    def _told(self, session: Session, began: float) -> None:
        opened, deleted = session.history.opened, self.world.people.deleted
        assert opened is not None and session.history.concluded is not None
        touched = [path for path, at in deleted.items() if at >= began]
        self.world.ledger.told(self.command.spec, opened.inputs, touched, began)

    def _adopt(self) -> None:
        if self.command.directory:
            adopt_restored(Path(self.command.directory, "journal"), self.world.profile)
        else:
            adopt(self.command.spec, self.world.profile)

    def _cancel(self) -> None:
        path = Path(self.command.directory, "journal")
        with reopened_session(path, self.world.profile, self.world.environment()) as session:
            self.world.sessions[self.process] = session
            session.kill()
            engine = session.connect()
            engine.give_up()
            engine.run(check_interval=5.0)
            if any(job.state not in OVER for job in session.progress.values()):
                raise DispatcherError("not all jobs are gone")


# -- what is asked ------------------------------------------------------------------------------------------------


@cache
def _asked(tasks: int, group_size: int) -> SubmissionSpec:
    """Tasks t0, t1, … that read a file each and one in common."""
    spec = submission(tasks, group_size)
    return msgspec.structs.replace(spec, forward_common_files=("pot",))


def _specs(conditions: Neighbourly, tasks: int | None) -> list[SubmissionSpec]:
    """One submission, and one or two that have to do with it."""
    rng = conditions.rng
    count, group, kind = rng.randint(1, 3), rng.randint(0, 2), rng.choice(["LazyLocalContext", "LocalContext"])
    first = _asked(tasks or count, group)
    machine = msgspec.structs.replace(
        first.machine, context_type=kind, local_root=".", remote_root="remote", create_remote_root=True
    )
    first = msgspec.structs.replace(first, machine=machine, work_base="a")
    return [first, *(_another(first, rng.choice(_KINDS)) for _ in range(rng.randint(1, 2)))]


def _another(spec: SubmissionSpec, kind: str) -> SubmissionSpec:
    """The same tasks, asked for in another way."""
    replace, tasks = msgspec.structs.replace, spec.tasks
    more = TaskSpec("run 9", "t3", ("in",), ("out",))
    return {
        "same": lambda: spec,
        "spelt otherwise": lambda: replace(spec, tasks=tuple(_spelt(task) for task in tasks)),
        "cut otherwise": lambda: replace(spec, work_base=".", machine=replace(spec.machine, local_root="a")),
        "by a link": lambda: replace(spec, work_base="l"),
        "in another directory": lambda: replace(spec, work_base="b"),
        "a task more": lambda: replace(spec, tasks=(*tasks, more)),
        "in another order": lambda: replace(spec, tasks=(more, *tasks[::-1])),
        "on another queue": lambda: replace(spec, resources=replace(spec.resources, queue_name="long")),
        "another command": lambda: replace(spec, tasks=(replace(tasks[0], command="run it"), *tasks[1:])),
    }[kind]()


_KINDS = (
    "same", "spelt otherwise", "cut otherwise", "by a link", "in another directory", "a task more",
    "in another order", "on another queue", "another command",
)  # fmt: skip


def _spelt(task: TaskSpec) -> TaskSpec:
    return msgspec.structs.replace(task, task_work_path=f"./{task.task_work_path}/")


# -- a whole simulation -------------------------------------------------------------------------------------------


class Neighbours:
    """Users who type commands, as the world draws them; in the end as they are told."""

    def __init__(self, world: World) -> None:
        self.world, self.conditions = world, world.conditions
        self.conditions.passed = self._passed
        self.conditions.deeds = {
            "killed": self._kill,
            "second started": lambda: self._draw(),
            "others": lambda: world.turns.pause(0.0) if len(world.processes) > 1 else None,
            **world.people.deeds(),
        }

    def _kill(self) -> None:
        self.world.me.dead = True

    def _passed(self) -> None:
        if self.world.cluster.rounds > PAUSES:
            raise BrokenPromise(f"not over after {PAUSES} pauses")

    def run(self) -> None:
        """Commands, then the end; BrokenPromise when it never comes."""
        world, rng = self.world, self.conditions.rng
        for _ in range(rng.randint(2, COMMANDS)):
            self._draw()
            world.turns.run(rng.randrange)
            world.cluster.sleep(rng.choice([0.0, 0.0, 30.0, 200.0]))
            self.conditions.between()
        self.conditions.drawn = self.conditions.calm
        errors: list[str] = []
        for _ in range(ROUNDS):
            lives = [self._whole(spec) for spec in world.specs]
            if all(life.error is None for life in lives):
                return
            errors = [f"{type(life.error).__name__}: {life.error}" for life in lives if life.error]
        raise BrokenPromise(f"no way out: {errors[0]}")

    def _draw(self) -> None:
        """Whatever a user may type at this moment."""
        if len(self.world.processes) < 3:
            rng = self.conditions.rng
            how: dict[str, Any] = rng.choice([{}, {}, {}, {"rerun": True}, {"missing": True}, {"clean": False}])
            self.world.start(Command("submit", rng.choice(self.world.specs), **how))

    def _typed(self, command: Command) -> _Life:
        life = self.world.start(command)
        self.world.turns.run(self.conditions.rng.randrange)
        return life

    def _whole(self, spec: SubmissionSpec) -> _Life:
        """Submit, and do what one is told; what it comes to."""
        life = self._typed(Command("submit", spec))
        told = str(life.error)
        if isinstance(life.error, ResultMissing):
            life = self._typed(Command("submit", spec, missing=True))
            told = str(life.error)
        if isinstance(life.error, TaskLive) and (found := re.search(r"`dispatcher cancel ([^`]+)`", told)):
            told = str(self._typed(Command("cancel", spec, directory=found[1])).error)
        if isinstance(life.error, JournalDamaged):
            told = "`dispatcher adopt SUBMISSION.json`"
        if found := re.search(r"`dispatcher adopt ([^`]+)`", told):
            directory = "" if found[1] == "SUBMISSION.json" else found[1]
            told = str(self._typed(Command("adopt", spec, directory=directory)).error)
            if found := re.search(r"`dispatcher adopt (/[^`]+)`", told):
                self._typed(Command("adopt", spec, directory=found[1]))
        return life


def simulate(
    seed: int, allowed: Collection[int] | None = None, tasks: int | None = None, dialect: str = ""
) -> tuple[World, Neighbourly]:
    """As `simulation.simulate`, for neighbours."""
    conditions = Neighbourly(seed, allowed)
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as folder:
        world = World(Path(os.path.realpath(folder)), conditions, tasks)
        before = Path.cwd()
        os.chdir(world.top)  # paths enter hashes, and hashes the order of things: they are the same in every run
        try:
            with world.inhabited():
                Neighbours(world).run()
        except BrokenPromise as broken:
            broken.faults = conditions.faults
            raise
        finally:
            os.chdir(before)
        return world, conditions
