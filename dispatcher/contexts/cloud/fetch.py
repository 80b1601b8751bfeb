"""Bring one large thing over HTTP: what broke off is gone on with, and it takes its name when it is whole.

local/…/.dispatcher-9f86….part     grows; "Range: bytes=81200-", as long as the ETag is the same
local/…/000001-dq3v81kx0mza.zip    renamed, after `whole` has found nothing wrong with it
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from hashlib import md5
from pathlib import Path

import requests

from ...core.errors import TransferFailed, Unreachable
from ...core.names import CONTROL
from ...files.gate import make_directory
from ...files.incoming import Incoming
from .http import Http, Lost, pieces

_TRIES, _PAUSE = 5, 0.2
#: Seconds that one answer may take to come, at most.
_LONGEST = 3600.0
#: Bytes of one archive.
_LARGEST = 1 << 40
_LENGTH = re.compile("[0-9]{1,18}")
_IS_MD5 = re.compile(r'"?([0-9A-Fa-f]{32})"?')


def fetch(
    http: Http,
    url: str,
    target: Path,
    whole: Callable[[Path], None] = lambda path: None,
    headers: Mapping[str, str] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Fetch, verify by size, by MD5 where the ETag is one, and by `whole`; then give it its name.

    Raises Unreachable when it does not come, TransferFailed when what came is not what was announced, twice.
    """
    make_directory(target.parent)
    trouble: Unreachable | TransferFailed = Lost("not tried")
    for nth in range(_TRIES):
        try:
            with Incoming(target, f"{CONTROL}-{target.name}.part") as file:
                _go_on(http, url, file, dict(headers or {}))
                whole(Path(file.path))
                file.publish(0o600)
        except Unreachable as error:
            trouble = error
        except TransferFailed as error:
            if nth:
                raise
            trouble = error
        else:
            return
        sleep(min(_PAUSE * 2**nth, 5))
    raise trouble


def _go_on(http: Http, url: str, file: Incoming, headers: dict[str, str]) -> None:
    have = file.size
    if have:
        headers["Range"] = f"bytes={have}-"
    # as it is: a compressed answer has another length than what it holds
    with http.stream("GET", http.secured(url), headers={"Accept-Encoding": "identity", **headers}) as response:
        if response.status_code == 416:
            file.restart()
            raise Lost("what was fetched before is longer than what is there; fetched anew")
        if response.status_code >= 300:
            raise Lost(f"the storage does not give it (HTTP {response.status_code})")
        if have and response.status_code != 206:
            file.restart()
        _pour(response, file)


def _pour(response: requests.Response, file: Incoming) -> None:
    have = file.size
    for piece in pieces(response, _LONGEST):
        file.write(piece)
        if file.size > _LARGEST:
            raise TransferFailed(f"{file.target}: more than {_LARGEST} bytes come, the limit; look who answers")
    length = response.headers.get("Content-Length", "")
    if _LENGTH.fullmatch(length) and file.size != have + int(length):
        raise Lost("it broke off; gone on with")
    tag = _IS_MD5.fullmatch(response.headers.get("ETag", ""))
    if tag and _md5(Path(file.path)) != tag[1].lower():
        raise TransferFailed(f"{file.target} is not what the storage has (MD5); run the same command again")


def _md5(path: Path) -> str:
    seen = md5(usedforsecurity=False)
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            seen.update(data)
    return seen.hexdigest()
