"""Answers to prompts, one-time codes, pauses between logins: all that needs no server."""

from __future__ import annotations

import subprocess
import sys
from base64 import b64encode
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from dispatcher.contexts.ssh import context as ssh
from dispatcher.contexts.ssh import link as ssh_link
from dispatcher.contexts.ssh import login as ssh_login
from dispatcher.contexts.ssh.config import Host, Login
from dispatcher.contexts.ssh.login import Answers, Codes, totp
from dispatcher.contexts.ssh.shell import encoded
from dispatcher.core.errors import ConfigError, Unreachable

SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"  # "12345678901234567890", RFC 6238, appendix B


@pytest.mark.parametrize(("moment", "code"), [(59, "287082"), (1111111109, "081804"), (20000000000, "353130")])
def test_codes_are_those_of_the_standard(moment: int, code: str) -> None:
    assert totp(SECRET, moment) == code
    assert totp("gezd gnbv-GY3TQOJQ gezdgnbvgy3tqojq", moment) == code


def test_secret_that_is_none_is_not_shown() -> None:
    with pytest.raises(ConfigError, match="not base32") as caught:
        totp("n0t-a-secret!", 0)
    assert "n0t" not in str(caught.value)


class Clock:
    def __init__(self, now: float = 1000.0) -> None:
        self.now, self.slept = now, [0.0]

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_no_code_is_given_twice() -> None:
    clock = Clock(31.0)
    codes = Codes(clock, clock.sleep)
    first, second = codes.next(SECRET), codes.next(SECRET)
    assert first != second == totp(SECRET, 61)
    assert sum(clock.slept) == pytest.approx(29.5)


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Password: ", "pw"),
        ("(ann@hpc) Password:", "pw"),
        ("Password for ann: ", "pw"),
        ("Verification code: ", "287082"),
        ("Enter your token: ", "287082"),
        ("One-time password (OATH) for `ann': ", "287082"),
        ("Username: ", "ann"),
        ("Favourite colour? ", ""),
        ("Passwort: ", "pw"),
        ("Mot de passe : ", "pw"),
        ("Contraseña: ", "pw"),
        ("密码:", "pw"),
        ("パスワード:", "pw"),
        ("비밀번호: ", "pw"),
        ("ワンタイムパスワード: ", "287082"),
        ("请输入动态口令: ", "287082"),
        ("Einmalpasswort: ", "287082"),
        ("Duo two-factor login for ann\n\n 1. Duo Push to XXX-1234\n\nPasscode or option (1-1): ", "287082"),
        ("Your last login was today.\nPassword: ", "pw"),
        ("Enter the token of your login device\nPassword: ", "pw"),
        ("login: ", "ann"),
    ],
)
def test_prompts(prompt: str, answer: str) -> None:
    host = Host("hpc", 22, "ann", Login(password="pw", totp=SECRET))
    answers = Answers(host, Codes(lambda: 59.0, lambda _: None))
    assert answers("", "", [(prompt, False)]) == [answer]
    assert answers.unanswered == ("Favourite colour?" if not answer else "")


@pytest.mark.parametrize(
    "prompt",
    [
        "Duo two-factor login for ann\n\nPasscode or option (1-3): ",
        "New password: ",
        "Retype new password: ",
        "You must change your expired password: ",
        "Who will login today? ",
    ],
)
def test_prompts_that_nobody_can_answer_are_told_and_not_guessed(prompt: str) -> None:
    answers = Answers(Host("hpc", 22, "ann", Login(password="pw")), Codes())
    assert answers("", "", [(prompt, False)]) == [""]
    assert answers.unanswered == prompt.splitlines()[-1].strip()


def test_password_is_no_answer_to_a_question_for_a_code() -> None:
    answers = Answers(Host("hpc", 22, "ann", Login(password="pw")), Codes())
    assert answers("", "", [("One-time password: ", False), ("Verification code", True)]) == ["", ""]


# pauses


def link(clock: Clock, results: list[Any]) -> ssh_link.Link:
    made = ssh_link.Link((Host("hpc", 22, "ann", Login()),), clock=clock, sleep=clock.sleep)

    def way() -> Any:
        result = results.pop(0)
        if isinstance(result, Exception):
            raise result
        made.logins += 1
        return result

    made._way = way  # type: ignore[method-assign]
    return made


class Dead:
    def is_active(self) -> bool:
        return False

    def close(self) -> None: ...


def test_pauses_grow_to_a_minute() -> None:
    clock = Clock()
    broken = link(clock, [OSError("refused")] * 30)
    pauses = []
    for _ in range(12):
        with pytest.raises(Unreachable, match="refused"):
            broken.transport()
        with pytest.raises(Unreachable, match="the next try is in"):
            broken.transport()
        pauses.append(broken.early())
        clock.now += broken.early()
    assert all(2**n / 2 <= pause <= 2**n for n, pause in enumerate(pauses[:6]))
    assert all(30 <= pause <= 60 for pause in pauses[6:])


