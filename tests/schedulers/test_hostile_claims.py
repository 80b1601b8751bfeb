"""What stands in claims and receipts may be written by anybody: it is checked, and no shell runs it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dispatcher.core.model import ResourcesSpec
from dispatcher.core.ports import Place, Query, Reply
from dispatcher.schedulers import BUILTIN, chosen

ASKED_BY_COMMANDS = [name for name in BUILTIN if name not in ("Bohrium", "OpenAPI")]
ATTACKS = [
    "$(touch${IFS}pwned)", "`touch${IFS}pwned`", "1;touch${IFS}pwned", "1'$(touch${IFS}pwned)'",
    '1"$(touch${IFS}pwned)"',
    "1|touch${IFS}pwned", "-M", "--all", "../../etc", "1\\n@@\\ntouch${IFS}pwned",
]  # fmt: skip


def run(text: str, home: Path) -> Reply:
    """With commands that say nothing, and that would do what they are told."""
    done = subprocess.run(["sh"], input=text, capture_output=True, text=True, cwd=home, env=dict(os.environ))
    return Reply(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("array", [False, True])
@pytest.mark.parametrize("name", ASKED_BY_COMMANDS)
def test_an_owner_that_is_a_command_is_neither_believed_nor_run(name: str, array: bool, attack: str) -> None:
    if array and name not in ("PBS", "Torque", "SGE"):
        return
    resources = ResourcesSpec(1, 1, 0, "", 1, kwargs={"array": True} if array else {})
    dialect = chosen(name, resources)
    claim = f"dn1{'.0' if array or name == 'SlurmJobArray' else ''}.claim"
    said = [
        f"file {claim}:claim {attack} 0 node7 42 1",
        f"file dn1.id:{attack}",
        "file dn1.many:1 1001",
        "queue-code 1",
    ]
    said += ["file ready:", "file read:0"]
    reply = Reply(0, "".join(f"@@dn1 {line}\n" for line in [*said, "done"]))
    seen = dialect.observed(reply, [Query("dn1")]).jobs["dn1"]
    assert (seen.id, seen.claim) == ("", None)
    assert "not believed" in seen.hint


@pytest.mark.parametrize("attack", [*ATTACKS, "1\n@@\ntouch pwned\n", "1' ; touch pwned ; '"])
@pytest.mark.parametrize("name", ASKED_BY_COMMANDS)
def test_an_id_out_of_a_journal_that_is_a_command_is_told_to_nobody(name: str, attack: str, tmp_path: Path) -> None:
    dialect, place = chosen(name, ResourcesSpec(1, 1, 0, "", 1)), Place("/local", str(tmp_path), str(tmp_path))
    queries = [Query("dn1", attack, 1e9), Query("dn2", "", 1e9)]
    calls = [dialect.observe(queries, place), dialect.kill(queries, place), dialect.account(queries, place)]
    for call in filter(None, calls):
        assert "touch" not in call.text  # type: ignore[union-attr]
        run(call.text, tmp_path)  # type: ignore[union-attr]
    assert not (tmp_path / "pwned").exists()
