"""Bring one large thing over HTTP: what broke off is gone on with, and it takes its name when it is whole.

local/…/.dispatcher-9f86….part     grows; "Range: bytes=81200-", as long as the ETag is the same
local/…/000001-dq3v81kx0mza.zip    renamed, after `whole` has found nothing wrong with it
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from hashlib import md5
from pathlib import Path

import requests

from ...core.errors import TransferFailed, Unreachable
from ...files import local
from .http import Http, Lost, pieces

_TRIES, _PAUSE = 5, 0.2
#: Seconds that one answer may take to come, at most.
_LONGEST = 3600.0
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
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{local.OURS}-{target.name}.part")
    trouble: Unreachable | TransferFailed = Lost("not tried")
    for nth in range(_TRIES):
        try:
            _go_on(http, url, part, dict(headers or {}))
            whole(part)
            _publish(part, target)
        except Unreachable as error:
            trouble = error
        except TransferFailed as error:
            part.unlink(missing_ok=True)
            if nth:
                raise
            trouble = error
        else:
            return
        sleep(min(_PAUSE * 2**nth, 5))
    raise trouble


def _go_on(http: Http, url: str, part: Path, headers: dict[str, str]) -> None:
    have = part.stat().st_size if part.exists() else 0
    if have:
        headers["Range"] = f"bytes={have}-"
    # as it is: a compressed answer has another length than what it holds
    with http.stream("GET", url, headers={"Accept-Encoding": "identity", **headers}) as response:
        if response.status_code == 416:
            part.unlink()
            raise Lost("what was fetched before is longer than what is there; fetched anew")
        if response.status_code >= 300:
            raise Lost(f"the storage does not give it (HTTP {response.status_code})")
        _pour(response, part, have if response.status_code == 206 else 0)


def _pour(response: requests.Response, part: Path, have: int) -> None:
    try:
        with part.open("r+b" if have else "wb") as file:
            file.seek(have)
            for piece in pieces(response, _LONGEST):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
    except OSError as why:
        if isinstance(why, requests.RequestException):  # they are OSErrors too
            raise
        raise local.failed("write", part, why) from why
    length = response.headers.get("Content-Length")
    if length is not None and part.stat().st_size != have + int(length):
        raise Lost("it broke off; gone on with")
    tag = _IS_MD5.fullmatch(response.headers.get("ETag", ""))
    if tag and _md5(part) != tag[1].lower():
        raise TransferFailed(f"{part} is not what the storage has (MD5); run the same command again")


def _md5(path: Path) -> str:
    seen = md5(usedforsecurity=False)
    with path.open("rb") as file:
        while data := file.read(1 << 20):
            seen.update(data)
    return seen.hexdigest()


def _publish(part: Path, target: Path) -> None:
    try:
        part.replace(target)
    except OSError as why:
        raise local.failed("write", target, why) from why
