"""The contract of all contexts, kept by SSH: the tests of tests/contexts, on an sshd that lets the present user in."""

from __future__ import annotations

import getpass
import importlib.util
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from dispatcher.core.errors import ConfigError
from dispatcher.core.ports import ShellText

pytestmark = pytest.mark.cluster

CONTRACT = Path(__file__).parents[2] / "contexts"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"ssh_{name}", CONTRACT / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


PLACES = loaded("conftest")
# tests of one certain context, or that make their own, are not for us
OTHERS = {"test_large_files_travel_in_flat_memory"}
globals().update(
    {name: test for name, test in vars(loaded("test_contract")).items() if name[:5] == "test_" and name not in OTHERS}
)


@pytest.fixture(scope="session")
def own_sshd(start_sshd: Callable[..., dict[str, Any]], ssh_servers: Mapping[str, str]) -> dict[str, Any]:
    """An sshd for the user who runs the tests: R must be visible, and writable, for both sides."""
    return start_sshd(TrustedUserCAKeys=f"{ssh_servers['SSH_KEY_RSA']}.pub")


@pytest.fixture
def site(own_sshd: dict[str, Any], tmp_path: Path) -> Iterator[Any]:
    made = PLACES.Site(lambda here, there: PLACES.opened("SSHContext", own_sshd, here, there), tmp_path)
    yield made
    made.context.close()


@pytest.fixture
def apart(site: Any) -> Any:
    return site


def test_certificate(own_sshd: dict[str, Any], ssh_servers: Mapping[str, str], tmp_path: Path) -> None:
    """A key that nobody knows, with a certificate of an authority that the server trusts."""
    key, authority = tmp_path / "id", Path(ssh_servers["SSH_KEY_RSA"])
    make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
    subprocess.run(make, check=True)
    profile = {**own_sshd, "key_filename": str(key)}
    with pytest.raises(ConfigError, match="does not accept the login"):
        PLACES.opened("SSHContext", profile, tmp_path / "local", tmp_path / "there")
    sign = ["ssh-keygen", "-q", "-s", str(authority), "-I", "test", "-n", getpass.getuser(), f"{key}.pub"]
    subprocess.run(sign, check=True)
    # (another time-out: the link of the first try waits a minute before the next)
    context = PLACES.opened("SSHContext", {**profile, "timeout": 11}, tmp_path / "local", tmp_path / "there")
    assert context.run(ShellText("echo in")).out == "in\n"
    context.close()
