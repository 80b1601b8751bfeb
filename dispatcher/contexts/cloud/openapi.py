"""Bohrium through its open API: a record first, then its files, and only its addition to the queue makes it run.

create ─▶ ⏎record ─▶ files up ─▶ add ─▶ ⏎id                        (⏎: a receipt on this side)
died before add        the record is found, by the receipt or by its name, and removed: it can never run
died at add            the record is asked for by its id: in the queue, or not
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from ...core.errors import ConfigError
from ...core.keys import Key
from ...core.model import MachineSpec
from ...core.ports import CloudJob
from ...files.incoming import write_atomic
from ..local.this_machine import joined
from . import tiefblue
from .api import RequestInfoException
from .bohrium import settings, titled
from .bohrium_client import body
from .context import CloudConnection, Habits, safe
from .fetch import fetch
from .jobs import CloudRow, UploadFiles, before_asking, row, unguarded
from .openapi_client import HOST, STORE, OpenClient
from .profile import OPENAPI
from .receipts import Receipts

#: Keys of the profile that are for this side.
_OURS = {key.name for key in OPENAPI.keys} | {"grouped", "job_name", "input_data"}


class OpenApi:
    """The open API, in the words of `jobs.CloudApi`."""

    records = True

    def __init__(self, client: OpenClient, project: int, data: Mapping[str, Any], store: str) -> None:
        self._client, self._project, self._data, self._store = client, project, data, store
        self.confirm: Callable[[], None] = unguarded
        self._there: dict[str, str] = {}

    def rows(self, group: str) -> list[CloudRow]:
        """The jobs of a group; of the account when it is ""."""
        return [row(item) for item in self._client.rows(group)]

    def submit(self, job: CloudJob, files: UploadFiles, group: str, receipts: Receipts) -> None:
        """Make a record, send the files, add it, note its id; until it is added, nothing runs."""
        name = titled(job, self._data)
        with before_asking():
            self.confirm()
            made = self._client.create(self._project, name, group)
            record, known = str(made["jobId"]), str(made.get("jobGroupId") or group)
            receipts.note(job.nonce, record=record, group=known)
            with files.of(job) as packs:
                paths = [self._sent(pack, path, made) for pack, path in packs]
        self.confirm()  # the files may have taken long
        self._client.add(
            {
                "platform": "ali",
                **body(self._data),
                "jobId": made["jobId"],
                "ossPath": paths,
                "inputFileType": 3,
                "inputFileMethod": 1,
                "jobType": "container",
                "jobName": name,
                "projectId": self._project,
                "cmd": job.command,
                "logFiles": [job.log] if job.log else [],
                "outFiles": list(job.outputs),
            }
        )
        receipts.note(job.nonce, id=record)

    def _sent(self, name: str, path: Path, made: Mapping[str, Any]) -> str:
        """Where an archive lies in the storage; one that went up with another record is not sent again."""
        if name not in self._there:
            key = f"{str(made['storePath']).rstrip('/')}/{name}.zip"
            host = self._store or str(made.get("storeHost") or STORE)
            tiefblue.upload(self._client.http, host, str(made["token"]), key, path)
            self._there[name] = key
        return self._there[name]

    def kill(self, id: str) -> None:
        """End a job; a refusal that is certain means that it is over already."""
        self.confirm()
        _or_is_over(self._client.kill, id)

    def discard(self, id: str) -> None:
        """Remove a record, so that it can never be added; what was sent with it is sent again."""
        self.confirm()
        self._there.clear()
        _or_is_over(self._client.delete, id)

    def detail(self, id: str) -> CloudRow | None:
        """One job by its id."""
        found = self._client.detail(id)
        return row({"id": id, **found}) if found else None

    def bring(self, url: str, target: Path, whole: Callable[[Path], None]) -> None:
        """Fetch a result archive."""
        fetch(self._client.http, url, target, whole)

    def log(self, id: str) -> str:
        """The last 8 KiB of what the job printed."""
        return self._client.log(id)

    def follow(self, id: str, path: Path) -> None:
        """Write the end of the log: this API gives no more."""
        if text := self._client.log(id):
            write_atomic(path, text.encode())

    def remove(self, receipts: Receipts) -> None:
        """What lies in the storage belongs to the records, which are the user's history: left."""

    def close(self) -> None:
        """Close the connections."""
        self._client.http.close()


def _or_is_over(request: Callable[[str], None], id: str) -> None:
    try:
        request(id)
    except RequestInfoException as error:
        if not error.certain or not error.code:
            raise


class OpenAPIConnection(CloudConnection):
    """Jobs on Bohrium by access key."""

    batch_type: ClassVar[str] = "OpenAPI"
    profile_keys: ClassVar[tuple[Key, ...]] = OPENAPI.keys

    @classmethod
    def open(
        cls, machine: MachineSpec, profile: Mapping[str, Any], submission: str, work_base: str
    ) -> OpenAPIConnection:
        """ConfigError names the key that is missing."""
        say = os.environ.get
        access = profile.get("access_key") or say("BOHRIUM_ACCESS_KEY") or say("ACCESS_KEY")
        if not access:
            raise ConfigError("machine/remote_profile/access_key: missing; give it here, or as BOHRIUM_ACCESS_KEY")
        project = profile.get("project_id") or say("BOHRIUM_PROJECT_ID") or say("PROJECT_ID")
        if not str(project or "").isdigit():
            raise ConfigError(
                "machine/remote_profile/project_id: missing; give a number here, or as BOHRIUM_PROJECT_ID"
            )
        data = {key: value for key, value in profile.items() if key not in _OURS} | settings(profile)
        data.setdefault("job_name", profile.get("job_name") or "")
        app = str(profile.get("app_key") or say("BOHRIUM_APP_KEY") or say("APP_KEY") or "")
        base = str(profile.get("base_url") or say("BOHRIUM_BASE_URL") or HOST)
        sandbox = say("BOHRIUM_USE_SANDBOX", "") not in ("", "0", "false")
        client = OpenClient(str(access), app, base, sandbox, allow_http=profile.get("allow_http") is True)
        safe(client.http, base)
        store = str(profile.get("storage_url") or say("TIEFBLUE_BASE_URL") or "")
        api = OpenApi(client, int(str(project)), data, store)
        return cls(api, joined(machine.local_root, work_base), submission, Habits.of(profile, {**profile, **data}))
