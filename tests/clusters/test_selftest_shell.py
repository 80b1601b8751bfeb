"""`dispatcher selftest` on this machine: its dispatcher is killed again and again, nothing twice, nothing lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize("context", ["LazyLocal", "Local"])
def test_shell_holds_under_chaos(tmp_path: Path, context: str, full: bool) -> None:
    kills = 20 if full else 8
    machine = {"batch_type": "Shell", "context_type": context, "local_root": "./", "remote_root": "far"}
    (tmp_path / "machine.json").write_text(json.dumps(machine))
    (tmp_path / "resources.json").write_text(json.dumps({"group_size": 2}))
    words = ["--machine", "machine.json", "--resources", "resources.json", "--check-interval", "2", "--json"]
    command = [sys.executable, "-m", "dispatcher", "selftest", "--chaos", str(kills), "--tasks", "8", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    print(done.stdout, done.stderr)
    told = json.loads(done.stdout)
    assert (done.returncode, told["verdict"], told["kills"]) == (0, "passed", kills)
    assert (told["twice"], told["lost"]) == (0, 0)
    assert told["accepted"] == told["run"] == told["tasks"]
