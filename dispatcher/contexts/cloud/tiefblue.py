"""The storage behind the open API: a POST with its parameters in a header, or parts of 50 MiB.

    POST /api/upload/binary              X-Storage-Param: base64({"path": …, "option": {…}})
    POST /api/upload/multipart/init      {"path": …}                                 -> initialKey
    POST /api/upload/multipart/upload    {"initialKey", "number", "partSize", "objectKey"}   -> partString
    POST /api/upload/multipart/complete  {"path", "initialKey", "partString": […]}

Source: the public client of that API, bohrium-sdk 0.15. The token is that of the job's record. The storage tells no
digest and lists no parts: a part counts when it was acknowledged, and an upload is gone on with only by the process
that began it, for its token is never stored.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from .answers import Begun, Part, read
from .api import Api
from .http import Http

#: Up to this size, in bytes, one request; larger ones in parts.
SINGLE, PART = 100 << 20, 50 << 20


def upload(http: Http, host: str, token: str, key: str, path: Path) -> None:
    """Send a file; raises RequestInfoException (an Unreachable) when the storage does not take it."""
    api = Api(http, host, lambda: {"Authorization": f"Bearer {token}"})
    size = path.stat().st_size
    if size <= SINGLE:
        _send(api, "/api/upload/binary", {"path": key, "option": {}}, path.read_bytes())
        return
    init = "/api/upload/multipart/init"
    begun = read(api.call("POST", init, again=True, json={"path": key}), Begun, init).initial_key
    parts: list[str] = []
    with path.open("rb") as file:
        while data := file.read(PART):
            reported = {"initialKey": begun, "number": len(parts) + 1, "partSize": len(data), "objectKey": key}
            sent = _send(api, "/api/upload/multipart/upload", reported, data)
            parts.append(read(sent, Part, "/api/upload/multipart/upload").part_string)
    end = {"path": key, "initialKey": begun, "partString": parts}
    api.call("POST", "/api/upload/multipart/complete", again=True, json=end)


def _send(api: Api, path: str, reported: dict[str, Any], data: bytes) -> Any:
    param = base64.b64encode(json.dumps(reported).encode()).decode()
    headers = {"X-Storage-Param": param, "Content-Type": "application/octet-stream"}
    return api.call("POST", path, again=True, data=data, headers=headers)
