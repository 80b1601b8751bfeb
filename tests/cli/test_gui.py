"""The forms in the browser: served for real, with this package's schemas."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from dispatcher.cli import main

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def test_the_schemas_are_served(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "dispatcher", "gui", "--port", str(port)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert f"http://127.0.0.1:{port}/" in server.stdout.readline()
            served = json.loads(fetched(f"http://127.0.0.1:{port}/api/inputs"))
        finally:
            server.send_signal(signal.SIGINT)
    names = {entry["name"] for entry in served.values()}
    assert {f"dispatcher {word}" for word in ("machine", "resources", "submission", "task")} <= names


def fetched(url: str) -> bytes:
    for _ in range(1200):
        try:
            with urllib.request.urlopen(url, timeout=30) as reply:
                return bytes(reply.read())
        except ConnectionRefusedError as error:
            refused = error
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):
                raise
            refused = error.reason
        time.sleep(0.1)
    raise refused


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "dpgui", None)
    assert main(["gui"]) == 2
    assert "pip install 'dispatcher-hpc[gui]'" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["0", "65536", "x"])
def test_a_port_that_is_none(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gui", "--port", port]) == 2
    assert "is not a port" in capsys.readouterr().err
