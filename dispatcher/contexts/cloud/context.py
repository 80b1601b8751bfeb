"""A place that is an API: jobs go up with their files, results come down as archives; the remote root is in each job.

put     remembers what may go up, and sees that it is still there          (it goes up with the job that needs it)
run     CloudSubmit, CloudQuery, CloudDetail, CloudKill                     answers in JSON, see schedulers/cloud.py
tree    what the archives that have come hold                              get takes it out of them
remove  what was sent to the storage; the archives too, without keep_backup

local/.dispatcher/<submission>/cloud/      receipts
                              sent/       archives on their way up
                              results/    archives that came back
                              logs/       with `output_log`: what each job printed
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ...core.errors import ConfigError, InputMissing
from ...core.limits import MAX_NOTE
from ...core.model import MachineSpec
from ...core.names import CONTROL, OWNER
from ...core.ports import (
    Call,
    CloudDetail,
    CloudJob,
    CloudKill,
    CloudQuery,
    CloudSubmit,
    FileEntry,
    Item,
    Place,
    Reply,
)
from ...core.possession import Possession
from ...files.incoming import write_atomic
from ...files.listing import Listing
from ...files.texts import read_text
from ..local.this_machine import is_file, joined, remove_tree
from .http import Forbidden, Http
from .jobs import CloudApi
from .observe import CloudObserver
from .packs import name_of, pack
from .receipts import Receipts
from .results import ResultArchives
from .submit import Submitter


class Habits(NamedTuple):
    """What the profile says of all jobs."""

    keep_backup: bool
    ignore_exit_code: bool
    output_log: bool

    @classmethod
    def of(cls, profile: Mapping[str, Any], data: Mapping[str, Any]) -> Habits:
        """With DPDispatcher's defaults."""
        keep, ignore = profile.get("keep_backup", True), profile.get("ignore_exit_code", True)
        return cls(keep is not False, ignore is not False, bool(data.get("output_log", False)))


def _place(local_path: str, submission: str) -> Place:
    return Place(local_path, local_path, str(Path(local_path, CONTROL, submission, "cloud")))


def safe(http: Http, url: str) -> None:
    """Raise ConfigError for a service that would be spoken to openly."""
    try:
        http.must_be_safe(url)
    except Forbidden as error:
        http.close()
        raise ConfigError(f"machine/remote_profile/base_url: {error}") from None


class CloudConnection:
    """One submission's place in a cloud."""

    def __init__(self, api: CloudApi, local_path: str, submission: str, habits: Habits) -> None:
        stored = Path(local_path) / CONTROL / submission
        self.place = _place(local_path, submission)
        self._api, self._habits, self._stored = api, habits, stored
        self._receipts = Receipts(stored / "cloud")
        self._results = ResultArchives(stored / "results", Path(local_path))
        self._looking = CloudObserver(
            api, self._receipts, self._results, stored / "logs" if habits.output_log else None
        )
        self._outgoing = Outgoing(stored / "sent", ())

    @classmethod
    def place_of(cls, machine: MachineSpec, submission: str, work_base: str) -> Place:
        """The remote root is in each job's container; what is ours lies on this side."""
        return _place(joined(machine.local_root, work_base), submission)

    def own(self, record: str) -> Possession:
        """The receipts here are all there is of the place, and lie beside the journal."""
        path = self._stored / OWNER
        if record and not path.exists():
            write_atomic(path, f"{record}\n".encode())
        found = read_text(path, MAX_NOTE).strip() if path.exists() else ""
        requested = (name for name, noted in self._receipts.all().items() if noted.requested)
        return Possession(found, tuple(f"{name}.id" for name in requested))

    def run(self, call: Call) -> Reply:
        """Ask the API; ConfigError for shell text. Raises Unreachable when there is no good answer."""
        answer: Any
        if isinstance(call, CloudSubmit):
            answer = Submitter(self._api, self._receipts, self._results, self._outgoing, call).run()
        elif isinstance(call, CloudQuery):
            answer = {"jobs": self._looking.observe(call), "ignore_exit_code": self._habits.ignore_exit_code}
        elif isinstance(call, CloudDetail):
            answer = self._looking.detail(call)
        elif isinstance(call, CloudKill):
            answer = self._looking.kill(call)
        else:
            raise ConfigError(
                f"{type(self).__name__} asks a cloud's API and runs no shell commands: correct batch_type, or do it "
                "in the command of a task"
            )
        return Reply(0, json.dumps(answer))

    def guard(self, confirm: Callable[[], None]) -> None:
        """See ports.Guarded."""
        self._api.confirm = confirm

    def put(self, items: Sequence[Item], replace: bool) -> None:
        """Remember what may go up; InputMissing names a source that is gone. It is sent with the jobs that need it."""
        for item in items:
            if item.size >= 0 and not is_file(Path(item.source)):
                raise InputMissing(f"forward file {item.source} is not there any more; create it, then run again")
        self._outgoing = Outgoing(self._stored / "sent", items)

    def tree(self, paths: Sequence[str]) -> list[FileEntry]:
        """What the result archives hold."""
        return self._results.tree(paths)

    def get(self, items: Sequence[Item]) -> list[Item]:
        """Out of the archives to the local side, verified."""
        return self._results.get(items)

    def remove(self) -> None:
        """What was sent to the storage, our receipts, and, unless they are to be kept, the archives."""
        self._api.remove(self._receipts)
        for name in ("cloud", "sent") if self._habits.keep_backup else ("cloud", "sent", "results"):
            remove_tree(self._stored / name)

    def close(self) -> None:
        """Let go of the connections."""
        self._api.close()


class Outgoing:
    """The files that jobs take along, packed when they are needed: what every job has apart from a job's own."""

    def __init__(self, directory: Path, items: Sequence[Item]) -> None:
        self._directory = directory
        self._items = {item.target: item for item in items}
        self._listing = Listing(FileEntry(item.target, item.size) for item in items)

    @contextmanager
    def of(self, job: CloudJob) -> Iterator[list[tuple[str, Path]]]:
        """The archives for a job, as (name by content, path); they are gone when it has been sent."""
        common = self._meant(job.common)
        own = {item.target: item for item in self._meant(job.forward)}
        for item in common:
            own.pop(item.target, None)
        made: list[tuple[str, Path]] = []
        try:
            for items, texts in ((common, {}), (list(own.values()), job.files)):
                if items or texts:
                    made.append(self._packed(items, texts))
            yield made
        finally:
            for _, path in made[1 if common else 0 :]:
                path.unlink(missing_ok=True)

    def _packed(self, items: Sequence[Item], texts: Mapping[str, str]) -> tuple[str, Path]:
        name = name_of(items, texts)
        path = self._directory / f"{name}.zip"
        if not path.exists():
            pack(path, items, texts)
        return name, path

    def _meant(self, patterns: Sequence[str]) -> list[Item]:
        found = dict.fromkeys(entry.path for pattern in patterns for entry in self._listing.files(pattern))
        return [self._items[path] for path in found if path in self._items]
