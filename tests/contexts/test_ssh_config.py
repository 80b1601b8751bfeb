"""Who is meant: profile and configuration file together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dispatcher.contexts.ssh import config as ssh_config
from dispatcher.core.errors import ConfigError


def hosts(tmp_path: Path, text: str = "", **profile: Any) -> tuple[ssh_config.Host, ...]:
    (tmp_path / "config").write_text(text)
    return ssh_config.route({"hostname": "hpc", "config_file": str(tmp_path / "config"), **profile})


def test_without_configuration_the_profile_is_all(tmp_path: Path) -> None:
    (host,) = hosts(tmp_path, username="ann", port=2222, key_filename="/k/id", password="secret")
    assert (host.address, host.user, host.port, host.login.keys) == ("hpc", "ann", 2222, ("/k/id",))
    assert str(host) == "ann@hpc:2222"
    assert "secret" not in repr(host)


def test_configuration_fills_in_what_the_profile_leaves_out(tmp_path: Path) -> None:
    text = "Host hpc\n HostName login.example\n User bob\n Port 2022\n IdentityFile /k/%r_%h\n HostKeyAlias farm\n"
    (host,) = hosts(tmp_path, text, port=22)
    assert (host.address, host.user, host.port, host.alias) == ("login.example", "bob", 2022, "farm")
    assert host.login.keys == ("/k/bob_login.example",)
    (host,) = hosts(tmp_path, text, username="ann", port=2023, key_filename="/k/own")
    assert (host.user, host.port, host.login.keys) == ("ann", 2023, ("/k/own",))


def test_first_value_wins_and_patterns_match(tmp_path: Path) -> None:
    text = "Host h* !hpc2\n User first\nHost *\n User second\n Port = 99\n"
    (host,) = hosts(tmp_path, text)
    assert (host.user, host.port) == ("first", 99)
    (host,) = hosts(tmp_path, text, hostname="hpc2")
    assert host.user == "second"


def test_hops_in_their_order_each_with_its_own_settings(tmp_path: Path) -> None:
    text = (
        "Host hpc\n ProxyJump gate,eve@[::1]:2200\nHost gate\n HostName gate.example\n User gus\n ProxyJump outer\n"
        "Host outer\n Port 23\n"
    )
    route = hosts(tmp_path, text, username="ann", password="secret", known_hosts="/k/known")
    assert [str(host) for host in route][1:] == ["gus@gate.example", "eve@[::1]:2200", "ann@hpc"]
    assert (route[0].address, route[0].port) == ("outer", 23)
    assert [host.login.password for host in route] == [None, None, None, "secret"]
    assert {host.known for host in route} == {("/k/known",)}


def test_secrets_go_to_a_hop_only_when_they_are_meant_for_it(tmp_path: Path) -> None:
    gate, last = hosts(tmp_path, "Host hpc\n ProxyJump gate\n", username="a", jump_profile={"totp_secret": "ABC"})
    assert (gate.login.totp, last.login.totp) == ("ABC", None)


def test_hops_that_lead_back_to_themselves(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="leads back"):
        hosts(tmp_path, "Host hpc\n ProxyJump gate\nHost gate\n ProxyJump hpc\n", username="a")


def test_proxy_command_with_its_tokens(tmp_path: Path) -> None:
    (host,) = hosts(tmp_path, "Host hpc\n ProxyCommand nc %h %p # %r\n", username="ann", port=2)
    assert host.proxy.startswith("nc hpc 2") or host.proxy.startswith("nc hpc 22")
    (host,) = hosts(tmp_path, "", username="ann", port=2, proxy_command="ssh -W %h:%p gate 100%%")
    assert host.proxy == "ssh -W hpc:2 gate 100%"
    (host,) = hosts(tmp_path, "Host hpc\n ProxyCommand none\n ProxyJump none\n", username="ann")
    assert host.proxy == ""


def test_include_stays_within_its_block(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more/1").write_text("User inner\nHost other\n User other\n")
    (tmp_path / "more/2").write_text("Port 77\n")
    (host,) = hosts(tmp_path, "Host hpc\n Include more/*\n IdentityFile /k/one\nHost *\n User outer\n")
    assert (host.user, host.port, host.login.keys) == ("inner", 77, ("/k/one",))
    (host,) = hosts(tmp_path, "Host hpc\n Include more/*\nHost *\n User outer\n", hostname="another")
    assert (host.user, host.port) == ("outer", 22)


def test_files_that_include_each_other_end(tmp_path: Path) -> None:
    (host,) = hosts(tmp_path, "Include config\nUser ann\n")
    assert host.user == "ann"


def test_policy_of_host_keys(tmp_path: Path) -> None:
    assert [host.accept_new for host in hosts(tmp_path)] == [False]
    assert hosts(tmp_path, host_key_policy="accept-new")[0].accept_new
    assert hosts(tmp_path, "StrictHostKeyChecking accept-new\n")[0].accept_new
    assert not hosts(tmp_path, "StrictHostKeyChecking accept-new\n", host_key_policy="reject")[0].accept_new
    assert not hosts(tmp_path, "StrictHostKeyChecking no\n")[0].accept_new


@pytest.mark.parametrize("profile", [{"hostname": ""}, {"port": 70000}, {"port": "x"}])
def test_what_is_wrong_is_named(tmp_path: Path, profile: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(profile))):
        hosts(tmp_path, **profile)


def test_configuration_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no-such-file"):
        ssh_config.route({"hostname": "hpc", "config_file": str(tmp_path / "no-such-file")})
