"""SSH when it breaks: servers killed in the middle of everything, lines that are cut, slow or silent."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dispatcher.contexts.ssh import link as ssh_link
from dispatcher.contexts.ssh import listing as ssh_listing
from dispatcher.contexts.ssh import shell as ssh_shell
from dispatcher.contexts.ssh.context import SSHConnection
from dispatcher.core.errors import TransferFailed, Unreachable
from dispatcher.core.model import MachineSpec, ResourcesSpec
from dispatcher.core.ports import Deferral, Item, ShellText, SubmitRequest
from dispatcher.files.local import digest
from dispatcher.schedulers import load

pytestmark = pytest.mark.cluster

FOLDER = Path(__file__).parents[3] / "fixtures" / "clusters" / "ssh"
MIB = 1 << 20


@pytest.fixture
def context(profile: dict[str, Any], tmp_path: Path, proxy: Any) -> Iterator[SSHConnection]:
    (tmp_path / "local").mkdir()
    machine = MachineSpec("Shell", "SSHContext", str(tmp_path), f"~/dispatcher-{uuid4().hex[:8]}")
    made = SSHConnection.open(machine, profile, uuid4().hex, "local")
    yield made
    proxy.tell("ok")
    made.remove()
    made.close()
    for link in list(ssh_link._links.values()):
        link.close()
    ssh_link._links.clear()


def files(tmp: Path, sizes: Mapping[str, int]) -> list[Item]:
    items = []
    for name, size in sizes.items():
        path = tmp / "local" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))
        items.append(Item(str(path), name, size, digest(path)))
    return items


def there(context: SSHConnection) -> dict[str, tuple[int, str]]:
    """What lies in R under names of users, seen from this machine."""
    root = Path(context.place.remote_root)
    found = [path for path in root.rglob("*") if path.is_file() and ".dispatcher" not in path.parts]
    return {str(path.relative_to(root)): (path.stat().st_size, digest(path)) for path in found}


def expected(items: list[Item]) -> dict[str, tuple[int, str]]:
    return {item.target: (item.size, item.digest) for item in items}


def watched(context: SSHConnection, monkeypatch: pytest.MonkeyPatch, observation: Callable[[], None]) -> None:
    """Look at things at the moment in which the connection is known to be broken."""
    before = context._link.sleep
    monkeypatch.setattr(context._link, "sleep", lambda seconds: (observation(), before(seconds)))


SIZES = {f"t{n % 9}/small {n}": 1000 + n for n in range(400)} | {"big one": 24 * MIB, "t1/last": 5}


@pytest.mark.parametrize("limit", [3, 11, 20])
def test_upload_that_is_cut_goes_on_where_it_stopped(
    context: SSHConnection, proxy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    items = files(tmp_path, SIZES)
    at_breaks: list[dict[str, tuple[int, str]]] = []
    watched(context, monkeypatch, lambda: at_breaks.append(there(context)))
    before = proxy.tell("stats")["to_target"]
    proxy.tell("rate", str(16 * MIB))
    begin = proxy.tell("stats")["to_target"]
    threading.Thread(target=cut_after, args=(proxy, begin + limit * MIB), daemon=True).start()
    context.put(items, True)
    assert at_breaks and not any(at_breaks)
    assert there(context) == expected(items)
    assert context._link.logins == 2
    total = sum(SIZES.values())
    assert proxy.tell("stats")["to_target"] - before < total + 9 * MIB, "what had arrived was sent again"
    assert not Path(context.place.control).parent.joinpath("in").exists()


def cut_after(proxy: Any, mark: int, what: str = "to_target") -> None:
    while proxy.tell("stats")[what] < mark:
        time.sleep(0.01)
    proxy.tell("cut")


@pytest.mark.parametrize("limit", [3, 11, 20])
def test_download_that_is_cut_goes_on_where_it_stopped(
    context: SSHConnection, proxy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    items = files(tmp_path, SIZES)
    context.put(items, True)
    local = tmp_path / "local"
    torn: list[str] = []

    def observe() -> None:
        for item in items:
            path = local / "back" / item.target
            if path.exists() and digest(path) != item.digest:
                torn.append(item.target)

    watched(context, monkeypatch, observe)
    before = proxy.tell("stats")["to_client"]
    proxy.tell("rate", str(16 * MIB))
    threading.Thread(target=cut_after, args=(proxy, before + limit * MIB, "to_client"), daemon=True).start()
    got = context.get([Item(item.target, f"back/{item.target}", item.size) for item in items])
    assert not torn and context._link.logins == 2
    assert {item.source: (item.size, item.digest) for item in got} == expected(items)
    assert proxy.tell("stats")["to_client"] - before < sum(SIZES.values()) + 9 * MIB
    assert [path.name for path in local.rglob(".dispatcher*")] == []


def test_line_that_breaks_while_we_answer_is_a_broken_line(
    context: SSHConnection, proxy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading makes paramiko send, too: what that raises (an EOFError) once came through, and ended the run."""
    items = files(tmp_path, {"f": 32 * MIB})
    context.put(items, True)
    transport = context._link.transport()
    send, begin = transport._send_user_message, proxy.tell("stats")["to_client"]

    def cut_before(message: Any) -> None:
        if proxy.tell("stats")["to_client"] > begin + 4 * MIB:
            transport.sock.close()
        send(message)

    monkeypatch.setattr(transport, "_send_user_message", cut_before)
    got = context.get([Item("f", "back/f", 32 * MIB)])
    assert got[0].digest == items[0].digest and context._link.logins == 2