def test_refused_login_waits_a_minute_and_is_an_error_of_the_profile_only_at_first() -> None:
    clock = Clock()
    refused = ssh_link.LoginRefused("no")
    with pytest.raises(ConfigError, match="no"):
        link(clock, [refused]).transport()
    later = link(clock, [Dead(), refused, Dead()])
    later.transport()
    later.proved()
    with pytest.raises(Unreachable, match="tried again in a minute"):
        later.transport()
    assert later.early() == 60.0
    clock.now += 61
    later.transport()
    assert later.logins == 2


def test_connection_that_worked_is_made_again_at_once() -> None:
    clock = Clock()
    lively = link(clock, [Dead() for _ in range(9)])
    for _ in range(9):
        lively.transport()
        lively.proved()
    assert lively.logins == 9 and clock.slept == [0.0]
    useless = link(clock, [Dead() for _ in range(9)])
    useless.transport()
    with pytest.raises(Unreachable, match="the next try is in"):
        useless.transport()


# scripts, profiles, imports


def test_script_is_one_line_and_comes_out_as_it_went_in() -> None:
    script = "printf '%s\\n' 'a\\b\nc' \"$HOME\" 100%\n"
    line = encoded(script)
    assert line.count(b"\n") == 1
    done = subprocess.run(
        ["sh", "-c", 'IFS= read -r s && printf %s "$(printf %b "$s")"'], input=line, capture_output=True, check=True
    )
    assert done.stdout.decode() == script.rstrip("\n")


def test_half_a_script_does_not_run() -> None:
    done = subprocess.run(
        ["sh", "-c", 'IFS= read -r s && eval "$(printf %b "$s")"'], input=encoded("echo ran")[:-1], capture_output=True
    )
    assert (done.stdout, done.returncode) == (b"", 1)


@pytest.mark.parametrize(
    ("profile", "match"),
    [
        ({"pasword": "s3cret"}, r"pasword: unknown"),
        ({"port": "22"}, r"port: has the wrong type"),
        ({"port": True}, r"port: has the wrong type"),
        ({"password": ["s3cret"]}, r"password: has the wrong type"),
        ({"host_key_policy": "ignore"}, r"host_key_policy: write reject or accept-new"),
    ],
)
def test_profile_is_checked_without_showing_its_values(profile: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match) as caught:
        ssh._check({"hostname": "h", **profile})
    assert "s3cret" not in str(caught.value)


def test_what_execute_command_says_holds_no_secret() -> None:
    command = "export TOKEN='s3cret-token'; kinit ann <<< pa55word"
    for said in (
        "sh: -c: line 1: syntax error near `s3cret-token'",
        "+ export TOKEN=s3cret-token\n+ kinit ann",
        "pa55word: command not found",
        "Password for ann: hunter22 is wrong",
    ):
        told = ssh._without_secrets(said, command, {"password": "hunter22", "username": "ann"})
        assert not any(secret in told for secret in ("s3cret", "pa55word", "hunter22"))
    assert ssh._without_secrets("module: no such thing", "load x", {}) == "module: no such thing"


def test_a_proxy_command_that_fails_is_heard() -> None:
    host = Host("hpc", 22, "ann", Login(), proxy="sh -c 'echo no route to gate >&2; exit 7'")
    made = ssh_link.Link((host,), timeout=2.0)
    with pytest.raises(Unreachable, match=r"out of reach: .*; ProxyCommand says: no route to gate"):
        made.transport()


def test_agent_keys_that_are_named_come_first_or_alone(tmp_path: Path) -> None:
    public = b64encode(b"mine").decode()
    (tmp_path / "id.pub").write_text(f"ssh-ed25519 {public} ann\n")

    class Held:
        def __init__(self, blob: bytes) -> None:
            self._blob = blob

        def asbytes(self) -> bytes:
            return self._blob

    with mock.patch.object(ssh_login, "_in_agent", lambda socket: [Held(b"other"), Held(b"mine")]):
        for named, wanted in ((True, [b"mine"]), (False, [b"mine", b"other"])):
            login = Login(keys=(str(tmp_path / "id"),), named=named)
            assert [key.asbytes() for key in ssh_login._of_agent(login, [])] == wanted
        assert list(ssh_login._of_agent(Login(agent="none"), [])) == []


def test_nothing_loads_paramiko_before_it_is_needed() -> None:
    script = "import sys, dispatcher, dispatcher.contexts.ssh.context; print('paramiko' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
