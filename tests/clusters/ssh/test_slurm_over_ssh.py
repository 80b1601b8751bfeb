"""Slurm behind a real sshd: dispatchers killed again and again, every task once; an array comes home over one login."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dispatcher.run.session import open_session

if TYPE_CHECKING:
    from ..conftest import BehindSsh, Slurm

pytestmark = pytest.mark.cluster


@pytest.fixture
def slurm_behind_ssh(slurm: Slurm, behind_ssh: BehindSsh) -> BehindSsh:
    behind_ssh.up(slurm.settings)
    return behind_ssh


def test_slurm_over_ssh_holds_under_chaos(slurm_behind_ssh: BehindSsh, full: bool) -> None:
    kills = 20 if full else 5
    requested = {"group_size": 2, "queue_name": "main"}
    reported = slurm_behind_ssh.selftest("Slurm", requested, "--chaos", str(kills), "--tasks", "8")
    assert (reported["twice"], reported["lost"], reported["kills"]) == (0, 0, kills)
    assert reported["accepted"] == reported["run"] == reported["tasks"]


def test_an_array_over_ssh(slurm_behind_ssh: BehindSsh) -> None:
    reported = slurm_behind_ssh.selftest("SlurmJobArray", {"group_size": 0, "queue_name": "main"}, "--tasks", "30")
    assert (reported["twice"], reported["lost"], reported["run"]) == (0, 0, 30)


@pytest.mark.parametrize("where", ["submit", "poll"])
def test_sessions_killed_in_the_middle_of(
    slurm_behind_ssh: BehindSsh, tasks: Any, aimed: Any, sessions_of: Any, where: str, slurm: Slurm
) -> None:
    """Some jobs are accepted and the answer is lost; Slurm has each of them once."""
    spec = tasks.spec(8, "sleep 2", machine={"batch_type": "Slurm", "max_running": 8}, queue_name="main", wait_time=0.5)
    with open_session(spec, slurm_behind_ssh.profile) as session:
        home = Path(session.connect().context.place.control)
        session.scheduler.absence_timeout = 10.0  # as the message time-out of this Slurm; the default is a minute

        def far_enough() -> bool:
            return 2 <= len(list(home.glob("*.id"))) < 6 if where == "submit" else bool(list(home.glob("*.claim")))

        shot = aimed(
            sessions_of(slurm_behind_ssh.sshd), "logout", {"submit": "submit", "poll": "observe"}[where], far_enough
        )
        shot.at(session)
        session.run(check_interval=1)
        assert session.context._context._link.logins == 2  # type: ignore[attr-defined]
    assert shot.hit
    assert tasks.check(8) == 0
    nonces = {nonce for _, nonce in tasks.starts()}
    end = time.monotonic() + 120
    while len(accepted := [row[3] for row in slurm.accounted() if row[3] in nonces]) < 8:  # accounting lags
        assert time.monotonic() < end
        time.sleep(0.5)
    assert sorted(accepted) == sorted(nonces)
