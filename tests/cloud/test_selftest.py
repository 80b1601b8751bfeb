"""`dispatcher selftest` on both clouds: a few kills, nothing twice, nothing lost; the server's own record agrees."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import Cloud

pytestmark = pytest.mark.slow

KILLS = 6
#: Read by every dispatcher that is started: this server lists at once, so a job that is missing is missing.
SHORT_GRACE = "from dispatcher.schedulers.cloud import CloudQueue\nCloudQueue.grace = 0.8\n"


@pytest.mark.timeout(600)
def test_holds_under_chaos(cloud: Cloud, kind: str, tmp_path: Path) -> None:
    machine = {"batch_type": kind, "context_type": kind, "local_root": "./", "remote_profile": cloud.profile(kind)}
    resources = {"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 0, "queue_name": "", "group_size": 1}
    for name, told in (("machine", machine), ("resources", resources)):
        (tmp_path / f"{name}.json").write_text(json.dumps(told))
    (tmp_path / "short").mkdir()
    (tmp_path / "short" / "sitecustomize.py").write_text(SHORT_GRACE)
    words = ["--machine", "machine.json", "--resources", "resources.json", "--chaos", str(KILLS), "--tasks", "6"]
    done = subprocess.run(
        [sys.executable, "-m", "dispatcher", "selftest", *words, "--check-interval", "1", "--json"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "short")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert (told["verdict"], told["twice"], told["lost"], told["kills"]) == ("passed", 0, 0, KILLS)
    assert told["accepted"] == told["run"] == told["tasks"]
    started = [job["name"] for job in cloud.told()["jobs"] if job["starts"]]
    assert len(started) == len(set(started)) == told["tasks"]
    assert not list(tmp_path.glob("dispatcher-selftest-*"))
