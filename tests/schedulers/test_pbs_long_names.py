"""What real servers did with this program: long server names, a server without history, complaints among records."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dispatcher.core.events import CauseKind
from dispatcher.core.model import ResourcesSpec
from dispatcher.core.ports import Native, Observation, Place, Query, Reply
from dispatcher.schedulers import chosen
from dispatcher.schedulers.pbs import answers
from dispatcher.schedulers.pbs.dialect import PBSDialect
from dispatcher.schedulers.pbs.torque import TorqueDialect

from .conftest import TRANSCRIPTS

NONE: dict[str, Any] = {"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 0, "group_size": 1}
SERVER = "pbs-head-01.hpc.physics.university.example"
LIST = re.search(
    r"--- stdout\n(.*?)--- stderr", (TRANSCRIPTS / "openpbs" / "80-long-server-name.txt").read_text(), re.S
)


def listed() -> str:
    assert LIST
    return LIST[1]


def site(top: Path, **tools: str) -> Place:
    for name, text in tools.items():
        (top / f"{name}.txt").write_text(text)
        (top / name).write_text(f'#!/bin/sh\necho "$*" >> {top}/{name}.told\ncat {top}/{name}.txt\n')
        (top / name).chmod(0o755)
    return Place("/local", str(top), str(top))


def run(text: str, top: Path) -> Reply:
    env = {**os.environ, "PATH": f"{top}:{os.environ['PATH']}"}
    done = subprocess.run(["sh"], input=text, capture_output=True, text=True, env=env)
    return Reply(done.returncode, done.stdout, done.stderr)


def test_a_job_whose_id_is_cut_is_the_one_we_know(tmp_path: Path) -> None:
    place = site(tmp_path, qstat=listed())
    queries = [Query("d6rrm9dch35u", f"0.{SERVER}"), Query("duwpm9imynby")]
    dialect = PBSDialect()
    jobs = dialect.observed(run(dialect.observe(queries, place).text, tmp_path), queries).jobs
    assert jobs["d6rrm9dch35u"] == Observation(Native.running, "R", f"0.{SERVER}", "queue")
    assert jobs["duwpm9imynby"] == Observation(Native.running, "R", "1", "queue")


def test_qdel_is_told_the_id_that_we_know_or_the_number_alone(tmp_path: Path) -> None:
    place = site(tmp_path, qstat=listed(), qdel="")
    queries = [Query("d6rrm9dch35u", f"0.{SERVER}"), Query("duwpm9imynby")]
    dialect = PBSDialect()
    assert dialect.killed(run(dialect.kill(queries, place).text, tmp_path), queries) == ""
    assert (tmp_path / "qdel.told").read_text().split() == [f"0.{SERVER}", "1"]


def test_torque_cuts_ids_without_a_sign(tmp_path: Path) -> None:
    rows = (
        "1234.pbs-head-01.hpc.ph pbsuser     workq    dq3v81kx0mza      --  1  1  --  -- R  --\n"
        "77.short                pbsuser     workq    dq3v81kx0mzb      --  1  1  --  -- R  --\n"
    )
    place = site(tmp_path, qstat=rows, qdel="")
    queries = [Query("dq3v81kx0mza"), Query("dq3v81kx0mzb")]
    run(TorqueDialect().kill(queries, place).text, tmp_path)
    assert (tmp_path / "qdel.told").read_text().split() == ["1234", "77.short"]


def test_the_claim_of_a_job_that_was_found_by_its_number_names_it_whole() -> None:
    assert PBSDialect().same("1", f"1.{SERVER}") == f"1.{SERVER}"
    assert PBSDialect().same(f"11.{SERVER}", f"1.{SERVER}") == f"11.{SERVER}"
    assert PBSDialect().same("1.other", f"1.{SERVER}") == "1.other"


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("=>> PBS: job killed: walltime 12 exceeded limit 5", CauseKind.timeout),
        ("=>> PBS: job killed: mem 20480kb exceeded limit 10240kb", CauseKind.memory),
        ("=>> PBS: job killed: node 2 requested job terminate", CauseKind.scheduler),
    ],
)
def test_without_history_the_jobs_own_log_says_why(line: str, kind: CauseKind, tmp_path: Path) -> None:
    place = site(tmp_path, qstat=f"{answers.NO_HISTORY}\n")
    (tmp_path / "dn1.log").write_text(f"hello\n{line}\n")
    queries = [Query("dn1", "7.host"), Query("dn2", "8.host")]
    call = PBSDialect().account(queries, place)
    assert call is not None
    known = PBSDialect().accounted(run(call.text, tmp_path), queries)
    assert set(known.jobs) == {"dn1"}
    assert known.jobs["dn1"].cause is not None
    assert known.jobs["dn1"].cause.kind is kind
    assert answers.NO_HISTORY in known.trouble


def test_a_complaint_among_records_is_told_and_not_the_records() -> None:
    text = "Job Id: 7.host\n    Job_Name = dn1\n    job_state = R\nqstat: Unauthorized Request\n    queue = workq\n"
    assert answers.complaint(text, 159) == "qstat: Unauthorized Request"


def test_a_stopped_queue_is_told() -> None:
    (row,) = answers.rows(
        "7.host  u  workq  dn1  --  1  1  --  --  Q  --\n   Not Running: Queue not started.\n", 0, "PBS"
    )
    assert "Queue not started" in answers.observation_of([row]).hint


def test_a_queue_at_another_server_is_asked_there() -> None:
    dialect = chosen("PBS", ResourcesSpec(1, 1, 0, "workq@pbs2.example", 1))
    text = dialect.observe([Query("dn1")], Place("/l", "/R", "/R/j")).text
    assert """qstat -u "$dsp_user" -s -w '@pbs2.example'""" in text


@pytest.mark.parametrize(
    "how", [{"queue_name": "batch@far"}, {"custom_flags": ("-q batch@far",)}, {"queue_name": "@far"}]
)
def test_a_queue_of_another_server_is_asked_there_wherever_it_is_named(tmp_path: Path, how: dict[str, Any]) -> None:
    """What a list cuts is named by its number at that server: by the number alone it is a job of the default one."""
    place = site(tmp_path, qstat=listed(), qdel="")
    dialect = chosen("PBS", ResourcesSpec(**{"queue_name": "", **how}, **NONE))
    queries = [Query("d6rrm9dch35u", f"0.{SERVER}"), Query("duwpm9imynby")]
    run(dialect.kill(queries, place).text, tmp_path)
    assert (tmp_path / "qdel.told").read_text().split() == [f"0.{SERVER}", "1@far"]
    call = dialect.account(queries, place)
    assert call
    run(call.text, tmp_path)
    asked = (tmp_path / "qstat.told").read_text().splitlines()
    assert [line.split()[-1] for line in asked[:2]] == ["@far", "@far"]
    assert asked[2].split()[-2:] == ["1@far", f"0.{SERVER}"]
