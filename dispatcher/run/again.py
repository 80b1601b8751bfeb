"""Finished tasks that are to be run again: the user asks, or their results are gone.

    again.ask(everything=False)    submit --rerun-missing: what was deleted here, or removed where the jobs ran
    again.due()                    after a download: what was removed there, and our record of the job with it
    again.gone()                   ["t3/out"]: deleted here since, or written over by a submission with other inputs

Never while another submission is at one of them: `Session.unshared` looks, and is held until it is written down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..core import events as ev
from ..core.errors import ResultMissing
from ..core.lifecycle import State
from ..core.ports import FileEntry
from ..files import local, patterns
from ..files.listing import Listing
from . import results

if TYPE_CHECKING:
    from .work import Session


class Again:
    """What of one session is to be run again."""

    def __init__(self, session: Session) -> None:
        self._session, self._once, self._missing = session, set[str](), False

    def ask(self, everything: bool) -> None:
        """All finished tasks of a run that is over are to be run again, or those whose results were deleted here.

        Of one that is not over, those whose results are not there either when they are to be fetched.
        """
        session = self._session
        if session.history.concluded is None:
            self._missing = True
            return
        lost = None if everything else Listing(FileEntry(path, 0) for path in self.gone())
        events = []
        for job in session.planned:
            progress = session.progress[job.hash]
            done = [(index, at) for index, at in enumerate(job.tasks) if progress.done >> index & 1]
            if tasks := tuple(index for index, at in done if lost is None or self._wants(at, lost)):
                events.append(ev.Rerun(job.hash, tasks, "asked for" if everything else "their results were deleted"))
        self._record(events)

    def gone(self) -> list[str]:
        """Results that were here and are not any more, or are another submission's now."""
        session = self._session
        deleted = results.gone(session.history, session.local, session.environment.exists)
        return list(dict.fromkeys([*deleted, *session.overwritten()]))

    def refuse_gone(self) -> None:
        """Raise ResultMissing for what finished tasks had left here."""
        if lost := self.gone():
            raise ResultMissing(results.gone_text(lost))

    def due(self) -> bool:
        """Tasks whose results were removed there, and our record of the job with them, run again, once; false: none.

        Where the record is left they may never have written what is missing, and what was reused was never there: then
        only when that was asked for.
        """
        session = self._session
        if session.scheduler.context:  # what is in no directory that jobs share with us leaves no record there
            return False
        there, events = session.context.own("").attempts, []
        for job in session.planned:
            progress = session.progress[job.hash]
            if progress.state is not State.finished or job.hash in self._once:
                continue
            if self._missing or (progress.nonce and progress.nonce not in there):
                reused = 0 if self._missing else progress.reused
                own = ((index, at) for index, at in enumerate(job.tasks) if not reused >> index & 1)
                if lost := tuple(index for index, at in own if self._lacks(at)):
                    events.append(ev.Rerun(job.hash, lost, "its results were removed on the execution side"))
        self._once.update(event.job for event in events)
        self._record(events)
        return bool(events)

    def _record(self, events: Sequence[ev.Rerun]) -> None:
        tasks = {job.hash: job.tasks for job in self._session.planned}
        if events:
            with self._session.unshared([tasks[event.job][index] for event in events for index in event.tasks]):
                self._session.record(*events)

    def _wants(self, position: int, lost: Listing) -> bool:
        return any(lost.files(pattern) for pattern in patterns.wanted(self._session.spec, [position]))

    def _lacks(self, position: int) -> bool:
        """Not there, and never brought home: what was here once is run again only when it is asked for."""
        session, wanted = self._session, patterns.wanted(self._session.spec, [position])
        roots, strange = patterns.roots(wanted), set(session.overwritten() if self._missing else ())
        there, known = session.context.tree(roots), session.history.results
        here = [FileEntry(path, 0) for path in known]
        if self._missing:
            mine = known.keys() - strange
            here = [file for file in local.tree(session.local, roots) if file.path in mine]
        if session.in_place:
            there = [file for file in there if file.path not in strange]
        return bool(patterns.downloads(wanted, there)[1] and patterns.downloads(wanted, here)[1])
