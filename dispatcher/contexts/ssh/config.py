"""Who is meant by a host name: the profile of the user, filled up from the SSH configuration.

    profile  {"hostname": "hpc", "username": "ann"}
    config   Host hpc
               HostName login.hpc.example
               ProxyJump gate,inner:2222
    route()  ->  (Host gate, Host inner:2222, Host login.hpc.example)        the way, first hop first

What the profile says wins; the configuration fills in the rest, for the host
as for every hop. What it says is OpenSSH's own answer where there is a client
(`openssh`), or our reading of the files (`reader`). docs/ssh.md has every key.
"""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...core.errors import ConfigError
from .names import wrong_host, wrong_user
from .openssh import Configuration
from .reader import Settings
from .tokens import expanded, filled, tokens

_KEY = "machine/remote_profile"
_HOP = re.compile(r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?:\[(?P<six>[^]]+)\]|(?P<name>[^:\[\]]+))(?::(?P<port>\d+))?/?")
_HERE = "the SSH configuration"


class Defaults:
    """What holds where neither the profile nor the configuration says anything; a program may set it before logging in.

    `unknown_hosts`: "ask" asks on a terminal and refuses elsewhere; "accept-new" writes an unknown host's key to
    known_hosts. A key that has changed is refused either way.
    """

    unknown_hosts = "ask"


_POLICIES = {
    "reject": "reject",
    "yes": "reject",
    "true": "reject",
    "ask": "ask",
    "accept-new": "accept-new",
    # as OpenSSH, but for a key that has changed: that is refused, whatever is written here
    "no": "accept-new",
    "off": "accept-new",
    "false": "accept-new",
}
#: How a login may go, and the key that forbids it.
_METHODS = {
    "publickey": ("pubkeyauthentication",),
    "password": ("passwordauthentication",),
    "keyboard-interactive": ("kbdinteractiveauthentication", "challengeresponseauthentication"),
}
_SITE = ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"]
#: Tokens of KnownHostsCommand that have a meaning only when the host has shown its key.
_LATER = {letter: f"%{letter}" for letter in "IKHtf"} | {"%": "%%"}
#: Keys that let OpenSSH in where we cannot follow; named when the login is refused.
_UNHEEDED = ("gssapiauthentication", "hostbasedauthentication", "pkcs11provider")


@dataclass(frozen=True)
class Login:
    """What a host may ask for. Secrets are left out of every representation.

    `keys` are files; `agent` is the socket of an agent, "" for that of the environment, "none" for none. `named`:
    of the agent's keys, only those of `keys` are offered (IdentitiesOnly). `unheeded` says which ways to log in the
    configuration has that are not known here, with file and line.
    """

    keys: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    must_exist: bool = False
    defaults: bool = True
    agent: str = ""
    named: bool = False
    methods: tuple[str, ...] = tuple(_METHODS)
    unheeded: tuple[str, ...] = ()
    password: str | None = field(default=None, repr=False)
    passphrase: str | None = field(default=None, repr=False)
    totp: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Host:
    """One machine on the way. `alias` is its name among the known hosts, `proxy` a command to reach it through.

    `known` and `site` are files of known keys, the first of `known` is written to; `known_command` prints more of
    them. `policy` for a host that is not known: reject, ask, or accept-new. `bind` is our own address.
    """

    address: str
    port: int
    user: str
    login: Login
    alias: str = ""
    proxy: str = ""
    known: tuple[str, ...] = ()
    site: tuple[str, ...] = ()
    known_command: str = ""
    revoked: tuple[str, ...] = ()
    hashed: bool = False
    policy: str = "reject"
    bind: str = ""

    def __str__(self) -> str:
        where = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.user}@{where}" + ("" if self.port == 22 else f":{self.port}")


