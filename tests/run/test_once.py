"""A task is run once, whichever submission below a work directory names it; real processes, the log is the witness."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dispatcher.core.errors import JobsFailed, ResultMissing, SubmissionBusy, TaskLive
from dispatcher.core.lifecycle import State
from dispatcher.core.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec
from dispatcher.run.session import Session, open_session

CHILD = """
import json, sys, msgspec
from dispatcher.core.model import SubmissionSpec
from dispatcher.run.session import open_session
with open_session(msgspec.json.decode(sys.argv[1], type=SubmissionSpec), {}) as session:
    session.run(check_interval=0.2)
"""


class Work:
    """Tasks that say in one append that they run, wait for the file `go`, and copy their input."""

    def __init__(self, top: Path) -> None:
        self.top = top
        for nth in range(4):
            (top / f"x/work/t{nth}").mkdir(parents=True)
            (top / f"x/work/t{nth}/in").write_text(f"{nth}\n")
        self.children: list[subprocess.Popen[bytes]] = []

    def task(self, nth: int, **what: Any) -> TaskSpec:
        command = f"echo {nth} >> {self.top}/ran; while [ ! -e {self.top}/go ]; do sleep 0.1; done; cat in > out"
        return TaskSpec(**{"command": command, "task_work_path": f"t{nth}", "forward_files": ("in",), **what})

    def spec(
        self,
        *tasks: TaskSpec,
        root: str = "x",
        base: str = "work",
        context_type: str = "LazyLocal",
        max_running: int | None = None,
        **resources: Any,
    ) -> SubmissionSpec:
        asked = [msgspec.structs.replace(task, backward_files=task.backward_files or ("out",)) for task in tasks]
        return SubmissionSpec(
            base,
            MachineSpec("Shell", context_type, f"{self.top / root}", f"{self.top / 'far'}", 0, max_running),
            msgspec.structs.replace(ResourcesSpec(1, 1, 0, "", 1), **resources),
            tuple(asked),
        )

    def start(self, spec: SubmissionSpec) -> subprocess.Popen[bytes]:
        child = subprocess.Popen([sys.executable, "-c", CHILD, msgspec.json.encode(spec).decode()])
        self.children.append(child)
        return child

    def ran(self) -> list[int]:
        log = self.top / "ran"
        return sorted(map(int, log.read_text().split())) if log.exists() else []

    def wait_for(self, what: Callable[[], bool]) -> None:
        end = time.monotonic() + 60
        while not what():
            assert time.monotonic() < end
            time.sleep(0.05)

    def go(self) -> None:
        (self.top / "go").touch()

    def run(self, spec: SubmissionSpec, **how: Any) -> Session:
        with open_session(spec, {}, **how) as session:
            session.run(check_interval=0.2)
        return session

    def results(self) -> list[str]:
        return [path.read_text() for path in sorted((self.top / "x/work").glob("t*/out"))]


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    made = Work(tmp_path)
    yield made
    made.go()
    for child in made.children:
        child.kill()
        child.wait()


def spellings(work: Work) -> dict[str, SubmissionSpec]:
    """The same tasks, asked for in other words."""
    t0, t1 = work.task(0), work.task(1)
    (work.top / "link").symlink_to(work.top / "x/work")
    (work.top / "x/work/same").symlink_to(work.top / "x/work/t0")
    return {
        "parent": work.spec(t0, t1, base="../x/work"),
        "link": work.spec(t0, t1, root="", base="link"),
        "link to a task": work.spec(work.task(0, task_work_path="same")),
        "another cut": work.spec(work.task(0, task_work_path="work/t0"), root="", base="x"),
        "cut below": work.spec(work.task(0, task_work_path="."), root="x/work", base="t0"),
        "order": work.spec(t1, t0),
        "one more": work.spec(t0, t1, work.task(2)),
        "one less": work.spec(t1),
        "name": work.spec(t0, work.task(1, task_name="relax")),
        "resources": work.spec(t0, t1, queue_name="long", group_size=2),
        "backward_files": work.spec(t0, work.task(1, backward_files=("out", "log"))),
        "context": work.spec(t0, t1, context_type="Local"),
    }


@pytest.mark.slow
def test_what_is_live_is_refused_however_it_is_spelt(work: Work) -> None:
    first = work.start(work.spec(work.task(0), work.task(1), max_running=1))
    work.wait_for(lambda: len(work.ran()) == 1)  # the other one is held back: nothing of it is in the queue
    for name, spec in spellings(work).items():
        with (
            pytest.raises(TaskLive, match=r"live in submission [0-9a-f]{40} \(job .*dispatcher cancel"),
            open_session(spec, {}),
        ):
            pytest.fail(name)
    for base in ("./work", "work/"):
        with pytest.raises(SubmissionBusy), open_session(work.spec(work.task(0), work.task(1), base=base), {}):
            pytest.fail(base)
    first.send_signal(signal.SIGKILL)
    first.wait()
    for name, spec in spellings_of_the_started(work).items():
        with pytest.raises(TaskLive, match=r"\(job \S+:\d+"), open_session(spec, {}):
            pytest.fail(name)
    work.go()
    resumed = work.run(work.spec(work.task(0), work.task(1), max_running=1))
    assert resumed.finished() and work.ran() == [0, 1]
    (work.top / "link").unlink()
    (work.top / "x/work/same").unlink()
    for spec in spellings(work).values():
        work.run(spec)
    assert work.ran() == [0, 1, 2], "only the one more was run"


def spellings_of_the_started(work: Work) -> dict[str, SubmissionSpec]:
    """Those that hold the task that runs, whichever of the two it is."""
    for link in (work.top / "link", work.top / "x/work/same"):
        link.unlink()
    return {name: spec for name, spec in spellings(work).items() if len(spec.tasks) > 1}


@pytest.mark.slow
def test_what_waits_in_a_batch_system_is_refused(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    site = work.top / "site"
    subprocess.run([sys.executable, "-m", "dispatcher.testing.batch", "install", "slurm", str(site)], check=True)
    monkeypatch.setenv("PATH", f"{site}/bin:{os.environ['PATH']}")
    first = slurm(work.spec(work.task(0), work.task(1)))
    with open_session(first, {}) as session:
        session.run(check_interval=0.2, exit_on_submit=True)
    ids = {job.id for job in session.progress.values()}
    with pytest.raises(TaskLive, match=rf"\(job ({'|'.join(ids)})\)"), open_session(slurm(work.spec(work.task(1))), {}):
        pass
    work.go()
    work.run(first)
    work.run(slurm(work.spec(work.task(1), work.task(0), queue_name="")))
    assert work.ran() == [0, 1]


def slurm(spec: SubmissionSpec) -> SubmissionSpec:
    return msgspec.structs.replace(spec, machine=msgspec.structs.replace(spec.machine, batch_type="Slurm"))


@pytest.mark.slow
def test_another_command_in_the_same_directory_is_allowed_and_told(work: Work) -> None:
    work.start(work.spec(work.task(0)))
    work.wait_for(lambda: work.ran() == [0])
    other = work.spec(work.task(0, command="echo 7 > other", backward_files=("other",)))
    session = work.run(other)
    assert session.finished()
    assert [notice for notice in session.notices if "another command is live in" in notice]


# what is finished


def test_correcting_one_input_costs_one_task(work: Work) -> None:
    work.go()
    tasks = [work.task(nth, command=work.task(nth).command + "; ! grep -q bad in") for nth in range(4)]
    (work.top / "x/work/t2/in").write_text("bad\n")
    with pytest.raises(JobsFailed):
        work.run(work.spec(*tasks))
    (work.top / "x/work/t2/in").write_text("good\n")
    session = work.run(work.spec(*tasks))
    first = session.notices[0].split()[7].rstrip(":")
    assert session.notices == [f"3 of 4 tasks were finished by {first}: not run again (--rerun runs all)"]
    assert work.ran() == [0, 1, 2, 2, 3]
    assert work.results() == ["0\n", "1\n", "good\n", "3\n"]
    again = work.run(work.spec(*tasks[::-1], queue_name="long", group_size=0))
    assert all(job.state is State.finished and not job.attempt for job in again.progress.values())
    work.run(work.spec(*tasks[:2]), rerun=True)
    assert work.ran() == [0, 0, 1, 1, 2, 2, 3]


@pytest.mark.parametrize("context", ["LazyLocal", "Local"])
def test_other_backward_files_are_only_fetched(work: Work, context: str) -> None:
    work.go()
    more = work.task(0, command=work.task(0).command + "; echo more > more")
    with open_session(work.spec(more, context_type=context), {}) as session:
        session.run(check_interval=0.2, clean=False)
    assert context == "LazyLocal" or not (work.top / "x/work/t0/more").exists()
    work.run(work.spec(msgspec.structs.replace(more, backward_files=("out", "more")), context_type=context))
    assert (work.top / "x/work/t0/more").read_text() == "more\n"
    assert work.ran() == [0]


def test_results_that_were_changed_since_are_not_taken(work: Work) -> None:
    work.go()
    work.run(work.spec(work.task(0), work.task(1)))
    (work.top / "x/work/t0/out").write_text("mine\n")
    session = work.run(work.spec(work.task(1), work.task(0)))
    assert session.notices[0].startswith("1 of 2 tasks")
    assert (work.ran(), work.results()) == ([0, 0, 1], ["0\n", "1\n"])


def test_results_that_were_deleted_are_fetched_again_or_the_task_is_run_again(work: Work) -> None:
    work.go()
    spec = work.spec(work.task(0), work.task(1), context_type="Local")
    with open_session(spec, {}) as session:
        session.run(check_interval=0.2, clean=False)
    (work.top / "x/work/t0/out").unlink()
    with open_session(spec, {}) as session:
        session.run(check_interval=0.2)  # and cleaned
    assert work.results() == ["0\n", "1\n"]
    (work.top / "x/work/t0/out").unlink()
    with pytest.raises(ResultMissing, match=r"1 results? .* t0/out\. .*--rerun-missing"):
        work.run(spec)
    with open_session(spec, {}) as session:
        session.rerun(everything=False)
        session.run(check_interval=0.2)
    assert (work.ran(), work.results()) == ([0, 0, 1], ["0\n", "1\n"])
    with open_session(spec, {}) as session:
        session.rerun(everything=True)
        session.run(check_interval=0.2)
    assert work.ran() == [0, 0, 0, 1, 1]


def test_a_task_that_somebody_else_finished_meanwhile_is_not_tried_again(work: Work) -> None:
    """The first submission failed; its task was then run by another one; the first is resumed."""
    failing = work.task(0, command=f"[ -e {work.top}/heal ] && echo 0 >> {work.top}/ran && cat in > out")
    with pytest.raises(JobsFailed):
        work.run(work.spec(failing))
    (work.top / "heal").touch()
    work.run(work.spec(failing, queue_name="long"))
    session = work.run(work.spec(failing))
    assert session.history.concluded and session.history.concluded.outcome == "finished"
    assert work.ran() == [0]
