"""The promises, looked at while a simulation goes on: after every step, at every commit and question, and at the end.

step        no task body twice for one attempt, none after its success was published, none before its
            input is whole; nothing removed before it was fetched; nothing asked for that was withdrawn
commit      the journal is whole and legal so far, and what is believed is what is written
question    the intent of every submission is on the disk; nobody asks who was taken over
bytes       no secret in anything written, asked or said
end         all of it again over the whole; every run has ended in success or in a failure that was reported
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dispatcher.core import events as ev
from dispatcher.core.history import History
from dispatcher.core.lifecycle import State
from dispatcher.run.store import fold
from journal import verify
from journal.format import Codec
from journal.reader import Reader, decoded

from .cluster import Cluster, Run
from .hosts import BrokenPromise, FileServer, Process


class Auditor:
    """What has been seen of one simulation. Every method raises BrokenPromise."""

    def __init__(self, path: Path, cluster: Cluster, server: FileServer, secrets: tuple[str, ...] = ()) -> None:
        self.path, self.cluster, self.server = path, cluster, server
        self.secrets = [secret.encode() for secret in secrets]
        self.shadow = History()
        self._reader, self._codec = Reader(path), Codec[Any](ev.Event)
        self._bodies: dict[tuple[str, int, str], Run] = {}
        self._seen = 0

    def step(self) -> None:
        """What the cluster did since the last look."""
        cluster = self.cluster
        for run in cluster.runs[self._seen :]:
            before = self._bodies.get(run[:3])
            if before is not None and (before.id != run.id or before.life >= run.life):
                raise BrokenPromise(f"run twice for one attempt: {before} and {run}")
            self._bodies[run[:3]] = run
        self._seen = len(cluster.runs)
        if cluster.repeated:
            raise BrokenPromise(f"started again after its success was published: {cluster.repeated}")
        if cluster.unready:
            raise BrokenPromise(f"started before its input was whole: {cluster.unready}")
        if belied := cluster.made & cluster.told_unasked:
            raise BrokenPromise(f"asked for, although it was told that it never would be: {sorted(belied)}")
        if early := cluster.removed - cluster.fetched:
            raise BrokenPromise(f"removed before it was fetched: {sorted(early)}")

    def committed(self, process: Process, history: History) -> None:
        """The writer believes what is written. Whoever was taken over does not count: it learns that next."""
        if self.server.stale(process, self.path):
            return
        for frame in decoded(self._reader, self._codec):
            fold(self.shadow, frame)
        if self.shadow.jobs != history.jobs:
            raise BrokenPromise("what was believed is not what is written")

    def requested(self, process: Process, what: str, request: Any) -> None:
        """A question is about to leave."""
        if self.server.stale(process, self.path):
            raise BrokenPromise(f"asked by a dispatcher that was taken over: {what}")
        self.wrote(repr(request).encode())
        if what == "submit":
            written = {job.nonce for job in self.shadow.jobs.values() if job.submission_pending}
            if early := {request["nonce"] for request in request["requests"]} - written:
                raise BrokenPromise(f"submitted before it was written: {sorted(early)}")

    def wrote(self, data: bytes) -> None:
        """Bytes are written, asked or said."""
        for secret in self.secrets:
            if secret in data:
                raise BrokenPromise("a secret was written")

    def ended(self, failed: bool) -> None:
        """Nothing goes on any more; `failed`: a failure was reported."""
        self.step()
        _whole(self.path, self.server)
        history = replayed(self.path)
        states = {job.state for job in history.jobs.values()}
        if not states <= {State.finished, State.terminated} or (State.terminated in states) is not failed:
            said = sorted(state.value for state in states)
            raise BrokenPromise(f"ended with jobs {said}, failure reported: {failed}")
        _done(self.cluster, history)
        if self.cluster.removed and failed:
            raise BrokenPromise("something was removed although jobs failed")
        for file in self.path.iterdir():
            self.wrote(file.read_bytes())

    @contextmanager
    def listening(self) -> Iterator[None]:
        """What is logged is said."""
        handler = _Ear(self)
        logger = logging.getLogger("journal")
        logger.addHandler(handler)
        logger.propagate, before = False, logger.propagate
        try:
            yield
        finally:
            logger.propagate = before
            logger.removeHandler(handler)


class _Ear(logging.Handler):
    def __init__(self, auditor: Auditor) -> None:
        super().__init__()
        self._auditor = auditor

    def emit(self, record: logging.LogRecord) -> None:
        self._auditor.wrote(record.getMessage().encode())


def replayed(path: Path) -> History:
    """The history as the journal tells it."""
    history = History()
    for frame in decoded(Reader(path), Codec[Any](ev.Event)):
        fold(history, frame)
    return history


def _whole(path: Path, server: FileServer) -> None:
    """The journal verifies; what dead writers left is still there, torn tails included."""
    report = verify(path)
    allowed = ("clean", "torn", "foreign") if server.foreign else ("clean", "torn")
    if report.status not in allowed:
        raise BrokenPromise(f"the journal is {report.status}: {report.problem}")
    for name, data in server.left.items():
        if not Path(name).read_bytes().startswith(data):
            raise BrokenPromise(f"what a dead writer left in {name} was changed")


def _done(cluster: Cluster, history: History) -> None:
    """Every finished task did run, and none is missing."""
    for name, job in history.jobs.items():
        done = {(name, task) for task in range(job.size) if job.done >> task & 1}
        if lost := done - cluster.published:
            raise BrokenPromise(f"believed to be done, and is not: {sorted(lost)}")
        if job.state is State.finished and len(done) != job.size:
            raise BrokenPromise(f"job {name} is finished without all of its tasks")


def check_verdicts(records: list[Any], cluster: Cluster) -> None:
    """No attempt is called terminated that did not go wrong. Holds where the queue lists jobs within the grace."""
    verdicts = Counter(record.job for record in records if isinstance(record, ev.Terminated))
    for job, count in verdicts.items():
        if count > cluster.mishaps[job]:
            wrong = cluster.mishaps[job]
            raise BrokenPromise(f"job {job} was called terminated {count} times, and {wrong} attempts went wrong")
