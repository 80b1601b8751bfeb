"""The open API of Bohrium: a record is made, its files go up, and only then it is added to the queue.

    POST /openapi/v1/job/create   ->  jobId, jobGroupId, storePath, token     nothing runs yet
    (upload)                          below storePath, with that token
    POST /openapi/v2/job/add          jobId, ossPath, cmd, …                  now it does

The access key travels in a header, never in a URL: URLs end up in logs.
Source of paths and bodies: the public client of that API, bohrium-sdk 0.15, and others' records of its listing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .answers import Added, LogEnd, as_dict, read, rows_of
from .api import Api, RequestInfoException, listed
from .http import Http

HOST, STORE = "https://openapi.dp.tech", "https://tiefblue.dp.tech"
PAGE = 100


class OpenClient:
    """An access key at work. `app_key` names the application that asks, "" for none."""

    def __init__(
        self, access_key: str, app_key: str = "", base_url: str = HOST, sandbox: bool = False, allow_http: bool = False
    ) -> None:
        self.http = Http(plain=allow_http)
        self._headers = {"Authorization": f"Bearer {access_key}", "accessKey": access_key, "x-app-key": app_key}
        self._api = Api(self.http, base_url, lambda: self._headers)
        self._v1 = self._v2 = "/openapi/v1/sandbox/job"
        if not sandbox:
            self._v1, self._v2 = "/openapi/v1/job", "/openapi/v2/job"

    def create(self, project_id: int, name: str, group: str) -> dict[str, Any]:
        """Make a record: its jobId, jobGroupId, storePath and token. Nothing runs. Not tried again."""
        requested = {"projectId": project_id, "name": name, "bohrGroupId": int(group) if group.isdecimal() else 0}
        data = self._api.call("POST", f"{self._v1}/create", False, json=requested) or {}
        if not data:
            raise RequestInfoException(200, f"{self._v1}/create", "no jobId in the answer")
        read(data, Added, f"{self._v1}/create")
        return dict(data)

    def add(self, reported: Mapping[str, Any]) -> None:
        """Hand a record to the queue. Not tried again."""
        self._api.call("POST", f"{self._v2}/add", False, json=dict(reported))

    def detail(self, job_id: str) -> dict[str, Any] | None:
        """What the cloud knows of a job; None when it says that there is none."""
        try:
            data = self._api.call("GET", f"{self._v1}/{job_id}", True)
        except RequestInfoException as error:
            if not error.certain or not error.code:
                raise
            return None
        return as_dict(data, f"{self._v1}/{job_id}") if data else None

    def rows(self, group: str) -> list[Mapping[str, Any]]:
        """The jobs of a group; of the whole account when it is ""."""
        requested = {"groupId": group} if group else {}

        def page(number: int) -> Any:
            where = f"{self._v1}/list"
            asked = {**requested, "page": number, "pageSize": PAGE}
            return rows_of(self._api.call("GET", where, True, params=asked), where)

        return list(listed(page, first=1, size=PAGE))

    def log(self, job_id: str) -> str:
        """The end of what a job printed, 8 KiB at most."""
        requested = {"logFile": "STDOUTERR", "page": -1, "pageSize": 8192}
        where = f"{self._v1}/{job_id}/log"
        return read(self._api.call("GET", where, True, params=requested) or {}, LogEnd, where).log or ""

    def kill(self, job_id: str) -> None:
        """End a job; one that is over already is no error."""
        self._api.call("POST", f"{self._v1}/kill/{job_id}", True)

    def delete(self, job_id: str) -> None:
        """Remove a record that was never added: then it never can be."""
        self._api.call("POST", f"{self._v1}/del/{job_id}", True)
