"""What is refused at the door of a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatcher import contexts, schedulers
from dispatcher.contexts.local.local import LocalConnection
from dispatcher.core.errors import ConfigError, TransferFailed
from dispatcher.core.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec
from dispatcher.core.ports import Place
from dispatcher.run import results
from dispatcher.run.survey import check_pair
from dispatcher.schedulers.shell import ShellDialect


class OnlyThere(ShellDialect):
    context = "SSHContext"


class OnlySlurm(LocalConnection):
    batch_type = "Slurm"


def test_a_batch_system_and_a_context_that_do_not_fit(tmp_path: Path) -> None:
    machine = MachineSpec("Shell", "local", str(tmp_path), str(tmp_path))
    check_pair(machine, schedulers.load("Shell"), contexts.load("local"))
    with pytest.raises(ConfigError, match=r"machine/context_type: Shell works with SSHContext only, not with local"):
        check_pair(machine, OnlyThere(), contexts.load("local"))
    with pytest.raises(ConfigError, match=r"machine/batch_type: local works with Slurm only, not with Shell"):
        check_pair(machine, ShellDialect(), OnlySlurm)


def test_inputs_may_come_through_a_link_and_results_may_not_go_through_one(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "w/t0").mkdir(parents=True)
    (tmp_path / "w/in").symlink_to("../data")
    (tmp_path / "w/t1").symlink_to("../data")
    where, here = MachineSpec("Shell", "LocalContext", str(tmp_path), str(tmp_path / "far")), str(tmp_path / "w")
    far, near = Place(here, "/far/R", "/far/R/jobs"), Place(here, here, f"{here}/jobs")

    def asked(path: str, back: str) -> SubmissionSpec:
        return SubmissionSpec("w", where, ResourcesSpec(1, 1, 0, "", 1), (TaskSpec("run", path),), ("in/x",), (back,))

    results.check_way(asked("t0", "out"), far)
    results.check_way(asked("t1", "out"), near)
    for spec in (asked("t1", "out"), asked("t0", "in/out")):
        with pytest.raises(TransferFailed, match="a link on the way leads out"):
            results.check_way(spec, far)
