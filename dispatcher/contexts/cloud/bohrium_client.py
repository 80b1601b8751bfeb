"""The first API of Bohrium, as DPDispatcher's `dpcloudserver.Client`: log in, list, add, kill, and its storage.

    client = Client("me@site", "…")
    client.job_create("container", ["https://…/9f86….zip"], {"cmd": "bash run", …}, 7)   ->  (4211, 87)
    client.get_tasks_list(87)                                                              ->  [{"id": 4211, …}, …]

Every call has a time-out; only what may be done twice is tried again. A login that has expired is renewed by itself.
Source of paths and bodies: the behaviour of DPDispatcher 1.0.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .answers import Added, Logs, SignedIn, StorageKeys, as_dict, read, rows_of
from .api import Api, RequestInfoException, listed
from .fetch import fetch
from .http import Http
from .receipts import Receipts
from .storage import Bucket, Keys

#: Where the service is, unless the environment or the profile say otherwise.
HOST = "https://bohrium.dp.tech/"
ENDPOINT, BUCKET = "http://oss-cn-shenzhen.aliyuncs.com", "dpcloudserver"
#: Rows to ask for in one page of the listing.
PAGE = 100
_LOGIN_SECONDS = 30.0


class Client:
    """A login. `email` and `password`, or a ticket in the environment as BOHR_TICKET, which makes a login needless.

    `base_url` defaults to DPDISPATCHER_LEBESGUE_API_HOST. `debug` is taken and not used: nothing that is said here
    may be logged. Methods raise RequestInfoException when a call gives no data.
    """

    def __init__(
        self,
        email: str | None = None,
        password: str | None = None,
        debug: bool = False,
        base_url: str = "",
        ticket: str | None = None,
        phone: str | None = None,
        allow_http: bool = False,
    ) -> None:
        self.base_url = base_url or os.environ.get("DPDISPATCHER_LEBESGUE_API_HOST") or HOST
        self.user_id: Any = None
        self._account = {"email": email} if email or not phone else {"phone": phone}
        self._password = password
        self._ticket = os.environ.get("BOHR_TICKET", "") if ticket is None else ticket
        self._token = ""
        self._keys: Keys | None = None
        self._plain = allow_http
        self.http = Http(plain=allow_http)
        self._api = Api(self.http, self.base_url, self._headers, self._renew)

    def __repr__(self) -> str:
        return f"Client(base_url={self.base_url!r})"

    # -- signing in -------------------------------------------------------------------------------------------------

    def _headers(self) -> dict[str, str]:
        if not self._token and not self._ticket:
            self.refresh_token()
        return {"Authorization": f"jwt {self._token}", "Brm-Ticket": self._ticket}

    def _renew(self) -> bool:
        if self._ticket or not self._password:
            return False
        self.refresh_token()
        return True

    def refresh_token(self, retry: int = 3) -> None:
        """Log in (again), at most `retry` times."""
        http = Http(_LOGIN_SECONDS, plain=self._plain)
        try:
            requested = {**self._account, "password": self._password}
            data = Api(http, self.base_url, dict).call("POST", "/account/login", True, retry, json=requested) or {}
        finally:
            http.close()
        if not data:
            raise RequestInfoException(200, "/account/login", "no token in the answer")
        found = read(data, SignedIn, "/account/login")
        self._token, self.user_id = found.token, found.user_id

    # -- calls ------------------------------------------------------------------------------------------------------

    def get(self, url: str, header: Mapping[str, str] | None = None, params: Any = None, retry: int = 5) -> Any:
        """The data at a path."""
        return self._api.call("GET", url, True, retry, headers=header, params=params)

    def post(
        self,
        url: str,
        data: Any = None,
        header: Mapping[str, str] | None = None,
        params: Any = None,
        retry: int = 5,
        again: bool = False,
    ) -> Any:
        """Send JSON; tried again only when it certainly was not taken, or when `again`: it may be done twice."""
        return self._api.call("POST", url, again, retry, headers=header, params=params, json=data)

    def get_job_detail(self, job_id: int | str) -> dict[str, Any] | None:
        """What the cloud knows of a job (status, exitCode, resultUrl, id); None when it says that there is none."""
        try:
            data = self.get(f"brm/v1/job/{job_id}")
        except RequestInfoException as error:
            if not error.certain or not error.code:
                raise
            return None
        return as_dict(data, f"brm/v1/job/{job_id}") if data else None

    def get_job_result_url(self, job_id: int | str) -> str | None:
        """Where the result archive of a job is; None while there is none."""
        return (self.get_job_detail(job_id) or {}).get("resultUrl") or None

    def get_tasks_list(self, group_id: int | str | None, per_page: int = 30) -> list[Mapping[str, Any]]:
        """The jobs of a group; of the whole account when it is None."""
        group = {} if group_id is None else {"groupId": group_id}

        def page(number: int) -> Any:
            where = "/brm/v1/job/list"
            return rows_of(self.get(where, params={**group, "page": number, "pageSize": per_page}), where)

        return list(listed(page, first=0, size=per_page))

    def job_create(
        self,
        job_type: str,
        oss_path: Sequence[str] | str,
        input_data: Mapping[str, Any],
        program_id: int | None = None,
        group_id: int | str | None = None,
    ) -> tuple[Any, Any]:
        """Add a job: its id and its group's. Not tried again when the answer is lost: find it by its name."""
        requested = {
            **body(input_data),
            "jobType": job_type,
            "ossPath": [oss_path] if isinstance(oss_path, str) else list(oss_path),
            **({} if program_id is None else {"projectId": program_id}),
            **({} if group_id is None else {"jobGroupId": group_id}),
        }
        data = self.post("/brm/v2/job/add", requested) or {}
        if not data:
            raise RequestInfoException(200, "/brm/v2/job/add", "no jobId in the answer")
        added = read(data, Added, "/brm/v2/job/add")
        return added.job_id, added.job_group_id

    def kill(self, job_id: int | str) -> None:
        """End a job; one that is over already is no error."""
        self.post(f"/brm/v1/job/kill/{job_id}", again=True)

    # -- logs -------------------------------------------------------------------------------------------------------

    def get_log(self, job_id: int | str, start: int = 0) -> str:
        """The log of a job from byte `start` on, "" while there is none."""
        where = f"/brm/v1/job/{job_id}/log"
        files = read(self.get(where, params={"pageSize": 1}) or {}, Logs, where).log_files
        if not files or (files[0].size or 0) <= max(start, 0):
            return ""
        ranged = {"Range": f"bytes={start}-" if start >= 0 else f"bytes={start}"}
        answer = self.http.send("GET", self.http.secured(files[0].url), True, headers=ranged)
        if answer.status >= 300:
            raise RequestInfoException(answer.status, files[0].url, "the log cannot be read")
        text = answer.body if answer.status == 206 or not start else answer.body[start:]
        return text.decode(errors="replace")

    # -- storage ----------------------------------------------------------------------------------------------------

    def keys(self, fresh: bool = False) -> Keys:
        """The short-lived keys of the storage."""
        if self._keys is None or fresh:
            found = read(self.get("/data/get_sts_token"), StorageKeys, "/data/get_sts_token")
            self._keys = Keys(found.access_key_id, found.access_key_secret, found.security_token)
        return self._keys

    def bucket(self, endpoint: str = "", bucket_name: str = "", url: str = "") -> Bucket:
        """The storage of the jobs' files: by the URL of the bucket, or by an endpoint and the bucket's name."""
        say = os.environ.get
        name = bucket_name or say("DPDISPATCHER_LEBESGUE_ALI_STS_BUCKET_NAME") or BUCKET
        url = url or ("" if endpoint else say("DPDISPATCHER_LEBESGUE_ALI_OSS_BUCKET_URL") or "")
        host = urlsplit(endpoint or say("DPDISPATCHER_LEBESGUE_ALI_STS_ENDPOINT") or ENDPOINT).netloc
        return Bucket(self.http, url or f"https://{name}.{host}", name, self.keys)

    def upload(self, oss_task_zip: str, zip_task_file: str, endpoint: str = "", bucket_name: str = "") -> None:
        """Send a file to the storage under the key `oss_task_zip`; goes on where an earlier try of it broke off."""
        path = Path(zip_task_file)
        self.bucket(endpoint, bucket_name).upload(oss_task_zip, path, Receipts(path.parent))

    def download(self, oss_file: str, save_file: str, endpoint: str = "", bucket_name: str = "") -> None:
        """Bring an object of the storage; the file is whole, or not there."""
        bucket = self.bucket(endpoint, bucket_name)
        fetch(self.http, bucket.address(oss_file), Path(save_file), headers=bucket.signed("GET", oss_file, self.keys()))

    def download_from_url(self, url: str, save_file: str, whole: Callable[[Path], None] = lambda path: None) -> None:
        """Bring what is at a URL: whole, or not at all; `whole` may raise TransferFailed to say that it is not."""
        fetch(self.http, url, Path(save_file), whole)

    def close(self) -> None:
        """Close the connections."""
        self.http.close()


def camel(name: str) -> str:
    """A key as the API writes it: scass_type -> scassType."""
    first, *rest = name.split("_")
    return first + "".join(word[:1].upper() + word[1:] for word in rest)


#: Keys of input_data that are for this side, or that have another name on the other.
_OURS = {"api_version", "lebesgue_version", "grouped", "output_log", "job_resources"}
_RENAMED = {"command": "cmd", "machine_type": "scassType", "image_address": "imageName", "backward_files": "outFiles"}


def body(input_data: Mapping[str, Any]) -> dict[str, Any]:
    """`input_data` in the API's words: camelCase, logFiles and checkpointFiles as lists."""
    reported = {_RENAMED.get(key, camel(key)): value for key, value in input_data.items() if key not in _OURS}
    for name in ("logFile", "logFiles"):
        if name in reported:
            logs = reported.pop(name)
            reported["logFiles"] = [logs] if isinstance(logs, str) else list(logs)
    if reported.get("checkpointFiles") == "sync_files":
        reported["checkpointFiles"] = ["*"]
    return reported