def route(profile: Mapping[str, Any]) -> tuple[Host, ...]:
    """The hosts to go through, the last one is where the jobs run; ConfigError names the key that is wrong."""
    name = profile.get("hostname")
    if not isinstance(name, str):
        raise ConfigError(f"{_KEY}/hostname: missing; write the name or address of the SSH server")
    if why := wrong_host(name):
        raise ConfigError(f"{_KEY}/hostname: {name!r} {why}")
    config = Configuration.of(profile.get("config_file"))
    last, found = _host(config, name, profile)
    jumps = _jumps(found) if not last.proxy else []
    secrets = {**(profile.get("jump_profile") or {}), **_shared(profile)}
    hops = [hop for jump in jumps for hop in _hop(config, jump, secrets, {name})]
    return (*hops, last)


def _shared(profile: Mapping[str, Any]) -> dict[str, Any]:
    """What holds for every host on the way; secrets go to a hop only by `jump_profile`."""
    return {key: profile[key] for key in ("known_hosts", "host_key_policy", "look_for_keys") if key in profile}


def _hop(config: Configuration, jump: str, secrets: Mapping[str, Any], seen: set[str]) -> list[Host]:
    """A host of ProxyJump, behind those it is itself reached through."""
    parts = _HOP.fullmatch(jump)
    name = (parts["six"] or parts["name"]) if parts else ""
    if parts is None or name in seen:
        raise ConfigError(f"ProxyJump {jump!r} of {_HERE} is not a host, or leads back to itself")
    requested = {key: value for key, value in (("username", parts["user"]), ("port", parts["port"])) if value}
    host, found = _host(config, name, {**secrets, **requested})
    above = [] if host.proxy else _jumps(found)
    return [*(hop for way in above for hop in _hop(config, way, secrets, seen | {name})), host]


