"""Tasks that share a directory, made into jobs and run to their end.

    submission = Submission("run1/", machine=machine, resources=resources, task_list=[task1, task2])
    submission.run_submission(check_interval=10)

The objects hold what was asked; `spec()` freezes it when jobs are made, and
everything live goes through a session on the journal of that spec. After each
call, the states of jobs and tasks are what the journal says.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..core.errors import ConfigError, JobsFailed
from ..core.keys import HASH
from ..core.model import JobSpec, MachineSpec, SubmissionSpec, plan_hash
from ..core.plan import plan
from . import saved
from .failures import Failures
from .following import Follower
from .job import Job
from .machine import Machine
from .outcome import Outcome
from .recorded import unbreakable
from .resources import Resources
from .status import JobStatus
from .task import Task, path, paths
from .watching import Watching

if TYPE_CHECKING:
    from ..run.session import Session

_NOWHERE = MachineSpec("", "", "")


def _without_profile(machine: Machine) -> dict[str, Any]:
    return machine.serialize(if_empty_remote_profile=True)


_CLEAN = {True: True, False: False, "always": True, "on_success": True, "never": False}


class Submission(Failures, Watching):
    """A set of tasks below one directory.

    `work_base` is that directory, below the machine's local_root; the common files are relative to it. `resources`
    are those of each job. `stop_on_failure` ends the run at the first job that failed for good, instead of going
    on with the others and raising at the end; `continue_on_failure` is accepted, and changes nothing.
    `previous_submission_hash` names an earlier submission of the same tasks with other resources: what it has finished
    is brought home and not run again. Raises ConfigError for a value of a wrong type.
    """

    __hash__ = None  # type: ignore[assignment]  # equal by content, and the content may change

    def __init__(
        self,
        work_base: str | PathLike[str],
        machine: Machine | None = None,
        resources: Resources | None = None,
        forward_common_files: Iterable[str | PathLike[str]] = [],
        backward_common_files: Iterable[str | PathLike[str]] = [],
        *,
        task_list: Iterable[Task] = [],
        stop_on_failure: bool = False,
        continue_on_failure: bool = True,
        previous_submission_hash: str | None = None,
    ) -> None:
        self.work_base = path(work_base, "submission/work_base")
        self.resources = resources
        self.forward_common_files = sorted(paths(forward_common_files, "submission/forward_common_files"))
        self.backward_common_files = sorted(paths(backward_common_files, "submission/backward_common_files"))
        self.stop_on_failure = stop_on_failure
        if previous_submission_hash is not None and not HASH.test(previous_submission_hash):
            raise ConfigError(f"submission/previous_submission_hash: {previous_submission_hash!r}: it {HASH.says}")
        self.previous_submission_hash = previous_submission_hash
        self.belonging_tasks: list[Task] = []
        self.belonging_jobs: list[Job] = []
        self.machine: Machine | None = None
        self._frozen: SubmissionSpec | None = None
        self._planned: tuple[JobSpec, ...] = ()
        self._positions: dict[str, tuple[int, ...]] = {}
        self._tasks: list[Task] = []
        self._progress = {}
        self._removed: set[str] = set()
        self._stopping, self._waking = False, []
        self._hash = ""
        self.register_task_list(task_list)
        if machine is not None:
            self.bind_machine(machine)

    # -- what is asked ------------------------------------------------------------------------------------------

    def register_task(self, task: Task) -> None:
        """Add a task. Raises ConfigError (a RuntimeError) once the jobs are made."""
        self.register_task_list([task])

    def register_task_list(self, task_list: Iterable[Task]) -> None:
        """Add tasks. Raises ConfigError (a RuntimeError) once the jobs are made."""
        if self.belonging_jobs:
            raise ConfigError("submission/task_list: the jobs are made already; make another submission for more tasks")
        self.belonging_tasks += task_list

    def bind_machine(self, machine: Machine) -> Submission:
        """Run on this machine; its context works in this submission's directories from now on. Returns itself."""
        self.machine, self._hash = machine, ""
        for job in self.belonging_jobs:
            job.machine = machine
        if machine.context is not None:
            machine.context.bind_submission(self)
        return self

    def generate_jobs(self) -> None:
        """Make the jobs: the tasks, shuffled with a fixed seed, cut into groups of resources.group_size.

        From here on changes of tasks and resources have no effect. Raises ConfigError (a RuntimeError) when there
        are jobs already, or no tasks.
        """
        if self.belonging_jobs:
            raise ConfigError("submission: the jobs are made already; make another submission to make others")
        spec = self.spec()
        self.adopt(spec, plan(spec))

    def adopt(self, spec: SubmissionSpec, planned: tuple[JobSpec, ...]) -> None:
        """Make these jobs out of the tasks; all jobs share one copy of the resources."""
        resources = Resources(**self._resources().serialize())
        self._frozen, self._planned, self._tasks = spec, planned, list(self.belonging_tasks)
        self._positions = {job.hash: job.tasks for job in planned}
        self.belonging_jobs = [
            Job(
                (self._tasks[position] for position in job.tasks), resources=resources, machine=self.machine
            ).planned_as(job.hash, self)
            for job in planned
        ]

    def spec(self) -> SubmissionSpec:
        """What is asked, frozen, as it was when the jobs were made. Raises ConfigError for what is not allowed."""
        machine = _NOWHERE if self.machine is None else self.machine.spec()
        if self._frozen is not None:
            return msgspec.structs.replace(self._frozen, machine=machine)
        return SubmissionSpec(
            self.work_base,
            machine,
            self._resources().spec(),
            tuple(task.spec() for task in self.belonging_tasks),
            tuple(self.forward_common_files),
            tuple(self.backward_common_files),
        )

    def _resources(self) -> Resources:
        if self.resources is None:
            raise ConfigError("submission/resources: missing, and it must be given")
        return self.resources

    def _machine(self) -> Machine:
        if self.machine is None:
            raise ConfigError("submission/machine: missing; give one, or call bind_machine")
        return self.machine

    def get_hash(self) -> str:
        """40 hexadecimal digits that stand for what is asked, where it runs, and the bytes of its forward files.

        Raises ConfigError without a machine, InputMissing when a forward file does not exist.
        """
        from ..run.survey import survey

        self._machine()
        self._hash = survey(self.spec()).submission
        return self._hash

    @property
    def submission_hash(self) -> str:
        """The hash as it was last computed, so that it stays the same while a run goes on; see get_hash."""
        return self._hash or self.get_hash()

    @property
    def local_root(self) -> str | None:
        """Absolute: where its tasks' files are on this side; None without a machine."""
        return None if self.machine is None or self.machine.context is None else self.machine.context.local_root

    # -- running ------------------------------------------------------------------------------------------------

    def run_submission(
        self,
        *,
        dry_run: bool = False,
        exit_on_submit: bool = False,
        clean: bool | str = True,
        check_interval: float = 30,
        continue_on_failure: bool | None = None,
        on_event: Callable[[Any], object] | None = None,
        progress: bool | str = "auto",
    ) -> Outcome:
        """Upload, submit, wait, download, clean; called again, it goes on where it was.

        Returns the dictionary of `serialize()`, with records of tasks and attempts beside it (see Outcome).

        `dry_run` uploads and writes the scripts only; `exit_on_submit` returns when everything is submitted;
        `check_interval` is the longest pause between two looks in seconds. `clean` removes the remote files once
        all is downloaded and verified: True, "always" and "on_success" do so, False and "never" do not; after a
        failure nothing is ever removed. `continue_on_failure` is accepted, and changes nothing.
        `on_event` is called with every event (`dispatcher.core.events`) as soon as it is believed, in the thread of
        this call; it can neither change nor break the run: what it raises is logged once.
        `progress` shows how far it is, in a notebook or on the terminal (stderr): True, False, or "auto" where one is.
        Raises JobsFailed at the end when jobs failed for good (its `outcome` is what would have been returned),
        ResultMissing, InputMissing, ConfigError and SubmissionBusy; Interrupted after `stop_watching`.
        """
        if clean not in _CLEAN:
            raise ConfigError(f"clean: {clean!r} is not known; use True, False, 'always', 'never' or 'on_success'")
        try:
            with self._session(on_event, progress) as session:
                session.run(
                    check_interval=check_interval,
                    exit_on_submit=exit_on_submit,
                    dry_run=dry_run,
                    clean=_CLEAN[clean],
                    stop_on_failure=self.stop_on_failure,
                )
        except JobsFailed as error:
            if not {job.job for job in error.jobs} <= self._removed:  # by the program itself, meanwhile
                error.outcome = Outcome(self.serialize(), self.journal)
                raise
        return Outcome(self.serialize(), self.journal)

    @contextmanager
    def _session(self, on_event: Any = None, progress: bool | str = False) -> Iterator[Session]:
        """The submission opened for work; whatever happens, the states are read off at the end."""
        from ..run.session import open_session
        from .driven import driver

        profile = self._machine().profile
        if not self.belonging_jobs:
            self.generate_jobs()
        spec = self.spec()
        follower, own = self._follower(), driver(self._machine(), self)
        asked = (spec, profile, self._planned)
        with (
            self._watched(plan_hash(spec), follower.changed, progress) as (environment, steered),
            open_session(*asked, environment, self.previous_submission_hash, driver=own) as session,
        ):
            self._hash = session.submission
            follower.begin(session.submission, session.progress)
            if on_event is not None:
                session.history.heard = unbreakable(on_event)
            try:
                with steered.over(session):
                    yield session
            finally:
                self._progress = dict(session.progress)
                follower.show(session.progress)

    def _act(self, act: Callable[[Session], None]) -> None:
        """Do it in the session that this process has open, by the thread at work on it; else in one opened for it."""
        from ..run import steering

        if self.machine is None or not self.belonging_jobs or not steering.ask(plan_hash(self.spec()), act):
            with self._session() as session:
                act(session)

    def _follower(self) -> Follower:
        return Follower(self.belonging_jobs, self._tasks, self._positions)

    def refresh(self) -> bool:
        """Read the states off the journal, without asking the scheduler; False when there is no journal."""
        from ..run.store import read_progress

        if not self.belonging_jobs:
            self.generate_jobs()
        progress = read_progress(self.spec())
        self._progress = dict(progress)
        self._follower().show(progress)
        return bool(progress)

    def update_submission_state(self) -> None:
        """One look at all jobs that are in the queue; nothing is submitted. Raises SubmissionBusy."""
        self._act(lambda session: session.observe())

    def handle_unexpected_submission_state(self) -> None:
        """Submit what is due, and again what failed and may be tried again; do not wait. Raises as run_submission.

        A run that is at work in this process does so by itself.
        """
        from ..run import steering

        if not steering.ask(plan_hash(self.spec()), lambda session: None):
            with self._session() as session:
                session.run(exit_on_submit=True, clean=False, stop_on_failure=self.stop_on_failure)

    def check_all_finished(self) -> bool:
        """True when every job is finished, as last looked at."""
        if any(job.job_state is None for job in self.belonging_jobs) or not self.belonging_jobs:
            self.refresh()
        return all(job.job_state is JobStatus.finished for job in self.belonging_jobs)

    def remove_unfinished_tasks(self) -> None:
        """End the jobs that are not finished, and keep only finished tasks on this object.

        Asked for while run_submission is at work (by a signal handler, or another thread), that run ends without error.
        """
        self._act(self._remove_unfinished)

    def _remove_unfinished(self, session: Session) -> None:
        self._removed |= {name for name, job in session.progress.items() if job.state.value != "finished"}
        session.kill()
        session.observe()
        self._follower().show(session.progress)
        self.belonging_tasks = [task for task in self.belonging_tasks if task.task_state is JobStatus.finished]
        for job in self.belonging_jobs:
            job.job_task_list = [task for task in job.job_task_list if task.task_state is JobStatus.finished]
        self.belonging_jobs = [job for job in self.belonging_jobs if job.job_task_list]

    remove_unfinished_jobs = remove_unfinished_tasks

    def kill(self, *jobs: Job) -> None:
        """End these jobs, all when none is named, with everything they started."""

        def end(session: Session) -> None:
            session.kill(*(job.job_hash for job in jobs))
            session.observe()

        self._act(end)

    def upload_jobs(self) -> None:
        """Send the forward files and verify them."""
        self._act(lambda session: session.upload())

    def download_jobs(self) -> None:
        """Bring back what finished tasks promised, and what may explain the others. Raises ResultMissing."""
        self._act(lambda session: session.download())

    try_download_result = try_download_error_info = download_jobs

    def raise_for_failed_jobs(self) -> None:
        """Raise JobsFailed when there are failed jobs, as last looked at."""
        if failed := self.failed_jobs():
            reported = [self._reported(job) for job in failed]
            raise JobsFailed(reported, len(self.belonging_jobs), self.submission_hash, "run again to try them again")

    def clean_jobs(self) -> None:
        """Remove the remote files of a run whose results are all here; of any other nothing is removed."""
        self._act(lambda session: session.clean())

    # -- in and out ---------------------------------------------------------------------------------------------

    def try_recover_from_json(self) -> None:
        """Read the states off the journal. A run does so by itself; there is nothing to call it for."""
        self.refresh()

    def submission_to_json(self) -> None:
        """Write `<submission_hash>.json` into R, without the remote_profile."""
        self.write_remote(f"{self.submission_hash}.json", saved.written(self, False, _without_profile))

    def write_remote(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file into R."""
        context = self._machine().context
        if context is not None:
            context.bind_submission(self)
            context.write_file(name, json.dumps(content, indent=4))

    @classmethod
    def submission_from_json(cls, json_file_name: str | PathLike[str] = "submission.json") -> Submission:
        """The submission that a file on this side describes. Raises ConfigError that names the file or the key."""
        from ..schema import load_json

        return cls.deserialize(load_json(Path(fspath(json_file_name))))

    def serialize(self, if_static: bool = False) -> dict[str, Any]:
        """The format of DPDispatcher's state file; `if_static` leaves out states, ids and fail counts.

        Its machine has no passwords, keys and other secrets; what it lacks is to be given again, by `machine`, to
        deserialize.
        """
        return saved.written(self, if_static)

    def serialize_with_secrets(self) -> dict[str, Any]:
        """As serialize, and with all of the remote_profile: not to be written where others can read."""
        return saved.written(self, False, Machine.serialize_with_secrets)

    @classmethod
    def deserialize(cls, submission_dict: Mapping[str, Any], machine: Machine | None = None) -> Submission:
        """The submission that `serialize` wrote, on `machine` if one is given. Raises ConfigError for a bad key."""
        return saved.read(cls, submission_dict, machine)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Submission):
            return NotImplemented
        return self.machine == other.machine and self.serialize(True) == other.serialize(True)

    def __getitem__(self, key: str) -> Any:
        return self.serialize()[key]

    def __repr__(self) -> str:
        return json.dumps(saved.written(self, False, _without_profile), indent=4, default=str)
