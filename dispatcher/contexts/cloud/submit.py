"""Submitting to a cloud, one job after the other, each step noted before the next.

    ⏎requested ─▶ files up ─▶ POST ─▶ ⏎id                             (⏎: a receipt on this side, see `receipts`)
    asked before?            listed by its name first: never a second time
    an earlier attempt?      withdrawn; it is listed and alive, or its archive says more: it was found

    [["dq3v81kx0mza", "accepted", "4211:job_group_id:87"], ["d2…", "later", "…"], …]      an open end has no entry

After a question whose outcome is open, or a "not now", the rest of the batch
is not asked: they may all meet the same.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from ...core.errors import TransferFailed, Unreachable
from ...core.ports import CloudJob, CloudSubmit, Query
from .api import RequestInfoException
from .jobs import CloudApi, CloudRow, UploadFiles, listing, native
from .observe import brought
from .receipts import Receipts
from .results import ResultArchives

#: A line of a claim that counts.
_RESULT = re.compile(r"(task [0-9]+|end) [0-9]+ [0-9]+ \.")
#: nonce, what came of it, and the id or the reason.
Reported = tuple[str, str, str]


class Submitter:
    """One batch on its way."""

    def __init__(
        self,
        api: CloudApi,
        receipts: Receipts,
        results: ResultArchives,
        files: UploadFiles,
        call: CloudSubmit,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._api, self._receipts, self._results, self._files = api, receipts, results, files
        self._call, self._sleep = call, sleep
        self._listed: Mapping[str, list[CloudRow]] | None = None
        self._stop = ""

    def run(self) -> list[Reported]:
        """What came of each job, as far as that is certain. Raises Unreachable when not even a listing comes."""
        reported: list[Reported] = []
        for nth, job in enumerate(self._call.jobs):
            if self._stop:
                reported.append((job.nonce, "later", f"not asked: {self._stop}"))
                continue
            if nth and job.pause:
                self._sleep(job.pause)
            word, text = self._one(job)
            if word:
                reported.append((job.nonce, word, text))
        return reported

    def _one(self, job: CloudJob) -> tuple[str, str]:
        for nonce, lines in job.withdrawals:
            if self._turned_up(nonce, lines, job.nonce):
                self._drop(job.nonce)
                return "earlier", nonce
        if found := self._found(job):
            return "accepted", found
        self._receipts.note(job.nonce, requested=True)
        try:
            self._api.submit(job, self._files, self._group(), self._receipts)
        except RequestInfoException as error:
            return self._refused(error)
        except (TransferFailed, Unreachable) as error:  # on the way up: nothing was asked yet
            self._stop = "the files of the one before did not arrive"
            return "later", str(error)
        noted = self._receipts.of(job.nonce)
        return "accepted", native(noted.id, noted.group)

    def _refused(self, error: RequestInfoException) -> tuple[str, str]:
        if error.final:
            return "never", str(error)
        self._stop = "the one before was refused" if error.certain else "the answer to the one before was lost"
        return ("later", str(error)) if error.certain else ("", "")

    def _group(self) -> str:
        """One group for the whole submission; the first job makes it."""
        groups = self._receipts.groups()
        return groups[0] if groups else ""

    # -- what was asked before --------------------------------------------------------------------------------------

    def _rows(self, nonce: str) -> list[CloudRow]:
        """What is listed under this nonce; one listing for the whole batch."""
        if self._listed is None:
            before = [job for job in self._call.jobs if self._receipts.of(job.nonce).requested]
            self._listed = listing(self._api, self._receipts, [Query(job.nonce) for job in before])
        return self._listed.get(nonce, [])

    def _found(self, job: CloudJob) -> str:
        """The id of a job that an earlier question for this nonce has made; "" when there is none."""
        noted = self._receipts.of(job.nonce)
        if not noted.requested:
            return ""
        if noted.id:
            return native(noted.id, noted.group)
        known = (*self._call.live, *self._call.ended)
        for row in self._rows(job.nonce):
            if not self._api.records or row.status in known:
                self._receipts.note(job.nonce, id=row.id, group=row.group)
                return native(row.id, row.group)
            if row.id != noted.record:
                self._api.discard(row.id)
        return self._recorded(job.nonce, noted.record)

    def _recorded(self, nonce: str, record: str) -> str:
        """The id of a record that was added to the queue after all; one that was not is removed."""
        if not record:
            return ""
        row = self._api.detail(record)
        if row is not None and row.status in (*self._call.live, *self._call.ended):
            self._receipts.note(nonce, id=record)
            return native(record, row.group)
        if row is not None:
            self._api.discard(record)  # if its addition is still on its way, it now comes too late
        self._receipts.note(nonce, record="")
        return ""

    def _drop(self, nonce: str) -> None:
        """An earlier attempt counts: what was asked for in its place, and is perhaps still on its way, must not run."""
        if added := self._recorded(nonce, self._receipts.of(nonce).record):
            self._api.kill(added.partition(":")[0])

    def _turned_up(self, nonce: str, lines: int, by: str) -> bool:
        """Withdraw an attempt that was given up; true when it shows more than was known of it."""
        self._receipts.note(nonce, by=by)
        rows = self._rows(nonce)
        if any(row.status in self._call.live for row in rows):
            self._receipts.note(nonce, by="")
            return True
        ended = [row for row in rows if row.status in self._call.ended and row.url]
        if ended:
            with suppress(TransferFailed):  # an archive that cannot be believed says nothing
                brought(self._api, self._results, ended[0])
        said = (self._results.text(nonce, self._call.claim.format(nonce=nonce)) or "").splitlines()
        known = [line for line in said if line.startswith("claim ") or _RESULT.fullmatch(line)]
        if len(known) > lines:
            self._receipts.note(nonce, by="")
            return True
        return False
