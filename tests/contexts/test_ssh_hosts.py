"""Known hosts: files as OpenSSH writes them, and what is said of keys that are not in them."""

from __future__ import annotations

import hmac
import os
import pty
import subprocess
import sys
import time
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha1
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    SSHCertificateBuilder,
    SSHCertificateType,
)

from dispatcher.contexts.ssh import hosts as ssh_hosts
from dispatcher.contexts.ssh.config import Host, Login
from dispatcher.core.errors import ConfigError

KEY, OTHER = b"the key itself", b"another key"
TEXT = b64encode(KEY).decode()


def hashed(name: str) -> str:
    salt = b"s" * 20
    return f"|1|{b64encode(salt).decode()}|{b64encode(hmac.new(salt, name.encode(), sha1).digest()).decode()}"


def host(file: Path, port: int = 22, alias: str = "", policy: str = "reject") -> Host:
    return Host("HPC.example", port, "ann", Login(), alias, known=(str(file),), policy=policy)


def test_fingerprint_is_that_of_openssh() -> None:
    key = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"  # github.com, published
    assert ssh_hosts.fingerprint(b64decode(key)) == "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"


@pytest.mark.parametrize(
    "names",
    ["hpc.example", "other,hpc.example", "*.example", "h?c.example", hashed("hpc.example"), "*,!gate.example"],
)
def test_names_that_mean_the_host(tmp_path: Path, names: str) -> None:
    (tmp_path / "known").write_text(f"# comment\n\n{names} ssh-ed25519 {TEXT} remark\n")
    ssh_hosts.check(host(tmp_path / "known"), "ssh-ed25519", KEY)
    assert ssh_hosts.kinds(host(tmp_path / "known")) == ["ssh-ed25519"]


@pytest.mark.parametrize("names", ["hpc", "*.example,!hpc.example", hashed("other"), "[hpc.example]:2222", "|1|x|y"])
def test_names_that_do_not(tmp_path: Path, names: str) -> None:
    (tmp_path / "known").write_text(f"{names} ssh-ed25519 {TEXT}\n")
    with pytest.raises(ConfigError, match="is not known"):
        ssh_hosts.check(host(tmp_path / "known"), "ssh-ed25519", KEY)


def test_other_ports_and_aliases_have_names_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "known").write_text(f"[hpc.example]:2222 ssh-ed25519 {TEXT}\nfarm ssh-ed25519 {TEXT}\n")
    ssh_hosts.check(host(tmp_path / "known", 2222), "ssh-ed25519", KEY)
    ssh_hosts.check(host(tmp_path / "known", 2223, "farm"), "ssh-ed25519", KEY)


def test_changed_key_names_both_and_is_never_accepted(tmp_path: Path) -> None:
    (tmp_path / "known").write_text(f"hpc.example ssh-ed25519 {TEXT}\n")
    with pytest.raises(ConfigError, match="HAS CHANGED") as caught:
        ssh_hosts.check(host(tmp_path / "known", policy="accept-new"), "ssh-rsa", OTHER)
    text = str(caught.value)
    assert ssh_hosts.fingerprint(OTHER) in text and ssh_hosts.fingerprint(KEY) in text
    assert f"{tmp_path}/known:1" in text and "ssh-keygen -R 'hpc.example'" in text


def test_revoked_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "known").write_text(f"@revoked * ssh-ed25519 {TEXT}\nhpc.example ssh-ed25519 {TEXT}\n")
    with pytest.raises(ConfigError, match="revoked"):
        ssh_hosts.check(host(tmp_path / "known"), "ssh-ed25519", KEY)


def test_accepting_adds_one_line_and_keeps_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "known"
    file.write_text("elsewhere ssh-rsa AAAA")  # no line break at the end
    ssh_hosts.check(host(file, 2222, policy="accept-new"), "ssh-ed25519", KEY)
    assert file.read_text() == f"elsewhere ssh-rsa AAAA\n[hpc.example]:2222 ssh-ed25519 {TEXT}\n"
    ssh_hosts.check(host(file, 2222), "ssh-ed25519", KEY)


