"""Fixtures for all tests: a simulated run that can be killed and started again, and a real work directory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from dispatcher import events as ev
from dispatcher.history import History
from dispatcher.kept import fold
from dispatcher.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec, plan_hash
from dispatcher.plan import plan
from dispatcher.ports import Item
from dispatcher.session import Session, begin, real_outside
from dispatcher.testing.cluster import Cluster, SimulatedPlace, SimulatedQueue, World
from journal import Journal, frames
from journal.files import Files


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="write golden files instead of comparing with them")


class Killed(BaseException):
    """The dispatcher was killed here."""


class SteppedFiles(Files):
    """The real file system, which tells the world before and after each write and sync."""

    def __init__(self, world: World) -> None:
        self.world = world

    def write(self, fd: int, data: bytes) -> int:
        self.world.step("before journal write")
        done = super().write(fd, data)
        self.world.step("after journal write")
        return done

    def datasync(self, fd: int) -> None:
        self.world.step("before sync")
        super().datasync(fd)
        self.world.step("after sync")


class Simulated:
    """One submission on a simulated cluster: `run()` is one life of a dispatcher."""

    def __init__(self, path: Path, spec: SubmissionSpec, world: World) -> None:
        self.path, self.spec, self.world = path / "journal", spec, world
        self.cluster = Cluster(world)
        self.jobs = plan(spec)
        self.nonces = (f"dsim{number:08d}" for number in itertools.count())

    def run(self, **how: Any) -> History:
        history = History()
        log: Journal[Any] = Journal.open(
            self.path, ev.Event, replay=lambda frame: fold(history, frame), files=SteppedFiles(self.world)
        )
        outside = real_outside(
            now=lambda: self.cluster.now,
            sleep=self.cluster.sleep,
            nonce=lambda: next(self.nonces),
            **how.pop("outside", {}),
        )
        uploads = [Item("/near/in", "in", 3, "00")]
        session = Session(
            self.spec,
            self.jobs,
            "sim",
            SimulatedQueue(),
            lambda: SimulatedPlace(self.cluster),
            log,
            history,
            outside,
            uploads,
        )
        with session:
            begin(session, plan_hash(self.spec), {"in": "00"})
            session.run(check_interval=8.0, **how)
        return history

    def records(self) -> list[Any]:
        return [record for frame in frames(self.path, ev.Event) for record in frame.records]

    def replayed(self) -> History:
        history = History()
        for frame in frames(self.path, ev.Event):
            fold(history, frame)
        return history


def submission(
    tasks: int = 6,
    group_size: int = 2,
    machine: dict[str, Any] | None = None,
    resources: dict[str, Any] | None = None,
    backward: Sequence[str] = (),
) -> SubmissionSpec:
    """A small submission for the rules and the simulation."""
    return SubmissionSpec(
        work_base="w",
        machine=MachineSpec("Shell", "LazyLocal", "/near", **{"retry_count": 2, **(machine or {})}),
        resources=ResourcesSpec(1, 1, 0, "", group_size, **(resources or {})),
        tasks=tuple(TaskSpec(f"run {i}", f"t{i}", ("in",), tuple(backward)) for i in range(tasks)),
    )


@pytest.fixture
def make_submission() -> Callable[..., SubmissionSpec]:
    return submission


@pytest.fixture
def simulate(tmp_path: Path) -> Callable[..., Simulated]:
    """Make a simulated submission: `simulate(world, spec, name)`."""

    def make(world: World | None = None, spec: SubmissionSpec | None = None, name: str = "run") -> Simulated:
        return Simulated(tmp_path / name, spec or submission(), world or World())

    return make


@pytest.fixture
def killed() -> type[BaseException]:
    return Killed
