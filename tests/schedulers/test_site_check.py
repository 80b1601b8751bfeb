"""What a site is asked before the first run is what the dialect asks later on."""

from __future__ import annotations

import subprocess

import pytest

from dispatcher import schedulers
from dispatcher.schedulers.command_line import CommandDialect

NAMES = [name for name in schedulers.BUILTIN if isinstance(schedulers.load(name), CommandDialect)]


@pytest.mark.parametrize("name", NAMES)
def test_what_submits_must_be_there(name: str) -> None:
    dialect = schedulers.load(name)
    assert isinstance(dialect, CommandDialect)
    assert dialect.CHECK.programs
    assert dialect.SUBMITS in (CommandDialect.SUBMITS, *dialect.CHECK.programs)


@pytest.mark.parametrize("name", NAMES)
def test_questions_are_shell(name: str) -> None:
    dialect = schedulers.load(name)
    assert isinstance(dialect, CommandDialect)
    asked = (dialect.CHECK.answers, dialect.CHECK.queue, dialect.CHECK.account, dialect.CHECK.accounting)
    for text in filter(None, asked):
        said = subprocess.run(["bash", "-n", "-c", text.format(queue="'a b'", account="'c d'")], capture_output=True)
        assert (said.returncode, said.stderr) == (0, b"")
