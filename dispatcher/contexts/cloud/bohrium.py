"""Bohrium (also DpCloudServer, Lebesgue): jobs in containers of a cloud, through its first API.

    program/<program_id>/<submission>/<content>.zip     what goes up: once what every job has, once what a job has alone
    POST /brm/v2/job/add                                the job: its name begins with the nonce, one group for all
    GET  /brm/v1/job/list?groupId=…                     all jobs of the submission, 100 to a page

The names of DPDispatcher's `dpcloudserver` package are here too: Client, RETCODE, RequestInfoException, zip_file_list,
unzip_file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from ...core.errors import ConfigError, TransferFailed, Unreachable
from ...core.keys import Key
from ...core.model import MachineSpec
from ...core.ports import CloudJob
from ..local.this_machine import joined
from .api import RETCODE, RequestInfoException
from .bohrium_client import PAGE, Client
from .context import CloudConnection, Habits, safe
from .jobs import CloudRow, UploadFiles, before_asking, row, unguarded
from .packs import unzip_file, zip_file_list
from .profile import BOHRIUM
from .receipts import Receipts
from .storage import Bucket

__all__ = ["RETCODE", "BohriumConnection", "Client", "RequestInfoException", "unzip_file", "zip_file_list"]


class BohriumApi:
    """The first API, in the words of `jobs.CloudApi`."""

    records = False

    def __init__(self, client: Client, bucket: Bucket, program_id: int, data: Mapping[str, Any], folder: str) -> None:
        self._client, self._bucket, self._program, self._data = client, bucket, program_id, data
        self._place = f"program/{program_id}/{folder}/"
        self.confirm: Callable[[], None] = unguarded
        self._there: set[str] = set()

    def rows(self, group: str) -> list[CloudRow]:
        """The jobs of a group; of the account when it is ""."""
        return [row(item) for item in self._client.get_tasks_list(group or None, PAGE)]

    def submit(self, job: CloudJob, files: UploadFiles, group: str, receipts: Receipts) -> None:
        """Send what is not there yet, add the job, note its id."""
        with before_asking(), files.of(job) as packs:
            keys = [self._sent(name, path, receipts) for name, path in packs]
        theirs = self._data.get("job_resources") or []
        urls = [*([theirs] if isinstance(theirs, str) else theirs), *map(self._bucket.address, keys)]
        kind = str(self._data.get("job_type", "container"))
        self.confirm()
        id, known = self._client.job_create(kind, urls, self._requested(job), self._program, group or None)
        receipts.note(job.nonce, id=str(id), group=str(known or group), keys=tuple(keys))

    def _requested(self, job: CloudJob) -> dict[str, Any]:
        data = {key: value for key, value in self._data.items() if key not in ("job_type", "log_file", "logFiles")}
        logs = next((self._data[key] for key in ("log_files", "logFiles", "log_file") if self._data.get(key)), job.log)
        wanted = self._data.get("backward_files") or []
        return {
            **data,
            "job_name": titled(job, self._data),
            "command": job.command,
            "log_files": logs or [],
            "backward_files": list(dict.fromkeys([*wanted, *job.outputs])),
        }

    def _sent(self, name: str, path: Path, receipts: Receipts) -> str:
        """The key of an archive in the storage; sent only when it is not there under the name of its content."""
        key = f"{self._place}{name}.zip"
        if key not in self._there and self._bucket.size(key) != path.stat().st_size:
            self._bucket.upload(key, path, receipts)
        self._there.add(key)
        return key

    def kill(self, id: str) -> None:
        """End a job; a refusal that is certain means that it is over already."""
        self.confirm()
        try:
            self._client.kill(id)
        except RequestInfoException as error:
            if not error.certain or not error.code:
                raise

    def discard(self, id: str) -> None:
        """There are no records before jobs here."""

    def detail(self, id: str) -> CloudRow | None:
        """One job by its id."""
        found = self._client.get_job_detail(id)
        return row({"id": id, **found}) if found else None

    def bring(self, url: str, target: Path, whole: Callable[[Path], None]) -> None:
        """Fetch a result archive."""
        self._client.download_from_url(url, str(target), whole)

    def log(self, id: str) -> str:
        """The last 8 KiB of the first log file."""
        return self._client.get_log(id, -8192)

    def follow(self, id: str, path: Path) -> None:
        """Add to the file what is new in the log."""
        have = path.stat().st_size if path.exists() else 0
        if more := self._client.get_log(id, have):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(0o600)
            with path.open("a") as file:
                file.write(more)

    def remove(self, receipts: Receipts) -> None:
        """Remove the archives that were sent; a token that may not do that leaves them."""
        keys = {key for noted in receipts.all().values() for key in noted.keys if key.startswith(self._place)}
        with suppress(TransferFailed, Unreachable):
            self._bucket.remove(sorted(keys))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def titled(job: CloudJob, data: Mapping[str, Any]) -> str:
    """The job's name: the nonce, then what people know it by."""
    title = str(data.get("job_name") or "")
    return f"{job.name}-{title}" if title and job.name == job.nonce else job.name


def settings(profile: Mapping[str, Any]) -> dict[str, Any]:
    """`input_data`, as far as it can be judged here; ConfigError for the API that is no more."""
    data = dict(profile.get("input_data") or {})
    if str(data.get("api_version", data.get("lebesgue_version", 2))) == "1":
        raise ConfigError(
            "machine/remote_profile/input_data/api_version: 1 is not served any more; write 2, or leave it"
        )
    return data


class BohriumConnection(CloudConnection):
    """Jobs on Bohrium."""

    batch_type: ClassVar[str] = "Bohrium"
    profile_keys: ClassVar[tuple[Key, ...]] = BOHRIUM.keys

    @classmethod
    def open(
        cls, machine: MachineSpec, profile: Mapping[str, Any], submission: str, work_base: str
    ) -> BohriumConnection:
        """Log in; ConfigError names the key that is missing or was refused, Unreachable when nobody answers."""
        data = settings(profile)
        if not isinstance(program := profile.get("program_id"), int):
            raise ConfigError("machine/remote_profile/program_id: missing; the id of the project that pays")
        client = signed_in(profile)
        bucket = client.bucket(url=str(profile.get("storage_url") or ""))
        api = BohriumApi(client, bucket, program, data, submission)
        return cls(api, joined(machine.local_root, work_base), submission, Habits.of(profile, data))


def signed_in(profile: Mapping[str, Any]) -> Client:
    """A client that has logged in, by profile or environment."""
    email = profile.get("email") or os.environ.get("BOHRIUM_EMAIL")
    password = profile.get("password") or os.environ.get("BOHRIUM_PASSWORD")
    phone, ticket = profile.get("phone"), os.environ.get("BOHR_TICKET", "")
    base, plain = str(profile.get("base_url") or ""), profile.get("allow_http") is True
    client = Client(email, password, base_url=base, ticket=ticket, phone=phone, allow_http=plain)
    safe(client.http, client.base_url)
    if ticket:
        return client
    if not (email or phone) or not password:
        raise ConfigError(
            "machine/remote_profile/email and password: missing; give them here, or in the environment as "
            "BOHRIUM_EMAIL and BOHRIUM_PASSWORD, or a BOHR_TICKET"
        )
    try:
        client.refresh_token()
    except RequestInfoException as error:
        client.close()
        if error.certain and error.code:
            said = error.message or error.code
            raise ConfigError(
                f"machine/remote_profile/email and password: refused by {client.base_url}: {said}"
            ) from None
        raise
    return client
