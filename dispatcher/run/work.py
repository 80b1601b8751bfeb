"""A submission at work: what was asked, its journal, its history, its scheduler and its context, joined.

    <local_root>/<work_base>/.dispatcher/<submission>/journal/    the journal (see docs/journal-format.md)
    <remote root>/.dispatcher/<submission>/jobs/                  scripts, receipts and claims, where the jobs run

Whatever died before, a session starts where the records end. The place where
the jobs run is reached when `connect` is called, by the first verb that needs it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import journal as journals

from ..core import events as ev
from ..core.errors import FailedJob, Interrupted, JobsFailed, JournalDeleted, NotOurs, Purged, ResultMissing
from ..core.failure import failed_job
from ..core.history import History
from ..core.lifecycle import Progress, State, Todo
from ..core.model import JobSpec, SubmissionSpec
from ..core.names import CANCEL
from ..core.ports import Context, Item, Scheduler
from ..core.possession import Possession
from ..files import local
from ..files.incoming import write_atomic
from ..scripts.render import job_script, render
from . import results
from .again import Again
from .engine import Engine
from .environment import Environment
from .fencing import Fenced
from .identity import task_inputs
from .inputs import Inputs
from .ownership import Owner, Verdict, record, verdict
from .recorder import Recorder
from .retold import retold
from .store import fold, journal_errors, local_directory, open_journal
from .survey import template_of


class Session:
    """One submission, open for work in this process. Use `open_session`; `engine` is there once it has connected."""

    engine: Engine

    def __init__(
        self,
        spec: SubmissionSpec,
        jobs: Sequence[JobSpec],
        submission: str,
        scheduler: Scheduler,
        open_context: Callable[[str], Context],
        log: journals.Journal[Any],
        history: History,
        environment: Environment,
        uploads: Sequence[Item],
    ) -> None:
        self.spec, self.planned, self.submission = spec, jobs, submission
        self.scheduler, self.journal, self.history = scheduler, log, history
        self.environment, self.uploads, self.local = environment, uploads, local_directory(spec)
        self.recorder, self._open_context = Recorder(history, log), open_context
        self._connected, self.again = False, Again(self)
        #: What whoever runs this must be told: tasks that are done already, others at work in the same directories.
        self.notices: list[str] = []
        self.tell: Callable[[str], object] = self.notices.append
        #: Stamps of the forward files that were taken before they were read.
        self.seen: Mapping[str, local.Stamp] = {}
        #: Whether this session may take a place that is nobody's; one that was only reopened may not.
        self.begins = True
        self.reuse: Callable[[], str] = str
        #: Results here, by path, that a submission with other inputs has written over.
        self.overwritten: Callable[[], Sequence[str]] = tuple
        #: Held while tasks, by position, that were over become due again; raises TaskLive when others are at them.
        self.unshared: Callable[[Sequence[int]], AbstractContextManager[None]] = lambda positions: nullcontext()

    # -- parts --------------------------------------------------------------------------------------------------

    @property
    def progress(self) -> Mapping[str, Progress]:
        """The progress of every job, by hash."""
        return self.history.jobs

    def connect(self) -> Engine:
        """The loop; the place where the jobs run is reached when this is first called."""
        if not self._connected:
            context = self._place()
            self.engine = Engine(
                self.spec,
                self.planned,
                self.recorder,
                self.scheduler,
                context,
                self.environment,
                self._inputs(context),
                template_of(self.spec.resources),
                self._restore,
            )
            self._connected = True
        return self.engine

    def _inputs(self, context: Context) -> Inputs:
        """What is read where it lies; a batch system that goes with one context takes copies."""
        digests = self.history.opened.inputs if self.history.opened and not self.scheduler.context else {}
        return Inputs(context.place, digests, self.seen, lambda: task_inputs(self.spec, digests))

    def _place(self) -> Context:
        """The place where the jobs run, known to be ours: a new journal leaves its record there."""
        opened, name = self.history.opened, self.history.place or self.submission
        owner = Owner(opened.owner if opened else "", os.uname().nodename, os.path.realpath(self.local))
        context, found = self._at(name, owner)
        if found is Verdict.taken and name == self.submission:
            context.close()
            name = f"{self.submission}-{owner.owner}"
            self.record(ev.Placed(name))
            context, found = self._at(name, owner)
        if found is Verdict.taken:
            context.close()
            raise NotOurs(f"{context.place.remote_root} belongs to another journal; look what runs there")
        return context

    def _at(self, name: str, owner: Owner) -> tuple[Context, Verdict]:
        def judge(found: Possession) -> Verdict:
            place = context.place
            in_place = place.remote_root == place.local
            where = place.control if in_place else place.remote_root
            return verdict(owner, found, self.history.nonces, self.journal.path, where, in_place)

        context = Fenced(self._open_context(name), self.journal, lambda found: judge(found) is Verdict.ours)
        try:
            return context, judge(context.own(record(owner) if self.begins else ""))
        except BaseException:
            context.close()
            raise

    @property
    def in_place(self) -> bool:
        """Tasks run where their files are."""
        place = self.connect().context.place
        return place.remote_root == place.local

    @property
    def context(self) -> Context:
        """The place where the jobs run, once it was reached."""
        return self.engine.context

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._connected:
            self.engine.context.close()
        self.journal.__exit__(kind, error, None)

    def record(self, *events: ev.Event) -> None:
        """Check, journal, believe; durable on return."""
        self.recorder.record(*events)
        self.recorder.commit()

    # -- verbs --------------------------------------------------------------------------------------------------

    def run(
        self,
        check_interval: float = 30.0,
        exit_on_submit: bool = False,
        dry_run: bool = False,
        clean: bool = True,
        stop_on_failure: bool = False,
    ) -> None:
        """The whole way: stage, run every job to its end, download, clean. See Submission.run_submission."""
        while True:
            try:
                return self._run(check_interval, exit_on_submit, dry_run, clean, stop_on_failure)
            except JournalDeleted as why:
                self._write_anew(str(why))

    def _run(self, check_interval: float, exit_on_submit: bool, dry_run: bool, clean: bool, stop: bool) -> None:
        with journal_errors(self.journal.path):
            self._grant_new_round()
            if self.history.concluded is None:
                self._take_over()
                self.upload()
                if dry_run:
                    self.write_scripts()
                    return None
                at_home = False
                while not at_home:
                    self._go_round(check_interval, exit_on_submit, stop)
                    if not self.finished():
                        return self._left_early(stop)
                    at_home = self._bring_home()
            else:
                self._complete()
            if clean:
                self.clean()
            return None

    def _take_over(self) -> None:
        """What others have finished of what is due, or is to be tried again, is not run again."""
        self.connect().try_again()
        if done := self.reuse():
            self.tell(done)

    def _write_anew(self, why: str) -> None:
        """Somebody deleted the journal: nobody but this process knows its jobs, so it writes down what it knows."""
        known, ids = self.history, sorted(job.id for job in self.progress.values() if job.may_run and job.id)
        if self._connected:
            self.engine.context.close()
            self._connected = False
        with suppress(journals.JournalError, OSError):
            self.journal.close()
        self.history = History()
        with journal_errors(self.journal.path):
            self.journal = open_journal(self.journal.path, lambda frame: fold(self.history, frame))
        self.recorder = Recorder(self.history, self.journal)
        if self.history.opened is not None or known.opened is None:
            raise JournalDeleted(
                f"{why}, and another dispatcher has begun it again; this one stops. Its jobs run on: "
                f"{', '.join(ids[:20]) or 'none'}"
            )
        self.history.began = known.began
        note = ev.Note(
            f"{why}; written anew by the dispatcher that was at work: how often jobs had failed is not known"
        )
        placed = [ev.Placed(known.place)] if known.place else []
        jobs = [event for job in known.jobs.values() for event in retold(job)]
        recalled = ev.Recalled(tuple(sorted(known.nonces)))
        brought = results.received(known.results)
        self.record(known.opened, *known.planned.values(), *placed, recalled, note, *brought, *jobs)
        self.tell(note.text)

    def rerun(self, everything: bool) -> None:
        """Run all finished tasks again, or those whose results are missing; see `again`."""
        self.again.ask(everything)

    def _complete(self) -> None:
        """What finished tasks left may have been deleted here since: it is fetched again, or said to be lost."""
        if self.again.gone() and not self.history.cleaned:
            self.download()
        self.again.refuse_gone()

    def _go_round(self, check_interval: float, exit_on_submit: bool, stop_on_failure: bool) -> None:
        try:
            self.connect().run(check_interval, exit_on_submit, stop_on_failure)
        except KeyboardInterrupt:
            self.record(ev.Note("interrupted; the jobs were left running"))
            raise
        if self.environment.stop() and not self.finished():
            self.record(ev.Note("interrupted; the jobs were left running"))
            raise Interrupted(
                f"interrupted: the jobs run on. Run the same command again to resume submission {self.submission}"
            )

    def _left_early(self, stop_on_failure: bool) -> None:
        if stop_on_failure and self.engine.failed():
            raise self._failure("the other jobs were left running; run the same command again to go on with them")

    def _grant_new_round(self) -> None:
        """Running again after a failure gives the failed jobs a new round of attempts."""
        if self.history.concluded is not None and self.history.concluded.outcome == "failed":
            over = [job for job in self.progress.values() if job.state is State.terminated]
            self._request_obeyed()
            self.record(*(ev.Retried(job.job, fresh=True) for job in over))

    def observe(self) -> None:
        """Look at everything that is in the queue until what is missing is settled; nothing is submitted."""
        engine = self.connect()
        self._observe_once()
        while (wait := engine.observer.unsettled()) is not None:
            self.environment.sleep(wait)
            self._observe_once()

    def _observe_once(self) -> None:
        self.engine.observe(self.engine.due_for(Todo.observe))

    def finished(self) -> bool:
        """Nothing is due any more for any job."""
        return self.connect().over()

    def upload(self) -> None:
        """Stage the forward files and verify them; later sessions send only what is not there any more."""
        results.check_way(self.spec, self.connect().context.place)
        self.context.put(self.uploads, replace=not self.history.staged)
        if not self.history.staged:
            files = [item for item in self.uploads if item.size >= 0]
            self.record(ev.Staged(len(files), sum(item.size for item in files)))

    def write_scripts(self) -> Path:
        """What a dry run shows: the script of every job, as it would be submitted, in a folder on the local side."""
        folder = self.journal.path.parent / "dry-run"
        place, template = self.connect().context.place, template_of(self.spec.resources)
        for job in self.planned:
            tasks = dict(enumerate(job.tasks))
            script = job_script(self.spec, job.hash, "dryrun", "dryrun", tasks, place, template)
            for name, text in render(script, self.scheduler).files(job.hash).items():
                write_atomic(folder / name, text.encode())
        return folder

    def download(self) -> None:
        """Bring back what finished tasks promised and what may explain the failed ones; verify; record."""
        engine = self.connect()
        try:
            owned = bool(self.scheduler.context or engine.context.own("").record)
        except Purged:
            owned = False
        if not owned:
            self._restore(engine)
        strange = self.overwritten() if self.in_place else ()  # must not be recorded as ours
        news, reported = results.fetch(self.spec, self.planned, self.history, engine.context, self.local, strange)
        self.record(*news, reported)
        if reported.missing:
            raise ResultMissing(results.missing_text(reported.missing, self.context.place.remote_root))

    def _restore(self, engine: Engine) -> None:
        """What was removed on the execution side is made again, as far as it comes from here."""
        engine.context.close()
        engine.context = engine.observer.context = self._place()
        engine.context.put(self.uploads, replace=False)
        root = engine.context.place.remote_root
        text = f"{root} or our directory in it was removed by somebody: made again, and the inputs were sent again"
        self.record(ev.Note(text))
        self.tell(text)

    def _bring_home(self) -> bool:
        """Download and conclude; false when tasks have to run again first, because their results were removed there.

        What finished tasks did not write must not hide that others have failed.
        """
        missing = ""
        try:
            self.download()
            self.again.refuse_gone()
        except ResultMissing as error:
            if self.again.due():
                self._restore(self.engine)
                self._take_over()
                return False
            if not self.engine.failed():
                raise
            missing = f"{error}\n"
        self._conclude(missing)
        return True

    def _conclude(self, missing: str) -> None:
        failed = self.engine.failed()
        self.record(ev.Concluded("failed" if failed else "finished", len(failed)))
        self._request_obeyed()
        if failed:
            here = "what finished is here, nothing was removed there"
            raise self._failure(f"{missing}{here}; run the same command again to try the failed jobs again")

    def _request_obeyed(self) -> None:
        """A request to cancel that came before everything was over has had its effect."""
        self.journal.path.with_name(CANCEL).unlink(missing_ok=True)

    def _failure(self, resume: str) -> JobsFailed:
        jobs = [self._failed_job(job) for job in self.engine.failed()]
        next_step = f"{resume} (history: dispatcher replay {self.local})"
        return JobsFailed(jobs, len(self.planned), self.submission, next_step)

    def _failed_job(self, job: Progress) -> FailedJob:
        place, template = self.context.place, self.spec.resources.strategy.customized_script_header_template_file
        shared = not self.scheduler.context and template is None
        log = f"{place.control}/{job.nonce}*.log" if shared else ""
        return failed_job(job, self.history.planned[job.job].tasks, place.remote_root, log)

    def clean(self) -> None:
        """Remove what is ours on the execution side; only what was verified on this side ever goes."""
        if self.history.cleaned or self.history.concluded is None or self.history.concluded.outcome != "finished":
            return
        self.connect().context.remove()
        self.record(ev.Cleaned())

    def kill(self, *jobs: str) -> None:
        """Ask for these jobs (all when none is named) to be ended; `run` sees it through."""
        chosen = [self.progress[job] for job in jobs] if jobs else list(self.progress.values())
        self.connect().stop_jobs(chosen, ev.CauseKind.cancelled)
