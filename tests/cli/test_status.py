"""`dispatcher status`: where submissions stand, and what to type next."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from dispatcher.cli import main
from dispatcher.cli.find import journals_of
from dispatcher.core.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec
from dispatcher.run.session import open_session

pytestmark = pytest.mark.slow


def test_one_submission(reported: Any, golden: Any) -> None:
    done = reported.run("status", "runs")
    assert (done.code, done.err) == (0, "")
    golden("status-failed", done.out, reported.path)
    assert "\x1b" not in done.out


def test_json(reported: Any) -> None:
    (found,) = reported.run("status", "--json").lines()
    assert (found["outcome"], found["done"], found["tasks"], found["holder"]) == ("failed", 2, 4, "")
    assert {job["cause"]["kind"] for job in found["failed"]} == {"cancelled", "rejected"}


def test_many_submissions_below_a_directory(reported: Any, work: Any) -> None:
    for name in ("one", "two"):
        shutil.copytree(reported.local / ".dispatcher", work.path / "deep" / name / ".dispatcher")
    done = work.run("status")
    assert (done.code, done.out.count("submission  ")) == (0, 2)
    assert "dispatcher replay deep/one" in done.out


def test_a_damaged_one_does_not_hide_the_others(reported: Any, work: Any) -> None:
    for name in ("one", "two"):
        shutil.copytree(reported.local / ".dispatcher", work.path / name / ".dispatcher")
    (segment,) = (work.path / "one").glob(".dispatcher/*/journal/00000001.jsonl")
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(bytes(data))
    done = work.run("status")
    assert (done.code, done.out.count("submission  ")) == (4, 2)
    assert "next          dispatcher verify one\n" in done.out


def test_who_is_at_work(work: Any) -> None:
    work.prepare("until [ -e go ]; do sleep 0.1; done")
    process = work.start("submit", "submission.json")
    work.await_records("running")
    done = work.run("status")
    assert f"at work       process {process.pid} on " in done.out
    assert "running       since " in done.out
    assert "next          dispatcher replay --follow runs\n" in done.out
    process.kill()
    work.ended(process)
    assert "at work" not in work.run("status").out
    (work.local / "t0/go").touch()
    assert work.run("submit", "submission.json").code == 0
    assert "next          nothing is left to do" in work.run("status").out


def test_what_is_closed_to_us_is_not_said_to_be_absent(reported: Any) -> None:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        shutil.copytree(reported.local / ".dispatcher", f"{place}/.dispatcher")
        Path(place, ".dispatcher").chmod(0)
        code = (
            "import os, sys, dispatcher.cli.find as find\n"
            "if not os.geteuid(): os.setuid(65534)\n"
            "try: find.journals_of(sys.argv[1])\n"
            "except find.ConfigError as error: print(error)"
        )
        done = subprocess.run([sys.executable, "-c", code, place], capture_output=True, text=True, check=True)
        Path(place, ".dispatcher").chmod(0o700)
    assert f"{place}/.dispatcher is closed to you" in done.stdout


def test_the_search_skips_links_hidden_and_huge_directories(reported: Any, work: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("dispatcher.cli.find.HUGE", 5)
    for name in (".hidden", "huge/x", "seen"):
        shutil.copytree(reported.local / ".dispatcher", work.path / name / ".dispatcher")
    for nth in range(5):
        (work.path / "huge" / f"data{nth}").touch()
    (work.path / "seen/link").symlink_to(work.path / ".hidden")
    assert [path.parents[2].name for path in journals_of(str(work.path))] == ["seen"]


def test_where_things_are_now_and_what_is_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "w/t0").mkdir(parents=True)
    machine = MachineSpec("Shell", "LazyLocal", str(tmp_path))
    task = TaskSpec("echo 1 > out", "t0", (), ("out",))
    with open_session(SubmissionSpec("w", machine, ResourcesSpec(1, 1, 0, "", 1), (task,)), {}) as session:
        session.run(check_interval=0.2)
    (tmp_path / "w").rename(tmp_path / "moved")
    assert main(["status", str(tmp_path / "moved")]) == 0
    told = capsys.readouterr().out
    assert f"where         {tmp_path / 'moved'}\n" in told and "gone" not in told
    (tmp_path / "moved/t0/out").unlink()
    assert main(["status", str(tmp_path / "moved")]) == 0
    told = capsys.readouterr().out
    assert "gone          1 result deleted here: t0/out\n" in told and "--rerun-missing" in told