@pytest.mark.parametrize("what", ["up", "down"])
def test_flipped_bit_is_noticed(context: SSHConnection, proxy: Any, tmp_path: Path, what: str) -> None:
    items = files(tmp_path, {"f": 3 * MIB})
    context.put(items, True)
    proxy.tell("corrupt", "500000")
    got = context.get([Item("f", "back/f", 3 * MIB)])
    assert got[0].digest == items[0].digest and context._link.logins == 2


def test_killed_server_in_the_middle_of_a_command(context: SSHConnection, sessions: Any, tmp_path: Path) -> None:
    begun = Path(context.place.remote_root) / "runs"

    def kill() -> None:
        while not begun.exists():
            time.sleep(0.01)
        sessions.kill("line")

    threading.Thread(target=kill).start()
    with pytest.raises(Unreachable, match="broke off in mid-command; what it did is unknown"):
        context.run(ShellText("echo x >> runs; sleep 60; echo y >> runs"))
    assert context.run(ShellText("cat runs")).out == "x\n"
    assert context._link.logins == 2


@pytest.mark.parametrize("seed", range(3))
def test_killed_servers_in_the_middle_of_transfers(
    context: SSHConnection, sessions: Any, tmp_path: Path, seed: int, proxy: Any
) -> None:
    luck = random.Random(seed)
    proxy.tell("rate", str(24 * MIB))
    items = files(
        tmp_path, {f"d{n % 5}/{n}": luck.choice([0, 1, 4096, 70_000]) for n in range(300)} | {"big": 16 * MIB}
    )
    over = threading.Event()

    def kill() -> None:
        while not over.wait(luck.uniform(0.4, 1.0)):
            if sessions.inside():  # logins that are killed are another matter, and cost a minute
                sessions.kill("line")

    killer = threading.Thread(target=kill)
    killer.start()
    threading.Timer(6, over.set).start()
    try:
        context.put(items, True)
        got = context.get([Item(item.target, f"back/{item.target}", item.size) for item in items])
    finally:
        over.set()
        killer.join()
    assert there(context) == expected(items)
    assert {item.source: (item.size, item.digest) for item in got} == expected(items)


def test_line_that_is_silent_is_given_up(
    context: SSHConnection, proxy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_shell, "QUIET", 3.0)
    items = files(tmp_path, {"f": 12 * MIB})
    proxy.tell("rate", str(4 * MIB))
    threading.Timer(1.0, proxy.tell, ["freeze"]).start()

    def wake() -> None:
        proxy.tell("cut")
        proxy.tell("ok")

    threading.Timer(8.0, wake).start()
    begin = time.monotonic()
    context.put(items, True)
    assert there(context) == expected(items)
    assert 4 < time.monotonic() - begin < 60


def test_command_on_a_frozen_line_ends_in_time(context: SSHConnection, proxy: Any) -> None:
    proxy.tell("freeze")
    begin = time.monotonic()
    with pytest.raises(Unreachable):
        context.run(ShellText("echo hi", timeout=2))
    assert time.monotonic() - begin < 40
    proxy.tell("cut")
    proxy.tell("ok")
    end = time.monotonic() + 120
    while True:
        with contextlib.suppress(Unreachable):
            assert context.run(ShellText("echo hi", timeout=5)).out == "hi\n"
            return
        assert time.monotonic() < end
        time.sleep(0.3)


def test_server_that_is_away_for_a_while(context: SSHConnection, proxy: Any, tmp_path: Path) -> None:
    items = files(tmp_path, {"f": 100})
    proxy.tell("refuse")
    proxy.tell("cut")
    with pytest.raises(Unreachable):
        context.run(ShellText("true"))
    threading.Timer(4.0, proxy.tell, ["ok"]).start()
    context.put(items, True)
    assert there(context) == expected(items)
    assert proxy.tell("stats")["accepted"] <= 3, "no storm of logins"


# the far side is poor


