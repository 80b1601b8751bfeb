"""What is refused at the door of a session."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatcher import contexts, schedulers
from dispatcher.contexts.local.local import LocalConnection
from dispatcher.core.errors import ConfigError
from dispatcher.core.model import MachineSpec
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
