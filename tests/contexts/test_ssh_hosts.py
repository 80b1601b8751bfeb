"""Known hosts: files as OpenSSH writes them, and what is said of keys that are not in them."""

from __future__ import annotations

import hmac
from base64 import b64encode
from hashlib import sha1
from pathlib import Path

import pytest

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
    from base64 import b64decode

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
