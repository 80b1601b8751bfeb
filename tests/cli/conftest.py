"""Real processes of the command line, real work directories, and golden outputs."""

from __future__ import annotations

import itertools
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from dispatcher.core import events as ev
from dispatcher.core.model import TaskSpec
from journal import Journal

GOLDEN = Path(__file__).parent / "golden"
#: What is different in every run, and what it is called in a golden file. The order counts.
_NORMAL = (
    (r"\d{4}-\d\d-\d\d", "DATE"),
    (r"\d\d:\d\d:\d\d", "HH:MM:SS"),
    (r"\b[0-9]+:[0-9a-f]{32}\b", "N:DIGEST"),
    (r"\b[0-9a-f]{40}\b", "HASH"),
    (r"\bd[a-km-z2-9]{11}\b", "NONCE"),
    (rf"\b{re.escape(os.uname().nodename)}:\d+:\w+:\w+", "ID"),
    (rf"\b{re.escape(os.uname().nodename)}:\d+", "HOST:PID"),
    (rf"\bon {re.escape(os.uname().nodename)}\b", "on HOST"),
    (r"\bjob [0-9a-f]{12}\b", "job JOB"),
    (r"\b(\d+[dhm] )?\d+[hms]\b( ago)?", "SECONDS"),
    (r"dispatcher \d[\w.+]*", "dispatcher VERSION"),
    (r"─{3,}", "───"),
    (r"[\d.]+ [kM]?B\b", "SIZE"),
    (r'"bytes":\d{4,}', '"bytes":SIZE'),
)


class Done:
    """A process that has ended: what it said, and its exit code."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    def __repr__(self) -> str:
        return f"exit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"

    def lines(self) -> list[Any]:
        """Standard output as JSON lines."""
        return [json.loads(line) for line in self.out.splitlines()]


def heed_signals() -> None:
    """As started from a terminal, whatever these tests are started from (a background job ignores Ctrl-C)."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_DFL)


class Work:
    """A directory in which commands are run, with one work_base `runs`."""

    def __init__(self, path: Path) -> None:
        self.path, self.local = path, path / "runs"
        self.local.mkdir(parents=True)
        self._live: list[subprocess.Popen[str]] = []

    # -- what is asked ------------------------------------------------------------------------------------------

    def prepare(self, *commands: str, name: str = "submission.json", **machine: Any) -> Path:
        """A submission file with a task for each command, one a job unless group_size says more."""
        size = machine.pop("group_size", 1)
        tasks = [{"command": command, "task_work_path": f"t{nth}"} for nth, command in enumerate(commands)]
        for task in tasks:
            (self.local / task["task_work_path"]).mkdir(exist_ok=True)
        place = {"batch_type": "Shell", "context_type": "LazyLocal", "local_root": "./", "retry_count": 0}
        requested = {
            "work_base": "runs",
            "machine": {**place, **machine},
            "resources": {"group_size": size},
            "task_list": tasks,
        }
        path = self.path / name
        path.write_text(json.dumps(requested))
        return path

    # -- running ------------------------------------------------------------------------------------------------

    def run(self, *words: str, stdin: str = "", **environment: str) -> Done:
        """Run a command to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "dispatcher", *words],
            cwd=self.path,
            env=_environment(environment),
            capture_output=True,
            text=True,
            timeout=600,
            input=stdin,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command in a session of its own, so that a signal reaches it alone."""
        process = subprocess.Popen(
            [sys.executable, "-m", "dispatcher", *words],
            cwd=self.path,
            env=_environment({}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=heed_signals,
        )
        self._live.append(process)
        return process

    def ended(self, process: subprocess.Popen[str]) -> Done:
        """Wait for a started command."""
        out, err = process.communicate(timeout=600)
        return Done(process.returncode, out, err)

    def await_records(self, kind: str, times: int = 1) -> None:
        """Until the journal holds so many records of a kind."""
        self.await_that(lambda: self.text().count(f'"k":"{kind}"') >= times, f"{times} records of kind {kind}")

    def await_that(self, wanted: Callable[[], bool], what: str = "it") -> None:
        """Until something is so; a loaded machine is given time. A file that is not there yet is not so yet."""

        def is_so() -> bool:
            with suppress(FileNotFoundError):
                return wanted()
            return False

        end = time.monotonic() + 300
        while not is_so():
            assert time.monotonic() < end, f"waited in vain for {what}:\n{self.text()[-3000:]}"
            time.sleep(0.05)

    def stop_all(self) -> None:
        """End what a failing test left behind."""
        for process in self._live:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    # -- what is there ------------------------------------------------------------------------------------------

    @property
    def journal(self) -> Path:
        """The journal of the only submission."""
        (found,) = self.local.glob(".dispatcher/*/journal")
        return found

    def text(self) -> str:
        """All segments of the journal."""
        return "".join(path.read_text() for path in sorted(self.local.glob(".dispatcher/*/journal/*.jsonl")))


def _environment(extra: dict[str, str]) -> dict[str, str]:
    stored = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "TERM")}
    return {**stored, "PYTHONIOENCODING": "utf-8", "TZ": "UTC", **extra}


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    """A fresh work directory."""
    made = Work(tmp_path / "w")
    yield made
    made.stop_all()


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """A journal of two runs that holds every kind of record, always the same; only to be read."""
    made = Work(tmp_path_factory.mktemp("told") / "w")
    path = made.local / ".dispatcher" / ("ab" * 20) / "journal"
    clock = itertools.count(1_790_000_000).__next__
    for nth, run in enumerate(story(str(made.local))):
        with Journal.open(path, ev.Event, application="dispatcher 0.1.0", clock=clock, session=f"run{nth}") as log:
            for event in run:
                log.append(event)
                log.commit()
    return made


