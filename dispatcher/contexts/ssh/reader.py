"""An SSH configuration, read as OpenSSH reads it, for machines that have no `ssh` to be asked (see `openssh`).

    ConfigFiles([ConfigSource("~/.ssh/config"), ConfigSource("/etc/ssh/ssh_config")]).lookup("hpc", user="", port=0)
      ->  {"hostname": ["login.hpc.example"], "user": ["ann"], "identityfile": ["~/.ssh/hpc", "~/.ssh/id"]}

The first value of a key wins, but for keys that are lists. `Match final`,
`canonical` and CanonicalizeHostname cause a second pass over the files, with
the name that the first one led to. A condition that cannot be evaluated here is
never guessed: where the answer depends on it, ConfigError names file and line.
"""

from __future__ import annotations

import getpass
import ipaddress
import os
import re
import socket
import stat
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from glob import glob
from pathlib import Path
from typing import NamedTuple

from ...core.errors import ConfigError
from .tokens import Unbalanced, filled, tokens, words

Settings = dict[str, list[str]]

#: ConfigFiles that include each other for ever end here, as with OpenSSH; bytes of a file, and lines of all files.
_DEEP, _BYTES, _LINES = 16, 1 << 20, 100_000
_LINE = re.compile(r"\s*(?P<key>\w+)(?:\s*=\s*|\s+)(?P<rest>.*?)\s*")
#: Keys whose values add up, those whose value is a command and is not cut into words, those of several words.
_LISTS = frozenset({"identityfile", "certificatefile"})
_COMMANDS = frozenset({"proxycommand", "knownhostscommand", "localcommand", "remotecommand"})
_MANY = frozenset({"userknownhostsfile", "globalknownhostsfile", "canonicaldomains", "revokedhostkeys"})
#: Seconds that the command of `Match exec` may take.
_SECONDS = 60


class ConfigSource(NamedTuple):
    """A file to start from; names without a slash in its Include lie in `beside`."""

    file: Path
    must_exist: bool = False


class Line(NamedTuple):
    """A line that says something."""

    file: Path
    number: int
    key: str
    rest: str

    @property
    def where(self) -> str:
        """File and number, for messages."""
        return f"{self.file}, line {self.number}"

    def words(self) -> list[str]:
        """What stands behind the key; ConfigError when a quote is not closed."""
        try:
            return words(self.rest)
        except Unbalanced:
            raise ConfigError(f"{self.where}: a quote is not closed; correct it") from None


class ConfigFiles:
    """The files of one configuration; each is read once."""

    def __init__(self, sources: Sequence[ConfigSource]) -> None:
        self._sources = sources
        self._read: dict[Path, list[Line]] = {}
        self._count = 0

    def lookup(self, name: str, user: str = "", port: int = 0) -> Settings:
        """What the files say of a host; `user` and `port` are those that somebody has asked for already."""
        asked = {key: [value] for key, value in (("user", user), ("port", str(port or ""))) if value}
        first = _Pass(self, name, name, asked, final=False)
        first.run(self._sources)
        found = first.settings
        host = _target(found, name)
        canonical = _canonical(found, host)
        found["hostname"] = [canonical or host]
        if not canonical and not first.wants_final:
            return found
        again = _Pass(self, name, canonical or host, found, final=True)
        again.run(self._sources)
        return again.settings

    def lines(self, file: Path, must_exist: bool = False) -> list[Line]:
        """The lines of a file; none when it is not there and need not be. ConfigError when it cannot be one."""
        if file not in self._read:
            self._read[file] = list(self._parsed(file, must_exist))
        return self._read[file]

    def _parsed(self, file: Path, must_exist: bool) -> Iterator[Line]:
        for number, text in enumerate(_text(file, must_exist).splitlines(), 1):
            self._count += 1
            if self._count > _LINES:
                raise ConfigError(f"SSH configuration {file}: more than {_LINES} lines in all; shorten it")
            match = _LINE.fullmatch(text.strip("\ufeff")) if not text.lstrip().startswith("#") else None
            if match:
                yield Line(file, number, match["key"].lower(), match["rest"])

    def included(self, line: Line) -> list[Path]:
        """The files that an Include means; a relative name lies beside the file that was started from."""
        top = next((source.file.parent for source in self._sources), line.file.parent)
        if line.file.is_relative_to("/etc/ssh"):
            top = Path("/etc/ssh")
        found: list[Path] = []
        for pattern in line.words():
            place = os.path.join(top, os.path.expanduser(pattern))  # noqa: PTH118, PTH111
            found += map(Path, sorted(glob(place)))  # noqa: PTH207 (a pattern may be absolute)
        return found

    def everywhere(self, key: str) -> list[Line]:
        """Every line of the files with this key, whatever block it stands in."""
        found: list[Line] = []
        todo = [(source.file, source.must_exist, 0) for source in self._sources]
        while todo:
            file, must_exist, depth = todo.pop(0)
            lines = self.lines(file, must_exist)
            found += [line for line in lines if line.key == key]
            includes = [line for line in lines if line.key == "include"] if depth < _DEEP else []
            todo += [(below, True, depth + 1) for line in includes for below in self.included(line)]
            if len(todo) > _LINES:
                raise _endless(file)
        return found


