"""The command line as a whole: help, mistakes, exit codes, lost output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dispatcher.cli import VERBS, main
from dispatcher.core.printable import harmless


def test_without_a_verb_there_is_help(work: Any) -> None:
    done = work.run()
    assert (done.code, done.err) == (0, "")
    assert all(verb in done.out for verb in VERBS)


def test_help_loads_nothing_heavy(work: Any) -> None:
    code = (
        "import sys; from dispatcher.cli import main; main(['--help']); "
        "print(sorted({'msgspec', 'rich', 'yaml', 'dargs', 'transitions', 'journal', 'paramiko'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=work.path, check=True)
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    said = capsys.readouterr().out
    assert "examples:" in said
    assert f"dispatcher {verb}" in said


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("dispatcher ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["submit"], "the following arguments are required: FILE (see dispatcher submit --help)"),
        (["replay", "x", "--format", "xml"], "invalid choice: 'xml'"),
        (["replay", "nowhere"], "nowhere: there is no such directory"),
        (["replay", "abcdef12"], "no journal with the hash abcdef12"),
        (["schedulers", "--table", "Slrum"], "did you mean 'Slurm'?"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    said = capsys.readouterr()
    assert said.err.startswith("dispatcher: error: ")
    assert message in said.err
    assert (said.err.count("\n"), said.out) == (1, "")


def test_a_bug_says_so_and_shows_where_only_when_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("dispatcher.schedulers.BUILTIN", None)
    assert main(["schedulers"]) == 70
    said = capsys.readouterr().err
    assert said.startswith("dispatcher: error: this is a bug in dispatcher: TypeError: ")
    assert said.count("\n") == 1
    assert main(["schedulers", "--debug"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_a_reader_that_goes_away_is_no_mistake(reported: Any) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "dispatcher", "replay", "runs"],
        cwd=reported.path,
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_harm_nothing(reported: Any, closed: str) -> None:
    before = reported.text()
    command = f'"$1" -m dispatcher verify runs {closed}'
    done = subprocess.run(
        ["sh", "-c", command, "sh", sys.executable], cwd=reported.path, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert reported.text() == before


def test_a_journals_warnings_leave_no_words_of_the_logging_module(work: Any) -> None:
    work.prepare("true")
    assert work.run("submit", "submission.json", "--dry-run").code == 0
    (work.journal / "LOCK.holder").mkdir()  # cannot be written, which is warned of
    done = work.run("submit", "submission.json")
    assert (done.code, done.err) == (0, "")


def test_a_full_disk_behind_stdout_is_said(reported: Any) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "dispatcher", "status", "runs"],
            cwd=reported.path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "dispatcher: error: standard output cannot be written: No space left on device\n"


def test_without_utf8_the_lines_are_ascii(reported: Any) -> None:
    done = reported.run("replay", "runs", PYTHONIOENCODING="ascii")
    assert done.code == 0
    assert "unsubmitted -> waiting" in done.out
    assert done.out.isascii()


def test_what_a_job_wrote_cannot_speak_to_the_terminal() -> None:
    assert harmless("a\x1b[31mb\x00\tc\nd\x9b") == "a?[31mb?\tc\nd?"


def test_schedulers_are_listed_and_shell_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schedulers"]) == 0
    assert capsys.readouterr().out.startswith("Shell\nSlurm\nSlurmJobArray\n")
    assert main(["schedulers", "--table", "shell"]) == 0
    assert "R             running\n" in capsys.readouterr().out


def test_a_working_directory_that_was_removed_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / "t0").mkdir()
    machine = {"batch_type": "Shell", "context_type": "LazyLocal", "local_root": "./"}
    task = {"command": "true", "task_work_path": "t0"}
    asked = {"work_base": "w", "machine": machine, "resources": {"group_size": 1}, "task_list": [task]}
    (tmp_path / "s.json").write_text(json.dumps(asked))
    before, gone = Path.cwd(), tmp_path / "gone"
    gone.mkdir()
    os.chdir(gone)
    try:
        gone.rmdir()
        assert main(["submit", str(tmp_path / "s.json")]) == 2
    finally:
        os.chdir(before)
    assert "the directory this was started in is not there any more; change into one that is" in capsys.readouterr().err
