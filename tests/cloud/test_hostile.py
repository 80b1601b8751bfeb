"""A server that means ill: redirects that would carry keys away, bodies of other shapes and sizes, plain http."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dispatcher.contexts import load
from dispatcher.contexts.cloud import http as cloud_http
from dispatcher.contexts.cloud.api import RequestInfoException
from dispatcher.contexts.cloud.bohrium import BohriumApi
from dispatcher.contexts.cloud.bohrium_client import Client
from dispatcher.contexts.cloud.fetch import fetch
from dispatcher.contexts.cloud.http import Forbidden, Http, Lost
from dispatcher.contexts.cloud.openapi_client import OpenClient
from dispatcher.contexts.cloud.receipts import Receipt, Receipts
from dispatcher.contexts.cloud.storage import Bucket, Keys
from dispatcher.core.errors import ConfigError
from dispatcher.core.model import MachineSpec

#: Status, headers, body, for a request.
Said = tuple[int, dict[str, str], bytes]


class Server:
    """Answers as it is told, and remembers what it was asked, with which headers."""

    def __init__(self, answer: Callable[[BaseHTTPRequestHandler], Said]) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.asked.append((self.path, {key.lower(): value for key, value in self.headers.items()}))
                status, headers, body = answer(self)
                self.send_response(status)
                for key, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_HEAD = _any  # noqa: N815 (the library looks for these names)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[BaseHTTPRequestHandler], Said]], Server]]:
    made: list[Server] = []

    def start(answer: Callable[[BaseHTTPRequestHandler], Said]) -> Server:
        made.append(Server(answer))
        return made[-1]

    yield start
    for server in made:
        server.close()


def good(data: Any) -> Said:
    return 200, {}, json.dumps({"code": 0, "data": data}).encode()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_calls_with_keys_are_not_redirected_to_another_server(serve: Any, status: int) -> None:
    thief = serve(lambda _: good({"items": []}))
    there = serve(lambda _: (status, {"Location": f"{thief.url}/brm/v1/job/list"}, b""))
    for ask in (
        lambda: Client(ticket="t1cket", base_url=there.url).get_tasks_list(7),
        lambda: OpenClient("acc3ss", base_url=there.url).rows("7"),
        lambda: Client("a@b", "pa55", base_url=there.url).refresh_token(1),
    ):
        with pytest.raises(RequestInfoException) as caught:
            ask()
        assert "pa55" not in str(caught.value)
    assert thief.asked == []
    assert len(there.asked) == 3, "asked once each: it will not change"


def test_a_redirect_within_the_server_is_followed_with_its_keys(serve: Any) -> None:
    there = serve(
        lambda request: good({"items": []}) if "new" in request.path else (302, {"Location": "/new?page=0"}, b"")
    )
    assert Client(ticket="t1cket", base_url=there.url).get_tasks_list(7) == []
    assert [headers.get("brm-ticket") for _, headers in there.asked] == ["t1cket", "t1cket"]
    endless = serve(lambda _: (302, {"Location": "/again"}, b""))
    with pytest.raises(Lost, match="redirects again and again"):
        Http().send("GET", endless.url, again=False)


def test_results_may_come_from_elsewhere_and_nothing_goes_along(serve: Any, tmp_path: Path) -> None:
    store = serve(lambda _: (200, {}, b"archive"))
    there = serve(lambda _: (302, {"Location": f"{store.url}/x"}, b""))
    fetch(Http(), there.url, tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_bytes() == b"archive"
    assert set(store.asked[0][1]) <= {"host", "accept-encoding", "accept", "connection", "user-agent"}
    with pytest.raises(Forbidden, match="gets no keys of ours"):
        fetch(Http(), there.url, tmp_path / "b.zip", headers={"Authorization": "OSS id:proof"}, sleep=lambda _: None)
    assert len(store.asked) == 1


@pytest.mark.parametrize("name", ["Bohrium", "OpenAPI"])
def test_plain_http_only_to_this_machine_or_by_setting(tmp_path: Path, name: str) -> None:
    profile = {"base_url": "http://cloud.example", "email": "a@b", "password": "pa55", "program_id": 7}
    profile |= {"access_key": "k", "project_id": 7}
    machine = MachineSpec(name, name, str(tmp_path))
    with pytest.raises(
        ConfigError, match=r"base_url: plain http to cloud\.example is not allowed.*allow_http"
    ) as caught:
        load(name).open(machine, profile, "5f1c", ".")
    assert "pa55" not in str(caught.value)
    Http(plain=True).must_be_safe("http://cloud.example/")
    for url in ("http://127.0.0.1:1/", "http://localhost/", "http://[::1]:8/", "https://cloud.example/"):
        Http().must_be_safe(url)
    for url in ("http://10.0.0.1/", "HTTP://cloud.example", "http://127.evil.example@cloud.example/"):
        with pytest.raises(Forbidden):
            Http().send("GET", url, again=True)
    assert Http().secured("http://store.example/a?sig=1") == "https://store.example/a?sig=1"
    assert Http(plain=True).secured("http://store.example/a") == "http://store.example/a"


SHAPES: list[Any] = [[], [1], "text", 7, {"token": [1]}, {"token": {"a": 1}}, {"jobId": [1]}, {"jobId": None}]


@pytest.mark.parametrize("data", SHAPES, ids=str)
def test_answers_of_another_shape_are_an_error_that_says_so(serve: Any, data: Any) -> None:
    client = Client(ticket="t", base_url=serve(lambda _: good(data)).url)
    other = OpenClient("k", base_url=serve(lambda _: good(data)).url)
    for ask in (
        client.refresh_token,
        client.keys,
        lambda: client.job_create("container", [], {}, 7),
        lambda: other.create(7, "n", ""),
        lambda: client.get_tasks_list(7),
    ):
        with pytest.raises((RequestInfoException, Lost)):
            ask()


@pytest.mark.parametrize(
    "row", [{"id": [1]}, {"id": 1, "status": []}, {"id": 1, "jobName": 7}, {"id": 1, "resultUrl": {}}, 3], ids=str
)
def test_rows_of_another_shape(serve: Any, row: Any) -> None:
    client = Client(ticket="t", base_url=serve(lambda _: good({"items": [row], "total": 1})).url)
    with pytest.raises(RequestInfoException, match="another shape"):
        client.get_tasks_list(7)


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b'{"code":' + b'{"a":' * 50_000, b"\xff\xfe", b"null", b'{"code": []}']
)
def test_bodies_that_are_no_answer(serve: Any, body: bytes) -> None:
    with pytest.raises(RequestInfoException):
        Client(ticket="t", base_url=serve(lambda _: (200, {}, body)).url).get("x", retry=1)


def test_a_body_is_bounded_after_decompression(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloud_http, "MAX_ANSWER", 1 << 20)
    bomb = gzip.compress(bytes(64 << 20))
    there = serve(lambda _: (200, {"Content-Encoding": "gzip"}, bomb))
    with pytest.raises(Lost, match="more than 1048576 bytes, the limit"):
        Http().send("GET", there.url, again=False)


def test_receipts_that_are_no_small_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "big.json").write_bytes(b'{"id": "1", "x": "' + b"x" * (1 << 20) + b'"}')
    (tmp_path / "link.json").symlink_to("good.json")
    (tmp_path / "good.json").write_text('{"id": "1"}')
    (tmp_path / "deep.json").write_text("[" * 100_000)
    receipts = Receipts(tmp_path)
    assert {name: receipts.of(name) for name in ("big", "link", "good", "deep")} == {
        "big": Receipt(),
        "link": Receipt(),
        "good": Receipt(id="1"),
        "deep": Receipt(),
    }


@pytest.mark.parametrize("host", ["127.example.org", "127.0.0.1.example.org", "localhost.example.org", "8.8.8.8", ""])
def test_a_name_that_looks_like_this_machine_is_not_it(host: str) -> None:
    with pytest.raises(Forbidden):
        Http().must_be_safe(f"http://{host}/")
    for here in ("127.0.0.1:80", "127.1.2.3", "localhost", "[::1]:8080"):
        Http().must_be_safe(f"http://{here}/")


@pytest.mark.parametrize("number", ["1", "x", "-1", "9" * 5000])
def test_a_listing_of_parts_ends(serve: Any, number: str) -> None:
    """Parts without an end, and the same ones again and again."""
    part = f"<Part><PartNumber>{number}</PartNumber><ETag>E</ETag></Part>"
    body = f"<IsTruncated>true</IsTruncated>{part}{'<Part>' * 100_000}".encode()
    bucket = Bucket(Http(), serve(lambda _: (200, {}, body)).url, "b", lambda fresh: Keys("k", "s", "t"))
    assert bucket._parts("key", "upload") is not None


@pytest.mark.parametrize("id", ["../../x", "1?y=", "$(id)", "a" * 65, -1, 10**30, "1\r\nx: y"], ids=str)
def test_an_id_is_one_word(serve: Any, id: Any) -> None:
    client = Client(ticket="t", base_url=serve(lambda _: good({"items": [{"id": id}], "total": 1})).url)
    with pytest.raises(RequestInfoException, match="another shape"):
        client.get_tasks_list(7)


def test_only_what_was_sent_from_here_is_removed_there(tmp_path: Path) -> None:
    Receipts(tmp_path).note("dn1", keys=("program/7/f/a.zip", "program/7/other/b.zip", "everything"))
    gone: list[str] = []
    bucket: Any = SimpleNamespace(remove=gone.extend)
    BohriumApi(Client(ticket="t"), bucket, 7, {}, "f").remove(Receipts(tmp_path))
    assert gone == ["program/7/f/a.zip"]