def _endless(file: Path) -> ConfigError:
    return ConfigError(f"SSH configuration {file}: more than {_LINES} lines with all that it includes again and again")


def _text(file: Path, must_exist: bool) -> str:
    try:
        fd = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if str(file) != os.devnull and not stat.S_ISREG(os.fstat(fd).st_mode):
                raise ConfigError(f"SSH configuration {file}: is not a file; name a file")
            data = b""
            while len(data) <= _BYTES and (piece := os.read(fd, _BYTES)):
                data += piece
        finally:
            os.close(fd)
    except FileNotFoundError:
        if not must_exist:
            return ""
        raise ConfigError(f"SSH configuration {file} cannot be read: it is not there; correct the name") from None
    except OSError as why:
        raise ConfigError(f"SSH configuration {file} cannot be read: {why.strerror}; repair that") from why
    if len(data) > _BYTES:
        raise ConfigError(f"SSH configuration {file}: larger than {_BYTES} bytes; shorten it")
    # comments may be in any encoding, and names of files are bytes
    return data.decode("utf-8", "surrogateescape")


def _target(found: Settings, name: str) -> str:
    """The name or address that is connected to."""
    if "hostname" not in found:
        return name
    return filled(found["hostname"][0], {"h": name, "%": "%"}, "HostName in the SSH configuration")


# -- one pass -------------------------------------------------------------------------------------------------------


