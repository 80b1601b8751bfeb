"""`dispatcher report` and `dispatcher metrics`: a page and a text from a journal alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A run of two tasks, of which one fails."""
    for name, text in (("a", "true"), ("b", "exit 3")):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / f"{name}.json").write_text(text)
    (tmp_path / "submission.json").write_text(
        '{"work_base": "runs", "resources": {"group_size": 1}, "machine": {"batch_type": "Shell", '
        '"context_type": "LazyLocal", "local_root": "./", "retry_count": 0}, "task_list": ['
        '{"command": "true", "task_work_path": "a"}, {"command": "exit 3", "task_work_path": "b"}]}'
    )
    assert dispatcher(tmp_path, "submit", "submission.json", "--check-interval", "1").returncode == 1
    return tmp_path


def dispatcher(where: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dispatcher", *words]
    return subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=120, check=False)


def test_the_page_is_written(runs: Path) -> None:
    done = dispatcher(runs, "report", "runs", "-o", "page.html")
    assert done.returncode == 0 and done.stdout.startswith("page.html: "), done
    text = (runs / "page.html").read_text()
    assert text.startswith("<!doctype html>") and "exit code 3" in text and "Shell behind LazyLocal" in text


def test_a_copied_journal_will_do(runs: Path, tmp_path: Path) -> None:
    [segment] = (runs / "runs").glob(".dispatcher/*/journal/00000001.jsonl")
    (runs / "copied").write_bytes(segment.read_bytes())
    assert dispatcher(runs, "report", "copied").returncode == 0
    assert (runs / "report.html").exists()


def test_metrics_of_all_that_lie_here(runs: Path) -> None:
    done = dispatcher(runs, "metrics", "runs")
    assert done.returncode == 0 and done.stdout.endswith("# EOF\n"), done
    assert 'state="finished"} 1' in done.stdout and 'outcome="task"} 1' in done.stdout
