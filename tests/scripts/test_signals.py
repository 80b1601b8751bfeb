"""Signals: an end that comes process by process, warnings that are passed on, and what is killed outright."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dispatcher.core.ports import JobScript
from dispatcher.schedulers.command_line import read_claim

from .test_render import Reported, claim, job, lay_out, resources, run


def started(root: Path, what: JobScript, **env: str) -> subprocess.Popen[bytes]:
    """The script, as far as its first task (which touches ../begun)."""
    script = lay_out(root, what, Reported())
    process = subprocess.Popen(["bash", str(script)], env={**os.environ, **env}, start_new_session=True)
    until((root / "begun").exists)
    return process


def until(there: Callable[[], Any]) -> Any:
    """What is waited for; the deadline is only there to end what hangs."""
    end = time.monotonic() + 60
    while not (found := there()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def program(pid: int) -> str:
    """What a process runs; "" when it has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def test_a_task_that_is_cut_short_before_the_script_is_signalled_does_not_count(tmp_path: Path) -> None:
    """`a; b`: the site kills a, the task's shell goes on to b and ends well, and only then comes our own TERM."""
    process = started(tmp_path, job(tmp_path, "touch ../begun; sleep 60; echo b"))
    (shell,) = children(process.pid)
    sleeper = until(lambda: [pid for pid in children(shell) if program(pid) == "sleep"])[0]
    os.kill(sleeper, signal.SIGTERM)
    until(lambda: "task 0 0" in (tmp_path / ".dispatcher/s/jobs/dn1.claim").read_text())
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 143
    assert claim(tmp_path).ended is None, "what becomes of the job is the batch system's to say"
    assert [task[:2] for task in claim(tmp_path).tasks if not task[1]] == []


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "QUIT"])
def test_after_a_signal_no_success_counts_and_nothing_is_started(tmp_path: Path, name: str) -> None:
    handler = "trap 'touch ../told' TERM; touch ../begun; until [ -e ../told ]; do sleep 0.05; done"
    process = started(tmp_path, job(tmp_path, handler, "touch ../second"))
    process.send_signal(getattr(signal, f"SIG{name}"))
    if name in ("INT", "QUIT"):  # shells in the background ignore these
        (tmp_path / "told").touch()
    if name == "HUP":
        (tmp_path / "told").touch()
    assert process.wait(60) == 143
    assert (claim(tmp_path).ended, [task[:2] for task in claim(tmp_path).tasks]) == (None, [(0, 143)])
    assert not (tmp_path / "second").exists()


def test_successes_before_the_last_seconds_are_kept() -> None:
    tasks = [
        "task 0 0 100 .",
        "task 1 0 196 .",
        "task 2 3 197 .",
        "signal TERM 200 .",
        "task 3 0 203 .",
    ]
    found = read_claim(["claim 1 0 n 2 3", *tasks])
    assert found is not None
    assert ([task[:2] for task in found.tasks], found.lines) == ([(0, 0), (2, 3)], 5)


def test_a_later_life_distrusts_the_same_ones(tmp_path: Path) -> None:
    what = job(tmp_path, "echo 0 >> ../ran", "echo 1 >> ../ran")
    path = lay_out(tmp_path, what, Reported()).with_suffix(".claim")
    path.write_text("claim 11 0 n 2 3\ntask 0 0 100 .\ntask 1 0 198 .\nsignal TERM 200 .\n")
    assert run(tmp_path, what, NATIVE="11", LIVES="1").returncode == 0
    assert (tmp_path / "ran").read_text() == "1\n"


@pytest.mark.parametrize("name", ["USR1", "USR2", "XCPU"])
def test_a_warning_reaches_the_task_that_waits_for_it_and_is_no_failure(tmp_path: Path, name: str) -> None:
    program = (
        f"import signal,time,pathlib as p; signal.signal(signal.SIG{name}, lambda *_: p.Path('../warned').touch());"
        " p.Path('../begun').touch()\nwhile not p.Path('../warned').exists(): time.sleep(0.02)"
    )
    (tmp_path / "w.py").write_text(program)
    process = started(tmp_path, job(tmp_path, "python3 ../w.py", "sleep 0.5; echo unmoved", spec=resources(para_deg=2)))
    process.send_signal(getattr(signal, f"SIG{name}"))
    assert process.wait(60) == 0
    assert (tmp_path / "warned").exists()
    assert (tmp_path / "t1/log").read_text() == "unmoved\n"


def test_what_the_users_lines_trap_is_theirs_too(tmp_path: Path) -> None:
    spec = resources(prepend_script=("trap 'touch theirs' USR1", "trap 'touch left' EXIT"))
    process = started(tmp_path, job(tmp_path, "touch ../begun; until [ -e ../theirs ]; do sleep 0.05; done", spec=spec))
    process.send_signal(signal.SIGUSR1)
    assert process.wait(60) == 0
    assert (tmp_path / "left").exists()
    assert claim(tmp_path).ended == 0


def test_a_result_outlives_the_main_shell(tmp_path: Path) -> None:
    """The leader is killed by hand; its task goes on, and says itself that it has ended."""
    process = started(tmp_path, job(tmp_path, "touch ../begun; until [ -e ../go ]; do sleep 0.05; done"))
    process.kill()
    process.wait()
    (tmp_path / "go").touch()
    until(lambda: claim(tmp_path).tasks)
    assert claim(tmp_path).tasks[0][:2] == (0, 0)


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("exit 3", 3),
        ("exec bash -c 'exit 4'", 4),
        (". ./quiet", 5),
        ("trap 'echo mine' EXIT; exit 6", 6),
        ("kill -KILL $BASHPID", 137),
        ("kill -TERM $BASHPID; sleep 5", 143),
        ("kill -USR1 $BASHPID; true", 0),
        ("return 7", 7),
        ("set -e; false; true", 1),
    ],
)
def test_however_a_task_ends_its_code_is_told(tmp_path: Path, command: str, code: int) -> None:
    (tmp_path / "t0").mkdir()
    (tmp_path / "t0/quiet").write_text("exec bash -c 'exit 5'\n")
    run(tmp_path, job(tmp_path, command, "true"))
    assert [task[:2] for task in sorted(claim(tmp_path).tasks)] == [(0, code), (1, 0)]


def test_a_claim_that_was_purged_under_a_running_job_is_put_back(tmp_path: Path) -> None:
    process = started(tmp_path, job(tmp_path, "touch ../begun; until [ -e ../go ]; do sleep 0.05; done", "true"))
    for path in (tmp_path / ".dispatcher/s/jobs").iterdir():
        path.unlink()
    (tmp_path / ".dispatcher/s/jobs").rmdir()
    (tmp_path / "go").touch()
    assert process.wait(60) == 0
    assert (sorted(task[:2] for task in claim(tmp_path).tasks), claim(tmp_path).ended) == ([(0, 0), (1, 0)], 0)
