"""Texts that break off: a shell that is fed through a pipe (as over SSH) must run all of a text or none of it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dispatcher.contexts.local import shell_call
from dispatcher.contexts.local.shell_call import first_line, run, wrapped
from dispatcher.core.errors import Unreachable
from dispatcher.core.ports import ShellText

TEXT = "touch a\ncat > b <<'E'\n}\n$x {\nE\nif true; then touch c; fi # end"
SHELLS = [shell for shell in ("sh", "dash", "bash") if shutil.which(shell)]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_text_that_breaks_off_never_runs_in_part(tmp_path: Path, shell: str) -> None:
    whole = wrapped(TEXT)
    for end in range(len(whole) + 1):
        run = tmp_path / str(end)
        run.mkdir()
        subprocess.run([shell], input=whole[:end].encode(), cwd=run, capture_output=True, check=False)
        made = sorted(path.name for path in run.iterdir())
        assert made == (["a", "b", "c"] if whole[:end].rstrip("\n") == whole.rstrip("\n") else []), whole[:end]


def test_time_out_ends_what_the_text_started(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"no answer within 0\.5 s from: sh -c"):
        run(ShellText("sh -c 'echo $$ > pid; sleep 60; touch late'", timeout=0.5), tmp_path)
    pid = int((tmp_path / "pid").read_text())
    for _ in range(100):
        if not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text():
            break
        time.sleep(0.05)
    else:
        pytest.fail(f"process {pid} lives on")


def test_time_out_holds_although_a_child_escaped_with_the_output(tmp_path: Path) -> None:
    escape = f"{sys.executable} -c 'import os, time; os.setsid(); print(os.getpid(), flush=True); time.sleep(20)'"
    begin = time.monotonic()
    with pytest.raises(Unreachable):
        run(ShellText(f"{escape} | tee pid & sleep 60", timeout=1.5), tmp_path)
    assert time.monotonic() - begin < 10
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


@pytest.mark.parametrize("end", ["", ">&2"])
def test_an_answer_without_an_end_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    monkeypatch.setattr(shell_call, "MAX_ANSWER", 1 << 20)
    with pytest.raises(Unreachable, match="more than 1048576 bytes, the limit of an answer, came from: yes"):
        run(ShellText(f"yes {end}", timeout=60), tmp_path)


def test_an_answer_is_whole_although_its_output_was_closed(tmp_path: Path) -> None:
    reply = run(ShellText("echo a; exec >&- 2>&-; sleep 0.3; exit 7"), tmp_path)
    assert (reply.code, reply.out) == (7, "a\n")


def test_control_c_does_not_reach_the_command(tmp_path: Path) -> None:
    reported = run(
        ShellText(f"{sys.executable} -c 'import os; print(os.getpgrp(), os.getsid(0))'"), tmp_path
    ).out.split()
    assert (len(reported), reported[0] == str(os.getpgrp()), reported[1] == str(os.getsid(0))) == (2, False, False)


def test_directory_that_is_gone_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match=r"cannot start sh in .*/gone: No such file or directory"):
        run(ShellText("true"), tmp_path / "gone")


def test_environment_is_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPATCHER_TEST", "a b")
    assert run(ShellText('echo "$DISPATCHER_TEST"'), tmp_path).out == "a b\n"


@pytest.mark.parametrize(
    ("text", "line"), [("", ""), ("\n  \n a b \nc", "a b"), ("x" * 300, "x" * 100), ("one", "one")]
)
def test_first_line(text: str, line: str) -> None:
    assert first_line(text) == line
