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
    requested = {**ASKED, "kwargs": {"array": array}}
    reported = selftest_here("SGE", requested, "--chaos", str(kills), "--tasks", "8")
    assert (reported["twice"], reported["lost"], reported["kills"]) == (0, 0, kills)
    assert reported["accepted"] == reported["run"] == reported["tasks"]
    assert gridengine.drained()


def test_gridengine_behind_ssh(gridengine: GridEngine, behind_ssh: BehindSsh) -> None:
    behind_ssh.up(gridengine.settings)
    reported = behind_ssh.selftest("SGE", ASKED, "--chaos", "3", "--tasks", "6")
    assert (reported["twice"], reported["lost"], reported["kills"]) == (0, 0, 3)
    assert reported["accepted"] == reported["run"] == reported["tasks"]
