"""PJM (Fugaku), by its users' guide and by what programs that talk to it expect."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dispatcher.core.errors import Unreachable
from dispatcher.core.ports import Accepted, Deferral, Native, Observation, Observations, Place, Query, Rejection, Reply
from dispatcher.schedulers.fugaku import FugakuDialect

STATES = {
    "ACC": "waiting", "QUE": "waiting", "HLD": "waiting", "RNA": "waiting", "SPD": "waiting", "SPP": "waiting",
    "RNP": "running", "RUN": "running", "RSM": "running", "RNE": "running", "RNO": "completing",
    "EXT": "ended", "CCL": "ended", "ERR": "ended", "RJT": "ended",
}  # fmt: skip


def test_every_state_is_in_the_table() -> None:
    assert {code: native.value for code, native in FugakuDialect.STATES.items()} == STATES


def test_a_state_nobody_knows_is_no_news() -> None:
    assert (
        FugakuDialect().observation_of(FugakuDialect().rows("H,JOB_ID,JOB_NAME,ST\n,7,dn1,NEW,=dn1", 0)).native
        is Native.unknown
    )


@pytest.mark.parametrize(
    ("out", "err"),
    [
        ("[INFO] PJM 0000 pjsub Job 4211 submitted.\n", ""),
        ("welcome, 17 jobs\n", "[INFO] PJM 0000 pjsub Job 4211 submitted.\n"),
    ],
)
def test_accepted(out: str, err: str) -> None:
    assert FugakuDialect()._answer("0", out, err) == Accepted("4211")


@pytest.mark.parametrize(
    "text",
    [
        "[ERR.] PJM 0057 pjsub node=32 is greater than the upper limit (24).",
        "[ERR.] PJM 0071 pjsub Group not authorized to submit a job: group(59999)",
        "[ERR.] PJM 0020 pjsub Cannot open the file (rscgrp=fx-debug) : 2.",
    ],
)
@pytest.mark.parametrize("code", ["0", "1"])
def test_never_with_whatever_exit_code(text: str, code: str) -> None:
    assert isinstance(FugakuDialect()._answer(code, "", text), Rejection)


@pytest.mark.parametrize(
    "text", ["[ERR.] PJM 0090 pjsub The number of accepted jobs exceeds the limit.", "pjsub: busy"]
)
def test_not_now(text: str) -> None:
    assert isinstance(FugakuDialect()._answer("1", "", text), Deferral)


def test_the_outcome_is_open() -> None:
    assert FugakuDialect()._answer("1", "", "[ERR.] PJM 0099 pjsub Communication error.") is None
    assert FugakuDialect()._answer("124", "", "") is None


@pytest.mark.parametrize(("text", "code"), [("[ERR.] PJM 0083 pjstat Cannot connect.", 1), ("", 124), ("", 0)])
def test_no_good_answer_is_unreachable(text: str, code: int) -> None:
    with pytest.raises(Unreachable):
        FugakuDialect().rows(text, code)


def test_held_is_pointed_out() -> None:
    observation = FugakuDialect().observation_of(FugakuDialect().rows("H,JOB_ID\n,7,dn1,HLD,=dn1", 0))
    assert (observation.native, "will not start by itself" in observation.hint) == (Native.waiting, True)


@pytest.mark.parametrize("cut", ["dq3v81kx0mza-relax", "dq3v81kx0mza", "dq3v81kx0m"])
def test_names_that_are_cut_are_completed_over_there(tmp_path: Path, cut: str) -> None:
    """The narrow form has ten letters of a name."""
    listed = f"H,JOB_ID,JOB_NAME,ST\n,4211,{cut},RUN\n,77,dq3v81kx0x,RUN\n,78,other,RUN\n"
    (tmp_path / "pjstat").write_text(f"#!/bin/sh\ncat << E\n{listed}E\n")
    (tmp_path / "pjstat").chmod(0o755)
    queries = [Query("dq3v81kx0mza", "4211"), Query("dnever000000")]
    place = Place("/local", str(tmp_path), str(tmp_path))
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh"], input=FugakuDialect().observe(queries, place).text, capture_output=True, text=True, env=env, check=True
    )
    observations = FugakuDialect().observed(Reply(0, done.stdout), queries)
    assert observations == Observations(
        {
            "dq3v81kx0mza": Observation(Native.running, "RUN", "4211", "queue"),
            "dnever000000": Observation(Native.absent),
        }
    )


def accounted(*rows: str) -> Observations:
    lines = "\n".join(f"@@dn1 account {row}" for row in rows)
    return FugakuDialect().accounted(Reply(0, f"@@dn1 account-code 0\n{lines}\n@@dn1 done\n"), [Query("dn1", "4211")])


@pytest.mark.parametrize(
    ("row", "kind", "code", "signal"),
    [
        (",4211,dn1,EXT,3,-,0,=dn1", "scheduler", 3, None),
        (",4211,dn1,EXT,-,9,0,=dn1", "scheduler", None, 9),
        (",4211,dn1,EXT,137,-,11,=dn1", "timeout", 137, None),
        (",4211,dn1,EXT,-,9,12,=dn1", "memory", None, 9),
        (",4211,dn1,EXT,-,9,23,=dn1", "memory", None, 9),
        (",4211,dn1,ERR,-,-,20,=dn1", "node", None, None),
        (",4211,dn1,EXT,0,15,18,=dn1", "preempted", None, 15),
        (",4211,dn1,CCL,-,-,1,=dn1", "scheduler", None, None),
        (",4211,dn1,ERR,-,-,99,=dn1", "scheduler", None, None),
    ],
)
def test_causes(row: str, kind: str, code: int | None, signal: int | None) -> None:
    cause = accounted("H,JOB_ID", row).jobs["dn1"].cause
    assert cause is not None
    assert (cause.kind, cause.code, cause.signal, cause.source) == (kind, code, signal, "accounting")


def test_went_well() -> None:
    assert accounted(",4211,dn1,EXT,0,-,0,=dn1").jobs["dn1"] == Observation(Native.ended, "EXT", "4211", "accounting")


def test_the_history_goes_back_to_the_first_question() -> None:
    call = FugakuDialect().account([Query("dn1", "1", since=1790000000.5)], Place("/n", "/R", "/R/h"))
    assert call is not None
    assert '-H "day=$dsp_days"' in call.text
    assert "- 1790000000)" in call.text
