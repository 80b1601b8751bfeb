"""Who is meant by a host name: the profile of the user, filled up from ~/.ssh/config.

    profile  {"hostname": "hpc", "username": "ann"}
    config   Host hpc
               HostName login.hpc.example
               ProxyJump gate,inner:2222
    route()  ->  (Host gate, Host inner:2222, Host login.hpc.example)        the way, first hop first

What the profile says wins; the configuration file fills in the rest, for the
host as for every hop. `Include` is read in place, as OpenSSH does.
"""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from glob import glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError

if TYPE_CHECKING:
    from paramiko import SSHConfig

_KEY = "machine.remote_profile"
_HOP = re.compile(r"(?:ssh://)?(?:(?P<user>[^@]+)@)?(?:\[(?P<six>[^]]+)\]|(?P<name>[^:\[\]]+))(?::(?P<port>\d+))?")
_LINE = re.compile(r"\s*(?P<key>\w+)(?:\s*=\s*|\s+)(?P<value>.*?)\s*")
#: Files that include each other for ever end here, as with OpenSSH.
_DEEP = 16


@dataclass(frozen=True)
class Login:
    """What a host may ask for. Secrets are left out of every representation."""

    keys: tuple[str, ...] = ()
    certificates: tuple[str, ...] = ()
    must_exist: bool = False
    defaults: bool = True
    agent: bool = True
    password: str | None = field(default=None, repr=False)
    passphrase: str | None = field(default=None, repr=False)
    totp: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Host:
    """One machine on the way. `alias` is its name among the known hosts, `proxy` a command to reach it through."""

    address: str
    port: int
    user: str
    login: Login
    alias: str = ""
    proxy: str = ""
    known: tuple[str, ...] = ()
    site: tuple[str, ...] = ()
    accept_new: bool = False

    def __str__(self) -> str:
        where = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.user}@{where}" + ("" if self.port == 22 else f":{self.port}")


def route(profile: Mapping[str, Any]) -> tuple[Host, ...]:
    """The hosts to go through, the last one is where the jobs run; ConfigError names the key that is wrong."""
    name = profile.get("hostname")
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f"{_KEY}.hostname: missing; write the name or address of the SSH server")
    config = _read(profile.get("config_file"))
    last = _host(config, name, profile)
    jumps = _jumps(config, name) if not last.proxy else []
    secrets = {**(profile.get("jump_profile") or {}), **_shared(profile)}
    hops = [hop for jump in jumps for hop in _hop(config, jump, secrets, {name})]
    return (*hops, last)


def _shared(profile: Mapping[str, Any]) -> dict[str, Any]:
    """What holds for every host on the way; secrets go to a hop only by `jump_profile`."""
    return {key: profile[key] for key in ("known_hosts", "host_key_policy", "look_for_keys") if key in profile}


def _hop(config: SSHConfig, jump: str, secrets: Mapping[str, Any], seen: set[str]) -> list[Host]:
    """A host of ProxyJump, behind those it is itself reached through."""
    parts = _HOP.fullmatch(jump)
    name = (parts["six"] or parts["name"]) if parts else ""
    if parts is None or name in seen:
        raise ConfigError(f"ProxyJump {jump!r} of the SSH configuration is no host, or leads back to itself")
    requested = {key: value for key, value in (("username", parts["user"]), ("port", parts["port"])) if value}
    host = _host(config, name, {**secrets, **requested})
    above = [] if host.proxy else _jumps(config, name)
    return [*(hop for way in above for hop in _hop(config, way, secrets, seen | {name})), host]


def _host(config: SSHConfig, name: str, profile: Mapping[str, Any]) -> Host:
    """A host as profile and configuration together describe it."""
    found = config.lookup(name)
    port = _port(profile.get("port"), found.get("port"))
    user = profile.get("username") or found.get("user") or getpass.getuser()
    address = str(found.get("hostname", name))
    policy = profile.get("host_key_policy") or ""
    requests = str(found.get("stricthostkeychecking", ""))
    proxy = profile.get("proxy_command") or found.get("proxycommand") or ""
    host = Host(
        address=address,
        port=port,
        user=user,
        login=_login(profile, found),
        alias=str(found.get("hostkeyalias", "")),
        known=_files(profile.get("known_hosts") or found.get("userknownhostsfile") or "~/.ssh/known_hosts"),
        site=_files(found.get("globalknownhostsfile") or "/etc/ssh/ssh_known_hosts"),
        accept_new="accept-new" in (policy, requests if not policy else ""),
    )
    return replace(host, proxy="" if proxy == "none" else _filled(str(proxy), host, name))


