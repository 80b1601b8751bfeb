"""Logging in: whatever the server asks for, answered from the profile, in as few attempts as there can be.

    server: publickey            <-  the key of the profile, of the configuration, of the agent, of ~/.ssh
    server: keyboard-interactive <-  "Password:" the password, "Verification code:" the code of this half minute
    server: password             <-  the password
    server: one more, please     <-  and again, with what it still wants

A code is used once: a second login within the same half minute waits for the
next one. No secret is part of any message.
"""

from __future__ import annotations

import hmac
import re
import socket
import struct
import time
from base64 import b32decode, b64decode
from binascii import Error as NotBase64
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from hashlib import sha1
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...core.errors import ConfigError
from .config import Host, Login

if TYPE_CHECKING:
    from paramiko import PKey, Transport

#: Where keys are that nobody named.
_FOLDERS = ("~/.ssh", "~/ssh")
_NAMES = ("id_ed25519", "id_ecdsa", "id_rsa")
#: Servers hang up after six attempts; one is left for a password.
_KEYS = 5
_STEP = 30
#: Seconds to wait for an agent.
_AGENT = 10

#: Words of prompts, in the languages of sites; a code's come first, for "one-time password" is a code.
_CODE = re.compile(
    r"verif|token|code|one.?time|otp|2fa|factor|duo\b|kod\b|kód|código|codice|einmal|ワンタイム|認証コード|確認コード|"
    r"验证码|驗證碼|动态|動態|인증|код",
    re.IGNORECASE,
)
_PASSWORD = re.compile(
    r"pass(word|phrase|wort)?\b|kennwort|mot de passe|contraseña|palavra-passe|senha|wachtwoord|lösenord|adgangskode|"
    r"salasana|hasło|heslo|parola|şifre|пароль|密码|密碼|口令|パスワード|비밀번호|암호",
    re.IGNORECASE,
)
_CHANGE = re.compile(r"new\b.*password|(re-?type|change|expired)\b.*password|neues passwort|nouveau mot", re.IGNORECASE)
#: Only a prompt that asks for nothing else: texts of others hold the word, too ("Duo two-factor login for ann").
_USER = re.compile(
    r"(user(name)?|login( (name|as))?|account|benutzer(name)?|utilisateur|usuario)\s*:?\s*", re.IGNORECASE
)


class LoginRefused(Exception):
    """The server does not let us in; the text says what was tried. `code` when a one-time code may have been stale."""

    def __init__(self, message: str, code: bool = False) -> None:
        super().__init__(message)
        self.code = code


