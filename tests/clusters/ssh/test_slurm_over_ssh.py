"""Slurm behind a real sshd: dispatchers killed twenty times, every task once; an array comes home over one login."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dispatcher.session import open_session

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
def key(sshd: Mapping[str, str], tmp_path: Path) -> dict[str, Any]:
    """The profile that logs in by key."""
    (tmp_path / "empty").write_text("")
    return {
        "hostname": sshd["SSH_HOST"],
        "port": int(sshd["SSH_PORT_MAIN"]),
        "username": sshd["SSH_USER"],
        "known_hosts": sshd["SSH_KNOWN_HOSTS"],
        "key_filename": sshd["SSH_KEY_ED25519"],
        "config_file": str(tmp_path / "empty"),
    }


@pytest.fixture
def selftest(key: dict[str, Any], tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run `dispatcher selftest` on that machine; what it tells."""

    def run(batch: str, resources: Mapping[str, Any], *words: str) -> dict[str, Any]:
        machine = {"batch_type": batch, "context_type": "SSHContext", "local_root": "./", "remote_profile": key}
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


@pytest.mark.timeout(300)
@pytest.mark.parametrize("where", ["submit", "poll"])
def test_sessions_killed_in_the_middle_of(
    key: dict[str, Any], sshd: Mapping[str, str], tasks: Any, aimed: Any, sessions_of: Any, where: str, slurm: Any
) -> None:
    """Some jobs are accepted and the answer is lost; Slurm has each of them once."""
    spec = tasks.spec(8, "sleep 2", machine={"batch_type": "Slurm", "max_running": 8}, queue_name="main", wait_time=0.2)
    with open_session(spec, key) as session:
        home = Path(session.context.place.home)
        session.scheduler.grace = 10.0  # as the message time-out of this Slurm; the default is a minute

        def far_enough() -> bool:
            return 2 <= len(list(home.glob("*.id"))) < 6 if where == "submit" else bool(list(home.glob("*.claim")))

        shot = aimed(sessions_of(sshd), "logout", {"submit": "submit", "poll": "look"}[where], far_enough)
        shot.at(session)
        session.run(check_interval=1)
        assert session.context._link.logins == 2  # type: ignore[attr-defined]
    assert shot.hit
    assert tasks.check(8) == 0
    nonces = {nonce for _, nonce in tasks.starts()}
    end = time.monotonic() + 30
    while len(accepted := [row[3] for row in slurm.accounted() if row[3] in nonces]) < 8:  # accounting lags
        assert time.monotonic() < end
        time.sleep(0.5)
    assert sorted(accepted) == sorted(nonces)
