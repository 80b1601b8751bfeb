"""`dispatcher selftest` behind a real sshd: its dispatcher is killed again and again, nothing twice, nothing lost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

pytestmark = pytest.mark.cluster


def test_ssh_holds_under_chaos(ssh_servers: Mapping[str, str], tmp_path: Path, full: bool) -> None:
    kills = 20 if full else 6
    profile = {
        "hostname": ssh_servers["SSH_HOST"],
        "port": int(ssh_servers["SSH_PORT_MAIN"]),
        "username": ssh_servers["SSH_USER"],
        "known_hosts": ssh_servers["SSH_KNOWN_HOSTS"],
        "key_filename": ssh_servers["SSH_KEY_ED25519"],
        "config_file": str(tmp_path / "empty"),
    }
    (tmp_path / "empty").write_text("")
    machine = {
        "batch_type": "Shell",
        "context_type": "SSHContext",
        "local_root": "./",
        "remote_root": "~/dispatcher-selftest",
        "remote_profile": profile,
    }
    (tmp_path / "machine.json").write_text(json.dumps(machine))
    (tmp_path / "resources.json").write_text(json.dumps({"group_size": 2}))
    words = ["--machine", "machine.json", "--resources", "resources.json", "--check-interval", "2", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "dispatcher", "selftest", "--chaos", str(kills), "--tasks", "8", *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    print(done.stdout, done.stderr)
    told = json.loads(done.stdout)
    assert (done.returncode, told["verdict"], told["kills"]) == (0, "passed", kills)
    assert (told["twice"], told["lost"], told["facts"]) == (0, 0, [])
    assert told["accepted"] == told["run"] == told["tasks"]
    assert not list(tmp_path.glob("dispatcher-selftest-*"))
