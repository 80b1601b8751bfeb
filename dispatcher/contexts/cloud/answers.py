"""What the cloud's answers hold, as far as anybody here reads them; a body of another shape is a clear error.

read({"jobId": 4211, "jobGroupId": 87}, Added, url)   ->  Added(jobId=4211, jobGroupId=87)
read({"jobId": [1]}, Added, url)                      ->  RequestInfoException: … Expected `int | str`
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar, Union

import msgspec

from .api import RequestInfoException
from .receipts import Word

#: It stands in addresses and in the journal: a number, or letters that mean nothing there.
Id = Union[Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)], Word]  # noqa: UP007 (msgspec reads it on 3.10, too)
_Shape = TypeVar("_Shape")


class SignedIn(msgspec.Struct):
    """A login."""

    token: str
    user_id: Any = None


class Added(msgspec.Struct, rename="camel"):
    """A job, or a record of one."""

    job_id: Id
    job_group_id: Id | None = None
    store_path: str = ""
    store_host: str | None = None
    token: str | None = None


class JobRow(msgspec.Struct, rename="camel"):
    """A job in a listing, or by itself; both APIs name some things in more than one way."""

    id: Id | None = None
    job_id: Id | None = None
    job_name: str | None = None
    name: str | None = None
    job_group_id: Id | None = None
    bohr_group_id: Id | None = None
    group_id: Id | None = None
    status: int | str | None = None
    exit_code: int | str | None = None
    result_url: str | None = None


class LogFile(msgspec.Struct):
    """A log in the storage."""

    url: str
    size: int | None = 0


class Logs(msgspec.Struct, rename="camel"):
    """The logs of a job."""

    log_files: list[LogFile] | None = None


class LogEnd(msgspec.Struct):
    """The end of what a job printed."""

    log: str | None = ""


class StorageKeys(msgspec.Struct, rename="pascal"):
    """Keys of the storage, good for a while."""

    access_key_id: str
    access_key_secret: str
    security_token: str


class Begun(msgspec.Struct, rename="camel"):
    """An upload in parts that has begun."""

    initial_key: str


class Part(msgspec.Struct, rename="camel"):
    """A part that has arrived."""

    part_string: str


def read(data: Any, shape: type[_Shape], url: str) -> _Shape:
    """The data in this shape; RequestInfoException when they have another: nobody knows then what was done."""
    try:
        return msgspec.convert(data, shape, strict=False)
    except (msgspec.ValidationError, RecursionError) as why:
        raise RequestInfoException(200, url, f"an answer of another shape: {why}") from None


def as_dict(data: Any, url: str) -> dict[str, Any]:
    """What is told of a job, as it stands; RequestInfoException when it is not a job."""
    read(data, JobRow, url)
    return dict(data)


def rows_of(data: Any, url: str) -> Any:
    """A page of a listing, each of whose rows is a job as far as anybody reads it."""
    items = data.get("items") if isinstance(data, dict) else None
    for row in items if isinstance(items, list) else ():
        read(row, JobRow, url)
    return data
