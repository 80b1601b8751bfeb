"""Is this the machine it says it is? Its key is looked up among the known hosts before anything is told to it.

    [login.hpc.example]:2222 ssh-ed25519 AAAAC3Nza…          written as it is
    |1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7su…= …    hashed
    @revoked * ssh-rsa AAAAB3Nza…                            never again
    SHA256:6pbbSV7NQpJ9jMCcNKNRUOWl3oaRJLw2YqYEAGgDkZE       what people compare

An unknown key is refused and shown, with the line that accepts it. Only
`host_key_policy: accept-new` writes it down unasked; a key that has changed is
never accepted.
"""

from __future__ import annotations

import hmac
import os
import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterator
from fnmatch import fnmatchcase
from hashlib import sha1, sha256
from pathlib import Path
from typing import NamedTuple

from ...core.errors import ConfigError
from .config import Host


class Known(NamedTuple):
    """One line of a known_hosts file."""

    marker: str
    names: str
    kind: str
    key: bytes
    where: str


def fingerprint(key: bytes) -> str:
    """A key as `ssh-keygen -l` shows it."""
    return "SHA256:" + b64encode(sha256(key).digest()).decode().rstrip("=")


def name_of(host: Host) -> str:
    """A host as known_hosts files call it."""
    name = (host.alias or host.address).lower()
    return name if host.port == 22 or host.alias else f"[{name}]:{host.port}"


def kinds(host: Host) -> list[str]:
    """The kinds of key we know of this host: to be asked for first, as it may have others that we do not know."""
    return [known.kind for known in _of(host) if not known.marker]


def check(host: Host, kind: str, key: bytes) -> None:
    """Return if this is a known key of the host, or may be and has been made one; ConfigError otherwise."""
    known = list(_of(host))
    if any(line.marker == "@revoked" and line.key == key for line in known):
        raise ConfigError(f"the key {fingerprint(key)} of {host} is revoked in {known[0].where}; do not log in there")
    plain = [line for line in known if not line.marker]
    if any(line.key == key for line in plain):
        return
    if plain:
        raise ConfigError(_changed(host, kind, key, plain[0]))
    if not host.accept_new:
        raise ConfigError(_unknown(host, kind, key))
    _remember(host, kind, key)


def _unknown(host: Host, kind: str, key: bytes) -> str:
    file = host.known[0] if host.known else "~/.ssh/known_hosts"
    return (
        f"the host key of {host} is not known: {kind} {fingerprint(key)}. Nothing was sent. Compare it with what the "
        f"site publishes; to accept it, add this line to {file}:\n  {_line(host, kind, key)}\n"
        'or set "host_key_policy": "accept-new" in remote_profile to accept unknown hosts at their first login'
    )


def _changed(host: Host, kind: str, key: bytes, line: Known) -> str:
    return (
        f"the host key of {host} HAS CHANGED: it is {kind} {fingerprint(key)}, but {line.where} says {line.kind} "
        f"{fingerprint(line.key)}. Somebody may be listening, or the machine was set up anew. Nothing was sent. Ask "
        f"the site; if the change is meant: ssh-keygen -R '{name_of(host)}', then accept the new key"
    )


def _line(host: Host, kind: str, key: bytes) -> str:
    return f"{name_of(host)} {kind} {b64encode(key).decode()}"


def _remember(host: Host, kind: str, key: bytes) -> None:
    if not host.known:
        raise ConfigError(f"{_unknown(host, kind, key)} (there is no known_hosts file to remember it in)")
    file = Path(host.known[0])
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # one write at the end of the file: others may write there at the same time
        fd = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with open(fd, "rb+", buffering=0) as out:  # noqa: PTH123 (a descriptor, no path)
            size = out.seek(0, os.SEEK_END)
            out.seek(max(size - 1, 0))
            gap = b"\n" if size and out.read(1) != b"\n" else b""
            out.write(gap + _line(host, kind, key).encode() + b"\n")
    except OSError as why:
        raise ConfigError(f"cannot remember the host key of {host} in {file}: {why.strerror}; repair that") from why


# -- the files ------------------------------------------------------------------------------------------------------


def _of(host: Host) -> Iterator[Known]:
    name = name_of(host)
    for file in (*host.known, *host.site):
        for line in _lines(Path(file)):
            if _means(line.names, name):
                yield line


def _lines(file: Path) -> Iterator[Known]:
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return
    for number, line in enumerate(lines, 1):
        fields = line.split()
        marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
        if len(fields) < 3 or fields[0].startswith("#"):
            continue
        try:
            yield Known(marker, fields[0], fields[1], b64decode(fields[2]), f"{file}:{number}")
        except NotBase64:
            continue


def _means(names: str, name: str) -> bool:
    """Whether one of these names, patterns or hashes is the host, and none excludes it."""
    found = False
    for pattern in names.split(","):
        if pattern.startswith("!") and _is(pattern[1:], name):
            return False
        found = found or _is(pattern, name)
    return found


def _is(pattern: str, name: str) -> bool:
    if not pattern.startswith("|1|"):
        return fnmatchcase(name, re.sub(r"\[", "[[]", pattern.lower()))
    try:
        salt, output_of = (b64decode(part) for part in pattern[3:].split("|"))
    except (NotBase64, ValueError):
        return False
    return hmac.compare_digest(hmac.new(salt, name.encode(), sha1).digest(), output_of)
