"""Object storage of Aliyun (OSS): requests signed with a short-lived token, uploads that go on where they stopped.

    bucket.upload("program/7/5f1c/9f86….zip", path, resume)     one PUT, or parts; size and MD5 agree with ours after
    bucket.download(key, path)                                  see `fetch`

    StringToSign = VERB \n Content-MD5 \n Content-Type \n Date \n x-oss-… headers \n /bucket/key?subresource

Source: OSS API reference, "Include signatures in the Authorization header" (signature version 1),
InitiateMultipartUpload, UploadPart, ListParts, CompleteMultipartUpload, DeleteMultipleObjects. A part's ETag is the
MD5 of its bytes.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.utils import formatdate
from hashlib import md5
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from xml.sax.saxutils import escape

from ...core.errors import TransferFailed
from .http import Answer, Http, Lost
from .receipts import Receipts

#: Larger files go up in parts, so that a broken connection costs one part.
SINGLE = 4 << 20
#: Bytes in a part, at least; and how many parts OSS allows.
PART, _MOST_PARTS = 1 << 20, 10_000


class Keys(NamedTuple):
    """What the storage token of the API says: good for an hour or so, and for nothing but storage."""

    id: str
    secret: str
    token: str


class Bucket:
    """A bucket behind a base URL of its own. `keys(True)` fetches new keys, `keys(False)` gives those of now."""

    def __init__(self, http: Http, url: str, name: str, keys: Callable[[bool], Keys]) -> None:
        self.http, self.url, self.name, self._keys = http, url.rstrip("/"), name, keys

    def address(self, key: str) -> str:
        """The URL of an object."""
        return f"{self.url}/{quote(key)}"

    # -- up ---------------------------------------------------------------------------------------------------------

    def upload(self, key: str, path: Path, resume: Receipts) -> None:
        """Put a file there and see that it is whole; parts that an earlier try has sent are not sent again."""
        size = path.stat().st_size
        if size <= SINGLE:
            data = path.read_bytes()
            _agree(self.call("PUT", key, data), data, key)
            return
        self._in_parts(key, path, size, resume)
        if self.size(key) != size:
            raise TransferFailed(f"{key} has another size in the storage than here; run the same command again")

    def _in_parts(self, key: str, path: Path, size: int, resume: Receipts) -> None:
        name = f"upload-{md5(key.encode(), usedforsecurity=False).hexdigest()}"
        length = max(PART, -(-size // _MOST_PARTS))
        upload = resume.of(name).upload
        have = self._parts(key, upload) if upload else None
        if have is None:
            upload, have = _tag(self.call("POST", key, sub={"uploads": ""}, again=False), "UploadId"), {}
            resume.note(name, upload=upload)
        tags: list[str] = []
        for number, data in enumerate(_cut(path, length), 1):
            if have.get(number) != (tag := _md5(data)):
                self._part(key, upload, number, data)
            tags.append(tag)
        self._complete(key, upload, tags)
        resume.forget(name)

    def _part(self, key: str, upload: str, number: int, data: bytes) -> None:
        _agree(self.call("PUT", key, data, {"partNumber": str(number), "uploadId": upload}), data, key)

    def _parts(self, key: str, upload: str) -> dict[int, str] | None:
        """MD5 of the parts that are there, by number; None when nobody knows of this upload any more."""
        found: dict[int, str] = {}
        after, before = 0, -1
        while after > before:  # a storage that says the same again and again has no more to say
            before = after
            answer = self.request("GET", key, sub={"uploadId": upload}, query={"part-number-marker": str(after)})
            if answer.status == 404:
                return None
            text = _good(answer, key).body.decode(errors="replace")
            for row in text.split("<Part>")[1:]:
                after = _number(_in(row, "PartNumber"))
                found[after] = _in(row, "ETag").replace("&quot;", "").strip('"').upper()
            if _in(text, "IsTruncated") != "true":
                break
        return found

    def _complete(self, key: str, upload: str, tags: Sequence[str]) -> None:
        rows = (f'<Part><PartNumber>{n}</PartNumber><ETag>"{tag}"</ETag></Part>' for n, tag in enumerate(tags, 1))
        body = f"<CompleteMultipartUpload>{''.join(rows)}</CompleteMultipartUpload>".encode()
        answer = self.request("POST", key, body, {"uploadId": upload})
        # asked twice, and done the first time: the upload is gone, and the object is there; its size is looked at next
        if answer.status != 404:
            _good(answer, key)

    def size(self, key: str) -> int | None:
        """Bytes of an object; None when there is none."""
        answer = self.request("HEAD", key)
        return None if answer.status == 404 else _number(_good(answer, key).headers.get("Content-Length", ""))

    def remove(self, keys: Sequence[str]) -> None:
        """Remove objects, a thousand in a request; what is gone already is no error."""
        for start in range(0, len(keys), 1000):
            rows = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in keys[start : start + 1000])
            self.call("POST", "", f"<Delete><Quiet>true</Quiet>{rows}</Delete>".encode(), {"delete": ""})

    # -- asking -----------------------------------------------------------------------------------------------------

    def call(
        self, verb: str, key: str, data: bytes = b"", sub: Mapping[str, str] | None = None, again: bool = True
    ) -> Answer:
        """A request that must go well; TransferFailed says what the storage answered. Raises Unreachable."""
        return _good(self.request(verb, key, data, sub, again=again), key)

    def request(
        self,
        verb: str,
        key: str,
        data: bytes = b"",
        sub: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
        again: bool = True,
    ) -> Answer:
        """A signed request; with keys that have expired it is asked once more with new ones."""
        for fresh in (False, True):
            headers = self.signed(verb, key, self._keys(fresh), data, sub)
            params = {**(sub or {}), **(query or {})}
            answer = self.http.send(verb, self.address(key), again, params=params, data=data, headers=headers)
            if answer.status != 403:
                break
        return answer

    def signed(
        self, verb: str, key: str, keys: Keys, data: bytes = b"", sub: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """The headers of such a request."""
        kind = "application/octet-stream" if data else ""
        check = base64.b64encode(md5(data, usedforsecurity=False).digest()).decode() if data else ""
        date = formatdate(usegmt=True)
        resource = f"/{self.name}/{key}"
        if sub:
            resource += "?" + "&".join(f"{name}={sub[name]}" if sub[name] else name for name in sorted(sub))
        text = f"{verb}\n{check}\n{kind}\n{date}\nx-oss-security-token:{keys.token}\n{resource}"
        proof = base64.b64encode(hmac.new(keys.secret.encode(), text.encode(), "sha1").digest()).decode()
        named = {"Content-MD5": check, "Content-Type": kind}
        return {
            **{name: value for name, value in named.items() if value},
            "Date": date,
            "x-oss-security-token": keys.token,
            "Authorization": f"OSS {keys.id}:{proof}",
        }


def _cut(path: Path, length: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        while data := file.read(length):
            yield data


def _md5(data: bytes) -> str:
    return md5(data, usedforsecurity=False).hexdigest().upper()


def _agree(answer: Answer, data: bytes, key: str) -> None:
    if answer.headers.get("ETag", "").strip('"').upper() != _md5(data):
        raise TransferFailed(f"the storage has other bytes of {key} than were sent; run the same command again")


def _good(answer: Answer, key: str) -> Answer:
    if answer.status < 300:
        return answer
    code = _in(answer.body.decode(errors="replace"), "Code") or "no reason given"
    what: Any = Lost if answer.status >= 500 else TransferFailed
    raise what(f"the storage refused {key or 'a request'} (HTTP {answer.status}: {code})")


def _number(text: str) -> int:
    """A number of an answer; -1, which is no size and no part, for anything else."""
    return int(text) if re.fullmatch("[0-9]{1,18}", text) else -1


def _tag(answer: Answer, name: str) -> str:
    return _in(answer.body.decode(errors="replace"), name)


def _in(text: str, name: str) -> str:
    """The text of the first element of that name; the answers of OSS are flat enough for that."""
    found = re.search(f"<{name}>([^<]*)</{name}>", text)
    return found[1] if found else ""
