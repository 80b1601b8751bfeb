"""A whole run that logs in by password: the password is in no byte that was written on either side, and in no log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from dispatcher import JobsFailed, Machine, Resources, Submission, Task
from dispatcher.contexts.ssh.context import SSHConnection
from dispatcher.core.model import MachineSpec
from dispatcher.core.ports import ShellText

pytestmark = pytest.mark.cluster


def test_the_password_is_written_nowhere(
    ssh_servers: Mapping[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    password = Path(ssh_servers["SSH_PASSWORD_FILE"]).read_text().strip()
    (tmp_path / "empty").write_text("")
    profile = {
        "hostname": ssh_servers["SSH_HOST"],
        "port": int(ssh_servers["SSH_PORT_MAIN"]),
        "username": ssh_servers["SSH_USER"],
        "password": password,
        "look_for_keys": False,
        "known_hosts": ssh_servers["SSH_KNOWN_HOSTS"],
        "config_file": str(tmp_path / "empty"),
    }
    far = f"~/dispatcher-{uuid4().hex[:8]}"
    machine = Machine("Shell", "SSHContext", str(tmp_path), far, profile, retry_count=0)
    tasks = [Task(command, f"t{nth}", backward_files=["log"]) for nth, command in enumerate(("true", "exit 3"))]
    (tmp_path / "local").mkdir()
    submission = Submission("local", machine, Resources(1, 1, 0, "", 1), task_list=tasks)
    with pytest.raises(JobsFailed) as failed:
        submission.run_submission(check_interval=1)
    local = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b'"k":"terminated"' in local, "the journal was among what was searched"
    spec = MachineSpec("Shell", "SSHContext", str(tmp_path), far)
    context = SSHConnection.open(spec, profile, submission.get_hash(), "local")
    found = context.run(ShellText(f"cat $(find {far} -type f)"))
    assert "dsp_claim" in found.out, "the scripts were among what was searched"
    said = "".join(capfd.readouterr()) + caplog.text + str(failed.value) + repr(submission) + repr(machine)
    for where, text in (("local", local.decode(errors="replace")), ("far", found.out), ("said", said)):
        assert password not in text, where
    context.run(ShellText(f"rm -rf {far}"))
    context.close()
