"""`dispatcher selftest` on the real Slurm: its dispatcher is killed again and again, nothing twice, nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import Slurm

pytestmark = pytest.mark.cluster

SIZES: dict[str, dict[str, Any]] = {"Slurm": {}, "SlurmJobArray": {"kwargs": {"slurm_job_size": 1}}}


@pytest.mark.parametrize("batch", SIZES)
def test_slurm_holds_under_chaos(
    slurm: Slurm, selftest_here: Callable[..., dict[str, Any]], batch: str, full: bool
) -> None:
    kills = 20 if full else 6
    asked = {"queue_name": "main", "group_size": 2, **SIZES[batch]}
    told = selftest_here(batch, asked, "--chaos", str(kills), "--tasks", "8")
    assert (told["twice"], told["lost"], told["kills"]) == (0, 0, kills)
    assert told["accepted"] == told["run"] == told["tasks"]
    assert slurm.queued() == []
