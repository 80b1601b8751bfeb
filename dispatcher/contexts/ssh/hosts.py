"""Is this the machine it says it is? Its key is looked up among the known hosts before anything is told to it.

    [login.hpc.example]:2222 ssh-ed25519 AAAAC3Nza…          written as it is
    |1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7su…= …    hashed
    @cert-authority *.hpc.example ssh-ed25519 AAAAC3N…       whoever has a certificate by this key
    @revoked * ssh-rsa AAAAB3Nza…                            never again
    SHA256:6pbbSV7NQpJ9jMCcNKNRUOWl3oaRJLw2YqYEAGgDkZE       what people compare

An unknown key is refused and shown, with the line that accepts it; on a
terminal its user is asked, as `ssh` does. Only `accept-new` writes it down
unasked; a key that has changed is never accepted.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import subprocess
import time
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from hashlib import sha1, sha256
from pathlib import Path
from typing import NamedTuple

from ...core.errors import ConfigError
from . import terminal
from .config import Host
from .tokens import filled

#: Seconds that KnownHostsCommand may take, and bytes of what it may say.
_SECONDS, _MOST = 30, 1 << 22
_KRL = b"SSHKRL\n"


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


def is_certified(host: Host) -> bool:
    """Whether a certificate may speak for this host: then it is asked for one before it is asked for a key."""
    return any(known.marker == "@cert-authority" for known in _of(host))


def check(host: Host, kind: str, key: bytes, certificate: bytes = b"") -> None:
    """Return if this is a known key of the host, or may be and has been made one; ConfigError otherwise.

    `certificate`: what the host showed with its key, whole, in OpenSSH's form; b"" for none.
    """
    known = [*_of(host, "ADDRESS", kind, key)]
    _must_not_be_revoked(host, known, key)
    if certificate and _vouched(host, known, certificate):
        return
    plain = [line for line in known if not line.marker]
    if any(line.key == key for line in plain):
        return
    if plain:
        raise ConfigError(_changed(host, kind, key, plain[0]))
    if host.policy == "accept-new" or (host.policy == "ask" and _agreed(host, kind, key)):
        _remember(host, kind, key)
    else:
        raise ConfigError(_unknown(host, kind, key))


def _must_not_be_revoked(host: Host, known: list[Known], key: bytes) -> None:
    revoked = [line for line in known if line.marker == "@revoked"]
    for file in map(Path, host.revoked):
        try:
            data = file.read_bytes()
        except OSError as why:
            raise ConfigError(f"RevokedHostKeys {file} cannot be read: {why.strerror}; repair that") from why
        if data.startswith(_KRL):
            raise ConfigError(
                f"RevokedHostKeys {file} is a binary list, which is not read here; write the keys as text"
            )
        lines = (f"* {line}" for line in data.decode(errors="replace").splitlines())
        revoked += _parsed(lines, str(file))
    for line in revoked:
        if line.key == key:
            raise ConfigError(f"the key {fingerprint(key)} of {host} is revoked in {line.where}; do not log in there")


def _vouched(host: Host, known: list[Known], blob: bytes) -> bool:
    """Whether an authority that we know has certified this host; ConfigError when its certificate does not hold."""
    from cryptography.hazmat.primitives import serialization

    kind = blob[4 : 4 + int.from_bytes(blob[:4], "big")]
    try:
        shown = serialization.load_ssh_public_identity(kind + b" " + b64encode(blob))
        assert isinstance(shown, serialization.SSHCertificate), "paramiko says so"
        form = serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        authority = b64decode(shown.signature_key().public_bytes(*form).split()[1])
        shown.verify_cert_signature()
    except Exception as why:  # of the library: damaged, of an unknown kind, not signed
        raise ConfigError(
            f"the certificate of {host} cannot be believed: {why or type(why).__name__}; ask the site"
        ) from why
    lines = [line for line in known if line.marker == "@cert-authority" and line.key == authority]
    if not lines:
        return False
    _must_not_be_revoked(host, known, authority)
    name = (host.alias or host.address).lower()
    principals = [each.decode(errors="replace") for each in shown.valid_principals]
    named, now = ", ".join(principals) or "nobody", time.time()
    wrong = (
        (shown.type is not serialization.SSHCertificateType.HOST, "it is not a host's"),
        (now < shown.valid_after, "it is not valid yet"),
        (now >= shown.valid_before, "it has expired"),
        (
            not any(fnmatchcase(name, each.lower()) for each in principals),
            f"it is for {named}",
        ),
        (bool(shown.critical_options), "it has options that are not known"),
    )
    if why_not := next((text for bad, text in wrong if bad), ""):
        raise ConfigError(
            f"the certificate of {host}, by the authority of {lines[0].where}, does not hold: {why_not}; ask the site"
        )
    return True


def _agreed(host: Host, kind: str, key: bytes) -> bool:
    """Ask on the terminal, as ssh does; False where there is none, or the answer is no."""
    print_ = fingerprint(key)
    question = (
        f"The authenticity of host '{name_of(host)}' can't be established.\n"
        f"{kind.removeprefix('ssh-').upper()} key fingerprint is {print_}.\n"
        "Are you sure you want to continue connecting (yes/no/[fingerprint])? "
    )
    for _ in range(3):
        answer = terminal.ask(question)
        if answer is None or answer.lower() == "no":
            return False
        if answer.lower() == "yes" or answer == print_:
            return True
        question = "Please type 'yes', 'no' or the fingerprint: "
    return False


def _unknown(host: Host, kind: str, key: bytes) -> str:
    file = host.known[0] if host.known else "~/.ssh/known_hosts"
    return (
        f"the host key of {host} is not known: {kind} {fingerprint(key)}. Nothing was sent. Compare it with what the "
        f"site publishes; to accept it, add this line to {file}:\n  {_line(host, kind, key)}\n"
        'or set "host_key_policy": "accept-new" in remote_profile (StrictHostKeyChecking accept-new in the SSH '
        "configuration) to accept unknown hosts at their first login (dispatcher help host-keys)"
    )


def _changed(host: Host, kind: str, key: bytes, line: Known) -> str:
    return (
        f"the host key of {host} HAS CHANGED: it is {kind} {fingerprint(key)}, but {line.where} says {line.kind} "
        f"{fingerprint(line.key)}. Somebody may be listening, or the machine was set up anew. Nothing was sent. Ask "
        f"the site; if the change is meant: ssh-keygen -R '{name_of(host)}', then accept the new key"
    )


def _line(host: Host, kind: str, key: bytes, hashed: bool = False) -> str:
    name = name_of(host)
    if hashed:
        salt = secrets.token_bytes(20)
        proof = hmac.new(salt, name.encode(), sha1).digest()
        name = f"|1|{b64encode(salt).decode()}|{b64encode(proof).decode()}"
    return f"{name} {kind} {b64encode(key).decode()}"


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
            out.write(gap + _line(host, kind, key, host.hashed).encode() + b"\n")
    except OSError as why:
        raise ConfigError(f"cannot remember the host key of {host} in {file}: {why.strerror}; repair that") from why


# -- the files ------------------------------------------------------------------------------------------------------


def _of(host: Host, reason: str = "ORDER", kind: str = "NONE", key: bytes = b"") -> Iterator[Known]:
    """What is known of a host, by the files and by KnownHostsCommand (which is told why it is asked)."""
    name = name_of(host)
    for file in (*host.known, *host.site):
        for line in _lines(Path(file)):
            if _means(line.names, name):
                yield line
    if host.known_command:
        values = {"%": "%", "I": reason, "H": name, "t": kind, "K": b64encode(key).decode() or "NONE"}
        values["f"] = fingerprint(key) if key else "NONE"
        yield from (
            line
            for line in _commanded(filled(host.known_command, values, "KnownHostsCommand"))
            if _means(line.names, name)
        )


def _commanded(command: str) -> Iterator[Known]:
    """What KnownHostsCommand prints; ConfigError when it fails, for nobody can be believed then."""
    words = ["sh", "-c", f"exec {command}"]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as why:
        raise ConfigError(f"KnownHostsCommand gives no answer ({type(why).__name__}); correct it") from why
    if done.returncode or len(done.stdout) > _MOST:
        said = done.stderr.decode(errors="replace").strip()[-200:]
        printed = f"code {done.returncode}, {len(done.stdout)} bytes"
        raise ConfigError(f"KnownHostsCommand ended with {printed}: {said}; correct it")
    yield from _parsed(done.stdout.decode(errors="replace").splitlines(), "KnownHostsCommand")


def _lines(file: Path) -> Iterator[Known]:
    try:
        lines = file.read_text(errors="replace").splitlines() if file.is_file() else []
    except OSError:
        return
    yield from _parsed(lines, str(file))


def _parsed(lines: Iterable[str], where: str) -> Iterator[Known]:
    for number, line in enumerate(lines, 1):
        fields = line.split()
        marker = fields.pop(0) if fields and fields[0].startswith("@") else ""
        if len(fields) < 3 or fields[0].startswith("#"):
            continue
        try:
            yield Known(marker, fields[0], fields[1], b64decode(fields[2]), f"{where}:{number}")
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
