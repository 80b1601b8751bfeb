"""A quota that is used up for real: a btrfs subvolume with a limit, on a loop device.

(Quotas of users need CONFIG_QFMT_V2, CONFIG_XFS_QUOTA or CONFIG_TMPFS_QUOTA, which not every kernel has. What a
program sees is the same: EDQUOT.)
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from dispatcher.errors import TransferFailed
from dispatcher.session import open_session

pytestmark = pytest.mark.cluster

MIB = 1 << 20


def tool(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


@pytest.fixture
def allotted(ssh_servers: Mapping[str, str]) -> Iterator[Path]:
    """A directory in which anybody may write, 6 MiB in all."""
    with tempfile.TemporaryDirectory(prefix="dispatcher-quota-") as name:
        top = Path(name)
        top.chmod(0o755)
        with (top / "image").open("wb") as image:
            image.truncate(160 * MIB)
        (top / "disk").mkdir()
        tool("mkfs.btrfs", "-q", top / "image")
        tool("mount", "-o", "loop", top / "image", top / "disk")
        try:
            tool("btrfs", "quota", "enable", top / "disk")
            tool("btrfs", "subvolume", "create", top / "disk/home")
            tool("btrfs", "qgroup", "limit", "6M", top / "disk/home")
            (top / "disk/home").chmod(0o777)
            yield top / "disk/home"
        finally:
            tool("umount", "-l", top / "disk")


def test_quota_that_is_used_up(profile: dict[str, Any], proxy: Any, tasks: Any, allotted: Path) -> None:
    """The run ends with an error that says so; with more room, the next one goes on where it stopped."""
    spec = tasks.spec(2, "true", big=12 * MIB)
    spec = replace(spec, machine=replace(spec.machine, remote_root=str(allotted / "r")))
    with pytest.raises(TransferFailed, match=r"(?i)cannot send to .*quota.*free some space"):
        with open_session(spec, profile) as session:
            session.run(check_interval=1)
    assert not (tasks.near / "log").exists()
    kept = sum(path.stat().st_size for path in allotted.rglob("big"))
    tool("btrfs", "qgroup", "limit", "none", allotted)
    before = proxy.tell("stats")["to_target"]
    with open_session(spec, profile) as session:
        session.run(check_interval=1)
    assert kept > 2 * MIB
    assert proxy.tell("stats")["to_target"] - before < 12 * MIB - kept + 2 * MIB, "what had arrived was sent again"
    assert tasks.check(2) == 0
    assert (tasks.near / "t0/copy").read_bytes() == (tasks.near / "t0/big").read_bytes()
    assert list((allotted / "r").iterdir()) == []
