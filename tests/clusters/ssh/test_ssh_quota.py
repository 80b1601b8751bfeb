"""A quota that is used up for real: a btrfs subvolume with a limit, on a loop device.

(Quotas of users need CONFIG_QFMT_V2, CONFIG_XFS_QUOTA or CONFIG_TMPFS_QUOTA, which not every kernel has. What a
program sees is the same: EDQUOT.)
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec.structs import replace

from dispatcher.core.errors import TransferFailed
from dispatcher.run.session import open_session

pytestmark = pytest.mark.cluster

MIB = 1 << 20


def tool(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


class Allotted(NamedTuple):
    """A directory in which anybody may write, 6 MiB in all; how to have more, and what a program is told without."""

    path: Path
    more: Sequence[object]
    reported: str


@pytest.fixture
def allotted(ssh_servers: Mapping[str, str]) -> Iterator[Allotted]:
    with tempfile.TemporaryDirectory(prefix="dispatcher-quota-") as name:
        top = Path(name)
        top.chmod(0o755)
        disk = top / "disk"
        disk.mkdir()
        quotas = mounted(top / "image", disk)
        try:
            if not quotas:  # a kernel without: a small disk, on which everything but the word is the same
                tool("mount", "-t", "tmpfs", "-o", "size=6m,mode=1777", "none", disk)
                yield Allotted(disk, ("mount", "-o", "remount,size=64m", disk), "No space left|Wrote only")
                return
            tool("btrfs", "quota", "enable", disk)
            tool("btrfs", "subvolume", "create", disk / "home")
            tool("btrfs", "qgroup", "limit", "6M", disk / "home")
            (disk / "home").chmod(0o777)
            yield Allotted(disk / "home", ("btrfs", "qgroup", "limit", "none", disk / "home"), "(?i:quota)")
        finally:
            tool("umount", "-l", disk)


def mounted(image: Path, disk: Path) -> bool:
    with image.open("wb") as file:
        file.truncate(160 * MIB)
    tool("mkfs.btrfs", "-q", image)
    return subprocess.run(["mount", "-o", "loop", image, disk], capture_output=True).returncode == 0


def test_quota_that_is_used_up(profile: dict[str, Any], proxy: Any, tasks: Any, allotted: Allotted) -> None:
    """The run ends with an error that says so; with more room, the next one goes on where it stopped."""
    spec = tasks.spec(2, "true", big=12 * MIB)
    spec = replace(spec, machine=replace(spec.machine, remote_root=str(allotted.path / "r")))
    with pytest.raises(TransferFailed, match=rf"cannot send to .*({allotted.reported}).*free some space"):
        with open_session(spec, profile) as session:
            session.run(check_interval=1)
    assert not (tasks.local / "log").exists()
    stored = sum(path.stat().st_size for path in allotted.path.rglob("big"))
    tool(*allotted.more)
    before = proxy.tell("stats")["to_target"]
    with open_session(spec, profile) as session:
        session.run(check_interval=1)
    assert stored > 2 * MIB
    assert proxy.tell("stats")["to_target"] - before < 12 * MIB - stored + 2 * MIB, "what had arrived was sent again"
    assert tasks.check(2) == 0
    assert (tasks.local / "t0/copy").read_bytes() == (tasks.local / "t0/big").read_bytes()
    assert list((allotted.path / "r").iterdir()) == []
