"""What is called at the end of a run: with what, once, in time, by no shell, and never at the cost of the run."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from argparse import Namespace
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from dispatcher.cli import hooks
from dispatcher.core.errors import ConfigError

TOLD = {"event": "on_end", "outcome": "failed", "submission": "ab", "where": "/w", "journal": "/w/j", "failed": [1]}
TOLD |= {"tasks": 3}


def asked(**flags: str) -> Namespace:
    return Namespace(**{"on_end": None, "on_failure": None, **flags})


def test_a_hook_is_words_or_an_address_and_flags_go_first() -> None:
    file = {"on_end": "echo 'a b'; rm -rf $HOME", "on_failure": ["./page me", "--now"]}
    assert hooks.wanted(asked(), file) == {
        "on_end": ["echo", "a b;", "rm", "-rf", "$HOME"],
        "on_failure": ["./page me", "--now"],
    }
    assert hooks.wanted(asked(on_end="https://h/x?token=1"), file)["on_end"] == ["https://h/x?token=1"]
    assert hooks.wanted(asked(on_end="http://127.0.0.1:1/x"), {}) == {"on_end": ["http://127.0.0.1:1/x"]}
    for wrong in ("http://example.org/x?token=1", "echo 'a"):
        with pytest.raises(ConfigError) as told:
            hooks.wanted(asked(on_failure=wrong), {})
        assert "on_failure: " in str(told.value) and "token" not in str(told.value)


def test_a_command_gets_json_and_an_environment_and_its_troubles_are_words(tmp_path: Path) -> None:
    script = 'cat > given; echo "$DISPATCHER_EVENT $DISPATCHER_OUTCOME $DISPATCHER_FAILED" > said'
    assert hooks.carried_out("on_end", ["env", "-C", str(tmp_path), "sh", "-c", script], TOLD) == ""
    assert json.loads((tmp_path / "given").read_text()) == TOLD
    assert (tmp_path / "said").read_text() == "on_end failed 1\n"
    assert hooks.carried_out("on_end", ["sh", "-c", "echo a; echo why >&2; exit 3"], TOLD) == "exit code 3: why"
    assert "No such file" in hooks.carried_out("on_end", [str(tmp_path / "no")], TOLD)


def test_one_that_hangs_is_killed_with_all_that_it_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "TIMEOUT", 0.2)
    words = ["sh", "-c", f"sleep 600 & echo $! > {tmp_path}/pid; wait"]
    assert hooks.carried_out("on_end", words, TOLD) == "not ended after 0.2 s, and killed"
    written = tmp_path / "pid"  # the shell may have been killed before it wrote
    end = time.monotonic() + 120
    while written.exists() and lives(written.read_text().strip()):
        assert time.monotonic() < end
        time.sleep(0.02)


def lives(pid: str) -> bool:
    try:
        return bool(pid) and " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def server() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A real server that keeps what it is sent; /no is refused, /away redirects to another one."""
    got: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response({"/no": 500, "/away": 302}.get(self.path, 204))
            self.send_header("Location", "http://example.org/")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            """Nothing."""

    served = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}", got
    served.shutdown()
    served.server_close()


def test_an_address_is_sent_json_once_whatever_it_answers(server: Any) -> None:
    url, got = server
    assert [hooks.carried_out("on_end", [f"{url}/{path}"], TOLD) for path in ("", "no", "away")] == [
        "",
        "the answer was 500",
        "the answer was 302",
    ]
    assert got == [TOLD] * 3
    assert "cannot reach 127.0.0.1:9" in hooks.carried_out("on_end", ["http://127.0.0.1:9/?token=1"], TOLD)


@pytest.mark.slow
def test_for_each_end_once_also_when_the_dispatcher_is_killed(work: Any) -> None:
    """on_end and on_failure after a failed run; a dispatcher killed while its hook runs does not call it again."""
    path = work.prepare("[ -e ../heal ]")
    asked = json.loads(path.read_text())
    asked["on_end"] = ["sh", "-c", "echo $DISPATCHER_OUTCOME >> ends; exit 4"]
    asked["on_failure"] = ["sh", "-c", "echo $DISPATCHER_FAILED >> failures"]
    path.write_text(json.dumps(asked))
    command = ("submit", "submission.json", "--check-interval", "1")
    done = work.run(*command)
    assert (done.code, "dispatcher: on_end: exit code 4" in done.err) == (1, True), done
    assert ((work.path / "ends").read_text(), (work.path / "failures").read_text()) == ("failed\n", "1\n")
    (work.local / "heal").touch()
    hung = work.start(*command, "--on-end", "sh -c 'echo hung >> ends; exec sleep 600'")
    work.await_that(lambda: "hung" in (work.path / "ends").read_text(), "the hook")
    os.killpg(hung.pid, signal.SIGKILL)
    hung.wait()
    assert work.run(*command).code == 0
    assert ((work.path / "ends").read_text(), (work.path / "failures").read_text()) == ("failed\nhung\n", "1\n")
    assert work.text().count('"k":"hooked"') == 3
    assert "ends" not in work.text()  # a hook may hold a secret: only its name is written
