"""kill -9 in the middle of a submitting call: only the job that was being asked for waits, the rest is asked again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dispatcher.core import events as ev
from dispatcher.core.lifecycle import State
from dispatcher.run.store import read_history, stored_journals
from dispatcher.testing.batch import install
from journal import frames

pytestmark = pytest.mark.slow

JOBS = 5
#: The third job that is asked for hangs until it is let go.
SBATCH = """#!/bin/sh
echo "$*" >> {top}/asked
[ "$(wc -l < {top}/asked)" -ne 3 ] || until [ -e {top}/go ]; do sleep 0.1; done
exec {real} "$@"
"""


def until(happened: Callable[[], object]) -> None:
    end = time.monotonic() + 120
    while not happened():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def recorded(work: Path, kind: type[Any]) -> list[Any]:
    return [
        record
        for journal in stored_journals(work)
        for frame in frames(journal, ev.Event)
        for record in frame.records
        if isinstance(record, kind)
    ]


def test_only_the_doubtful_job_waits_and_the_late_shell_of_the_dead_asks_for_no_other(tmp_path: Path) -> None:
    kit, asked = install("slurm", tmp_path / "batch"), tmp_path / "asked"
    kit.faults(slots=JOBS)
    first = tmp_path / "bin"
    first.mkdir()
    (first / "sbatch").write_text(SBATCH.format(top=tmp_path, real=kit.bin / "sbatch"))
    (first / "sbatch").chmod(0o755)
    work = tmp_path / "local" / "w"
    tasks = [{"command": f"echo {n} >> {tmp_path}/ran", "task_work_path": f"t{n}"} for n in range(JOBS)]
    for task in tasks:
        (work / task["task_work_path"]).mkdir(parents=True)
    machine = {"batch_type": "Slurm", "context_type": "LazyLocal", "local_root": str(tmp_path / "local")}
    what = {"work_base": "w", "machine": machine, "resources": {"group_size": 1}, "task_list": tasks}
    (tmp_path / "s.json").write_text(json.dumps(what))
    env = {**os.environ, "PATH": f"{first}:{kit.path()}", "HOME": str(tmp_path)}
    command = [sys.executable, "-m", "dispatcher", "submit", str(tmp_path / "s.json"), "--check-interval", "0.5"]

    def dispatcher() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    killed = dispatcher()
    try:
        until(lambda: asked.exists() and len(asked.read_text().splitlines()) == 3)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        again = dispatcher()
        until(lambda: len(recorded(work, ev.Submitted)) == JOBS - 1)
        why = [record.why for record in recorded(work, ev.NotFound)]
        assert len(why) == JOBS - 3
        assert all("never asked" in text for text in why), why
    finally:
        (tmp_path / "go").touch()
    assert again.wait(timeout=300) == 0
    assert Counter((tmp_path / "ran").read_text().split()) == {str(n): 1 for n in range(JOBS)}
    assert [len(names) for names in (set(asked.read_text().split("\n")[:-1]), kit.jobs())] == [JOBS, JOBS]
    assert len(asked.read_text().splitlines()) == JOBS
    [journal] = stored_journals(work)
    assert {job.state for job in read_history(journal).jobs.values()} == {State.finished}
