"""What a run costs with twice as many jobs: counts of our own calls, of files opened and of syncs, never times."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from dispatcher.core.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec
from dispatcher.run import digests
from dispatcher.run.session import open_session
from journal.files import Files


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """How often the loop calls a function of its own, or takes a step of a comprehension, and asks what is due."""
    calls: Counter[str] = Counter()

    def note(frame: FrameType, what: str, _: Any) -> None:
        if what == "call" and (frame.f_code.co_filename.endswith("/run/engine.py") or frame.f_code.co_name == "todo"):
            calls[frame.f_code.co_name] += 1

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(before)


def test_rounds_of_a_capped_run_cost_what_is_live(simulate: Callable[..., Any], make_submission: Any) -> None:
    """Two at a time: twice the jobs are twice the rounds, and a round must not look at those that are not its own."""
    found = []
    for jobs in (20, 40):
        spec = make_submission(tasks=jobs, group_size=1, machine={"max_running": 2})
        simulated = simulate(None, spec, f"run{jobs}")
        with counted() as calls:
            simulated.run()
        assert len(simulated.cluster.runs) == jobs
        found.append(calls.total())
    assert found[1] / found[0] < 2.2


_opened: list[str] = []
_listening = False


def _heard(event: str, args: tuple[Any, ...]) -> None:
    if _listening and event == "open":
        _opened.append(str(args[0]))


@contextmanager
def listening() -> Iterator[list[str]]:
    """The files that this process opens."""
    global _listening
    if not hasattr(sys, "_growth_hook"):
        sys._growth_hook = True  # type: ignore[attr-defined]  # a hook stays as long as the process
        sys.addaudithook(_heard)
    _opened.clear()
    _listening = True
    try:
        yield _opened
    finally:
        _listening = False


def requested(top: Path, tasks: int) -> SubmissionSpec:
    for nth in range(tasks):
        (top / f"w/t{nth}").mkdir(parents=True)
        for name in "ab":
            (top / f"w/t{nth}/{name}").write_text(f"{nth}")
    return SubmissionSpec(
        "w",
        MachineSpec("Shell", "LazyLocal", str(top)),
        ResourcesSpec(1, 1, 0, "", 1),
        tuple(TaskSpec("true", f"t{nth}", ("a", "b"), ("out",)) for nth in range(tasks)),
    )


def test_a_resume_opens_no_input_and_syncs_as_often_for_any_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "_TICK", -(10**12))  # the files are taken for old ones
    syncs: list[int] = []
    for name in ("datasync", "sync"):
        sync = getattr(Files, name)
        monkeypatch.setattr(Files, name, lambda self, fd, sync=sync: syncs.append(fd) or sync(self, fd))
    opened, synced = [], []
    for tasks in (10, 50, 100):  # the first one reads what is read once in a process
        spec = requested(tmp_path / str(tasks), tasks)
        with open_session(spec, {}) as session:
            session.connect()
        syncs.clear()
        with listening() as files, open_session(spec, {}) as session:
            session.connect()
        assert not [path for path in files if "/t0/" in path or path.endswith(("/a", "/b"))]
        opened.append(len(files))
        synced.append(len(syncs))
    assert opened[1] == opened[2]
    assert synced[1] == synced[2] < 12