def test_damaged_lines_are_no_keys(tmp_path: Path) -> None:
    (tmp_path / "known").write_bytes(b"hpc.example ssh-ed25519 @@@@x\nhpc.example\n\xff\xfe\n")
    with pytest.raises(ConfigError, match="is not known"):
        ssh_hosts.check(host(tmp_path / "known"), "ssh-ed25519", KEY)


# policies


def test_unknown_key_by_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    answers = ["", "yes"]

    def ask(question: str) -> str | None:
        asked.append(question)
        return answers.pop(0)

    monkeypatch.setattr(ssh_hosts.terminal, "ask", ask)
    with pytest.raises(ConfigError, match=r"is not known.*Nothing was sent"):
        ssh_hosts.check(host(tmp_path / "known", policy="reject"), "ssh-ed25519", KEY)
    assert asked == []
    ssh_hosts.check(host(tmp_path / "known", policy="ask"), "ssh-ed25519", KEY)
    assert "The authenticity of host 'hpc.example' can't be established" in asked[0]
    assert f"ED25519 key fingerprint is {ssh_hosts.fingerprint(KEY)}" in asked[0]
    assert (tmp_path / "known").read_text() == f"hpc.example ssh-ed25519 {TEXT}\n"
    with pytest.raises(ConfigError, match="HAS CHANGED"):
        ssh_hosts.check(host(tmp_path / "known", policy="ask"), "ssh-ed25519", OTHER)


@pytest.mark.parametrize(
    ("answer", "accepted"),
    [("yes", True), ("YES", True), ("the print", True), ("no", False), ("maybe", False), (None, False)],
)
def test_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str | None, accepted: bool) -> None:
    said = ssh_hosts.fingerprint(KEY) if answer == "the print" else answer
    monkeypatch.setattr(ssh_hosts.terminal, "ask", lambda question: said)
    if accepted:
        ssh_hosts.check(host(tmp_path / "known", policy="ask"), "ssh-rsa", KEY)
    else:
        with pytest.raises(ConfigError, match="is not known"):
            ssh_hosts.check(host(tmp_path / "known", policy="ask"), "ssh-rsa", KEY)
    assert (tmp_path / "known").exists() is accepted


