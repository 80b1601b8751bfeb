"""Places for the contract: one line in PLACES and every test of test_contract.py runs on it.

A place is opened by `(local, elsewhere) -> Context`; R must be visible from here under `context.place.root`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dispatcher import contexts
from dispatcher.core.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec
from dispatcher.core.ports import Context, Item
from dispatcher.files import local, patterns

SUBMISSION = "5f1c" * 10


def opened(name: str, profile: Mapping[str, Any], here: Path, elsewhere: Path) -> Context:
    machine = MachineSpec("Shell", name, str(here.parent), str(elsewhere))
    return contexts.load(name).open(machine, profile, SUBMISSION, here.name)


#: Places whose R is not the local side.
APART: dict[str, Callable[[Path, Path], Context]] = {
    "Local-links": lambda here, elsewhere: opened("LocalContext", {}, here, elsewhere),
    "Local-copies": lambda here, elsewhere: opened("LocalContext", {"symlink": False}, here, elsewhere),
}
PLACES: dict[str, Callable[[Path, Path], Context]] = {
    "LazyLocal": lambda here, elsewhere: opened("LazyLocalContext", {}, here, elsewhere),
    **APART,
}


class Site:
    """A local side, a place, and the staging rules between them."""

    def __init__(self, make: Callable[[Path, Path], Context], tmp: Path) -> None:
        self.local = tmp / "proj with blank" / "runs"
        self.local.mkdir(parents=True)
        self.elsewhere = tmp / "scratch 'é"
        self._make = lambda: make(self.local, self.elsewhere)
        self.context = self._make()
        self.root = Path(self.context.place.remote_root)
        self.home = Path(self.context.place.control)

    def again(self) -> Context:
        """A second context on the same place, as after a restart."""
        return self._make()

    def write(self, path: str, data: bytes = b"data") -> Path:
        return write(self.local / path, data)

    def spec(self, *tasks: TaskSpec, common: tuple[str, ...] = (), back: tuple[str, ...] = ()) -> SubmissionSpec:
        machine = MachineSpec("Shell", "LocalContext", str(self.local.parent), str(self.elsewhere))
        return SubmissionSpec(self.local.name, machine, ResourcesSpec(1, 1, 0, "", 1), tasks, common, back)

    def spec_of(self, *forward: str) -> SubmissionSpec:
        return self.spec(TaskSpec("true", "t1", forward))

    def items(self, spec: SubmissionSpec) -> list[Item]:
        entries = local.tree(self.local, patterns.roots(patterns.sources(spec)))
        items = patterns.uploads(spec, entries, str(self.local))
        sums = local.digests(self.local, [item.source for item in items if item.size >= 0])
        return [msgspec.structs.replace(item, digest=sums.get(item.source, "")) for item in items]

    def send(self, *forward: str, task: str = "t1", common: tuple[str, ...] = (), replace: bool = True) -> list[Item]:
        items = self.items(self.spec(TaskSpec("true", task, forward), common=common))
        self.context.put(items, replace)
        return items

    def fetch(self, *backward: str, task: str = "t1", back: tuple[str, ...] = ()) -> tuple[list[Item], list[str]]:
        wanted_patterns = patterns.wanted(self.spec(TaskSpec("true", task, (), backward), back=back), [0])
        items, missing = patterns.downloads(wanted_patterns, self.context.tree(patterns.roots(wanted_patterns)))
        return self.context.get(items), missing


def write(path: Path, data: bytes = b"data") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


@pytest.fixture(params=PLACES)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    made = Site(PLACES[request.param], tmp_path)
    yield made
    made.context.close()


@pytest.fixture(params=APART)
def apart(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    made = Site(APART[request.param], tmp_path)
    yield made
    made.context.close()
