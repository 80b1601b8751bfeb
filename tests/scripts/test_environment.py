"""What stands before the tasks: entries that are words, entries that would be more, and what is not there."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from dispatcher.core.errors import ConfigError
from dispatcher.scripts.environment import check, with_home

from .test_render import claim, job, resources, run


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("source_list", "/opt/setvars.sh && source activate deepmd"),
        ("source_list", "/opt/setvars.sh > /dev/null 2>&1"),
        ("source_list", "/opt/setvars.sh; source activate deepmd"),
        ("source_list", "/opt/setvars.sh || true"),
        ("source_list", "/opt/*/setvars.sh"),
        ("source_list", "$(which setvars.sh)"),
        ("source_list", '"`which setvars.sh`"'),
        ("source_list", "setvars.sh # the new one"),
        ("source_list", " "),
        ("module_list", "intel; module load vasp"),
        ("module_unload_list", "intel ${NEXT:-gcc}"),
        ("envs", "${NOSUCH:-default}"),
        ("envs", "$(date)"),
        ("envs", "`date`"),
        ("envs", "$1"),
        ("envs", None),
        ("envs", ["fine", None]),
    ],
)
def test_what_a_shell_would_do_more_with_is_refused_and_told_where_to_write_it(key: str, value: Any) -> None:
    given = {"A": value} if key == "envs" else (value,)
    with pytest.raises(ConfigError, match=rf"resources/{key}.*(prepend_script|take it out)"):
        check(resources(**{key: given}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("source_list", "~/conda/bin/activate deepmd"),
        ("source_list", "$HOME/env.sh 'a; b' \"c & d\" ${NAME}"),
        ("source_list", "'it costs $1'"),
        ("module_list", "gcc/12.2-x86_64 cuda"),
        ("envs", "~/bin:$PATH:${HOME}/x"),
        ("envs", "a;b|c>d price in $"),
        ("envs", 4),
        ("envs", ["a", "b"]),
    ],
)
def test_plain_words_are_taken(key: str, value: Any) -> None:
    check(resources(**{key: {"A": value} if key == "envs" else (value,)}))


@pytest.mark.parametrize(
    ("value", "shown"),
    [("~", "/home"), ("~/bin:/x:~/y", "/home/bin:/x:/home/y"), ("a~/b", "a~/b"), ("~/a b:$X", "/home/a b:x"), ("", "")],
)
def test_home_is_expanded_where_bash_expands_it_in_an_assignment(value: str, shown: str) -> None:
    script = f'export V={with_home(value)}; printf %s "$V"'
    env = {"HOME": "/home", "X": "x"}
    assert subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True).stdout == shown


def test_what_is_missing_is_noted_and_named_when_a_task_fails(tmp_path: Path) -> None:
    spec = resources(source_list=("./nosuch.sh x",), module_list=("vasp",))
    done = run(tmp_path, job(tmp_path, "exit 3", spec=spec), PATH="/usr/bin:/bin")
    assert done.returncode == 1
    module, source = claim(tmp_path).notes
    assert source.startswith("source_list: ./nosuch.sh: no such file on ")
    assert module.startswith("module_list: load vasp: there is no command module in a job's shell on ")


def test_a_module_that_is_not_there_is_noted_with_its_exit_code(tmp_path: Path) -> None:
    spec = resources(module_list=("vasp",))
    (tmp_path / "profile").write_text('module() { [ "$2" != vasp ]; }\n')
    run(tmp_path, job(tmp_path, "true", spec=spec), BASH_ENV=str(tmp_path / "profile"))
    assert claim(tmp_path).notes[0].startswith("module_list: module load vasp: exit code 1 on ")
    assert claim(tmp_path).ended == 0


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ({"outlog": "logs/out"}, "outlog: logs/out: there is no directory logs in t0"),
        ({"errlog": "logs/err"}, "errlog: logs/err: there is no directory logs in t0"),
    ],
)
def test_a_missing_directory_of_a_log_is_named(tmp_path: Path, task: dict[str, str], said: str) -> None:
    run(tmp_path, job(tmp_path, "touch ran", **task))
    assert (claim(tmp_path).tasks[0][:2], claim(tmp_path).stderr) == ((0, 98), {0: said})
    assert not (tmp_path / "t0/ran").exists()


@pytest.mark.parametrize(
    ("what", "step"),
    [
        ({"prepend_script": ("exit 3",)}, "prepend_script, with exit code 3"),
        ({"prepend_script": ("set -e", "false")}, "prepend_script, with exit code 1"),
        ({"prepend_script": ("if then",)}, "prepend_script, with exit code 2"),
        ({"source_list": ("./leaves.sh",)}, "source_list: ./leaves.sh, with exit code 0"),
    ],
)
def test_a_script_that_is_left_before_its_tasks_says_where(tmp_path: Path, what: dict[str, Any], step: str) -> None:
    (tmp_path / "leaves.sh").write_text("exit\n")
    run(tmp_path, job(tmp_path, "touch ../ran", spec=resources(**what)))
    assert claim(tmp_path).notes == (f"the script ended in {step}, before its tasks: something there exits or fails",)
    assert (claim(tmp_path).ended, claim(tmp_path).tasks) == (1, ())
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "profile",
    [
        "set -euf; IFS=x",
        "shopt -s expand_aliases nocasematch; alias printf=false read=false cd=false rm='rm -i'",
        "cd() { false; }; printf() { false; }; read() { false; }; kill() { false; }; wait() { false; }",
        "enable -n printf read kill wait trap test [",
        "echo noise; echo more noise >&2",
        "trap 'echo theirs' EXIT; PS4=x; set -x",
        "export CDPATH=/ GREP_OPTIONS=--color=always POSIXLY_CORRECT=1",
    ],
)
def test_profiles_that_stand_in_the_way_are_survived(tmp_path: Path, profile: str) -> None:
    (tmp_path / "profile").write_text(f"{profile}\n")
    done = run(tmp_path, job(tmp_path, "pwd", "exit 3"), BASH_ENV=str(tmp_path / "profile"))
    assert done.returncode == 1
    assert [task[:2] for task in sorted(claim(tmp_path).tasks)] == [(0, 0), (1, 3)]
    assert (tmp_path / "t0/log").read_text().endswith(f"{tmp_path}/t0\n")


def test_a_profile_that_disables_what_enables_is_named(tmp_path: Path) -> None:
    (tmp_path / "profile").write_text("enable -n enable printf\n")
    done = run(tmp_path, job(tmp_path, "true"), BASH_ENV=str(tmp_path / "profile"))
    assert done.returncode == 92
    assert "has disabled commands of bash" in done.stderr


def test_only_what_this_attempt_wrote_to_stderr_counts(tmp_path: Path) -> None:
    (tmp_path / "t0").mkdir()
    (tmp_path / "t0/err").write_text("ERROR: of last month\n")
    run(tmp_path, job(tmp_path, "exit 3", "echo mine >&2; exit 4"))
    assert claim(tmp_path).stderr == {1: "mine"}


def test_the_end_of_the_scripts_own_output_stands_in_the_claim(tmp_path: Path) -> None:
    from .test_render import Reported, lay_out

    script = lay_out(tmp_path, job(tmp_path, "nosuchcommand", outlog=None, errlog=None), Reported())
    with (tmp_path / "out").open("w") as out:
        subprocess.run(["bash", str(script)], stdout=out, stderr=out, check=False)
    assert "nosuchcommand: command not found" in claim(tmp_path).log
