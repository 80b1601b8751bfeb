"""Slurm behind a real sshd: dispatchers killed twenty times, every task once; an array comes home over one login."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .conftest import BehindSsh, Slurm

pytestmark = pytest.mark.cluster


@pytest.fixture
def slurm_behind_ssh(slurm: Slurm, behind_ssh: BehindSsh) -> BehindSsh:
    behind_ssh.up(slurm.settings)
    return behind_ssh


@pytest.mark.timeout(900)
def test_slurm_over_ssh_holds_under_chaos(slurm_behind_ssh: BehindSsh) -> None:
    asked = {"group_size": 2, "queue_name": "main"}
    told = slurm_behind_ssh.selftest("Slurm", asked, "--chaos", "20", "--tasks", "8")
    assert (told["twice"], told["lost"], told["kills"]) == (0, 0, 20)
    assert told["accepted"] == told["run"] == told["tasks"]


@pytest.mark.timeout(600)
def test_an_array_over_ssh(slurm_behind_ssh: BehindSsh) -> None:
    told = slurm_behind_ssh.selftest("SlurmJobArray", {"group_size": 0, "queue_name": "main"}, "--tasks", "30")
    assert (told["twice"], told["lost"], told["run"]) == (0, 0, 30)
