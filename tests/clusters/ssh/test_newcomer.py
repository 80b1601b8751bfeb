"""A chemist with a laptop and an account: only what the page says, through a gate, to real Slurm."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import PAGES, needs
from tests.docs.terminal import Terminal

if TYPE_CHECKING:
    from ..conftest import BehindSsh, Slurm

pytestmark = pytest.mark.cluster

CONFIG = """\
Host gate
  HostName {host}
  Port {gate}
Host hpc
  HostName {host}
  Port {login}
  ProxyJump gate
Host *
  User {user}
  IdentityFile {key}
  UserKnownHostsFile {known}
"""


@pytest.mark.parametrize(
    "page", [page for page in PAGES if "laptop" in needs(page.read_text())], ids=lambda page: page.stem
)
def test_comes_to_the_end_of(page: Path, slurm: Slurm, behind_ssh: BehindSsh, tmp_path: Path) -> None:
    behind_ssh.up(slurm.settings)
    sshd, home = behind_ssh.sshd, tmp_path / "home"
    (home / ".ssh").mkdir(parents=True, mode=0o700)
    config = CONFIG.format(
        host=sshd["SSH_HOST"],
        gate=sshd["SSH_PORT_JUMP"],
        login=sshd["SSH_PORT_MAIN"],
        user=sshd["SSH_USER"],
        key=sshd["SSH_KEY_ED25519"],
        known=sshd["SSH_KNOWN_HOSTS"],
    )
    (home / ".ssh" / "config").write_text(config)
    path = [str(Path(sys.executable).parent), os.environ["PATH"]]
    terminal = Terminal(home, {"PATH": os.pathsep.join(path), "HOME": str(home), "NO_COLOR": "1", "LANG": "C.UTF-8"})
    try:
        terminal.follow(page.read_text())
    finally:
        terminal.close()
