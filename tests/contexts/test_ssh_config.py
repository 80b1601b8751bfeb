"""Who is meant: profile and configuration file together."""

from __future__ import annotations

import os
import pwd
import shutil
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from dispatcher.api.machine import Machine
from dispatcher.contexts.ssh import config as ssh_config
from dispatcher.contexts.ssh import openssh, reader
from dispatcher.contexts.ssh.tokens import words
from dispatcher.core.errors import ConfigError
from dispatcher.schema import reading
from dispatcher.schema.checking import check
from dispatcher.schema.trees import machine_arginfo


@pytest.fixture(params=["our reader", *(["ssh -G"] if shutil.which("ssh") else [])])
def client(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Once as OpenSSH itself says it, once as we read it."""
    if request.param == "our reader":
        monkeypatch.setattr(openssh.shutil, "which", lambda name: None)
    else:  # which looks at the home of the account
        monkeypatch.setenv("HOME", pwd.getpwuid(os.getuid()).pw_dir)
    return str(request.param)


def hosts(tmp_path: Path, text: str = "", **profile: Any) -> tuple[ssh_config.Host, ...]:
    (tmp_path / "config").write_text(text)
    return ssh_config.route({"hostname": "hpc", "config_file": str(tmp_path / "config"), **profile})


def test_without_configuration_the_profile_is_all(client: str, tmp_path: Path) -> None:
    (host,) = hosts(tmp_path, username="ann", port=2222, key_filename="/k/id", password="secret")
    assert (host.address, host.user, host.port, host.login.keys) == ("hpc", "ann", 2222, ("/k/id",))
    assert str(host) == "ann@hpc:2222"
    assert "secret" not in repr(host)


def test_configuration_fills_in_what_the_profile_leaves_out(client: str, tmp_path: Path) -> None:
    text = "Host hpc\n HostName login.example\n User bob\n Port 2022\n IdentityFile /k/%r_%h\n HostKeyAlias farm\n"
    (host,) = hosts(tmp_path, text, port=22)
    assert (host.address, host.user, host.port, host.alias) == ("login.example", "bob", 2022, "farm")
    assert host.login.keys == ("/k/bob_login.example",)
    (host,) = hosts(tmp_path, text, username="ann", port=2023, key_filename="/k/own")
    assert (host.user, host.port, host.login.keys) == ("ann", 2023, ("/k/own",))


def test_first_value_wins_and_patterns_match(client: str, tmp_path: Path) -> None:
    text = "Host h* !hpc2\n User first\nHost *\n User second\n Port = 99\n"
    (host,) = hosts(tmp_path, text)
    assert (host.user, host.port) == ("first", 99)
    (host,) = hosts(tmp_path, text, hostname="hpc2")
    assert host.user == "second"


def test_hops_in_their_order_each_with_its_own_settings(client: str, tmp_path: Path) -> None:
    text = (
        "Host hpc\n ProxyJump gate,eve@[::1]:2200\nHost gate\n HostName gate.example\n User gus\n ProxyJump outer\n"
        "Host outer\n Port 23\n"
    )
    route = hosts(tmp_path, text, username="ann", password="secret", known_hosts="/k/known")
    assert [str(host) for host in route][1:] == ["gus@gate.example", "eve@[::1]:2200", "ann@hpc"]
    assert (route[0].address, route[0].port) == ("outer", 23)
    assert [host.login.password for host in route] == [None, None, None, "secret"]
    assert {host.known for host in route} == {("/k/known",)}


def test_secrets_go_to_a_hop_only_when_they_are_meant_for_it(client: str, tmp_path: Path) -> None:
    gate, last = hosts(tmp_path, "Host hpc\n ProxyJump gate\n", username="a", jump_profile={"totp_secret": "ABC"})
    assert (gate.login.totp, last.login.totp) == ("ABC", None)


def test_hops_that_lead_back_to_themselves(client: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leads back"):
        hosts(tmp_path, "Host hpc\n ProxyJump gate\nHost gate\n ProxyJump hpc\n", username="a")


def test_proxy_command_with_its_tokens(client: str, tmp_path: Path) -> None:
    (host,) = hosts(tmp_path, "Host hpc\n ProxyCommand nc %h %p # %r\n", username="ann", port=2)
    assert host.proxy.startswith("nc hpc 2") or host.proxy.startswith("nc hpc 22")
    (host,) = hosts(tmp_path, "", username="ann", port=2, proxy_command="ssh -W %h:%p gate 100%%")
    assert host.proxy == "ssh -W hpc:2 gate 100%"
    (host,) = hosts(tmp_path, "Host hpc\n ProxyCommand none\n ProxyJump none\n", username="ann")
    assert host.proxy == ""


def test_include_stays_within_its_block(client: str, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more/1").write_text("User inner\nHost other\n User other\n")
    (tmp_path / "more/2").write_text("Port 77\n")
    (host,) = hosts(tmp_path, "Host hpc\n Include more/*\n IdentityFile /k/one\nHost *\n User outer\n")
    assert (host.user, host.port, host.login.keys) == ("inner", 77, ("/k/one",))
    (host,) = hosts(tmp_path, "Host hpc\n Include more/*\nHost *\n User outer\n", hostname="another")
    assert (host.user, host.port) == ("outer", 22)


def test_files_that_include_each_other_end(client: str, tmp_path: Path) -> None:
    (host,) = hosts(tmp_path, "Include config\nUser ann\n")
    assert host.user == "ann"


@pytest.mark.parametrize(
    ("says", "policy"),
    [
        ("", "ask"),
        ("StrictHostKeyChecking ask", "ask"),
        ("StrictHostKeyChecking yes", "reject"),
        ("StrictHostKeyChecking accept-new", "accept-new"),
        ("StrictHostKeyChecking no", "accept-new"),
        ("StrictHostKeyChecking off", "accept-new"),
    ],
)
def test_policy_of_host_keys(client: str, tmp_path: Path, says: str, policy: str) -> None:
    assert hosts(tmp_path, f"{says}\n")[0].policy == policy
    assert hosts(tmp_path, f"{says}\n", host_key_policy="accept-new")[0].policy == "accept-new"
    assert hosts(tmp_path, f"{says}\n", host_key_policy="reject")[0].policy == "reject"


def test_a_program_may_choose_what_holds_when_nobody_has_said_anything(
    client: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh_config.Defaults, "unknown_hosts", "accept-new")
    assert hosts(tmp_path)[0].policy == "accept-new"
    for says, policy in (("ask", "ask"), ("yes", "reject")):
        assert hosts(tmp_path, f"StrictHostKeyChecking {says}\n")[0].policy == policy
    assert hosts(tmp_path, host_key_policy="reject")[0].policy == "reject"


@pytest.mark.parametrize("profile", [{"hostname": ""}, {"port": 70000}, {"port": "x"}])
def test_what_is_wrong_is_named(tmp_path: Path, profile: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(profile))):
        hosts(tmp_path, **profile)


def test_configuration_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no-such-file"):
        ssh_config.route({"hostname": "hpc", "config_file": str(tmp_path / "no-such-file")})


# what real configurations hold


def test_red_hat_style_final_block_stops_nobody(client: str, tmp_path: Path) -> None:
    text = "Host hpc\n HostName login.example\nMatch final all\n User late\n GSSAPIAuthentication yes\n"
    (host,) = hosts(tmp_path, text)
    assert (host.address, host.user) == ("login.example", "late")
    assert host.login.unheeded == (f"gssapiauthentication ({tmp_path}/config, line 5)",)


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("all", True),
        ("host hpc", True),
        ("host=hpc", True),
        ("host other,h*", True),
        ("host *,!hpc", False),
        ("!host hpc", False),
        ("originalhost hpc", True),
        ("originalhost login.example", False),
        ("user bob", True),
        ("user ann", False),
        ("localuser nobody-at-all", False),
        ("exec true", True),
        ("exec false", False),
        ('exec "test %n-%r = hpc-bob"', True),
        ("canonical", False),
        ("final", True),
        ("final host login.example", True),
        ("final !host hpc", True),
        ("host hpc exec false", False),
    ],
)
def test_conditions(client: str, tmp_path: Path, condition: str, holds: bool) -> None:
    late = "final" in condition
    first = "Host hpc\n HostName login.example\n" if late else ""
    (host,) = hosts(tmp_path, f"{first}Match {condition}\n Port 2222\n", username="bob")
    assert (host.port == 2222) is holds


def test_canonical_names_are_read_for_again(client: str, tmp_path: Path) -> None:
    text = "CanonicalizeHostname yes\nCanonicalDomains invalid localhost\nHost hpc.localhost\n User late\n"
    (host,) = hosts(tmp_path, text)
    assert host.address == "hpc" or (host.address, host.user) == ("hpc.localhost", "late")
    (host,) = hosts(tmp_path, text + "Match canonical host 127.0.0.1\n Port 2222\n", hostname="127.0.0.1")
    assert (host.address, host.port) == ("127.0.0.1", 2222)


def test_quotes_blanks_and_foreign_bytes(client: str, tmp_path: Path) -> None:
    (tmp_path / "my conf").write_bytes(b"# Br\xfccke\nIdentityFile '/k/my key'\nPort=2200 # door\n")
    text = f'Include "{tmp_path}/my conf"\nHost "hpc"\n  User "ann"\n  UserKnownHostsFile "{tmp_path}/a b" /k/c\n'
    (tmp_path / "a b").write_text("")
    (tmp_path / "config").write_bytes(b"# \xff\n" + text.encode())
    (host,) = ssh_config.route({"hostname": "hpc", "config_file": str(tmp_path / "config")})
    assert (host.user, host.port, host.login.keys) == ("ann", 2200, ("/k/my key",))
    assert host.known == (f"{tmp_path}/a b", "/k/c")


def test_keys_of_a_login(client: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_AGENT", "/run/agent")
    text = (
        "IdentitiesOnly yes\nIdentityFile ~/k/%n-%p\nIdentityFile %d/other\nCertificateFile /k/%r-cert.pub\n"
        "IdentityAgent $MY_AGENT\nHostKeyAlias farm\nPasswordAuthentication no\nHashKnownHosts yes\n"
        "KnownHostsCommand /bin/keys %H %t %r %%\nRevokedHostKeys /k/%h.revoked\nGlobalKnownHostsFile none\n"
        "UserKnownHostsFile ~/known_%k\nBindAddress 127.0.0.1\n"
    )
    (host,) = hosts(tmp_path, text, username="bob")
    home = str(Path.home())
    assert host.login.named and host.login.agent == "/run/agent" and not host.login.defaults
    assert host.login.keys == (f"{home}/k/hpc-22", f"{home}/other")
    assert (host.login.certificates, host.alias, host.hashed) == (("/k/bob-cert.pub",), "farm", True)
    assert host.login.methods == ("publickey", "keyboard-interactive")
    assert host.known_command == "/bin/keys %H %t bob %%"
    assert (host.revoked, host.site, host.known) == (("/k/hpc.revoked",), (), (f"{home}/known_farm",))
    assert host.bind == "127.0.0.1"
    assert hosts(tmp_path, "IdentityAgent none\n")[0].login.agent == "none"
    assert hosts(tmp_path, "IdentityAgent ~/a%p\n")[0].login.agent == f"{home}/a22"


def test_what_cannot_be_honoured_is_named_with_file_and_line(client: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"{tmp_path}/config, line 3: ProxyUseFdpass"):
        hosts(tmp_path, "Host hpc\n ProxyCommand x\n ProxyUseFdpass yes\n")
    with pytest.raises(ConfigError, match=rf"{tmp_path}/config,? line 2.*quote"):
        hosts(tmp_path, '# x\nUser "ann\n')
    with pytest.raises(ConfigError, match=rf"{tmp_path}/config,? line 2"):
        hosts(tmp_path, "# x\nMatch colour blue\n User eve\n")


@pytest.mark.parametrize("condition", ["colour blue", "version 10*", "!colour blue", "host hpc colour blue"])
def test_our_reader_never_guesses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, condition: str) -> None:
    monkeypatch.setattr(openssh.shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match=r"config, line 1: `Match \w+` cannot be evaluated here, and is not guessed"):
        hosts(tmp_path, f"Match {condition}\n User eve\n")
    assert hosts(tmp_path, f"Match host other {condition}\n User eve\n", username="ann")[0].user == "ann"


def test_our_reader_knows_newer_conditions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openssh.shutil, "which", lambda name: None)
    text = "Tag site\nMatch tagged site,other\n User ann\nMatch sessiontype exec\n Port 2222\n"
    assert [(host.user, host.port) for host in hosts(tmp_path, text)] == [("ann", 2222)]
    assert hosts(tmp_path, "Match localnetwork 203.0.113.0/24,2001:db8::/32\n Port 2222\n")[0].port == 22
    monkeypatch.setattr(reader, "_addresses", lambda line: [ip_address("203.0.113.7")])
    assert hosts(tmp_path, "Match localnetwork 203.0.113.0/24\n Port 2222\n")[0].port == 2222
    with pytest.raises(ConfigError, match=r"config, line 1: .*write networks as"):
        hosts(tmp_path, "Match localnetwork here\n Port 2222\n")


def test_nothing_in_a_block_that_does_not_hold_holds(client: str, tmp_path: Path) -> None:
    (tmp_path / "more").write_text("Host *\n User eve\nMatch all\n Port 66\n")
    (host,) = hosts(tmp_path, f"Host other\n Include {tmp_path}/more\nHost *\n User ann\n")
    assert (host.user, host.port) == ("ann", 22)


def test_files_that_are_too_large_or_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openssh.shutil, "which", lambda name: None)
    os.mkfifo(tmp_path / "fifo")
    for name in (tmp_path / "fifo", tmp_path):
        with pytest.raises(ConfigError, match=r"is not a file"):
            ssh_config.route({"hostname": "hpc", "config_file": str(name)})
    with pytest.raises(ConfigError, match=r"larger than 1048576 bytes"):
        hosts(tmp_path, "#" * (1 << 20) + "\n\n")
    with pytest.raises(ConfigError, match=r"more than 100000 lines in all"):
        hosts(tmp_path, "\n" * 100_001)
    with pytest.raises(ConfigError, match=r"includes again and again"):
        hosts(tmp_path, "Include config\n" * 50)


def test_without_the_accounts_home_our_reader_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text("Host hpc\n User ann\n StrictHostKeyChecking accept-new\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    (host,) = ssh_config.route({"hostname": "hpc"})
    assert (host.user, host.policy, host.known[0]) == ("ann", "accept-new", f"{tmp_path}/.ssh/known_hosts")


# names that end up in command lines


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("someone@127.0.0.1", "username"),
        ("127.0.0.1:22999", "write it as port"),
        ("hpc:22", "write it as port"),
        (" 127.0.0.1", "blank"),
        ("hpc\n", "blank"),
        ("ssh://hpc", "URL"),
        ("[::1]:22", "brackets"),
        ("", "empty"),
        ("-oProxyCommand=touch x", "blank|hyphen"),
        ("-oProxyCommand=x", "hyphen"),
        ("hpc;id", "';'"),
        ("$(id)", r"'\$'"),
        ("`id`", "'`'"),
        ("a|b", r"'\|'"),
        ("a'b", "holds"),
        ("a/b", "'/'"),
    ],
)
def test_names_that_openssh_refuses(tmp_path: Path, name: str, advice: str) -> None:
    with pytest.raises(ConfigError, match=rf"machine/remote_profile/hostname: .*({advice})"):
        hosts(tmp_path, hostname=name)
    with pytest.raises(ConfigError, match=r"remote_profile/hostname"):
        check(
            {"batch_type": "Shell", "context_type": "SSH", "local_root": "./", "remote_root": "/r"}
            | {"remote_profile": {"hostname": name, "username": "ann"}},
            machine_arginfo(),
        )


@pytest.mark.parametrize("name", ["hpc", "login.hpc.example", "127.0.0.1", "::1", "fe80::1%eth0", "a_b", "hpc."])
def test_names_that_are_hosts(tmp_path: Path, name: str) -> None:
    assert hosts(tmp_path, hostname=name, username="ann")[0].address.rstrip(".") == name.rstrip(".")


@pytest.mark.parametrize("user", ["-l", "a;id", "a`id`", "a$(id)", "a b -x", "a\\", "a'b", "a|b", "a\nb"])
def test_users_that_openssh_refuses(client: str, tmp_path: Path, user: str) -> None:
    with pytest.raises(ConfigError, match=r"remote_profile/username"):
        hosts(tmp_path, "ProxyCommand touch ran-%r\n", username=user)


@pytest.mark.parametrize(
    "line", ["HostName $(touch${IFS}ran)", "HostName -x", "HostName a;b", "ProxyJump -x", "ProxyJump a;b"]
)
def test_the_configuration_cannot_smuggle_them_in(client: str, tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError, match=r"ProxyJump|HostName|ssh refuses"):
        hosts(tmp_path, f"{line}\n{'' if 'Jump' in line else 'ProxyCommand nc %h'}\n", username="ann")


def test_words_are_cut_in_linear_time() -> None:
    for text in ("\\" * 20_000 + '"', '"' + "\\a" * 20_000, "a'" * 20_001):
        with pytest.raises(ValueError, match=r"."):
            words(text)


def test_the_policy_is_the_same_through_a_file_and_through_python(client: str, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("StrictHostKeyChecking accept-new\nPort 2222\n")
    profile = {"hostname": "hpc", "config_file": str(tmp_path / "config")}
    machine = {"batch_type": "Shell", "context_type": "SSH", "local_root": "./", "remote_root": "/r"}
    resources = {"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 0, "queue_name": "", "group_size": 1}
    task = {"command": "true", "task_work_path": "t", "forward_files": [], "backward_files": []}
    data = {"work_base": "w", "machine": {**machine, "remote_profile": profile}, "resources": resources}
    requested = reading.read({**data, "task_list": [task]}, "s.json")
    checked = Machine.load_from_dict({**machine, "remote_profile": profile}).context.remote_profile
    for given in (requested.profile, checked):
        (host,) = ssh_config.route(given)
        assert (host.policy, host.port) == ("accept-new", 2222)