def totp(secret: str, moment: float) -> str:
    """The six digits of RFC 6238 for a base32 secret; ConfigError when it is none."""
    bare = re.sub(r"[\s-]", "", secret).upper().rstrip("=")
    try:
        key = b32decode(bare + "=" * (-len(bare) % 8))
    except NotBase64:
        raise ConfigError("machine/remote_profile/totp_secret: is not base32; copy it again from the site") from None
    mac = hmac.new(key, struct.pack(">Q", int(moment) // _STEP), sha1).digest()
    at = mac[-1] & 15
    number = struct.unpack(">I", mac[at : at + 4])[0] & 0x7FFFFFFF
    return f"{number % 1_000_000:06d}"


class Codes:
    """One-time codes of one secret, none of them twice."""

    def __init__(self, now: Callable[[], float] = time.time, sleep: Callable[[float], None] = time.sleep) -> None:
        self._now, self._sleep = now, sleep
        self._used = -1

    def next(self, secret: str) -> str:
        """The code of now; when it was given already, the next one, after a wait."""
        if int(self._now()) // _STEP == self._used:
            self.spoil()
        self._used = int(self._now()) // _STEP
        return totp(secret, self._now())

    def spoil(self) -> None:
        """Wait until another code is due."""
        self._sleep(_STEP - self._now() % _STEP + 0.5)


class Answers:
    """Answers to the prompts of keyboard-interactive; remembers what nobody could answer."""

    def __init__(self, host: Host, codes: Codes) -> None:
        self._host, self._codes = host, codes
        self.unanswered = ""
        self.code_given = False

    def __call__(self, title: str, instructions: str, prompts: Sequence[tuple[str, bool]]) -> list[str]:
        """One answer for each prompt."""
        return [self._answer(prompt) for prompt, _ in prompts]

    def _answer(self, prompt: str) -> str:
        login = self._host.login
        # what stands above the last line explains, and may use any of the words
        line = next((line.strip() for line in reversed(prompt.splitlines()) if line.strip()), "")
        is_code = bool(_CODE.search(line))
        if is_code and login.totp:
            self.code_given = True
            return self._codes.next(login.totp)
        if _PASSWORD.search(line) and not is_code and not _CHANGE.search(line) and login.password is not None:
            return login.password
        if _USER.fullmatch(line):
            return self._host.user
        self.unanswered = line[:60]
        return ""


def log_in(transport: Transport, host: Host, codes: Codes) -> None:
    """Satisfy the server, or raise Refused; ConfigError for a key of the profile that cannot be used."""
    from paramiko import AuthenticationException, BadAuthenticationType

    tried: list[str] = []
    answers = Answers(host, codes)
    keys = _keys(host.login)
    farewell = _farewell(transport)
    try:
        transport.auth_none(host.user)
        return
    except BadAuthenticationType as output_of:
        wanted = list(output_of.allowed_types)
    except AuthenticationException as why:
        raise _verdict(transport, farewell, LoginRefused(f"{host} refuses to log in: {why}")) from None
    while not transport.is_authenticated():
        step = _step(transport, host, wanted, tried, answers, keys)
        if step is None:
            why_not = _explained(host, wanted, tried, answers, farewell)
            raise _verdict(transport, farewell, LoginRefused(why_not, answers.code_given))
        wanted = step


def _farewell(transport: Transport) -> list[str]:
    """Will hold what the server says before it hangs up: a line that breaks says nothing, and refuses nobody."""
    said: list[str] = []

    def note(message: Any) -> None:
        message.get_int()
        said.append(message.get_text()[:200])

    transport._parse_disconnect = note
    return said


def _verdict(transport: Transport, farewell: Sequence[str], refused: LoginRefused) -> Exception:
    """The refusal, unless it was the line that broke."""
    if farewell or transport.is_active():
        return refused
    return EOFError("the connection broke off while logging in")


def _step(
    transport: Transport, host: Host, wanted: Sequence[str], tried: list[str], answers: Answers, keys: Iterator[PKey]
) -> list[str] | None:
    """Try until one method is accepted; then what the server wants besides, [] when nothing. None: refused."""
    from paramiko import AuthenticationException

    for method, attempt in _attempts(transport, host, answers, keys):
        if method not in wanted or method not in host.login.methods or (method != "publickey" and method in tried):
            continue
        tried.append(method)
        try:
            return list(attempt())
        except AuthenticationException:
            if not transport.is_active():
                return None
    return None


def _attempts(
    transport: Transport, host: Host, answers: Answers, keys: Iterator[PKey]
) -> Iterator[tuple[str, Callable[[], Sequence[str]]]]:
    """Methods in the order in which they are least likely to cost an attempt."""
    user, login = host.user, host.login
    for key in keys:
        yield "publickey", partial(transport.auth_publickey, user, key)
    request: Any = ("keyboard-interactive", lambda: transport.auth_interactive(user, answers))
    if login.totp:
        yield request
    if login.password is not None:
        yield "password", lambda: transport.auth_password(user, login.password, fallback=False)
    if not login.totp:
        yield request


def _explained(
    host: Host, wanted: Sequence[str], tried: Sequence[str], answers: Answers, farewell: Sequence[str]
) -> str:
    counts = ", ".join(f"{tried.count(method)} x {method}" for method in dict.fromkeys(tried)) or "nothing to try"
    requested = f"; nothing in the profile answers its prompt {answers.unanswered!r}" if answers.unanswered else ""
    hung_up = f"; it hung up: {farewell[0]}" if farewell else ""
    unheeded = f"; not supported here: {', '.join(host.login.unheeded)}" if host.login.unheeded else ""
    return (
        f"{host} does not accept the login: it wants {' or '.join(wanted)}, tried: {counts}{requested}{hung_up}"
        f"{unheeded}. "
        "Check username, key_filename, passphrase, password and totp_secret in remote_profile (jump_profile for the "
        "hosts of ProxyJump)"
    )


# -- keys -----------------------------------------------------------------------------------------------------------


def _keys(login: Login) -> Iterator[PKey]:
    """Keys to offer, the most likely first, each once."""
    seen: set[bytes] = set()
    for key in _candidates(login):
        if key.asbytes() not in seen and len(seen) < _KEYS:
            seen.add(key.asbytes())
            yield key


def _candidates(login: Login) -> Iterator[PKey]:
    files: list[PKey] = []
    for name in login.keys:
        if key := _named(Path(name), login):
            files.append(key)
            yield key
    yield from _of_agent(login, files)
    if login.defaults:
        for folder in _FOLDERS:
            for name in _NAMES:
                if key := _loaded(Path(folder).expanduser() / name, login.passphrase):
                    yield key


def _of_agent(login: Login, files: Sequence[PKey]) -> Iterator[PKey]:
    """The keys of the agent; with IdentitiesOnly those whose public half is beside a key that is named."""
    if login.agent == "none" or (login.named and not login.keys):
        return
    named = {key.asbytes() for key in files} | {_public_of(Path(name)) for name in login.keys}
    # those that are named come first: a server hears only so many
    held = sorted(_in_agent(login.agent), key=lambda key: key.asbytes() not in named)
    yield from (key for key in held if not login.named or key.asbytes() in named)


def _in_agent(socket_path: str) -> Sequence[PKey]:
    from paramiko import Agent, SSHException
    from paramiko.agent import AgentSSH

    with suppress(SSHException, OSError):
        if not socket_path:
            return tuple(Agent().get_keys())
        agent, line = AgentSSH(), socket.socket(socket.AF_UNIX)
        line.settimeout(_AGENT)
        line.connect(socket_path)
        agent._connect(line)
        return tuple(agent.get_keys())
    return ()


def _public_of(path: Path) -> bytes:
    """The public half of a key file, which lies beside it as `.pub`; b"" when it does not."""
    with suppress(OSError, NotBase64, IndexError):
        beside = path.with_name(f"{path.name.removesuffix('.pub')}.pub")
        return b64decode(beside.read_text(errors="replace").split()[1])
    return b""


def _named(path: Path, login: Login) -> PKey | None:
    """A key that somebody named: one of the profile must be usable, one of the configuration may be absent."""
    key = _loaded(path, login.passphrase)
    if key is not None:
        for certificate in login.certificates:
            with suppress(Exception):  # a certificate for another key
                key.load_certificate(certificate)
        return key
    if login.must_exist and not any(held.asbytes() == _public_of(path) for held in _in_agent(login.agent)):
        raise ConfigError(f"machine/remote_profile/key_filename: {_why_not(path, login.passphrase)}")
    return None


def _loaded(path: Path, passphrase: str | None) -> PKey | None:
    """The private key of a file, with its certificate when `<file>-cert.pub` is there; None when it is not usable."""
    from paramiko import PKey

    if not path.is_file():
        return None
    for secret in dict.fromkeys((None, passphrase.encode() if passphrase else None)):
        with suppress(Exception):  # of many libraries: wrong passphrase, damaged, unknown kind
            return PKey.from_path(path, secret)
    return None


def _why_not(path: Path, passphrase: str | None) -> str:
    if not path.is_file():
        return f"{path} is not a file; name a private key, or leave it out to use those of ~/.ssh and of the agent"
    try:
        path.read_bytes()
    except OSError as why:
        return f"{path} cannot be read: {why.strerror}; it must be readable by you, and by you alone"
    if passphrase:
        return f"{path} cannot be opened with this passphrase, or is not a private key; correct one of them"
    return f"{path} needs a passphrase, or is not a private key; set passphrase, or use ssh-agent"
