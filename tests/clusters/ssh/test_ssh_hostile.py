"""A far side that means ill, and gates that forbid: a real sshd, with programs of its own in PATH."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dispatcher import contexts
from dispatcher.contexts.ssh import shell as ssh_shell
from dispatcher.core.errors import ConfigError, TransferFailed, Unreachable
from dispatcher.core.model import MachineSpec
from dispatcher.core.ports import Context, Item, ShellText

pytestmark = pytest.mark.cluster


class Hostile:
    """Programs there that answer what they like, and a local side that must stay as it is."""

    def __init__(self, top: Path, start: Callable[..., dict[str, Any]]) -> None:
        self.bin, self.local = top / "bin", top / "home" / "runs"
        self.bin.mkdir()
        (self.local / "t0").mkdir(parents=True)
        self.profile = start(SetEnv=f"PATH={self.bin}:/usr/bin:/bin HOME={top}")
        machine = MachineSpec("Shell", "SSH", str(self.local.parent), str(top / f"far-{uuid4().hex[:6]}"))
        self.context: Context = contexts.load("SSH").open(machine, self.profile, "5f1c" * 10, "runs")
        self.root = Path(self.context.place.remote_root)
        (self.root / "t0").mkdir()
        (self.root / "t0/out").write_bytes(b"good")

    def program(self, name: str, text: str) -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{text}\n")
        (self.bin / name).chmod(0o755)

    def files(self) -> dict[str, bytes]:
        top = self.local.parent.parent / "home"
        return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


@pytest.fixture
def hostile(tmp_path: Path, start_sshd: Callable[..., dict[str, Any]]) -> Iterator[Hostile]:
    made = Hostile(tmp_path, start_sshd)
    yield made
    made.context.close()


@pytest.mark.parametrize(
    "path",
    [
        "./t0/out/../../../../.bash_profile",
        "../.bash_profile",
        "/etc/passwd",
        "./t0/..",
        "./other/file",
        "./t0/out/../../.dispatcher/cancel",
    ],
)
def test_listing_that_names_other_places(hostile: Hostile, path: str) -> None:
    hostile.program("find", f"""case "$*" in *-prune\\ -printf*) exit 0;; esac; printf 'f 5 - {path}\\0'""")
    with pytest.raises(TransferFailed, match=r"refused to write .* from .*(leads elsewhere|nobody asked)"):
        hostile.context.tree(["t0"])
    assert hostile.files() == {}


@pytest.mark.parametrize("answer", ["nonsense", "f x - ./t0/out", "f 99999999999999999999 - ./t0/out", "f 5 ./t0/out"])
def test_listing_that_is_none(hostile: Hostile, answer: str) -> None:
    hostile.program("find", f"""case "$*" in *-prune\\ -printf*) exit 0;; esac; printf '{answer}\\0'""")
    with pytest.raises(TransferFailed, match=r"its listing cannot be read"):
        hostile.context.tree(["t0"])


def _tar(*members: tuple[str, bytes, bytes, str]) -> bytes:
    """Name, type, content, where a link leads to."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, kind, data, link in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname, info.mode = kind, len(data), link, 0o6777
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


