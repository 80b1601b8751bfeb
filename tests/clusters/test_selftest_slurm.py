"""`dispatcher selftest` on the real Slurm: its dispatcher is killed twenty times, nothing twice, nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Slurm

pytestmark = pytest.mark.cluster

SIZES: dict[str, dict[str, Any]] = {"Slurm": {}, "SlurmJobArray": {"kwargs": {"slurm_job_size": 1}}}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("batch", SIZES)
def test_slurm_holds_under_chaos(slurm: Slurm, selftest_here: Callable[..., dict[str, Any]], batch: str) -> None:
    requested = {"queue_name": "main", "group_size": 2, **SIZES[batch]}
    reported = selftest_here(batch, requested, "--chaos", "20", "--tasks", "8")
    assert (reported["twice"], reported["lost"], reported["kills"]) == (0, 0, 20)
    assert reported["accepted"] == reported["run"] == reported["tasks"]
    assert slurm.queued() == []