def _host(config: Configuration, name: str, profile: Mapping[str, Any]) -> tuple[Host, Settings]:
    """A host as profile and configuration together describe it, and what the configuration says."""
    _fit(name, str(profile.get("username") or ""))
    asked = profile.get("port")
    found = config.lookup(name, profile.get("username") or "", 0 if asked in (None, 22) else _port(asked, None))
    port, user = _port(asked, _one(found, "port")), profile.get("username") or _one(found, "user") or getpass.getuser()
    address = _one(found, "hostname") or name
    _fit(address, user)
    alias = _one(found, "hostkeyalias")
    values = tokens(name, address, port, user, alias, _one(found, "proxyjump"))
    host = Host(
        address=address,
        port=port,
        user=user,
        login=_login(config, profile, found, values),
        alias=alias,
        known=_known(profile, found, values),
        site=_paths(
            found.get("globalknownhostsfile", ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"]), values
        ),
        known_command=filled(_unless_none(_one(found, "knownhostscommand")), {**values, **_LATER}, _HERE),
        revoked=_paths(found.get("revokedhostkeys", []), values),
        hashed=_one(found, "hashknownhosts") == "yes",
        policy=_policy(config, profile, found),
        bind=_unless_none(_one(found, "bindaddress")),
    )
    return replace(host, proxy=_proxy(config, profile, found, values)), found


def _fit(name: str, user: str) -> None:
    """Raise ConfigError for names that OpenSSH refuses, before they reach a command line."""
    if why := wrong_host(name):
        raise ConfigError(f"the host {name!r} {why}; correct {_KEY}/hostname, or HostName or ProxyJump in {_HERE}")
    if user and (why := wrong_user(user)):
        raise ConfigError(f"{_KEY}/username: {user!r} {why}; correct it, or User in {_HERE}")


def _login(config: Configuration, profile: Mapping[str, Any], found: Settings, values: Mapping[str, str]) -> Login:
    own = profile.get("key_filename")
    keys = _paths([own] if own else found.get("identityfile", []), {} if own else values)
    unheeded = [key for key in _UNHEEDED if _one(found, key) not in ("", "no", "none", "false", "internal")]
    return Login(
        keys=keys,
        certificates=_paths(found.get("certificatefile", []), values),
        must_exist=bool(own),
        defaults=profile.get("look_for_keys", True) is not False and not keys,
        agent=_agent(found, values),
        named=_one(found, "identitiesonly") == "yes",
        methods=tuple(way for way, keys in _METHODS.items() if not any(_one(found, key) == "no" for key in keys)),
        unheeded=tuple(f"{key} ({where})" for key in unheeded if (where := config.where(key))),
        password=profile.get("password"),
        passphrase=profile.get("passphrase"),
        totp=profile.get("totp_secret"),
    )


def _agent(found: Settings, values: Mapping[str, str]) -> str:
    """The socket of IdentityAgent: a path, or the variable that holds it."""
    socket = _one(found, "identityagent")
    if socket in ("", "none", "SSH_AUTH_SOCK"):
        return socket.removeprefix("SSH_AUTH_SOCK")
    if socket.startswith("$") and not socket.startswith("${"):
        return os.environ.get(socket[1:]) or "none"
    return expanded(socket, values, f"IdentityAgent of {_HERE}")


def _policy(config: Configuration, profile: Mapping[str, Any], found: Settings) -> str:
    """What an unknown host key meets: by the profile, by the configuration, or by `Defaults`."""
    if requested := profile.get("host_key_policy"):
        return str(requested)
    says = _one(found, "stricthostkeychecking").lower()
    # `ssh -G` says "ask" when nobody has said anything, too
    if says in ("", "ask") and not config.where("stricthostkeychecking"):
        return Defaults.unknown_hosts
    if says not in _POLICIES:
        raise ConfigError(
            f"{config.where('stricthostkeychecking')}: StrictHostKeyChecking {says!r} is not known; correct it"
        )
    return _POLICIES[says]


def _known(profile: Mapping[str, Any], found: Settings, values: Mapping[str, str]) -> tuple[str, ...]:
    if own := profile.get("known_hosts"):
        return _paths([own], {})
    return _paths(found.get("userknownhostsfile", ["~/.ssh/known_hosts", "~/.ssh/known_hosts2"]), values)


def _proxy(config: Configuration, profile: Mapping[str, Any], found: Settings, values: Mapping[str, str]) -> str:
    """The command to be reached through, with its tokens; "" for none. That of a profile knows fewer of them."""
    if own := profile.get("proxy_command"):
        known = {key: values[key] for key in ("%", "h", "p", "r", "n")}
        return "" if own == "none" else re.sub(r"%([%hprn])", lambda token: known[token[1]], str(own))
    command = _unless_none(_one(found, "proxycommand"))
    if command and _one(found, "proxyusefdpass") == "yes":
        raise ConfigError(
            f"{config.where('proxyusefdpass') or _HERE}: ProxyUseFdpass is not supported; use a ProxyCommand without it"
        )
    return filled(command, values, config.where("proxycommand") or f"ProxyCommand of {_HERE}")


def _port(requested: Any, configured: Any) -> int:
    """The profile's port, but its default gives way to what the configuration says."""
    chosen = configured if configured and requested in (None, 22) else requested or 22
    try:
        port = int(chosen)
    except ValueError:
        port = 0
    if not 0 < port < 65536:
        raise ConfigError(f"{_KEY}/port: {chosen!r} is not a port number; write 1 to 65535")
    return port


def _one(found: Settings, key: str) -> str:
    return next(iter(found.get(key, [])), "")


def _unless_none(value: str) -> str:
    return "" if value.lower() == "none" else value


def _paths(names: Sequence[str], values: Mapping[str, str]) -> tuple[str, ...]:
    """Names of files with their tokens and `~`; `values` {}: names of a profile, which have no tokens."""
    wanted = (name for name in names if name and name.lower() != "none")
    return tuple(expanded(name if values else name.replace("%", "%%"), values or {"%": "%"}, _HERE) for name in wanted)


def _jumps(found: Settings) -> list[str]:
    jumps = _unless_none(_one(found, "proxyjump"))
    return [jump.strip() for jump in jumps.split(",")] if jumps else []
