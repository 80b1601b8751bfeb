"""Uploads and downloads against the server's storages: parts, resuming, digests, expired keys; the manual's Client."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dispatcher.contexts.cloud import storage as cloud_storage
from dispatcher.contexts.cloud import tiefblue
from dispatcher.contexts.cloud.bohrium import RETCODE, Client, RequestInfoException, unzip_file, zip_file_list
from dispatcher.contexts.cloud.openapi_client import OpenClient
from dispatcher.contexts.cloud.receipts import Receipts
from dispatcher.core.errors import TransferFailed, Unreachable

if TYPE_CHECKING:
    from .conftest import Cloud

KEY = "program/7/x/big 'file'.zip"


def client_of(cloud: Cloud) -> Client:
    return Client("someone@example.org", cloud.secrets["password"], base_url=cloud.url)


def big(tmp_path: Path, mebibytes: int = 6) -> Path:
    path = tmp_path / "big"
    path.write_bytes(os.urandom(mebibytes << 20))
    return path


@pytest.mark.parametrize("mebibytes", [0, 1, 6])
def test_what_goes_up_comes_down(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mebibytes: int) -> None:
    monkeypatch.setenv("DPDISPATCHER_LEBESGUE_ALI_OSS_BUCKET_URL", f"{cloud.url}/oss")
    client, path = client_of(cloud), big(tmp_path, mebibytes)
    client.upload(KEY, str(path))
    client.download(KEY, str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    client.close()


def test_an_upload_in_parts_goes_on_where_it_broke_off(cloud: Cloud, tmp_path: Path) -> None:
    path = big(tmp_path)
    bucket = client_of(cloud).bucket(url=f"{cloud.url}/oss")
    cloud.fault("error", "POST .*/oss/", 0)
    sent = []
    part = bucket._part

    def dying(key: str, upload: str, number: int, data: bytes) -> None:
        if len(sent) == 3:
            raise Unreachable("the power is out")
        sent.append(number)
        part(key, upload, number, data)

    bucket._part = dying  # type: ignore[method-assign]
    with pytest.raises(Unreachable, match="power"):
        bucket.upload(KEY, path, Receipts(tmp_path / "receipts"))
    again = client_of(cloud).bucket(url=f"{cloud.url}/oss")
    whole = again._part
    again._part = lambda key, upload, number, data: (sent.append(number), whole(key, upload, number, data))[1]  # type: ignore[method-assign]
    again.upload(KEY, path, Receipts(tmp_path / "receipts"))
    assert sent == [1, 2, 3, 4, 5, 6]
    assert again.size(KEY) == 6 << 20


def test_completion_that_was_answered_nowhere_is_completion(cloud: Cloud, tmp_path: Path) -> None:
    bucket = client_of(cloud).bucket(url=f"{cloud.url}/oss")
    bucket.request("HEAD", "none")
    path = big(tmp_path)
    complete = bucket._complete

    def lost_first(key: str, upload: str, tags: list[str]) -> None:
        cloud.fault("lost", "POST /oss/", 1)
        complete(key, upload, tags)

    bucket._complete = lost_first  # type: ignore[method-assign,assignment]
    bucket.upload(KEY, path, Receipts(tmp_path / "receipts"))
    assert bucket.size(KEY) == 6 << 20


def test_keys_that_expired_are_renewed(cloud: Cloud, tmp_path: Path) -> None:
    bucket = client_of(cloud).bucket(url=f"{cloud.url}/oss")
    assert bucket.size("none") is None
    cloud.tell(expire=True)
    bucket.upload("a", big(tmp_path, 1), Receipts(tmp_path / "receipts"))
    assert bucket.size("a") == 1 << 20
    bucket.remove(["a", "never there"])
    assert bucket.size("a") is None


def test_a_wrong_signature_is_refused_by_the_server(cloud: Cloud) -> None:
    """So that the other tests say something."""
    bucket = client_of(cloud).bucket(url=f"{cloud.url}/oss")
    keys = bucket._keys(False)
    bucket._keys = lambda fresh: keys._replace(secret="other")
    with pytest.raises(TransferFailed, match="SignatureDoesNotMatch"):
        bucket.call("PUT", "a", b"data")


def test_tiefblue_in_one_and_in_parts(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = OpenClient(cloud.secrets["access_key"], base_url=cloud.url)
    made = client.create(7, "dtest", "")
    monkeypatch.setattr(tiefblue, "SINGLE", 1 << 20)
    monkeypatch.setattr(tiefblue, "PART", 1 << 20)
    for size in (1, 3):
        key = f"{made['storePath']}/{size}.zip"
        path = big(tmp_path, size)
        tiefblue.upload(client.http, f"{cloud.url}/tiefblue", made["token"], key, path)
        stored = [found.read_bytes() for found in (tmp_path / "server" / "objects").iterdir()]
        assert path.read_bytes() in stored
    with pytest.raises(RequestInfoException, match="not yours"):
        tiefblue.upload(client.http, f"{cloud.url}/tiefblue", made["token"], "store/1/x", path)


def test_download_goes_on_where_it_broke_off(cloud: Cloud, tmp_path: Path) -> None:
    client, path = client_of(cloud), big(tmp_path)
    bucket = client.bucket(url=f"{cloud.url}/oss")
    bucket.upload(KEY, path, Receipts(tmp_path / "receipts"))
    cloud.fault("truncate", "GET /oss/", 2)
    from dispatcher.contexts.cloud.fetch import fetch

    fetch(client.http, bucket.address(KEY), tmp_path / "back", headers=bucket.signed("GET", KEY, client.keys()))
    assert (tmp_path / "back").read_bytes() == path.read_bytes()
    assert cloud.reported()["struck"] == {"truncate": 2}


def test_client_of_the_manual(cloud: Cloud) -> None:
    client = client_of(cloud)
    assert client.get_job_detail(1) is None
    assert client.get_tasks_list(99) == []
    with pytest.raises(RequestInfoException) as error:
        client.job_create("container", ["nowhere"], {"cmd": "true"}, 7)
    assert (error.value.code, error.value.certain, error.value.final) == (RETCODE.PARAMERR, True, True)
    with pytest.raises(RequestInfoException) as error:
        Client("someone@example.org", "wrong", base_url=cloud.url).refresh_token()
    assert error.value.code == RETCODE.PWDERR
    assert cloud.secrets["password"] not in repr(client) + str(error.value)


def test_nobody_listens_is_told_from_a_lost_answer(cloud: Cloud) -> None:
    client = Client(ticket="t", base_url="http://127.0.0.1:9")
    client.http._sleep = lambda seconds: None
    with pytest.raises(RequestInfoException) as error:
        client.post("/brm/v2/job/add", {})
    assert (error.value.status, error.value.certain) == (0, True)
    other = client_of(cloud)
    other.refresh_token()
    cloud.fault("lost", "add", 1)
    with pytest.raises(RequestInfoException) as error:
        other.post("/brm/v2/job/add", {})
    assert (error.value.status, error.value.certain) == (0, False)


def test_zip_helpers(tmp_path: Path) -> None:
    for name in ("a/x.dat", "a/deep/y", "b.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(name)
    path = zip_file_list(tmp_path / "in", "all.zip", ["a", "*.txt"])
    unzip_file(path, tmp_path / "out")
    assert {str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file()} == {
        "a/x.dat", "a/deep/y", "b.txt",
    }  # fmt: skip
    (tmp_path / "trap").mkdir()
    (tmp_path / "trap" / "a").symlink_to(tmp_path / "in")
    with pytest.raises(TransferFailed, match="through the link"):
        unzip_file(path, tmp_path / "trap")


def test_parts_of_the_storage_are_large_enough() -> None:
    assert cloud_storage.PART >= 100 << 10, "OSS refuses smaller ones"