class _Pass:
    """One reading of the files, for one host."""

    def __init__(self, files: ConfigFiles, original: str, host: str, settings: Settings, final: bool) -> None:
        self._files, self._original, self._host, self._final = files, original, host, final
        self.settings = {key: list(values) for key, values in settings.items()}
        self.wants_final = False
        self._seen = 0

    def run(self, sources: Sequence[ConfigSource]) -> None:
        """Read them all."""
        for source in sources:
            self._file(source.file, source.must_exist, True, 0)

    def _file(self, file: Path, must_exist: bool, active: bool, depth: int) -> None:
        """A file; inside a block that does not hold, nothing in it does."""
        outer = active
        for line in self._files.lines(file, must_exist):
            self._seen += 1
            if self._seen > _LINES:
                raise _endless(file)
            if line.key == "host":
                active = outer and self._is_named(line.words())
            elif line.key == "match":
                active = outer and self._matches(line)
            elif line.key == "include":
                for below in self._files.included(line) if depth < _DEEP and active else ():
                    self._file(below, True, active, depth + 1)
            elif active:
                self._take(line)

    def _take(self, line: Line) -> None:
        values = [line.rest] if line.key in _COMMANDS else line.words()
        values = values if line.key in _MANY else values[:1]
        if line.key in _LISTS:
            have = self.settings.setdefault(line.key, [])
            have += [value for value in values if value not in have]
        elif values:
            self.settings.setdefault(line.key, values)

    def _is_named(self, patterns: Sequence[str]) -> bool:
        return _in_list(self._host, patterns)

    # -- Match --------------------------------------------------------------------------------------------------

    def _matches(self, line: Line) -> bool:
        """Whether all conditions hold. The ones that are not known come last: often they need not be asked."""
        conditions = list(_conditions(line))
        unknown = [name for name, _, _ in conditions if name not in _KNOWN]
        holds = bool(conditions)
        for name, value, wanted in conditions:
            # `final` asks for a second pass wherever it stands; nothing else is asked once one does not hold
            if name in _KNOWN and (holds or name == "final"):
                holds = _KNOWN[name](self, value, line) is wanted and holds
        if unknown and holds:
            raise ConfigError(
                f"{line.where}: `Match {unknown[0]}` cannot be evaluated here, and is not guessed; install OpenSSH's "
                "ssh, which is asked then, or name another file in config_file"
            )
        return holds

    def _all(self, value: str, line: Line) -> bool:
        return True

    def _is_final(self, value: str, line: Line) -> bool:
        self.wants_final = True
        return self._final

    def _is_canonical(self, value: str, line: Line) -> bool:
        return self._final

    def _is_host(self, value: str, line: Line) -> bool:
        return _in_list(_target(self.settings, self._host), value.split(","))

    def _is_original(self, value: str, line: Line) -> bool:
        return _in_list(self._original, value.split(","))

    def _is_user(self, value: str, line: Line) -> bool:
        return _in_list(self._user(), value.split(","))

    def _is_local_user(self, value: str, line: Line) -> bool:
        return _in_list(getpass.getuser(), value.split(","))

    def _is_tagged(self, value: str, line: Line) -> bool:
        return _in_list(self.settings.get("tag", [""])[0], value.split(","))

    def _is_session(self, value: str, line: Line) -> bool:
        return _in_list("exec", value.split(","))

    def _user(self) -> str:
        return self.settings.get("user", [getpass.getuser()])[0]

    def _exec(self, command: str, line: Line) -> bool:
        """Whether the user's command ends well, as OpenSSH asks it."""
        address = _target(self.settings, self._host)
        port = self.settings.get("port", ["22"])[0]
        values = tokens(self._original, address, int(port) if port.isdigit() else 22, self._user())
        shell = os.environ.get("SHELL") or "/bin/sh"
        try:
            done = subprocess.run(
                [shell, "-c", filled(command, values, line.where)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as why:
            raise ConfigError(f"{line.where}: the command of `Match exec` did not end: {why}; correct it") from why
        return done.returncode == 0

    def _local_network(self, value: str, line: Line) -> bool:
        try:
            networks = [ipaddress.ip_network(one.strip(), strict=False) for one in value.split(",")]
        except ValueError as why:
            raise ConfigError(f"{line.where}: {why}; write networks as 192.0.2.0/24") from None
        return any(address in network for address in _addresses(line) for network in networks)


_KNOWN: Mapping[str, Callable[[_Pass, str, Line], bool]] = {
    "all": _Pass._all,
    "final": _Pass._is_final,
    "canonical": _Pass._is_canonical,
    "host": _Pass._is_host,
    "originalhost": _Pass._is_original,
    "user": _Pass._is_user,
    "localuser": _Pass._is_local_user,
    "tagged": _Pass._is_tagged,
    "sessiontype": _Pass._is_session,
    "exec": _Pass._exec,
    "localnetwork": _Pass._local_network,
}
_WITHOUT_VALUE = frozenset({"all", "final", "canonical"})


def _conditions(line: Line) -> Iterator[tuple[str, str, bool]]:
    """Name, value, and whether it is to hold, of each condition; `host=x` and `host x` are the same."""
    rest = line.words()
    while rest:
        name, found, value = rest.pop(0).partition("=")
        wanted = not name.startswith("!")
        name = name.lstrip("!").lower()
        if name in _WITHOUT_VALUE:
            yield name, "", wanted
            continue
        if not found:
            if not rest:
                raise ConfigError(f"{line.where}: `Match {name}` says of nothing what it must be; add a value")
            value = rest.pop(0)
        yield name, value, wanted


def _in_list(text: str, patterns: Sequence[str]) -> bool:
    """Whether one of the patterns is the text, and none that excludes it."""
    found = False
    for pattern in patterns:
        if pattern.startswith("!") and _is(pattern[1:], text):
            return False
        found = found or (not pattern.startswith("!") and _is(pattern, text))
    return found


def _is(pattern: str, text: str) -> bool:
    return fnmatchcase(text, pattern.replace("[", "[[]"))


# -- names and networks ---------------------------------------------------------------------------------------------


def _canonical(found: Settings, host: str) -> str:
    """The full name by CanonicalizeHostname; "" when nothing says so, or nothing answers to any of the names."""
    way = found.get("canonicalizehostname", ["no"])[0].lower()
    is_direct = all(found.get(key, ["none"])[0].lower() == "none" for key in ("proxycommand", "proxyjump"))
    if way not in ("yes", "always") or (way == "yes" and not is_direct):
        return ""
    dots = found.get("canonicalizemaxdots", ["1"])[0]
    if host.endswith(".") or host.count(".") > (int(dots) if dots.isdigit() else 1) or _is_literal(host):
        return host.rstrip(".").lower()
    for domain in found.get("canonicaldomains", ["none"]):
        if domain != "none" and _answers(f"{host}.{domain.strip('.')}"):
            return f"{host}.{domain.strip('.')}".lower()
    if found.get("canonicalizefallbacklocal", ["yes"])[0].lower() == "no":
        raise ConfigError(
            f"{host}: no name in CanonicalDomains answers, and CanonicalizeFallbackLocal is no; correct one"
        )
    return host.lower()


def _answers(name: str) -> bool:
    try:
        socket.getaddrinfo(name, None)
    except (OSError, UnicodeError):
        return False
    return True


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _addresses(line: Line) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The addresses of this machine, as Linux lists them."""
    found: set[str] = set()
    try:
        trie = Path("/proc/net/fib_trie").read_text()
    except OSError:
        raise ConfigError(
            f"{line.where}: `Match localnetwork` cannot be evaluated on this system, and is not guessed; install "
            "OpenSSH's ssh, which is asked then"
        ) from None
    found.update(re.findall(r"(\d+\.\d+\.\d+\.\d+)\n\s+/32 host LOCAL", trie))
    try:
        table = Path("/proc/net/if_inet6").read_text()
    except OSError:
        table = ""
    found.update(":".join(re.findall("....", row.split()[0])) for row in table.splitlines() if row.split())
    return [address for address in map(ipaddress.ip_address, sorted(found)) if not address.is_loopback]
