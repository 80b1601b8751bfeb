"""Every example, run as it is, with stand-ins of its batch system and of its programs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatcher.run.store import read_history, stored_journals
from dispatcher.testing import batch
from tests.docs.pages import ROOT

pytestmark = pytest.mark.slow

GALLERY = ROOT / "examples"
SUBMISSIONS = sorted(path.parent.name for path in GALLERY.glob("*/submission.json"))
SITES = {"Slurm": "slurm", "PBS": "pbs"}
PROGRAMS = {
    "lmp": 'test -f ../graph.pb && test -n "$CUDA_VISIBLE_DEVICES" && cat "$2" conf.lmp > log.lammps',
    "mpirun": 'shift 2; exec "$@"',
    "vasp_std": "cat INCAR POSCAR KPOINTS POTCAR > OUTCAR; echo '<modeling/>' > vasprun.xml",
    "g16": "! grep 'does not converge' && echo Normal termination",
    "orca": 'test -d "$TMPDIR" && cat "$1"',
    "bwa": 'cat "$4" "$5"',
    "samtools": 'cat > "$3"',
}


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A PATH with the programs on it."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, body in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/sh\n{body}\n")
        (programs / name).chmod(0o755)
    path = [str(programs), str(Path(sys.executable).parent), os.environ["PATH"]]
    return {**os.environ, "PATH": os.pathsep.join(path)}


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path, env: dict[str, str]) -> Iterator[None]:
    """The batch system that the example asks for."""
    kind = json.loads((GALLERY / request.param / "submission.json").read_text())["machine"]["batch_type"]
    if kind not in SITES:
        yield
        return
    installed = batch.install(SITES[kind], tmp_path / "site")
    env["PATH"] = f"{installed.bin}{os.pathsep}{env['PATH']}"
    yield
    installed.end()


@pytest.mark.parametrize(("name", "site"), [(name, name) for name in SUBMISSIONS], indirect=["site"])
@pytest.mark.usefixtures("site")
def test_runs_to_its_end(name: str, env: dict[str, str], tmp_path: Path) -> None:
    shutil.copytree(GALLERY / name, tmp_path / name)
    command = [sys.executable, "-m", "dispatcher", "submit", "submission.json", "--check-interval", "1"]
    done = subprocess.run(command, cwd=tmp_path / name, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    requested = json.loads((tmp_path / name / "submission.json").read_text())
    work = tmp_path / name / requested["work_base"]
    [journal] = stored_journals(work)
    tasks = sum(job.done.bit_count() for job in read_history(journal).jobs.values())
    assert tasks == len([path for path in work.iterdir() if path.is_dir() and path.name != ".dispatcher"]) - (
        name == "gaussian-some-may-fail"
    )


def test_the_scan_makes_its_table(env: dict[str, str], tmp_path: Path) -> None:
    shutil.copytree(GALLERY / "parameter-scan", tmp_path / "scan")
    subprocess.run([sys.executable, "scan.py"], cwd=tmp_path / "scan", env=env, check=True, timeout=300)
    assert (tmp_path / "scan" / "scan.csv").read_text().splitlines()[-1] == "3.0,1.5,10.5"


def test_the_list_of_examples_is_whole() -> None:
    text = (GALLERY / "README.md").read_text()
    assert all(f"[{path.name}]({path.name}/" in text for path in GALLERY.iterdir() if path.is_dir())
