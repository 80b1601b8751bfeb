"""Fixtures for all tests: a simulated run that can be killed and started again, and a real work directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from dispatcher.core.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec
from dispatcher.scripts import bash
from tests.simulation.cluster import Conditions
from tests.simulation.faults import Killed
from tests.simulation.simulated import Simulated

from . import groups

#: Batch systems that are asked by HTTP.
CLOUDS = ("Bohrium", "OpenAPI")

# How long an example takes says something about the machine, not about the code.
hypothesis.settings.register_profile("untimed", deadline=None, max_examples=50)
hypothesis.settings.register_profile("full", deadline=None, max_examples=600)
hypothesis.settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    """A home without a profile: jobs are login shells, and one that is killed may leave its profile's locks behind."""
    home = tempfile.TemporaryDirectory(prefix="dispatcher-home-")
    config.add_cleanup(home.cleanup)
    os.environ.setdefault("XDG_CACHE_HOME", str(Path.home() / ".cache"))
    os.environ["HOME"] = home.name
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a script: tests send it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.getoption("--full"):
        hypothesis.settings.load_profile("full")
    config.pluginmanager.register(groups.Summary())


pytest_xdist_make_scheduler = groups.pytest_xdist_make_scheduler
pytest_xdist_auto_num_workers = groups.pytest_xdist_auto_num_workers
pytest_collection_modifyitems = groups.pytest_collection_modifyitems
pytest_runtest_makereport = groups.pytest_runtest_makereport


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--golden", action="store_true", help="write golden files instead of comparing with them")
    parser.addoption("--full", action="store_true", help="full sizes: every count and seed of make test-all")


@pytest.fixture(scope="session")
def full(request: pytest.FixtureRequest) -> bool:
    """Whether counts are to be as large as in make test-all."""
    return bool(request.config.getoption("--full"))


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
        machine=MachineSpec("Shell", "LazyLocal", "/local", **{"retry_count": 2, **(machine or {})}),
        resources=ResourcesSpec(1, 1, 0, "", group_size, **(resources or {})),
        tasks=tuple(TaskSpec(f"run {i}", f"t{i}", ("in",), tuple(backward)) for i in range(tasks)),
    )


@pytest.fixture
def make_submission() -> Callable[..., SubmissionSpec]:
    return submission


@pytest.fixture
def simulate(tmp_path: Path, dialect: str) -> Iterator[Callable[..., Simulated]]:
    """Make a simulated submission: `simulate(world, spec, name)`."""
    made: list[Simulated] = []

    def make(conditions: Conditions | None = None, spec: SubmissionSpec | None = None, name: str = "run") -> Simulated:
        kind = simulated_cloud() if dialect in CLOUDS else Simulated
        made.append(kind(tmp_path / name, spec or submission(), conditions or Conditions(), dialect))
        return made[-1]

    yield make
    for simulated in made:
        simulated.close()


def simulated_cloud() -> type[Simulated]:
    """The simulation behind the server of fixtures/clusters/bohrium."""
    folder = str(Path(__file__).parents[1] / "fixtures" / "clusters" / "bohrium")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    from simulated import SimulatedCloud  # type: ignore[import-not-found]

    return SimulatedCloud  # type: ignore[no-any-return]


@pytest.fixture
def dialect() -> str:
    """Whose commands the simulated cluster is asked by; "": words of its own."""
    return ""


@pytest.fixture
def killed() -> type[BaseException]:
    return Killed


@pytest.fixture
def shellchecked() -> Callable[[Path], None]:
    """Fails when shellcheck complains of a job script, or of the functions that it sources (`bash.NAME`)."""

    def check(path: Path) -> None:
        text = bash.FUNCTIONS if path.name == bash.NAME else path.read_text().replace(bash.FUNCTIONS, "")
        # what it cannot know: what the other of both sets or reads, and functions that a trap calls in other shells
        command = ["shellcheck", "-s", "bash", "-e", "SC2030,SC2031,SC2034,SC2154,SC2317", "-"]
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{path}:\n{done.stdout}"

    return check
