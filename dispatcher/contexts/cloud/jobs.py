"""The jobs of a cloud as its listing shows them, and what an API must be able to do.

    {"id": 4211, "jobName": "dq3v81kx0mza-relax", "jobGroupId": 87, "status": 2, "exitCode": 0, "resultUrl": "https://…"}
      ->  Row("4211", "dq3v81kx0mza", "87", 2, 0, "https://…")

A job is found by the nonce that its name begins with. Its native id for the
journal holds the group too (DPDispatcher's form): `4211:job_group_id:87`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ...core.ports import CloudJob, Query
from .api import RequestInfoException
from .http import NotSent
from .receipts import Receipts

_BETWEEN = ":job_group_id:"


class CloudRow(NamedTuple):
    """One job. `status` and `exit` are the cloud's numbers, None when it does not say; `url` of its result archive."""

    id: str
    nonce: str
    group: str
    status: int | None
    exit: int | None
    url: str


class UploadFiles(Protocol):
    """The archives that go up with a job, as (name by content, path on this side); there while they are needed."""

    def of(self, job: CloudJob) -> AbstractContextManager[Sequence[tuple[str, Path]]]:
        """That of what every job has, if there is such, then the job's own."""
        ...


class CloudApi(Protocol):
    """What both APIs of the cloud can do for a job. All may raise Unreachable."""

    #: Whether a job has a record before it is in the queue.
    records: bool
    #: Called before every request that has an effect on jobs; see ports.Guarded.
    confirm: Callable[[], None]

    def rows(self, group: str) -> list[CloudRow]:
        """The jobs of a group; of the account when it is ""."""
        ...

    def submit(self, job: CloudJob, files: UploadFiles, group: str, receipts: Receipts) -> None:
        """Send the files, ask once, note the id. RequestInfoException says how sure a refusal is."""
        ...

    def kill(self, id: str) -> None:
        """End a job."""
        ...

    def discard(self, id: str) -> None:
        """Remove a record that was never added to the queue."""
        ...

    def bring(self, url: str, target: Path, whole: Callable[[Path], None]) -> None:
        """Fetch a result archive; it takes its name when it is whole."""
        ...

    def detail(self, id: str) -> CloudRow | None:
        """One job by its id."""
        ...

    def log(self, id: str) -> str:
        """The end of what a job printed."""
        ...

    def follow(self, id: str, path: Path) -> None:
        """Bring this file up to what the job has printed so far."""
        ...

    def remove(self, receipts: Receipts) -> None:
        """Remove what was sent to the storage, as far as that is allowed."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


def row(item: Mapping[str, Any]) -> CloudRow:
    """A row of the listing, or a detail, whatever else it holds."""
    name = str(item.get("jobName") or item.get("name") or "")
    group = item.get("jobGroupId") or item.get("bohrGroupId") or item.get("groupId") or ""
    url = str(item.get("resultUrl") or "")
    return CloudRow(
        str(item.get("id", item.get("jobId", ""))),
        name.partition("-")[0],
        str(group),
        _number(item.get("status")),
        _number(item.get("exitCode")),
        url,
    )


def _number(value: Any) -> int | None:
    try:
        return None if value is None or value == "" else int(value)
    except (TypeError, ValueError, OverflowError):
        return None


def native(id: str, group: str) -> str:
    """The id as the journal has it."""
    return f"{id}{_BETWEEN}{group}" if group else id


def bare(native_id: str) -> tuple[str, str]:
    """The cloud's id and the group, "" when it is not known."""
    id, _, group = native_id.partition(_BETWEEN)
    return id, group


def listing(api: CloudApi, receipts: Receipts, requested: Iterable[Query]) -> dict[str, list[CloudRow]]:
    """The rows of every attempt in this submission's groups, by nonce, lowest id first.

    The whole account is listed only when one of those `asked` for (with nonce and id) is in no group that is known:
    the answer that named its group was lost.
    """
    requested = list(requested)
    groups = dict.fromkeys([*receipts.groups(), *(bare(one.id)[1] for one in requested if one.id)])
    groups.pop("", None)
    rows = {found.id: found for group in groups for found in api.rows(group)}
    known = {found.nonce for found in rows.values()}
    if any(one.nonce not in known and not one.id for one in requested):
        rows |= {found.id: found for found in api.rows("")}
    by_nonce: dict[str, list[CloudRow]] = {}
    for found in sorted(rows.values(), key=lambda found: (len(found.id), found.id)):
        by_nonce.setdefault(found.nonce, []).append(found)
    return by_nonce


def unguarded() -> None:
    """Nobody else can have taken over: there is no journal behind this."""


@contextmanager
def before_asking() -> Iterator[None]:
    """What fails in here has made no job: a lost answer is as certain as a refusal, and no refusal is final."""
    try:
        yield
    except RequestInfoException as error:
        raise NotSent(str(error)) from None
