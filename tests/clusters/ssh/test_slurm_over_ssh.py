"""Slurm behind a real sshd: dispatchers killed twenty times, every task once; an array comes home over one login."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.cluster

UP = Path(__file__).parents[3] / "fixtures" / "clusters" / "ssh"


@pytest.fixture
def sshd(slurm: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """The sshds, started when the Slurm is up: remote commands find its settings."""
    run = Path("/tmp") / f"dispatcher-slurm-ssh-{os.getpid()}"  # short, and ordinary users may enter
    with socket.create_server(("127.0.0.1", 0)) as probe:
        knobs = {"SSH_RUN": str(run), "SSH_PORT": str(20000 + probe.getsockname()[1] % 1200 * 10)}
    env = {**os.environ, **slurm.settings, **knobs, "HOME": os.environ["HOME"]}
    try:
        up = subprocess.run([UP / "up"], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        assert up.returncode == 0, up.stderr
        words = [line.removeprefix("export ").split("=", 1) for line in up.stdout.splitlines() if "=" in line]
        yield {name: value.strip("'\"") for name, value in words}
    finally:
        subprocess.run([UP / "down", "--wipe"], env=env, stdin=subprocess.DEVNULL, capture_output=True)


@pytest.fixture
def selftest(sshd: Mapping[str, str], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run `dispatcher selftest` on that machine; what it tells."""
    (tmp_path / "empty").write_text("")
    profile = {
        "hostname": sshd["SSH_HOST"],
        "port": int(sshd["SSH_PORT_MAIN"]),
        "username": sshd["SSH_USER"],
        "known_hosts": sshd["SSH_KNOWN_HOSTS"],
        "key_filename": sshd["SSH_KEY_ED25519"],
        "config_file": str(tmp_path / "empty"),
    }

    def run(batch: str, resources: Mapping[str, Any], *words: str) -> dict[str, Any]:
        machine = {"batch_type": batch, "context_type": "SSHContext", "local_root": "./", "remote_profile": profile}
        asked = {"number_node": 1, "cpu_per_node": 1, "queue_name": "main", **resources}
        (tmp_path / "machine.json").write_text(json.dumps({**machine, "remote_root": "~/selftest"}))
        (tmp_path / "resources.json").write_text(json.dumps(asked))
        command = [sys.executable, "-m", "dispatcher", "selftest", "--machine", "machine.json"]
        command += ["--resources", "resources.json", "--check-interval", "2", "--json", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        print(done.stdout, done.stderr)
        told: dict[str, Any] = json.loads(done.stdout)
        assert (done.returncode, told["verdict"]) == (0, "passed")
        return told

    return run


@pytest.mark.timeout(900)
def test_slurm_over_ssh_holds_under_chaos(selftest: Callable[..., dict[str, Any]]) -> None:
    told = selftest("Slurm", {"group_size": 2}, "--chaos", "20", "--tasks", "8")
    assert (told["twice"], told["lost"], told["kills"]) == (0, 0, 20)
    assert told["accepted"] == told["run"] == told["tasks"]


@pytest.mark.timeout(600)
def test_an_array_over_ssh(selftest: Callable[..., dict[str, Any]]) -> None:
    told = selftest("SlurmJobArray", {"group_size": 0}, "--tasks", "30")
    assert (told["twice"], told["lost"], told["run"]) == (0, 0, 30)
