"""Batch systems and contexts that a program has defined itself, written as for DPDispatcher, are asked by a run."""

from __future__ import annotations

import importlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dispatcher import JobStatus, Machine, Resources, Shell, SlurmJobArray, Submission, Task, schedulers
from dispatcher.api.context import BaseContext
from dispatcher.core.errors import ConfigError, JobsFailed, Unsupported

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def queues() -> Iterator[Any]:
    """The classes of `own_queue`, which other tests do not know: importing them registers them."""
    registries = (
        Machine.options,
        BaseContext.options,
        Machine.subclasses_dict,
        BaseContext.subclasses_dict,
        schedulers.OWN,
    )
    before = [set(registry) for registry in registries]
    yield importlib.import_module("tests.api.own_queue")
    for registry, known in zip(registries, before, strict=True):
        for name in set(registry) - known:
            registry.discard(name) if isinstance(registry, set) else registry.pop(name)


def until(true: Callable[[], bool]) -> None:
    """Look until it is."""
    end = time.monotonic() + 120
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def wait(path: Path) -> None:
    """Until it is there."""
    until(path.exists)


def counted(top: Path) -> list[str]:
    return sorted((top / "count").read_text().split())


@pytest.mark.parametrize(
    ("kind", "context"),
    [("Spool", "LazyLocal"), ("Spool", "Local"), ("Bare", "Local"), ("Flagged", "Local"), ("Headed", "LazyLocal")],
)
def test_a_run_asks_the_class(queues: Any, tmp_path: Path, kind: str, context: str) -> None:
    (tmp_path / "far").mkdir()
    machine = Machine(kind, context, str(tmp_path), str(tmp_path / "far"))
    assert type(machine) is getattr(queues, kind)
    submission = queues.asked(tmp_path, machine, ":", ":")
    submission.run_submission(check_interval=0.05, clean=False)
    assert counted(tmp_path) == ["0", "1"]
    assert [(tmp_path / f"t{nth}/out").read_text() for nth in (0, 1)] == ["0\n", "1\n"]
    assert {job.job_state for job in submission.belonging_jobs} == {JobStatus.finished}
    root = Path(str(machine.context.remote_root))
    scripts = [path.read_text() for path in root.rglob("*.sub")]
    if kind != "Bare":
        assert len({text for text in scripts if text.startswith("#!/bin/bash -l\n#") and "dsp_begin" in text}) == 2
    if kind == "Flagged":
        assert set(queues.Flagged.asked) >= {"do_submit", "finished"}


def test_failures_are_told_in_the_words_of_the_class(queues: Any, tmp_path: Path) -> None:
    machine = queues.Bare(context_type="LazyLocal", local_root=str(tmp_path), retry_count=1)
    with pytest.raises(JobsFailed, match="check_status says terminated"):
        queues.asked(tmp_path, machine, "exit 3", ":").run_submission(check_interval=0.05)
    assert counted(tmp_path) == ["0", "0", "1"]