FILE, SYMLINK, LINK = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
ATTACKS = {
    "dots": _tar(("t0/out/../../../.bash_profile", FILE, b"evil", "")),
    "absolute": _tar(("/tmp/evil", FILE, b"evil", "")),
    "not asked for": _tar(("t0/other", FILE, b"evil", "")),
    "symlink first": _tar(("t0/out", SYMLINK, b"", "../../.bash_profile"), ("t0/out", FILE, b"evil", "")),
    "hard link": _tar(("t0/out", LINK, b"", "../../.bash_profile")),
    "twice": _tar(("t0/out", FILE, b"bad!", ""), ("t0/out", FILE, b"evil", "")),
    "device": _tar(("t0/out", tarfile.CHRTYPE, b"", "")),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_archive_that_writes_elsewhere(hostile: Hostile, tmp_path: Path, name: str) -> None:
    (tmp_path / "evil.tar").write_bytes(ATTACKS[name])
    hostile.program("tar", f"cat > /dev/null; cat {tmp_path / 'evil.tar'}")
    with pytest.raises(TransferFailed, match=r"refused to (write|unpack) "):
        hostile.context.get([Item("t0/out", "t0/out", 4)])
    assert hostile.files() == {}


def test_item_that_leads_out_is_not_fetched(hostile: Hostile) -> None:
    for target in ("../.bash_profile", "t0/../../.bash_profile", "/tmp/evil", ".dispatcher/x/cancel"):
        with pytest.raises(TransferFailed, match="refused to write"):
            hostile.context.get([Item("t0/out", target, 4)])
    assert hostile.files() == {}


def test_local_link_that_leads_out(hostile: Hostile) -> None:
    (hostile.local / "t0").rmdir()
    (hostile.local / "t0").symlink_to("..")
    with pytest.raises(TransferFailed, match="a link on the way leads out"):
        hostile.context.get([Item("t0/out", "t0/out", 4)])
    assert hostile.files() == {}


def test_results_take_the_umask(hostile: Hostile) -> None:
    (hostile.root / "t0/out").chmod(0o6777)
    hostile.context.get([Item("t0/out", "t0/out", 4)])
    assert (hostile.local / "t0/out").stat().st_mode & 0o7777 == 0o755
    assert hostile.files() == {"runs/t0/out": b"good"}


def test_answers_have_a_limit(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_shell, "MAX_ANSWER", 1 << 20)
    with pytest.raises(Unreachable, match="1048576 bytes"):
        hostile.context.run(ShellText("cat /dev/zero"))
    assert hostile.context.run(ShellText("head -c 100000 /dev/zero >&2; echo ok")).out == "ok\n"
    hostile.program("find", """case "$*" in *-prune\\ -printf*) exit 0;; esac; exec cat /dev/zero""")
    with pytest.raises(Unreachable, match="1048576 bytes"):
        ssh_shell.output_of(hostile.context._link, "find .")  # type: ignore[attr-defined]


# gates


def test_gate_that_forbids_forwarding_is_told(start_sshd: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    gate, inner = start_sshd(AllowTcpForwarding="no"), start_sshd()
    known = Path(gate["known_hosts"]).read_text() + Path(inner["known_hosts"]).read_text()
    (tmp_path / "known").write_text(known)
    (tmp_path / "config").write_text(
        f"Host 127.0.0.1\n ProxyJump gate\nHost gate\n HostName localhost\n Port {gate['port']}\n"
    )
    key = {"key_filename": gate["key_filename"], "known_hosts": str(tmp_path / "known")}
    profile = {
        **inner,
        **key,
        "config_file": str(tmp_path / "config"),
        "jump_profile": {**key, "username": gate["username"]},
    }
    with (tmp_path / "known").open("a") as file:
        file.write(known.replace("127.0.0.1", "localhost"))
    machine = MachineSpec("Shell", "SSH", str(tmp_path), str(tmp_path / "far"))
    with pytest.raises(ConfigError, match=r"does not let anybody go on to 127\.0\.0\.1:\d+ \(AllowTcpForwarding"):
        contexts.load("SSH").open(machine, profile, "5f1c" * 10, "runs")


# host certificates


def test_host_certificate_by_an_authority(start_sshd: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    def keygen(*words: object) -> None:
        subprocess.run(["ssh-keygen", "-q", *map(str, words)], check=True, stdin=subprocess.DEVNULL)

    for name in ("ca", "host"):
        keygen("-t", "ed25519", "-N", "", "-f", tmp_path / name)
    keygen("-s", tmp_path / "ca", "-h", "-I", "h", "-n", "127.0.0.1", tmp_path / "host.pub")
    profile = start_sshd(HostKey=str(tmp_path / "host"), HostCertificate=str(tmp_path / "host-cert.pub"))
    machine = MachineSpec("Shell", "SSH", str(tmp_path), str(tmp_path / "far"))
    known = tmp_path / "known"
    known.write_text(f"@cert-authority [127.0.0.1]:* {(tmp_path / 'ca.pub').read_text()}")
    context = contexts.load("SSH").open(machine, {**profile, "known_hosts": str(known)}, "5f1c" * 10, "runs")
    assert context.run(ShellText("echo in")).out == "in\n"
    context.close()
    known.write_text(f"@cert-authority [127.0.0.1]:* {(tmp_path / 'host.pub').read_text()}")
    with pytest.raises(ConfigError, match="is not known"):
        contexts.load("SSH").open(machine, {**profile, "known_hosts": str(known), "timeout": 11}, "5f1c" * 10, "runs")
