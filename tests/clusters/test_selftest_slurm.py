"""`dispatcher selftest` on the real Slurm: its dispatcher is killed twenty times, nothing twice, nothing lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.cluster

SIZES: dict[str, dict[str, Any]] = {"Slurm": {}, "SlurmJobArray": {"kwargs": {"slurm_job_size": 1}}}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("batch", SIZES)
def test_slurm_holds_under_chaos(slurm: Any, tmp_path: Path, batch: str) -> None:
    machine = {"batch_type": batch, "context_type": "LocalContext", "local_root": "./", "remote_root": "far"}
    resources = {"number_node": 1, "cpu_per_node": 1, "queue_name": "main", "group_size": 2, **SIZES[batch]}
    (tmp_path / "machine.json").write_text(json.dumps(machine))
    (tmp_path / "resources.json").write_text(json.dumps(resources))
    words = ["--machine", "machine.json", "--resources", "resources.json", "--check-interval", "2", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "dispatcher", "selftest", "--chaos", "20", "--tasks", "8", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    print(done.stdout, done.stderr)
    told = json.loads(done.stdout)
    assert (done.returncode, told["verdict"], told["kills"]) == (0, "passed", 20)
    assert (told["twice"], told["lost"], told["facts"]) == (0, 0, [])
    assert told["accepted"] == told["run"] == told["tasks"]
    assert not list(tmp_path.glob("dispatcher-selftest-*"))
    assert not list((tmp_path / "far").iterdir())
    assert slurm.queued() == []
