"""A server of its own for each test: the fixture of fixtures/clusters/bohrium, started on a free port."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from dispatcher.contexts import cloud_fetch, cloud_http
from dispatcher.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec

SERVER = Path(__file__).parents[2] / "fixtures" / "clusters" / "bohrium" / "server.py"


class Cloud:
    """The server, its secrets, and what it tells of itself."""

    def __init__(self, run: Path) -> None:
        self.secrets = {name: f"{name}-{secrets.token_hex(12)}" for name in ("password", "ticket", "access_key")}
        environment = {**os.environ, "BOHRIUM_FIXTURE_SECRETS": json.dumps(self.secrets)}
        self.process = subprocess.Popen(
            [sys.executable, str(SERVER), str(run), "0"], stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stdout
        self.url = f"http://127.0.0.1:{int(self.process.stdout.readline())}"

    def tell(self, **what: Any) -> dict[str, Any]:
        """Order a fault, or set a knob; what the server tells."""
        return self._ask(json.dumps(what).encode())

    def fault(self, kind: str, path: str, times: int = 1, **more: Any) -> None:
        self.tell(fault={"kind": kind, "path": path, "times": times, **more})

    def told(self) -> dict[str, Any]:
        return self._ask(None)

    def _ask(self, data: bytes | None) -> dict[str, Any]:
        with urlopen(Request(f"{self.url}/_ctl", data), timeout=120) as answer:
            return dict(json.load(answer))

    def asked(self, path: str) -> int:
        """How many requests there were whose name has this in it."""
        return sum(count for name, count in self.told()["requests"].items() if path in name)

    def profile(self, kind: str, **more: Any) -> dict[str, Any]:
        if kind == "OpenAPI":
            about: dict[str, Any] = {"access_key": self.secrets["access_key"], "storage_url": f"{self.url}/tiefblue"}
            return {**about, "project_id": 7, "base_url": self.url, "ignore_exit_code": False, **more}
        about = {"email": "someone@example.org", "password": self.secrets["password"], "program_id": 7}
        urls = {"base_url": self.url, "storage_url": f"{self.url}/oss"}
        return {**about, **urls, "input_data": {"image_name": "any"}, "ignore_exit_code": False, **more}

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """Pauses between tries are short, and so is the time that a job may be missing."""
    monkeypatch.setattr(cloud_http, "_pause", lambda nth: 0.05)
    monkeypatch.setattr("dispatcher.schedulers.cloud.CloudQueue.grace", 0.6)
    monkeypatch.setattr("dispatcher.schedulers.cloud.CloudQueue.pace", 0.1)
    monkeypatch.setattr(cloud_fetch, "_PAUSE", 0.01)
    for name in ("BOHR_TICKET", "BOHRIUM_EMAIL", "BOHRIUM_PASSWORD", "ACCESS_KEY", "BOHRIUM_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    made = Cloud(tmp_path / "server")
    yield made
    made.stop()


@pytest.fixture(params=["Bohrium", "OpenAPI"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def asked() -> Callable[..., SubmissionSpec]:
    """See `submission`."""
    return submission


def submission(
    near: Path, kind: str, tasks: int, command: str = "cat in ../pot > out", **resources: Any
) -> SubmissionSpec:
    """Tasks with an input each, a common file, and an output each; laid out on the near side."""
    for index in range(tasks):
        place = near / "w" / f"t{index}"
        place.mkdir(parents=True, exist_ok=True)
        (place / "in").write_text(f"input {index}\n")
    (near / "w" / "pot").write_text("potential\n")
    return SubmissionSpec(
        "w",
        MachineSpec(kind, kind, str(near), retry_count=resources.pop("retry_count", 0)),
        ResourcesSpec(1, 1, 0, "", resources.pop("group_size", 1), **resources),
        tuple(TaskSpec(command.format(i=index), f"t{index}", ("in",), ("out",)) for index in range(tasks)),
        ("pot",),
    )