def test_a_person_at_a_terminal_is_asked_and_nobody_else(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from dispatcher.contexts.ssh import hosts\n"
        "from dispatcher.contexts.ssh.config import Host, Login\n"
        f"host = Host('hpc', 22, 'ann', Login(), known=({str(tmp_path / 'known')!r},), policy='ask')\n"
        "hosts.check(host, 'ssh-ed25519', b'key')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert "ConfigError: the host key of ann@hpc is not known" in done.stderr
    assert not (tmp_path / "known").exists()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", script])
    said = b""
    while b"(yes/no/[fingerprint])? " not in said:
        said += os.read(terminal, 1000)
    os.write(terminal, b"yes\n")
    assert os.waitpid(pid, 0)[1] == 0, said
    os.close(terminal)
    assert (tmp_path / "known").read_text() == "hpc ssh-ed25519 a2V5\n"


def test_hashed_names_are_written_and_found(tmp_path: Path) -> None:
    made = replace(host(tmp_path / "known", policy="accept-new"), hashed=True)
    ssh_hosts.check(made, "ssh-ed25519", KEY)
    text = (tmp_path / "known").read_text()
    assert text.startswith("|1|") and "hpc" not in text
    ssh_hosts.check(host(tmp_path / "known"), "ssh-ed25519", KEY)


def test_known_hosts_command(tmp_path: Path) -> None:
    made = replace(host(tmp_path / "known"), known_command=f"echo %H ssh-ed25519 {TEXT} %I %t %f")
    ssh_hosts.check(made, "ssh-ed25519", KEY)
    assert ssh_hosts.kinds(made) == ["ssh-ed25519"]
    with pytest.raises(ConfigError, match="HAS CHANGED"):
        ssh_hosts.check(made, "ssh-ed25519", OTHER)
    with pytest.raises(ConfigError, match="KnownHostsCommand ended with code 3, 0 bytes: oops"):
        ssh_hosts.check(replace(made, known_command="sh -c 'echo oops >&2; exit 3'"), "ssh-ed25519", KEY)


def test_revoked_key_files(tmp_path: Path) -> None:
    (tmp_path / "known").write_text(f"hpc.example ssh-ed25519 {TEXT}\n")
    (tmp_path / "revoked").write_text(f"# gone\nssh-ed25519 {TEXT} ann\n")
    made = replace(host(tmp_path / "known"), revoked=(str(tmp_path / "revoked"),))
    with pytest.raises(ConfigError, match=r"is revoked in .*/revoked:2"):
        ssh_hosts.check(made, "ssh-ed25519", KEY)
    (tmp_path / "revoked").write_bytes(b"SSHKRL\n\0")
    with pytest.raises(ConfigError, match="binary list"):
        ssh_hosts.check(made, "ssh-ed25519", KEY)
    (tmp_path / "revoked").unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        ssh_hosts.check(made, "ssh-ed25519", KEY)


# certificates


def certificate(
    authority: Ed25519PrivateKey,
    names: Sequence[str] = ("hpc.example",),
    kind: SSHCertificateType = SSHCertificateType.HOST,
    ends: float = 60.0,
) -> tuple[bytes, bytes]:
    """A host's key and its certificate, as it shows them."""
    key = Ed25519PrivateKey.generate()
    builder = SSHCertificateBuilder().public_key(key.public_key()).serial(7).type(kind).key_id(b"h")
    builder = builder.valid_principals([name.encode() for name in names])
    builder = builder.valid_after(int(time.time() - 1e6)).valid_before(int(time.time() + ends))
    return blob(key), b64decode(builder.sign(authority).public_bytes().split()[1])


def blob(key: Ed25519PrivateKey) -> bytes:
    return b64decode(key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).split()[1])


def test_host_certificates(tmp_path: Path) -> None:
    authority, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    (tmp_path / "known").write_text(f"@cert-authority *.example ssh-ed25519 {b64encode(blob(authority)).decode()}\n")
    made = host(tmp_path / "known")
    assert ssh_hosts.is_certified(made) and not ssh_hosts.is_certified(host(tmp_path / "none"))
    ssh_hosts.check(made, "ssh-ed25519", *certificate(authority))
    ssh_hosts.check(made, "ssh-ed25519", *certificate(authority, ["gate", "*.example"]))
    for wrong, why in (
        (certificate(authority, ["other.example"]), "it is for other.example"),
        (certificate(authority, kind=SSHCertificateType.USER), "it is not a host's"),
        (certificate(authority, ends=-60.0), "it has expired"),
    ):
        with pytest.raises(ConfigError, match=f"certificate of .*known:1, does not hold: {why}"):
            ssh_hosts.check(made, "ssh-ed25519", *wrong)
    with pytest.raises(ConfigError, match="is not known"):  # of an authority that nobody has named
        ssh_hosts.check(made, "ssh-ed25519", *certificate(other))
    key, shown = certificate(authority)
    with pytest.raises(ConfigError, match="cannot be believed"):
        ssh_hosts.check(made, "ssh-ed25519", key, shown[:-5] + b"wrong")
    with (tmp_path / "known").open("a") as file:
        file.write(f"@revoked * ssh-ed25519 {b64encode(blob(authority)).decode()}\n")
    with pytest.raises(ConfigError, match=r"is revoked in .*known:2"):
        ssh_hosts.check(made, "ssh-ed25519", *certificate(authority))
