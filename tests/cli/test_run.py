"""`dispatcher run`: scripts that say in their head how they are run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dispatcher.cli.run import completed, metadata
from dispatcher.errors import ConfigError, InputMissing

pytestmark = pytest.mark.slow

HEAD = """\
# /// script
# requires-python = ">=3"
# [tool.{table}]
# work_base = "runs"
# [tool.{table}.machine]
# batch_type = "Shell"
# context_type = "LazyLocal"
# local_root = "./"
# [tool.{table}.resources]
# group_size = 1
# [[tool.{table}.task_list]]
# task_work_path = "case-*"
# command = "python3"
# ///
"""
BODY = "import os, sys\nopen('ran', 'a').write(os.path.basename(sys.argv[0]) + '\\n')\n"


def test_a_script_runs_in_every_directory_that_matches(work: Any) -> None:
    for name in ("case-1", "case-2", "other"):
        (work.near / name).mkdir()
    (work.path / "job.py").write_text(HEAD.format(table="dispatcher") + BODY)
    done = work.run("run", "job.py")
    assert (done.code, done.err) == (0, "")
    (staged,) = work.near.glob("script_*.py")
    assert len(staged.stem) == len("script_") + 40
    assert [(work.near / name / "ran").read_text() for name in ("case-1", "case-2")] == [staged.name + "\n"] * 2
    assert not (work.near / "other/ran").exists()
    again = work.run("run", "job.py")
    assert again.code == 0
    assert (work.near / "case-1/ran").read_text().count("\n") == 1


def test_a_script_that_exits_with_an_error_fails_its_job(work: Any) -> None:
    (work.near / "case-1").mkdir()
    text = HEAD.format(table="dispatcher").replace('"./"', '"./"\n# retry_count = 0')
    (work.path / "job.py").write_text(text + "raise SystemExit(5)\n")
    done = work.run("run", "job.py")
    assert (done.code, "exit code 5" in done.err) == (1, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("print(1)\n", "0 blocks"),
        (f"{HEAD}\n{HEAD}", "2 blocks"),
        ("# /// script\n# [tool.other]\n# x = 1\n# ///\n", "no table [tool.dispatcher]"),
        ("# /// script\n# [tool\n# ///\n", "not valid TOML"),
    ],
)
def test_a_head_that_is_not_right(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=r"job\.py") as caught:
        metadata(text, "job.py")
    assert message in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_the_table_of_the_manual_is_read_too() -> None:
    assert metadata(HEAD.format(table="dpdispatcher"), "job.py")["work_base"] == "runs"


def test_an_empty_comment_line_belongs_to_the_head() -> None:
    assert metadata("# /// script\n#\n# [tool.dispatcher]\n# a = 1\n# ///\n", "job.py") == {"a": 1}


def test_commands_and_common_files_get_the_script(tmp_path: Path) -> None:
    (tmp_path / "t1").mkdir()
    table = {"task_list": [{"task_work_path": "t*"}, {"task_work_path": "new", "command": "python -u"}]}
    made = completed(table, "script_ab.py", tmp_path)
    assert made["work_base"] == "./"
    assert made["forward_common_files"] == ["script_ab.py"]
    assert [(task["task_work_path"], task["command"]) for task in made["task_list"]] == [
        ("t1", 'python "$REMOTE_ROOT/script_ab.py"'),
        ("new", 'python -u "$REMOTE_ROOT/script_ab.py"'),
    ]


def test_a_pattern_that_matches_nothing_is_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputMissing, match="no directory matches 'case-\\*'") as caught:
        completed({"task_list": [{"task_work_path": "case-*"}]}, "s.py", tmp_path)
    assert isinstance(caught.value, FileNotFoundError)


def test_a_task_list_that_is_none() -> None:
    with pytest.raises(ConfigError, match="task_list"):
        completed({"task_list": {"command": "x"}}, "s.py", Path())
