"""`dispatcher selftest` on the real Grid Engine, here and behind a real sshd: nothing twice, nothing lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .conftest import BehindSsh, GridEngine

pytestmark = pytest.mark.cluster
ASKED: dict[str, Any] = {"queue_name": "all.q", "group_size": 2, "kwargs": {}}


@pytest.mark.parametrize(("array", "few", "many"), [(False, 6, 20), (True, 3, 5)], ids=["jobs", "arrays"])
def test_gridengine_holds_under_chaos(
    gridengine: GridEngine,
    selftest_here: Callable[..., dict[str, Any]],
    full: bool,
    array: bool,
    few: int,
    many: int,
) -> None:
    kills = many if full else few
    asked = {**ASKED, "kwargs": {"array": array}}
    told = selftest_here("SGE", asked, "--chaos", str(kills), "--tasks", "8")
    assert (told["twice"], told["lost"], told["kills"]) == (0, 0, kills)
    assert told["accepted"] == told["run"] == told["tasks"]
    assert gridengine.drained()


def test_gridengine_behind_ssh(gridengine: GridEngine, behind_ssh: BehindSsh) -> None:
    behind_ssh.up(gridengine.settings)
    told = behind_ssh.selftest("SGE", ASKED, "--chaos", "3", "--tasks", "6")
    assert (told["twice"], told["lost"], told["kills"]) == (0, 0, 3)
    assert told["accepted"] == told["run"] == told["tasks"]
