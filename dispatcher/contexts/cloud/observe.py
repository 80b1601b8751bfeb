"""Looking at the jobs of a cloud: the listing, and the archives of those that have ended.

    listing ─▶ rows by nonce ─┬▶ one, and it has ended: its archive is brought, once; the claim in it speaks
                              ├▶ a second one that lives: told now, killed at the next look (told means: journalled)
                              └▶ one of a withdrawn attempt that lives: killed

    {"dq3v81kx0mza": {"id": "4211:job_group_id:87", "status": 2, "exit": 0, "claim": ["claim cloud 0 …", …]}, …}

A job whose archive does not come is told as `open`: no news, asked again. One
whose archive cannot be believed is told as `bad`, with why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...core.errors import TransferFailed, Unreachable
from ...core.ports import CloudDetail, CloudKill, CloudQuery, Query
from .jobs import CloudApi, CloudRow, bare, listing, native
from .receipts import Receipts
from .results import ResultArchives, checked


def whole(path: Path) -> None:
    """Raise TransferFailed unless this is an archive without damage or harm."""
    with checked(path) as archive:
        archive.verify()


def brought(api: CloudApi, results: ResultArchives, row: CloudRow) -> bool:
    """The archive of a job is here, now or since earlier; false: it has none. Raises Unreachable, TransferFailed."""
    if results.of(row.nonce) is not None:
        return True
    url = row.url
    if not url:
        detail = api.detail(row.id)
        url = detail.url if detail else ""
    if url:
        api.bring(url, results.target(row.nonce), whole)
    return bool(url)


class CloudObserver:
    """What was seen of one submission's jobs, beyond what the journal holds: it starts empty in every process."""

    def __init__(self, api: CloudApi, receipts: Receipts, results: ResultArchives, logs: Path | None) -> None:
        self._api, self._receipts, self._results, self._logs = api, receipts, results, logs
        self._reported: set[str] = set()
        self._bad: dict[str, str] = {}

    def observe(self, call: CloudQuery) -> dict[str, Any]:
        """All these jobs, by nonce; one that is not listed has no entry, or only its receipt."""
        rows = listing(self._api, self._receipts, call.jobs)
        late = self._end_withdrawn(call, rows)
        jobs = {query.nonce: self._one(call, query, rows.get(query.nonce, [])) for query in call.jobs}
        for nonce, text in late.items():
            jobs.get(nonce, {}).setdefault("note", text)
        return {nonce: reported for nonce, reported in jobs.items() if reported}

    def _one(self, call: CloudQuery, query: Query, rows: Sequence[CloudRow]) -> dict[str, Any]:
        noted = self._receipts.of(query.nonce)
        known = bare(query.id)[0] or noted.id
        rows = [row for row in rows if self._counts(call, row, known)]
        if not rows:
            return {"id": native(known, noted.group), "how": "receipt"} if known else {}
        mine = next((row for row in rows if row.id == known), rows[0])
        if noted.id != mine.id and not known:
            self._receipts.note(query.nonce, id=mine.id, group=mine.group)
        reported: dict[str, Any] = {"id": native(mine.id, mine.group), "how": "queue", "status": mine.status}
        reported["exit"] = mine.exit
        others = [row for row in rows if row.id != mine.id and row.status in call.live]
        if others:
            return {**reported, "others": [self._second(row) for row in others]}
        self._follow(mine)
        return {**reported, **(self._claim(call, mine) if mine.status in call.ended else {})}

    def _counts(self, call: CloudQuery, row: CloudRow, known: str) -> bool:
        """A record that is not in the queue is no job yet; beside a job that is, it is a left-over."""
        if not self._api.records or row.id == known or row.status in (*call.live, *call.ended):
            return True
        if known:
            self._api.discard(row.id)
        return False

    def _second(self, row: CloudRow) -> str:
        if row.id in self._reported:
            self._api.kill(row.id)
        self._reported.add(row.id)
        return row.id

    def _claim(self, call: CloudQuery, row: CloudRow) -> dict[str, Any]:
        """What the job itself said, out of its archive."""
        try:
            if row.nonce not in self._bad and not brought(self._api, self._results, row):
                return {"claim": []}
        except Unreachable as error:
            return {"open": str(error)}
        except TransferFailed as error:
            self._bad[row.nonce] = str(error)
        if row.nonce in self._bad:
            return {"bad": self._bad[row.nonce]}
        return {"claim": (self._results.text(row.nonce, call.claim.format(nonce=row.nonce)) or "").splitlines()}

    def _follow(self, row: CloudRow) -> None:
        """The job's log, as far as it is wanted (`output_log`); one that does not come is no trouble."""
        if self._logs is None:
            return
        try:
            self._api.follow(row.id, self._logs / f"{row.nonce}.log")
        except (Unreachable, TransferFailed):
            return

    def _end_withdrawn(self, call: CloudQuery, rows: Mapping[str, Sequence[CloudRow]]) -> dict[str, str]:
        """Kill what was found after it was withdrawn; what to say of it, by the attempt that took its place."""
        said: dict[str, str] = {}
        for nonce, by in self._receipts.withdrawn().items():
            for row in rows.get(nonce, []):
                if row.status in call.live:
                    self._api.kill(row.id)
                    said[by] = f"an earlier attempt ({row.id}) was found after it was withdrawn, and was killed"
        return said

    # -- other questions --------------------------------------------------------------------------------------------

    def detail(self, call: CloudDetail) -> dict[str, Any]:
        """Each of these jobs by its own question; with the end of its log where no archive says more."""
        reported: dict[str, Any] = {}
        for query in call.jobs:
            noted = self._receipts.of(query.nonce)
            id = bare(query.id)[0] or noted.id or noted.record
            row = self._api.detail(id) if id else None
            if row is not None and (not self._api.records or row.status in (*call.live, *call.ended)):
                reported[query.nonce] = {"id": native(row.id or id, row.group), "status": row.status, "exit": row.exit}
                if self._results.of(query.nonce) is None:
                    reported[query.nonce]["log"] = self._log(id)
        return reported

    def _log(self, id: str) -> str:
        try:
            return self._api.log(id)[-1000:]
        except Unreachable:
            return ""

    def kill(self, call: CloudKill) -> list[str]:
        """End these jobs, and whatever else is listed under their nonces; the ids that were named."""
        known = {query.nonce: bare(query.id)[0] or self._receipts.of(query.nonce).id for query in call.jobs}
        lost = [query for query in call.jobs if not known[query.nonce]]
        rows = listing(self._api, self._receipts, lost) if lost else {}
        ids = [id for id in known.values() if id]
        ids += [row.id for query in lost for row in rows.get(query.nonce, []) if row.status in call.live]
        for id in ids:
            self._api.kill(id)
        return ids
