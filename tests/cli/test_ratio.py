"""`ratio_unfinished` in real runs: the outcome does not depend on which task fails first, or on our own kill."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("group_size", "last", "retries"), [(4, 60, 0), (4, 60, 3), (4, 0, 0), (2, 0, 0), (1, 60, 0)])
def test_three_of_four_are_enough(tmp_path: Path, group_size: int, last: int, retries: int) -> None:
    for n in range(4):
        (tmp_path / f"w/{n}").mkdir(parents=True)
    tasks = [{"command": "true", "task_work_path": str(n)} for n in range(3)]
    asked = {
        "work_base": "w",
        "machine": {"batch_type": "Shell", "context_type": "LazyLocal", "local_root": "./", "retry_count": retries},
        "resources": {"group_size": group_size, "para_deg": 4, "strategy": {"ratio_unfinished": 0.3}},
        "task_list": [*tasks, {"command": f"sleep {last}; exit 5", "task_work_path": "3"}],
    }
    (tmp_path / "submission.json").write_text(json.dumps(asked))
    command = [sys.executable, "-m", "dispatcher", "submit", "submission.json", "--check-interval", "0.5"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done
    assert "3 of 4 tasks done" in done.stdout