def _login(profile: Mapping[str, Any], found: Mapping[str, Any]) -> Login:
    own = profile.get("key_filename")
    keys = (own,) if own else tuple(found.get("identityfile", ()))
    return Login(
        keys=tuple(str(Path(key).expanduser()) for key in keys),
        certificates=_files(" ".join(found.get("certificatefile", ()))),
        must_exist=bool(own),
        defaults=profile.get("look_for_keys", True) is not False and not keys,
        agent=str(found.get("identitiesonly", "no")) != "yes",
        password=profile.get("password"),
        passphrase=profile.get("passphrase"),
        totp=profile.get("totp_secret"),
    )


def _port(requested: Any, configured: Any) -> int:
    """The profile's port, but its default gives way to what the configuration says."""
    chosen = configured if configured and requested in (None, 22) else requested or 22
    try:
        port = int(chosen)
    except ValueError:
        port = 0
    if not 0 < port < 65536:
        raise ConfigError(f"{_KEY}.port: {chosen!r} is no port number; write 1 to 65535")
    return port


def _filled(command: str, host: Host, name: str) -> str:
    """A proxy command with its tokens; the configuration's own are filled already, those of a profile are not."""
    values = {"%%": "%", "%h": host.address, "%p": str(host.port), "%r": host.user, "%n": name}
    return re.sub(r"%[%hprn]", lambda token: values[token[0]], command)


def _files(text: str) -> tuple[str, ...]:
    names = [name for name in text.split() if name != "none"]
    return tuple(str(Path(name).expanduser()) for name in names)


def _jumps(config: SSHConfig, name: str) -> list[str]:
    jumps = str(config.lookup(name).get("proxyjump", "none"))
    return [] if jumps == "none" else [jump.strip() for jump in jumps.split(",")]


# -- the file -------------------------------------------------------------------------------------------------------


def _read(requested: str | None) -> SSHConfig:
    """The configuration that holds for a profile: the file it names, or the user's and then the system's."""
    from paramiko import ConfigParseError, SSHConfig

    files = [requested] if requested else ["~/.ssh/config", "/etc/ssh/ssh_config"]
    try:
        texts = [text(Path(file).expanduser(), bool(requested)) for file in files]
        return SSHConfig.from_text("\n".join(texts))
    except (ConfigParseError, OSError, UnicodeDecodeError) as why:
        raise ConfigError(f"SSH configuration {files[0]} cannot be read: {why}; correct it") from why


def text(file: Path, must_exist: bool = False, depth: int = 0) -> str:
    """A configuration file with its includes in their places, each closed by the block it stands in."""
    if depth > _DEEP or (not must_exist and not file.is_file()):
        return ""
    lines: list[str] = ["Host *"] if not depth else []
    block = "Host *"
    for line in file.read_text().splitlines():
        parts = _LINE.fullmatch(line)
        key = parts["key"].lower() if parts else ""
        if key in ("host", "match"):
            block = line
        if parts and key == "include":
            lines += [line for more in _included(parts["value"], file, depth) for line in (block, more)] + [block]
        else:
            lines.append(line)
    return "\n".join(lines)


def _included(patterns: str, file: Path, depth: int) -> list[str]:
    # names without a leading slash lie beside the user's configuration, whichever file includes them
    found: list[str] = []
    for pattern in patterns.split():
        place = os.path.join(file.parent, os.path.expanduser(pattern.strip('"')))  # noqa: PTH118, PTH111
        found += [text(Path(name), True, depth + 1) for name in sorted(glob(place))]  # noqa: PTH207
    return found