@pytest.mark.parametrize(
    "lacks",
    ["openssl", "openssl sha256sum", "sha256sum shasum openssl", "sha256sum shasum openssl python3", "tar", "gzip tar"],
)
def test_programs_that_are_missing_there(
    context: SSHConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    names = " | ".join(lacks.split())
    hidden = ssh_listing.TOOLS.replace("has() {", f'has() {{ case "$1" in {names}) return 1 ;; esac;')
    assert hidden != ssh_listing.TOOLS
    monkeypatch.setattr(ssh_listing, "TOOLS", hidden)
    items = files(tmp_path, {"a b/c\nd": 3000, "-x": 0, "big": 5 * MIB, "a b/é": 10})
    context.put(items, True)
    assert there(context) == expected(items)
    context.put(items, True)
    got = context.get([Item(item.target, f"back/{item.target}", item.size) for item in items])
    assert {item.source: (item.size, item.digest) for item in got} == expected(items)


def test_find_that_is_not_gnu(context: SSHConnection, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "mkdir -p d/empty d/x/y; echo 1 > d/f; echo 22 > 'd/x/n\nl'; ln -s x d/link; ln -s .. d/x/up; ln -s . d/me"
    context.run(
        ShellText(f"{script}; ln -s nowhere d/broken; mkfifo d/pipe; mkdir d/.dispatcher-1; echo > d/.dispatcher-1/f")
    )
    roots = ["d", "d/f", "none", "d/f/below"]
    whole = set(context.tree(roots))
    monkeypatch.setattr(ssh_listing, "_FIND", ssh_listing._FIND.replace("-printf '' >", "-no-such-option >"))
    assert set(context.tree(roots)) == whole
    paths = {entry.path for entry in whole}
    assert {"d/f", "d/empty", "d/x/n\nl", "d/link/n\nl", "d/x/y", "d/link/y"} <= paths
    assert not any("broken" in path or "dispatcher" in path or "pipe" in path for path in paths)


def test_hard_links_among_the_results(context: SSHConnection, tmp_path: Path) -> None:
    context.run(ShellText("echo data > a; ln a b; ln a c"))
    got = context.get([Item(name, name, 5) for name in "abc"])
    assert [(tmp_path / "local" / name).read_text() for name in "abc"] == ["data\n"] * 3
    assert len({item.digest for item in got}) == 1


def test_disk_that_is_full(context: SSHConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    items = files(tmp_path, {"f": 3 * MIB})
    run = ssh_shell.run
    # a limit on the size of files fails in the middle of a write, as a full disk does
    limited = "trap '' XFSZ; ulimit -f 1000; "
    monkeypatch.setattr(ssh_listing, "run", lambda link, script, *more: run(link, limited + script, *more))
    with pytest.raises(
        TransferFailed, match=r"cannot send to .*(File too large|Cannot write|Wrote only .*free some space)"
    ):
        context.put(items, True)
    assert there(context) == {}


@pytest.fixture
def small_disk(ssh_servers: Mapping[str, str]) -> Iterator[Path]:
    """A file system of 4 MiB, which anybody may fill."""
    with tempfile.TemporaryDirectory(prefix="dispatcher-disk-") as top:
        os.chmod(top, 0o755)
        disk = Path(top, "disk")
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=1777", "none", disk], check=True)
        try:
            yield disk
        finally:
            subprocess.run(["umount", "-l", disk], check=True)


def test_disk_that_is_really_full(profile: dict[str, Any], tmp_path: Path, small_disk: Path) -> None:
    (tmp_path / "local").mkdir()
    machine = MachineSpec("Shell", "SSHContext", str(tmp_path), str(small_disk / "r"))
    context = SSHConnection.open(machine, profile, uuid4().hex, "local")
    items = files(tmp_path, {"a/f": 6 * MIB, "a/g": 10})
    with pytest.raises(TransferFailed, match=r"cannot send to .*(No space left|Wrote only).*free some space"):
        context.put(items, True)
    assert there(context) == {}
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb") as filler:
        while True:
            filler.write(bytes(4096))
            filler.flush()
    queue, nonce = load("Shell"), "dfulldisk000"
    request = SubmitRequest(
        nonce, nonce, f"{nonce}.sub", {f"{nonce}.sub": "echo ran > ran\n" * 1000}, ResourcesSpec(1, 1, 0, "", 1)
    )
    call = queue.submit([request], context.place)
    answer = queue.submitted(context.run(call), [request])[nonce]
    assert isinstance(answer, Deferral) and "disk full or quota" in answer.why
    context.remove()
    context.close()


def test_flat_memory(profile: dict[str, Any], tmp_path: Path) -> None:
    script = """
import json, resource, sys
from pathlib import Path
from dispatcher.contexts.ssh.context import SSHConnection
from dispatcher.core.model import MachineSpec
from dispatcher.core.ports import Item
top, profile = Path(sys.argv[1]), json.loads(sys.argv[2])
with open(top / "big", "wb") as file: file.truncate(192 << 20)
context = SSHConnection.open(MachineSpec("Shell", "SSH", str(top), "~/dispatcher-flat"), profile, "s", ".")
context.put([Item("", "d", -1)], True)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
context.put([Item(str(top / "big"), "big", 192 << 20)], True)
(top / "big").unlink()
print(context.get([Item("big", "big", 192 << 20)])[0].size)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
context.remove()
"""
    command = [sys.executable, "-c", script, str(tmp_path), json.dumps(profile)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    size, grown = map(int, done.stdout.split())
    assert size == 192 << 20
    assert grown < 64 << 10, f"{grown} KiB"
