"""SSH against real OpenSSH servers: every way in, every login shell, narrow limits, and who must not be trusted."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dispatcher.contexts.ssh import link as ssh_link
from dispatcher.contexts.ssh.context import SSHConnection
from dispatcher.contexts.ssh.login import Codes
from dispatcher.core.errors import ConfigError, DispatcherError, TransferFailed, Unreachable
from dispatcher.core.model import MachineSpec
from dispatcher.core.ports import Item, ShellText
from dispatcher.files.local import digest

pytestmark = pytest.mark.cluster

Open = Callable[..., SSHConnection]


def secret(servers: Mapping[str, str], name: str) -> str:
    return Path(servers[f"SSH_{name}_FILE"]).read_text().strip()


@pytest.fixture
def opened(
    ssh_servers: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., SSHConnection]]:
    """Open a context on one of the servers, by key unless told otherwise, with a home that knows nothing."""
    (tmp_path / "home").mkdir()
    (tmp_path / "local").mkdir()
    (tmp_path / "empty").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    made: list[SSHConnection] = []

    def open_(server: str = "main", user: str = "", root: str = "", **profile: Any) -> SSHConnection:
        whole = {
            "hostname": ssh_servers["SSH_HOST"],
            "port": int(ssh_servers[f"SSH_PORT_{server.upper()}"]),
            "username": ssh_servers[f"SSH_USER{user}"],
            "known_hosts": ssh_servers["SSH_KNOWN_HOSTS"],
            "config_file": str(tmp_path / "empty"),
            "key_filename": ssh_servers["SSH_KEY_ED25519"],
        } | profile
        machine = MachineSpec("Shell", "SSHContext", str(tmp_path), root or f"~/dispatcher-{uuid4().hex[:8]}")
        whole = {key: value for key, value in whole.items() if value is not ...}
        made.append(SSHConnection.open(machine, whole, uuid4().hex, "local"))
        return made[-1]

    yield open_
    for context in made:
        with contextlib.suppress(DispatcherError):
            context.remove()
        context.close()
    for link in list(ssh_link._links.values()):
        link.close()
    ssh_link._links.clear()


def works(context: SSHConnection, tmp: Path) -> None:
    """All six verbs, once."""
    names = ["a b", "it's", "two\nlines", "-rf", "ünï→", "x/back\\slash", "$HOME"]
    local = tmp / "local"
    for name in names:
        (local / name).parent.mkdir(exist_ok=True)
        (local / name).write_bytes(name.encode() * 100)
    items = [Item(str(local / n), f"t/{n}", (local / n).stat().st_size, digest(local / n)) for n in names]
    context.put([*items, Item("", "t/empty", -1)], True)
    assert {(e.path, e.size) for e in context.tree(["t"])} == {(i.target, i.size) for i in items} | {("t/empty", -1)}
    assert context.run(ShellText("cat 't/a b' | wc -c; pwd >&2; exit 3")).code == 3
    got = context.get([Item(i.target, f"back/{i.target}", i.size) for i in items])
    assert [(i.size, i.digest) for i in got] == [(i.size, i.digest) for i in items]
    assert (local / "back/t/two\nlines").read_bytes() == b"two\nlines" * 100


# every way in


@pytest.mark.parametrize("kind", ["ED25519", "RSA", "ECDSA"])
def test_keys_of_all_types(opened: Open, ssh_servers: Mapping[str, str], tmp_path: Path, kind: str) -> None:
    works(opened(key_filename=ssh_servers[f"SSH_KEY_{kind}"]), tmp_path)


def test_key_with_passphrase(opened: Open, ssh_servers: Mapping[str, str]) -> None:
    key, phrase = ssh_servers["SSH_KEY_ENCRYPTED"], secret(ssh_servers, "PASSPHRASE")
    assert opened(key_filename=key, passphrase=phrase).run(ShellText("echo in")).out == "in\n"
    with pytest.raises(ConfigError, match="passphrase") as caught:
        opened(key_filename=key, passphrase="wrong-secret")
    assert "wrong-secret" not in str(caught.value)
    with pytest.raises(ConfigError, match="needs a passphrase"):
        opened(key_filename=key, passphrase=None, timeout=11)


def test_key_of_the_home_directory(opened: Open, ssh_servers: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "home/.ssh").mkdir()
    (tmp_path / "home/.ssh/id_ed25519").write_text(Path(ssh_servers["SSH_KEY_ED25519"]).read_text())
    assert opened(key_filename=None).run(ShellText("echo in")).out == "in\n"
    with pytest.raises(ConfigError, match="does not accept the login"):
        opened(key_filename=None, look_for_keys=False)


def test_agent(opened: Open, ssh_servers: Mapping[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sock = str(tmp_path / "agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", sock], stdout=subprocess.DEVNULL)
    try:
        while not os.path.exists(sock):
            time.sleep(0.05)
        monkeypatch.setenv("SSH_AUTH_SOCK", sock)
        subprocess.run(["ssh-add", "-q", ssh_servers["SSH_KEY_ECDSA"]], check=True, stderr=subprocess.DEVNULL)
        assert opened(key_filename=None).run(ShellText("echo in")).out == "in\n"
    finally:
        agent.terminate()
        agent.wait()


def test_password(opened: Open, ssh_servers: Mapping[str, str]) -> None:
    context = opened(key_filename=None, password=secret(ssh_servers, "PASSWORD"))
    assert context.run(ShellText("echo in")).out == "in\n"


def test_password_and_code(opened: Open, ssh_servers: Mapping[str, str], tmp_path: Path) -> None:
    context = opened(
        "totp",
        key_filename=None,
        password=secret(ssh_servers, "PASSWORD"),
        totp_secret=secret(ssh_servers, "TOTP"),
    )
    works(context, tmp_path)
    assert context._link.logins == 1


def test_key_and_code(opened: Open, ssh_servers: Mapping[str, str]) -> None:
    assert opened("both", totp_secret=secret(ssh_servers, "TOTP")).run(ShellText("echo in")).out == "in\n"


def test_code_is_never_given_twice(opened: Open, ssh_servers: Mapping[str, str]) -> None:
    profile = {
        "key_filename": None,
        "password": secret(ssh_servers, "PASSWORD"),
        "totp_secret": secret(ssh_servers, "TOTP"),
    }
    first = opened("once", **profile)
    first.run(ShellText("true"))
    first._link.lost()
    assert first.run(ShellText("echo in")).out == "in\n"
    # another process, which does not know what was given: refused, and once more with the next code
    assert opened("once", timeout=11, **profile).run(ShellText("echo in")).out == "in\n"


class Breaking(Codes):
    """At the moment in which the server waits for a code, the line breaks."""

    def __init__(self, sessions: Any) -> None:
        super().__init__()
        self.sessions, self.requested = sessions, 0

    def next(self, secret: str) -> str:
        self.requested += 1
        self.sessions.kill("line")
        return super().next(secret)

    def spoil(self) -> None: ...


def test_login_that_breaks_off_is_no_refusal_and_is_tried_once_a_minute(
    opened: Open, ssh_servers: Mapping[str, str], sessions_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = {"password": secret(ssh_servers, "PASSWORD"), "totp_secret": secret(ssh_servers, "TOTP")}
    context = opened("totp", key_filename=None, **profile)
    link, breaking, now, pauses = context._link, Breaking(sessions_of(ssh_servers, "totp")), [1000.0], list[float]()
    link.proved()
    link.lost()
    with monkeypatch.context() as patch:
        patch.setattr(link, "_clock", lambda: now[0])
        patch.setattr(link, "_codes", [breaking])
        for _ in range(5):
            with pytest.raises(Unreachable, match=r"broke off while logging in|reset by peer"):
                link.transport()
            with pytest.raises(Unreachable, match="the next try is in"):
                link.transport()
            pauses.append(link.early())
            now[0] += link.early()
    assert pauses[0] <= 1 and all(60 <= pause <= 75 for pause in pauses[1:])
    assert breaking.requested == 5
    link.proved()
    assert context.run(ShellText("echo in")).out == "in\n"


def test_server_that_says_why_it_hangs_up(opened: Open, ssh_servers: Mapping[str, str]) -> None:
    """MaxAuthTries 1: nothing broke, the login was refused."""
    with pytest.raises(ConfigError, match=r"does not accept the login.* it hung up: Too many authentication failures"):
        opened("tight", key_filename=ssh_servers["SSH_KEY_STRANGER"])


@pytest.mark.parametrize("wrong", [{"key_filename": "SSH_KEY_STRANGER"}, {"password": "pa55-of-nobody"}])
def test_refused_login_says_what_was_tried(opened: Open, ssh_servers: Mapping[str, str], wrong: dict[str, str]) -> None:
    profile = {key: ssh_servers.get(value, value) for key, value in wrong.items()}
    with pytest.raises(ConfigError, match=r"does not accept the login: it wants .*tried: 1 x") as caught:
        opened(**{"key_filename": None, **profile})
    assert "pa55" not in str(caught.value)


def test_key_file_that_is_not_there(opened: Open) -> None:
    with pytest.raises(ConfigError, match=r"key_filename: /no/such/key is not a file"):
        opened(key_filename="/no/such/key")


# the way there


@pytest.mark.parametrize("alias", ["dp-main", "dp-inner", "dp-far"])
def test_configuration_file_and_hops(opened: Open, ssh_servers: Mapping[str, str], tmp_path: Path, alias: str) -> None:
    context = opened(
        hostname=alias,
        config_file=ssh_servers["SSH_CONFIG"],
        port=22,
        username=None,
        key_filename=None,
        known_hosts=None,
    )
    works(context, tmp_path)
    assert len(context._link.route) == {"dp-main": 1, "dp-inner": 2, "dp-far": 3}[alias]


def test_proxy_command(opened: Open, ssh_servers: Mapping[str, str], tmp_path: Path) -> None:
    context = opened(proxy_command=f"ssh -F {ssh_servers['SSH_CONFIG']} -W %h:%p dp-jump")
    works(context, tmp_path)
    context._link.close()
    assert context.run(ShellText("echo again")).out == "again\n"


def test_address_of_version_six(opened: Open, ssh_servers: Mapping[str, str], tmp_path: Path) -> None:
    with Relay(int(ssh_servers["SSH_PORT_MAIN"]), "::1") as relay:
        key = Path(ssh_servers["SSH_RUN"], "keys/host_main.pub").read_text()
        (tmp_path / "known").write_text(f"[::1]:{relay.port} {key}")
        context = opened(hostname="::1", port=relay.port, known_hosts=str(tmp_path / "known"))
        assert context.run(ShellText("echo in")).out == "in\n"


class Relay:
    """Passes a port of this machine on, byte by byte."""

    def __init__(self, target: int, host: str) -> None:
        self._target = target
        self._server = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            for pair in ((client, server), (server, client)):
                threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.close()


# who is it


def shown(ssh_servers: Mapping[str, str], name: str) -> str:
    command = ["ssh-keygen", "-lf", f"{ssh_servers['SSH_RUN']}/keys/host_{name}.pub"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[1]


def test_unknown_host_is_refused_and_shown(opened: Open, ssh_servers: Mapping[str, str], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not known") as caught:
        opened(known_hosts=str(tmp_path / "empty"))
    assert shown(ssh_servers, "main") in str(caught.value) and "accept-new" in str(caught.value)
    line = next(line for line in str(caught.value).splitlines() if line.startswith("  ["))
    (tmp_path / "known").write_text(line.strip() + "\n")
    opened(known_hosts=str(tmp_path / "known"))


def test_unknown_host_is_remembered_on_demand(opened: Open, tmp_path: Path) -> None:
    file = tmp_path / "new" / "known_hosts"
    opened(known_hosts=str(file), host_key_policy="accept-new")
    assert file.stat().st_mode & 0o777 == 0o600
    opened(known_hosts=str(file), timeout=11)


@pytest.mark.parametrize("policy", ["reject", "accept-new"])
def test_changed_host_key_is_refused(opened: Open, ssh_servers: Mapping[str, str], tmp_path: Path, policy: str) -> None:
    key = Path(ssh_servers["SSH_RUN"], "keys/host_jump.pub").read_text()
    (tmp_path / "known").write_text(f"[127.0.0.1]:{ssh_servers['SSH_PORT_MAIN']} {key}")
    with pytest.raises(ConfigError, match="HAS CHANGED") as caught:
        opened(known_hosts=str(tmp_path / "known"), host_key_policy=policy)
    assert shown(ssh_servers, "main") in str(caught.value) and shown(ssh_servers, "jump") in str(caught.value)


def test_known_by_another_kind_of_key_and_by_hash(opened: Open, ssh_servers: Mapping[str, str], tmp_path: Path) -> None:
    file, port = tmp_path / "known", ssh_servers["SSH_PORT_MAIN"]
    file.write_text(f"[127.0.0.1]:{port} {Path(ssh_servers['SSH_RUN'], 'keys/host_main_rsa.pub').read_text()}")
    subprocess.run(["ssh-keygen", "-Hf", str(file)], check=True, capture_output=True)
    assert port not in file.read_text()
    opened(known_hosts=str(file))


def test_changed_host_key_is_refused_when_reconnecting(
    opened: Open, ssh_servers: Mapping[str, str], tmp_path: Path
) -> None:
    file = tmp_path / "known"
    file.write_text(Path(ssh_servers["SSH_KNOWN_HOSTS"]).read_text())
    context = opened(known_hosts=str(file))
    other = Path(ssh_servers["SSH_RUN"], "keys/host_jump.pub").read_text()
    file.write_text(f"[127.0.0.1]:{ssh_servers['SSH_PORT_MAIN']} {other}")
    context._link.lost()
    with pytest.raises(ConfigError, match="HAS CHANGED"):
        context.run(ShellText("true"))


# shells and limits


@pytest.mark.parametrize(
    ("server", "user"), [("main", "_CSH"), ("main", "_FISH"), ("main", "_NOISY"), ("noisy", "_NOISY"), ("nosftp", "")]
)
def test_login_shells_and_banners(opened: Open, tmp_path: Path, server: str, user: str) -> None:
    context = opened(server, user)
    works(context, tmp_path)
    assert context.run(ShellText("echo $((1 + 1)); echo x >&2")).out == "2\n"


def test_account_that_runs_no_commands(opened: Open) -> None:
    with pytest.raises(Unreachable, match=r"did not start sh \(exit 1\): this host only forwards"):
        opened("jump")


def test_one_session_at_a_time_is_enough(opened: Open, tmp_path: Path) -> None:
    context = opened("tight")
    works(context, tmp_path)
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(context.run(ShellText(f"sleep 0.2; echo {n}")).out))
        for n in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [f"{n}\n" for n in range(6)]
    assert context._link.logins == 1


def test_submissions_and_threads_share_one_login(opened: Open, tmp_path: Path) -> None:
    contexts = [opened() for _ in range(3)]
    assert len({context._link for context in contexts}) == 1
    out: list[str] = []
    work = [
        threading.Thread(target=lambda c=c: out.append(c.run(ShellText("sleep 0.3; pwd")).out)) for c in contexts * 4
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert sorted(out) == sorted(f"{context.place.remote_root}\n" for context in contexts * 4)
    contexts[0].close()
    assert contexts[1].run(ShellText("echo in")).out == "in\n"
    assert contexts[1]._link.logins == 1
    contexts[0]._link.users += 1  # the fixture closes it again


def test_idle_connection_is_kept_for_who_comes_back(opened: Open) -> None:
    first = opened()
    first._link.users += 1
    first.close()
    assert opened()._link is first._link
    assert first._link.logins == 1


def test_command_after_each_login(opened: Open, tmp_path: Path) -> None:
    log = f"/tmp/dispatcher-greet-{uuid4().hex}"
    context = opened(execute_command=f"echo hello >> {log}")
    context.run(ShellText("true"))
    context._link.lost()
    assert context.run(ShellText(f"cat {log}; rm {log}")).out == "hello\nhello\n"
    with pytest.raises(Unreachable, match="execute_command ended with code 4"):
        opened(execute_command="exit 4")


def test_server_that_is_not_there(opened: Open) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        silent.close()
        with pytest.raises(Unreachable, match="out of reach"):
            opened(port=port)


# what goes wrong over there


def test_remote_root_that_cannot_be_made(opened: Open) -> None:
    with pytest.raises(TransferFailed, match=r"(?i)permission denied; check its permissions"):
        opened(root="/dispatcher-must-not")
    with pytest.raises(TransferFailed, match=r"(?i)cannot make the directory"):
        opened(root="/etc/passwd/x")
    with pytest.raises(ConfigError, match="is not absolute"):
        opened(root="relative/root")


def test_permission_denied_on_the_way_up_and_down(opened: Open, tmp_path: Path) -> None:
    context = opened()
    (tmp_path / "local/f").write_bytes(b"x")
    context.run(ShellText("mkdir closed; echo secret > unreadable; chmod 500 closed; chmod 0 unreadable"))
    with pytest.raises(TransferFailed, match=r"(?i)permission denied"):
        context.put([Item(str(tmp_path / "local/f"), "closed/f", 1)], True)
    with pytest.raises(TransferFailed, match=r"unreadable: it is gone, or cannot be read"):
        context.get([Item("unreadable", "u", 7)])
    context.run(ShellText("chmod 700 closed; mkdir closed/deep; chmod 0 closed/deep"))
    with pytest.raises(TransferFailed, match=r"(?i)permission denied"):
        context.tree(["closed"])
    context.run(ShellText("chmod -R 700 closed"))


def test_removing_in_the_background(opened: Open) -> None:
    context = opened()
    context._in_background = True
    context.remove()
    for _ in range(2000):
        if not Path(context.place.remote_root).exists():
            return
        time.sleep(0.05)
    raise AssertionError("R is still there")


# secrets


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:  # it has just ended
        return b""


def test_secrets_are_nowhere(opened: Open, ssh_servers: Mapping[str, str], tmp_path: Path) -> None:
    secrets = [secret(ssh_servers, "PASSWORD"), secret(ssh_servers, "TOTP")]
    context = opened("totp", key_filename=None, password=secrets[0], totp_secret=secrets[1])
    works(context, tmp_path)
    processes = b"".join(
        command_line(int(pid)) for pid in os.listdir("/proc") if pid.isdigit() and pid != str(os.getpid())
    )
    there = context.run(ShellText("find .. -type f -exec cat {} +; env")).out.encode()
    seen = [processes, there, repr(context._link.route).encode(), repr(context.__dict__).encode()]
    for word in secrets:
        assert not any(word.encode() in text for text in seen)