RESOURCES = {"number_node": 1, "cpu_per_node": 4, "gpu_per_node": 0, "queue_name": "", "group_size": 2}
A, B, C = "a1" * 20, "b2" * 20, "c3" * 20


def story(local: str) -> Iterator[list[Any]]:
    """Two runs of three jobs: one finishes, one fails, one is preempted, cancelled and refused."""
    tasks = tuple(TaskSpec(command, f"t{nth}") for nth, command in enumerate(("true", "lmp -i in", "sleep 9", "true")))
    machine = {"batch_type": "Slurm", "context_type": "SSHContext", "local_root": "./", "remote_root": "/scratch/me"}
    machine |= {"retry_count": 1}
    failed = ev.Cause(
        ev.CauseKind.task, "a task failed", code=3, task=1, stderr="\x1b[31moh no\x1b[0m\nsecond line", node="n7"
    )
    yield [
        ev.Opened("ab" * 20, "cd" * 20, "runs", machine, RESOURCES, local),
        ev.Planned(A, (0, 1), tasks[:2]),
        ev.Planned(B, (2,), tasks[2:3]),
        ev.Planned(C, (3,), tasks[3:]),
        ev.Staged(12, 3_400_000),
        *(ev.Submitting(job, 1, f"d{'abc'[nth] * 11}") for nth, job in enumerate((A, B, C))),
        ev.Submitted(A, "4211"),
        ev.Submitted(B, "4212", "receipt"),
        ev.Deferred(C, "QOSMaxSubmitJobPerUserLimit"),
        ev.Running(A, "n7"),
        ev.Running(B, "n8"),
        ev.Waiting(B, "requeued"),
        ev.Terminated(A, failed, ((0, 0, 5.0), (1, 3, 6.0))),
        ev.Retried(A),
        ev.Note("no good answer: Unable to contact slurm controller (connect failure)"),
    ]
    yield [
        ev.Submitting(C, 1, "d" + "c" * 11),
        ev.NotFound(C, "no receipt, no claim, not in the queue"),
        ev.Submitting(C, 1, "d" + "c" * 11),
        ev.Rejected(C, ev.Cause(ev.CauseKind.rejected, "Invalid account or account/partition combination specified")),
        ev.Submitting(A, 2, "d" + "f" * 11),
        ev.Submitted(A, "4300"),
        ev.OwnerChanged(A, "4301", "holds the claim; 4300 was recorded"),
        ev.Stopping(B, ev.CauseKind.cancelled),
        ev.Terminated(B, ev.Cause(ev.CauseKind.cancelled, "killed by the dispatcher")),
        ev.Finished(A, ((1, 0, 9.0),)),
        ev.Delivered((A,), 2, 812, ("t1/out.nc",)),
        ev.Concluded("failed", 2),
    ]


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Compare with a golden file after what differs from run to run was replaced."""

    def compare(name: str, text: str, *paths: Path) -> None:
        seen = normal(text, *paths)
        file = GOLDEN / f"{name}.txt"
        if request.config.getoption("--golden"):
            file.parent.mkdir(exist_ok=True)
            file.write_text(seen)
        assert file.exists() and seen == file.read_text(), (
            f"{file} differs; if the new text is right, accept it with: make golden\n{seen}"
        )

    return compare


def normal(text: str, *paths: Path) -> str:
    """The text without times, hosts, pids, nonces, hashes and temporary paths."""
    for path in paths:
        text = text.replace(str(path), "WORK")
    for pattern, name in _NORMAL:
        text = re.sub(pattern, name, text)
    return text