def test_what_it_raises_is_shown_and_bounded(queues: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dispatcher.schedulers.command_line.CommandDialect.absence_timeout", 0.1)

    class Down(queues.Bare):
        def do_submit(self, job: Any) -> str:
            raise OSError("the queue is down")

    submission = queues.asked(tmp_path, Down(context_type="LazyLocal", local_root=str(tmp_path)), ":")
    with pytest.raises(JobsFailed, match=r"Down\.do_submit was called before and did not come to its end"):
        submission.run_submission(check_interval=0.1)
    assert any("OSError: the queue is down" in str(event) for event in submission.events())


def test_jobs_are_ended_by_its_kill(queues: Any, tmp_path: Path) -> None:
    submission = queues.asked(
        tmp_path,
        queues.Spool(context_type="LazyLocal", local_root=str(tmp_path)),
        "echo $$ > pid; mv pid ../pid; exec sleep 600",
        ":",
    )

    def end() -> None:
        wait(tmp_path / "t1/out")
        wait(tmp_path / "pid")
        submission.remove_unfinished_tasks()

    ender = threading.Thread(target=end)
    ender.start()
    submission.run_submission(check_interval=0.05)
    ender.join()
    assert [task.task_work_path for task in submission.belonging_tasks] == ["t1"]
    until(lambda: not Path("/proc", (tmp_path / "pid").read_text().strip(), "cwd").exists())


def test_a_context_is_asked(queues: Any, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    queues.Told.told.clear()
    machine = Shell(context=queues.Told(str(tmp_path), str(tmp_path / "far")))
    assert machine.serialize()["context_type"] == "Told"
    assert type(Machine.load_from_dict(machine.serialize()).context) is queues.Told
    submission = queues.asked(tmp_path, machine, ":")
    submission.run_submission(check_interval=0.05)
    assert {"block_call", "upload", "download"} <= set(queues.Told.told)
    assert (tmp_path / "t0/out").read_text() == "0\n"
    assert list((tmp_path / "far").iterdir()) == []


def test_a_second_run_on_the_same_object_is_refused(queues: Any, tmp_path: Path) -> None:
    machine = queues.Headed(context_type="LazyLocal", local_root=str(tmp_path))
    for name in ("one", "two"):
        (tmp_path / name / "t").mkdir(parents=True)
    task = Task(f"until [ -e {tmp_path}/go ]; do sleep 0.05; done; touch {tmp_path}/began", "t")
    one, two = (Submission(name, machine, Resources(1, 1, 0, "", 1), task_list=[task]) for name in ("one", "two"))
    refused: list[BaseException] = []

    def other(event: Any) -> None:
        if not refused:
            (tmp_path / "go").touch()  # whatever comes of it, the task ends
            with pytest.raises(ConfigError, match="is at work on another submission") as error:
                two.run_submission()
            refused.append(error.value)

    one.run_submission(check_interval=0.05, on_event=other)
    assert len(refused) == 1
    two.run_submission(check_interval=0.05)


def test_what_cannot_be_driven_is_refused_by_name(queues: Any, tmp_path: Path) -> None:
    class Half(Machine):
        def do_submit(self, job: Any) -> str:
            return "1"

    class Nowhere(BaseContext):
        """Derived from none of ours."""

    class Silent(Shell):
        def gen_script(self, job: Any) -> str:
            return "true\n"

    class Array(SlurmJobArray):
        def do_submit(self, job: Any) -> str:
            return "1"

    at = {"context_type": "LazyLocal", "local_root": str(tmp_path)}
    for machine, why in (
        (Half(**at), r"Half has no check_status: a class directly below Machine"),
        (Silent(**at), r"Silent\.gen_script must hold what super\(\)\.gen_script\(job\) gives"),
        (Array(**at), r"SlurmJobArray makes job arrays; .* not do_submit"),
    ):
        with pytest.raises((ConfigError, JobsFailed), match=why):
            queues.asked(tmp_path, machine, ":").run_submission(check_interval=0.1)
    with pytest.raises(Unsupported, match=r"Nowhere is derived from BaseContext itself"):
        Shell(context=Nowhere(str(tmp_path)))
    assert not (tmp_path / "count").exists()


#: Dies between the job and its id, once; `Bare` has a script of its own.
CHILD = """
import sys, os
from pathlib import Path
sys.path.insert(0, {root!r})
from dispatcher.schedulers.command_line import CommandDialect
from tests.api import own_queue as own
CommandDialect.absence_timeout = 0.3
top = Path({top!r})
class Dying(getattr(own, {kind!r})):
    def do_submit(self, job):
        id = super().do_submit(job)
        if not (top / "died").exists():
            (top / "died").touch()
            if {forgets}:
                self.context.block_call(f"rm {{job.job_hash}}_job_id")
            os.kill(os.getpid(), 9)
        return id
machine = Dying(context_type="LazyLocal", local_root=str(top))
own.asked(top, machine, "until [ -e ../go ]; do sleep 0.05; done").run_submission(check_interval=0.05)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "forgets"), [("Spool", True), ("Bare", False), ("Bare", True)])
def test_a_death_before_the_id_is_written_doubles_nothing(tmp_path: Path, kind: str, forgets: bool) -> None:
    command = [sys.executable, "-c", CHILD.format(root=str(ROOT), top=str(tmp_path), kind=kind, forgets=forgets)]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == -signal.SIGKILL, first.stderr
    threading.Timer(1.0, (tmp_path / "go").touch).start()  # the job is at work when the second dispatcher begins
    second = subprocess.run(command, capture_output=True, text=True, check=False)
    if (kind, forgets) == ("Bare", True):
        assert "Dying.do_submit was called before and did not come to its end" in second.stderr
    else:
        assert second.returncode == 0, second.stderr
        assert (tmp_path / "t0/out").read_text() == "0\n"
    assert counted(tmp_path) == ["0"], "the task ran once"
