"""Two hundred tasks, three kinds of failure: from "it failed" to the words of each in one command; what that loads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dispatcher.testing.batch import install

#: What no verb that only reads a journal needs.
HEAVY = {"paramiko", "requests", "dargs", "yaml", "rich", "textual", "jinja2", "cryptography", "transitions"}


@pytest.mark.slow
def test_each_kind_of_failure_once_with_its_words(work: Any, tmp_path: Path) -> None:
    site = install("slurm", tmp_path / "site")
    site.faults(slots=8)
    ways = {7: "echo no licence left >&2; exit 3", 57: "pythn run.py", 107: "echo 'diverged at step 12' >&2; exit 9"}
    commands = [ways.get(nth % 150, "true") for nth in range(200)]
    path = work.prepare(*commands, batch_type="Slurm", group_size=10)
    environment = {"PATH": f"{site.bin}{os.pathsep}{os.environ['PATH']}"}
    try:
        done = work.run("submit", str(path), "--check-interval", "1", **environment)
    finally:
        site.end()
    assert (done.code, "196 of 200 tasks done" in done.out) == (1, True), done
    told = work.run("logs").out
    blocks = [block.splitlines() for block in told.split("==> ")[1:]]
    assert len(blocks) == 3 and all(block[0].partition(" ")[0].endswith("/err") for block in blocks), told
    for words in ("no licence left", "pythn: command not found", "diverged at step 12"):
        assert sum(words in line for block in blocks for line in block[1:]) == 1, told
    (status,) = work.run("status", "--json", "--fail").lines()
    assert [one["kind"] for one in status["notices"]] == ["failure"] * 3


@pytest.mark.parametrize("words", [["--help"], ["status"], ["list"], ["logs"], ["tasks"], ["replay", "runs"]])
def test_what_only_reads_loads_nothing_heavy(reported: Any, words: list[str]) -> None:
    code = (
        "import sys, json\nfrom dispatcher.cli import main\n"
        f"main({words!r})\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=reported.path, capture_output=True, text=True, check=True)
    assert HEAVY & set(json.loads(done.stdout.splitlines()[-1])) <= ({"transitions"} if words != ["--help"] else set())
