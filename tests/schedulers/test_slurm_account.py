"""What sacct really printed, read by the dialect. Tests that stand for a sentence of "What surprised" quote it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from dispatcher.core.ports import Native, Query
from dispatcher.schedulers.slurm import answers

if TYPE_CHECKING:
    from .conftest import Said

    Read = Callable[[str], Said]


def ids_of(slurm: Read, name: str) -> dict[str, str]:
    """Native id by nonce, from the names in a transcript of ours."""
    lines = (line.split("|", 7) for line in slurm(name).out.splitlines())
    return {answers.nonce_of(line[7]): re.split(r"\D", line[0])[0] for line in lines if "." not in line[0]}


def reported(slurm: Read, name: str, nonce: str) -> answers.Observation | None:
    return answers.from_accounting(
        Query(nonce, ids_of(slurm, name).get(nonce, "")), answers.accounted_runs(slurm(name).out)
    )


@pytest.mark.parametrize(
    ("transcript", "nonce", "kind", "code", "signal"),
    [
        ("own-account-ends", "df3000000001", "scheduler", 3, None),
        ("own-account-ends", "dk9000000001", "scheduler", None, 9),
        ("own-account-ends", "dbo000000001", "scheduler", None, 53),
        ("own-account-limits", "dto000000001", "timeout", None, None),
        ("own-account-limits", "dnf000000001", "node", None, None),
        ("own-account-cancelled", "dm27cfx0ak4p", "scheduler", None, None),
        ("own-account-cancelled", "da9w7hn42kfc", "scheduler", None, None),
    ],
)
def test_cause_from_the_accounting(
    slurm: Read, transcript: str, nonce: str, kind: str, code: int | None, signal: int | None
) -> None:
    observation = reported(slurm, transcript, nonce)
    assert observation is not None
    assert observation.native is Native.ended
    cause = observation.cause
    assert cause is not None
    assert (cause.kind, cause.source) == (kind, "accounting")
    if nonce != "da9w7hn42kfc":
        assert (cause.code, cause.signal) == (code, signal)


def test_cancelled_by_whom(slurm: Read) -> None:
    observation = reported(slurm, "own-account-cancelled", "dm27cfx0ak4p")
    assert observation is not None
    assert observation.cause is not None
    assert observation.cause.reason == "cancelled by uid 0, not by the dispatcher"
    assert observation.cause.elapsed is not None
    assert observation.cause.node


def test_elements_that_did_not_complete_are_named(slurm: Read) -> None:
    observation = reported(slurm, "own-account-cancelled", "da9w7hn42kfc")
    assert observation is not None
    assert observation.cause is not None
    assert re.search(r"CANCELLED by 0: \d+_", observation.cause.reason)


def test_a_bad_log_path_is_0_53(slurm: Read) -> None:
    """A bad -o or --chdir: 0:53."""
    observation = reported(slurm, "own-account-ends", "dbo000000001")
    assert observation is not None
    assert observation.cause is not None
    assert "could not be started" in observation.cause.reason


def test_completed_without_a_marker_has_no_cause(slurm: Read) -> None:
    observation = reported(slurm, "own-account-ends", "dok000000001")
    assert observation is not None
    assert (observation.native, observation.cause) == (Native.ended, None)


def test_with_d_every_life_is_listed_and_the_last_one_counts(slurm: Read) -> None:
    """sacct without -D shows only the last life."""
    assert re.search(r"^18\|REQUEUED(?s:.*)^18\|PENDING", slurm("own-account-ends").out, re.M)
    observation = reported(slurm, "own-account-ends", "drq000000001")
    assert observation is not None
    assert observation.native is Native.waiting


def test_sacct_can_say_pending_while_the_job_runs(slurm: Read) -> None:
    observation = answers.from_accounting(
        Query("dx", "30"), answers.accounted_runs("30|PENDING|0:0|0:0|0||None assigned|dx")
    )
    assert observation is not None
    assert observation.native is Native.waiting


def test_an_empty_answer_is_no_answer(slurm: Read) -> None:
    """sacct is empty right after sbatch, for unknown ids, and trails by seconds after bursts; exit 0 each time."""
    assert (slurm("unknown-sacct").code, slurm("unknown-sacct").all) == (0, "")
    assert answers.from_accounting(Query("dx", "999999"), answers.accounted_runs("")) is None


def test_for_seconds_the_name_may_read_allocation(slurm: Read) -> None:
    line = "16|FAILED|3:0|0:0|0||c1|allocation"
    assert "16|allocation|FAILED|3:0" in slurm("sacct-provisional").text
    observation = answers.from_accounting(Query("dshorty", "16"), answers.accounted_runs(line))
    assert observation is not None
    assert observation.native is Native.completing


def test_an_id_with_another_name_is_another_job(slurm: Read) -> None:
    """slurmctld killed within seconds of sbatch: its id is given to the next job."""
    assert "87|other|RUNNING" in slurm("ctld-crash-reused").out
    assert (
        answers.from_accounting(Query("dmine", "87"), answers.accounted_runs("87|RUNNING|0:0|0:0|5||c1|other")) is None
    )


def test_found_by_name_when_the_id_is_not_known(slurm: Read) -> None:
    known = answers.accounted_runs("87|RUNNING|0:0|0:0|5||c1|other\n88|CANCELLED by 0|0:0|0:0|0||None assigned|dmine-x")
    observation = answers.from_accounting(Query("dmine", ""), known)
    assert observation is not None
    assert (observation.id, observation.how, observation.native) == ("88", "accounting", Native.ended)


@pytest.mark.parametrize("state", ["CANCELLED by 1001", "CANCELLED+", "CANCELLED"])
def test_cancelled_with_whom_or_cut_at_default_width(state: str) -> None:
    (life,) = answers.accounted_runs(f"32|{state}|0:0|0:0|1||c1|dx")
    assert life.native is Native.ended


def test_after_an_outage_of_slurmdbd_the_exit_code_may_be_wrong(slurm: Read) -> None:
    """FAILED|0:0, later corrected to 3:0: no code is better than a wrong one, and the marker knows the right one."""
    assert "92|FAILED|0:0" in slurm("dbd-back-sacct").out
    (life,) = answers.accounted_runs("92|FAILED|0:0|0:0|1||c1|dx")
    cause = answers.accounted_cause(life)
    assert cause is not None
    assert (cause.kind, cause.code, cause.signal) == ("scheduler", None, None)


def test_largest_maxrss_of_the_steps() -> None:
    text = (
        "7|OUT_OF_MEMORY|0:125|0:0|9||c1|dx\n7.batch|OUT_OF_MEMORY|0:125||9|61000K|c1|batch\n7.0|FAILED|1:0||9|2M|c1|x"
    )
    (life,) = answers.accounted_runs(text)
    cause = answers.accounted_cause(life)
    assert cause is not None
    assert (cause.kind, cause.maxrss, cause.elapsed) == ("memory", 61000 * 1024, 9.0)


@pytest.mark.parametrize("name", ["noacct-sacct", "dbd-down-sacct", "dbd-frozen-sacct", "ctld-down-sacct"])
def test_no_accounting_is_said(slurm: Read, name: str) -> None:
    answer = slurm(name)
    assert answers.complaint(answer.all, answer.code)
