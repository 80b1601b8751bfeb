"""A batch system from outside is one file and one entry point: registry, schema, check and script know it at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FLUX = '''
"""Flux, as a package of its own would bring it."""
from dispatcher.core.keys import optional
from dispatcher.schedulers import limits
from dispatcher.schedulers.command_line import CommandDialect

class FluxDialect(CommandDialect):
    name = "Flux"
    native_id = "${FLUX_JOB_ID:-none}"
    kwargs = (limits.WALLTIME, limits.JOB_NAME, optional("bank", str, "Bank that is charged."))

    def header(self, resources, name, log, elements):
        limit, bank = limits.seconds(resources), resources.kwargs.get("bank")
        lines = [f"-N {resources.number_node}", f"--job-name={name}"]
        lines += [f"-t {limit}s"] if limit else []
        lines += [f"--bank={bank}"] if bank else []
        return [f"#flux: {line}" for line in lines]
'''


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The file and the entry, as an installed distribution has them."""
    (tmp_path / "flux_dialect.py").write_text(FLUX)
    (tmp_path / "flux_dialect-1.dist-info").mkdir()
    (tmp_path / "flux_dialect-1.dist-info" / "METADATA").write_text("Name: flux-dialect\nVersion: 1\n")
    (tmp_path / "flux_dialect-1.dist-info" / "entry_points.txt").write_text(
        "[dispatcher.schedulers]\nFlux = flux_dialect:FluxDialect\n"
    )
    return tmp_path


def submit(top: Path, **kwargs: object) -> subprocess.CompletedProcess[str]:
    (top / "w" / "t0").mkdir(parents=True, exist_ok=True)
    machine = {"batch_type": "Flux", "context_type": "LazyLocal", "local_root": "./"}
    task = {"command": "true", "task_work_path": "t0"}
    data = {"work_base": "w", "machine": machine, "resources": {"group_size": 1, "kwargs": kwargs}, "task_list": [task]}
    (top / "s.json").write_text(json.dumps(data))
    path = os.pathsep.join([str(top), str(Path(__file__).parents[2])])
    return subprocess.run(
        [sys.executable, "-m", "dispatcher", "submit", "s.json", "--dry-run"],
        cwd=top,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def test_its_scripts_are_made(package: Path) -> None:
    done = submit(package, walltime="2h", bank="lab")
    assert done.returncode == 0, done.stderr
    (script,) = package.glob("w/.dispatcher/*/dry-run/*.sub")
    assert {"#flux: -t 7200s", "#flux: --bank=lab"} <= set(script.read_text().splitlines())


def test_its_keys_are_checked(package: Path) -> None:
    done = submit(package, bnak="lab")
    assert (done.returncode, "did you mean 'bank'?" in done.stderr) == (2, True)
