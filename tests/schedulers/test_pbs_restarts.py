"""A job that is run again by the site: the later life takes over, another job of the same attempt is turned away."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dispatcher.core.model import ResourcesSpec, TaskSpec
from dispatcher.core.ports import JobScript, Place
from dispatcher.schedulers import load
from dispatcher.schedulers.claims import read_claim
from dispatcher.scripts.render import render

ID = {"pbs": "PBS_JOBID", "torque": "PBS_JOBID", "sge": "JOB_ID", "lsf": "LSB_JOBID", "fugaku": "PJM_JOBID",
      "jh_unischeduler": "JH_JOBID"}  # fmt: skip


def run(top: Path, dialect: str, id: str) -> Path:
    """Run the script of a job of two tasks under that id; its directory."""
    home = top / ".dispatcher" / "s" / "jobs"
    home.mkdir(parents=True, exist_ok=True)
    (top / "t").mkdir(exist_ok=True)
    tasks = tuple((n, TaskSpec(f"echo {n} >> ran", "t")) for n in range(2))
    resources = ResourcesSpec(1, 1, 0, "", 2)
    script = render(JobScript("5f", "dn1", "dn1", Place("/n", str(top), str(home)), resources, tasks), load(dialect))
    for name, text in script.files("dn1").items():
        (home / name).write_text(text)
    env = {**os.environ, ID[dialect]: id}
    subprocess.run(["bash", str(home / "dn1.sub")], env=env, check=True, timeout=300)
    return home


@pytest.mark.parametrize("dialect", ID)
def test_a_first_life(tmp_path: Path, dialect: str) -> None:
    home = run(tmp_path, dialect, "7.host")
    claim = read_claim((home / "dn1.claim").read_text().splitlines())
    assert claim is not None
    assert (claim.owner, claim.restarts, claim.ended) == ("7.host", 0, 0)


@pytest.mark.parametrize("dialect", ID)
def test_a_later_life_takes_over_and_what_was_done_stays_done(tmp_path: Path, dialect: str) -> None:
    home = tmp_path / ".dispatcher" / "s" / "jobs"
    home.mkdir(parents=True)
    (home / "dn1.claim").write_text("claim 7.host 1 node9 12 34\ntask 0 0 1790000000 .\n")
    run(tmp_path, dialect, "7.host")
    claim = read_claim((home / "dn1.claim").read_text().splitlines())
    assert claim is not None
    assert (claim.owner, claim.restarts, claim.ended) == ("7.host", 2, 0)
    assert (tmp_path / "t" / "ran").read_text() == "1\n"


@pytest.mark.parametrize("dialect", ID)
@pytest.mark.parametrize("first", ["claim 7.host 0 node9 12 34", "revoked"])
def test_another_job_of_the_same_attempt_and_a_withdrawn_one_run_nothing(
    tmp_path: Path, dialect: str, first: str
) -> None:
    home = tmp_path / ".dispatcher" / "s" / "jobs"
    home.mkdir(parents=True)
    (home / "dn1.claim").write_text(f"{first}\n")
    run(tmp_path, dialect, "8.host")
    assert not (tmp_path / "t" / "ran").exists()
    assert (home / "dn1.claim.fenced").read_text() == "fenced 8.host\n"
