"""What sbatch really printed, accepted and refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from dispatcher.core.ports import Accepted, Deferral, Rejection
from dispatcher.schedulers.slurm.dialect import SlurmDialect
from dispatcher.schedulers.slurm.refusals import REFUSALS

if TYPE_CHECKING:
    from .conftest import Said

    Read = Callable[[str], Said]


def answered(slurm: Read, name: str) -> object:
    answer = slurm(name)
    return SlurmDialect()._answer(str(answer.code), answer.out, answer.err)


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("sbatch-ok", "1"), ("sbatch-parsable", "2"), ("err-sbatch-timelimit", "10"),
        # -d afterok:<unknown> is accepted and runs
        ("err-sbatch-bad-dependency", "16"), ("err-sbatch-partition-down", "9"), ("err-sbatch-too-many-nodes", "11"),
        ("dbd-down-sbatch", "91"),
    ],
)  # fmt: skip
def test_accepted(slurm: Read, name: str, id_: str) -> None:
    assert answered(slurm, name) == Accepted(id_)


@pytest.mark.parametrize(
    "out",
    [
        "*** Welcome to node 7 ***\nmaintenance on 24.12.\n4211\n",
        "sbatch: info\n\n  4211  \n",
        "Submitted batch job 4211\n",
    ],
)
def test_a_banner_before_the_id(out: str) -> None:
    assert SlurmDialect()._answer("0", out, "") == Accepted("4211")


def test_the_cluster_is_part_of_the_id() -> None:
    assert SlurmDialect()._answer("0", "17\n4211;cluster2\n", "") == Accepted("4211@cluster2")
    assert SlurmDialect()._answer("0", "Submitted batch job 4211 on cluster cm4\n", "") == Accepted("4211")


def test_accepted_without_an_id_is_looked_for(slurm: Read) -> None:
    assert answered(slurm, "sbatch-stdin-quiet") is None


@pytest.mark.parametrize(
    "name",
    [
        "err-sbatch-bad-account", "err-sbatch-bad-feature", "err-sbatch-bad-gres", "err-sbatch-bad-license",
        "err-sbatch-bad-nodelist", "err-sbatch-bad-option", "err-sbatch-bad-partition", "err-sbatch-bad-qos",
        "err-sbatch-bad-reservation", "err-sbatch-bad-time", "err-sbatch-dependency-syntax", "err-sbatch-dos",
        "err-sbatch-empty", "err-sbatch-missing-script", "err-sbatch-no-shebang", "err-sbatch-partition-denied",
        "err-sbatch-too-many-gpus", "err-sbatch-too-much-mem", "err-sbatch-array-too-big", "err-sbatch-array-syntax",
        "err-sbatch-user-unknown-to-accounting", "own-sbatch-tight-time", "own-sbatch-tight-cpus",
        "own-sbatch-script-too-big", "own-sbatch-not-found",
    ],
)  # fmt: skip
def test_refused_for_good(slurm: Read, name: str) -> None:
    answer = answered(slurm, name)
    assert isinstance(answer, Rejection)
    assert answer.why.strip().startswith(slurm(name).err.strip())


@pytest.mark.parametrize("name", ["maxjobcount-full", "munged-down-sbatch", "conf-default-missing", "conf-missing"])
def test_not_now(slurm: Read, name: str) -> None:
    """MaxJobCount: sbatch retries by itself for 120 s, then "Resource temporarily unavailable"."""
    answer = slurm(name)
    assert isinstance(SlurmDialect()._answer("1", answer.out, answer.err.replace("squeue:", "sbatch:")), Deferral)


def test_a_limit_on_submitted_jobs_passes(slurm: Read) -> None:
    text = slurm("err-sbatch-qos-submit-limit").err
    assert "QOSMaxSubmitJobPerUserLimit" in text
    assert isinstance(REFUSALS.judged("1", text), Deferral)
    assert isinstance(REFUSALS.judged("1", text.splitlines()[1]), Deferral)  # old versions do not name the limit


def test_sbatch_cut_short_while_the_controller_is_full(slurm: Read) -> None:
    line = "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying"
    assert line in slurm("maxjobcount").err
    assert isinstance(REFUSALS.judged("124", line), Deferral)


@pytest.mark.parametrize("name", ["ctld-frozen-sbatch", "ctld-down-sbatch"])
def test_the_outcome_is_open(slurm: Read, name: str) -> None:
    """Frozen slurmctld: sbatch says "Socket timed out on send/recv operation" but the job is accepted afterwards."""
    assert answered(slurm, name) is None


@pytest.mark.parametrize(
    "why", ["Zero Bytes were transmitted or received", "Unexpected message received", "Connection reset by peer"]
)
def test_the_outcome_is_open_too(why: str) -> None:
    assert REFUSALS.judged("1", f"sbatch: error: Batch job submission failed: {why}") is None


def test_killed_without_a_word_is_open() -> None:
    assert REFUSALS.judged("124", "") is None
    assert REFUSALS.judged("137", "Killed") is None
