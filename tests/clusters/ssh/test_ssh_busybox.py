"""A far side that is poor for real: behind the sshd is a directory with busybox, perhaps bash, and nothing else.

    sshd ── ForceCommand: chroot --userspec=… top /bin/sh -c …
    top/bin/{busybox,sh,tar,stat,…,bash}   top/proc   top/dev/{null,zero}   top/home

What a remote lacks must cost time or end in an error that says so, never in a wrong result.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from msgspec.structs import replace

from dispatcher.contexts.ssh import link as ssh_link
from dispatcher.contexts.ssh.context import SSHConnection
from dispatcher.core.errors import ConfigError, JobsFailed
from dispatcher.core.model import MachineSpec, TaskSpec
from dispatcher.core.ports import Item, ShellText
from dispatcher.files.local import digest
from dispatcher.run.session import open_session
from tests.clusters.ssh.arriving import bytes_of

pytestmark = pytest.mark.cluster

MIB = 1 << 20


class Poor:
    """What lies behind the sshd; programs can be taken away and put back."""

    def __init__(self, top: Path, user: str, profile: dict[str, Any]) -> None:
        self.top, self.user, self.profile = top, user, profile
        self.bin = top / "bin"

    def fill(self) -> None:
        for name in ("bin", "proc", "dev", "home", "etc"):
            (self.top / name).mkdir()
        busybox = shutil.which("busybox")
        assert busybox, "apt-get install busybox-static"
        shutil.copy(busybox, self.bin / "busybox")
        for name in subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split():
            if name != "busybox":
                (self.bin / name).symlink_to("busybox")
        bash = shutil.which("bash-static")
        assert bash, "apt-get install bash-static"
        shutil.copy(bash, self.bin / "bash")
        for name, minor in (("null", 3), ("zero", 5)):
            subprocess.run(["mknod", "-m", "666", self.top / "dev" / name, "c", "1", str(minor)], check=True)
        (self.top / "dev/fd").symlink_to("/proc/self/fd")
        shutil.chown(self.top / "home", self.user)
        subprocess.run(["mount", "-t", "proc", "proc", self.top / "proc"], check=True)

    def empty(self) -> None:
        subprocess.run(["umount", "-l", self.top / "proc"], check=True)


@pytest.fixture(scope="module")
def poor_side(start_sshd: Callable[..., dict[str, Any]], ssh_servers: Mapping[str, str]) -> Iterator[Poor]:
    top = Path(ssh_servers["SSH_RUN"]).parent / f"poor-{uuid4().hex[:6]}"
    top.mkdir()
    user = ssh_servers["SSH_USER"]
    who = pwd.getpwnam(user)
    script = top.with_suffix(".sh")
    script.write_text(
        "#!/bin/sh\n"
        f"exec env -i PATH=/bin HOME=/home LC_ALL=C {shutil.which('chroot')} "
        f'--userspec={who.pw_uid}:{who.pw_gid} {top} /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n'
    )
    script.chmod(0o755)
    made = Poor(top, user, start_sshd(ForceCommand=str(script)))
    made.fill()
    try:
        yield made
    finally:
        made.empty()


@pytest.fixture
def poor(poor_side: Poor) -> Iterator[Poor]:
    yield poor_side
    away = poor_side.top / "away"
    if away.exists():
        for path in away.iterdir():
            path.replace(poor_side.bin / path.name)
        away.rmdir()
    for link in list(ssh_link._links.values()):
        link.close()
    ssh_link._links.clear()


def without(poor: Poor, *names: str) -> None:
    """Take programs away. The shell of busybox runs its own in any case, so another one takes its place."""
    away = poor.top / "away"
    away.mkdir(mode=0o700)
    for name in ("sh", *names):
        (poor.bin / name).rename(away / name)
    (poor.bin / "sh").symlink_to("bash")


ODD = [
    "a b",
    "it's",
    'say "x"',
    "new\nline",
    "gr\u00fc\u00df",
    "back\\slash",
    "-dash",
    "*",
    "$HOME",
    "@@x",
    " lead",
    "100%d",
]


def run_spec(tasks: Any, far_root: str = "/home/r") -> Any:
    """Three tasks with odd names that copy what they got, all of which must come back the same."""
    (tasks.local / "com\nmon é").write_text("for all\n")
    (tasks.local / "hollow").mkdir()
    for n in range(3):
        folder = tasks.local / f"t {n}'/in"
        (folder / "void").mkdir(parents=True)
        for name in ODD:
            (folder / name).write_bytes(f"{n} {name}".encode() * 50)
    copy = "cp -r in out; mkdir out/none; cat ../com*mon* > out/common; [ -d in/void ] && [ -d ../hollow ]"
    spec = tasks.spec(0)
    return replace(
        spec,
        machine=replace(spec.machine, remote_root=far_root, retry_count=0),
        tasks=tuple(TaskSpec(copy, f"t {n}'", ("in",), ("out",)) for n in range(3)),
        forward_common_files=("com\nmon é", "hollow"),
        backward_common_files=(),
    )


def test_whole_run(poor: Poor, tasks: Any) -> None:
    with open_session(run_spec(tasks), poor.profile) as session:
        session.run(check_interval=1)
    for n in range(3):
        folder = tasks.local / f"t {n}'"
        for name in ODD:
            assert (folder / "out" / name).read_bytes() == (folder / "in" / name).read_bytes()
        assert (folder / "out/common").read_text() == "for all\n"
        assert (folder / "out/none").is_dir() and (folder / "out/void").is_dir()
    assert list((poor.top / "home/r").iterdir()) == []


@pytest.fixture
def context(poor: Poor, tmp_path: Path) -> Iterator[SSHConnection]:
    (tmp_path / "local").mkdir()
    machine = MachineSpec("Shell", "SSHContext", str(tmp_path), "/home/r")
    made = SSHConnection.open(machine, poor.profile, uuid4().hex, "local")
    yield made
    made.remove()
    assert not (poor.top / made.place.remote_root[1:]).exists()
    made.close()


def files(tmp: Path, sizes: Mapping[str, int]) -> list[Item]:
    items = []
    for name, size in sizes.items():
        path = tmp / "local" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
        items.append(Item(str(path), name, size, digest(path)))
    return items


@pytest.mark.parametrize(
    "lacks", [(), ("tar",), ("gzip",), ("sha256sum",), ("sha256sum", "tar"), ("setsid",), ("head", "gzip")]
)
def test_what_is_missing_costs_time_only(
    poor: Poor, context: SSHConnection, tmp_path: Path, lacks: tuple[str, ...]
) -> None:
    without(poor, *lacks)
    for name in lacks:
        assert context.run(ShellText(f"command -v {name}")).code == 1
    sizes = {f"d/{name}": 100 + n for n, name in enumerate(ODD)} | {"empty": 0, "big one": 5 * MIB, "x/y/z": 70_000}
    items = files(tmp_path, sizes)
    context.put([*items, Item("", "void/in", -1)], True)
    for item in items:
        assert digest(poor.top / context.place.remote_root[1:] / item.target) == item.digest
    changed = files(tmp_path, {"x/y/z": 70_001})
    context.put([*items[:-1], *changed], True)
    found = {entry.path: entry.size for entry in context.tree(["d", "empty", "big one", "x", "void", "none"])}
    assert found == sizes | {"x/y/z": 70_001, "void/in": -1}
    got = context.get([Item(path, f"back/{path}", size) for path, size in found.items()])
    assert {item.source: item.digest for item in got if item.size >= 0} == {
        item.target: item.digest for item in [*items[:-1], *changed]
    }


@pytest.mark.parametrize("lacks", ["find", "xargs", "mv", "stat"])
def test_what_cannot_be_done_without_is_named_at_the_door(poor: Poor, tmp_path: Path, lacks: str) -> None:
    without(poor, lacks)
    with pytest.raises(ConfigError, match=rf"programs are missing there, or not in PATH: {lacks}\b"):
        SSHConnection.open(MachineSpec("Shell", "SSHContext", str(tmp_path), "/home/r"), poor.profile, "s", "local")
    assert not (poor.top / "home/r/s").exists()


def test_jobs_without_bash_are_refused_and_say_so(poor: Poor, tasks: Any) -> None:
    (poor.top / "away").mkdir(mode=0o700)
    (poor.bin / "bash").rename(poor.top / "away/bash")
    with pytest.raises(JobsFailed, match="bash is missing"), open_session(run_spec(tasks), poor.profile) as session:
        session.run(check_interval=1)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_transfer_that_is_cut_goes_on(poor: Poor, context: SSHConnection, tmp_path: Path, direction: str) -> None:
    items = files(tmp_path, {"big one": 24 * MIB, "d/new\nline": 100})
    link = context._link
    if direction == "down":
        context.put(items, True)
    port, over = link._transport, threading.Event()
    assert port is not None
    far_part = poor.top / context.place.control[1:] / "../in/big one"

    def cut() -> None:
        while not over.wait(0.001):
            parts = [*(tmp_path / "local").rglob("*.part"), far_part]
            if any(bytes_of(path) > 2 * MIB for path in parts):
                port.close()
                return

    cutter = threading.Thread(target=cut)
    cutter.start()
    if direction == "up":
        context.put(items, True)
    got = context.get([Item(item.target, f"back/{item.target}", item.size) for item in items])
    over.set()
    cutter.join()
    assert link.logins == 2
    assert [item.digest for item in got] == [item.digest for item in items]
