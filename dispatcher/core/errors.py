"""Every error a caller can meet, each named for what the caller does next.

    DispatcherError (a RuntimeError)
    ├── ConfigError        correct the file or the argument that is named
    │   └── Unsupported    an optional package is needed for this, and is not installed
    ├── InputMissing       create the forward file that is named (also a FileNotFoundError)
    ├── InputsChanged      an unfinished run was started with other inputs: continue or cancel it
    │   └── TaskLive       a task of this submission is live in another one: wait for that, continue or cancel it
    ├── ResultMissing      a finished task did not write what it promised (also a FileNotFoundError)
    ├── TransferFailed     what arrived is not what was sent; nothing was removed
    ├── NotOurs            somebody else made this, or may change it: look at it, remove it, or go elsewhere
    ├── Unreachable        the other side gave no good answer: ask again later
    │   └── Purged         our directory was removed there: it is made again when it stays so
    ├── SubmissionBusy     another process is running this submission
    ├── JournalDeleted     somebody deleted the journal under its dispatcher
    ├── JournalDamaged     the journal cannot be trusted: look at it with `dispatcher verify`
    ├── IllegalTransition  an event that the table of states forbids
    ├── JobsFailed         some jobs are terminated for good; the results of the others were downloaded
    └── Interrupted        stopped by a signal; the jobs run on, the same command resumes

The base is a RuntimeError and missing files stay FileNotFoundError, so that
programs written for DPDispatcher's API catch what they always caught.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .causes import pattern
from .printable import harmless

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .events import Cause


class DispatcherError(RuntimeError):
    """Base of every error raised by this package; `exit_code` is what the command line returns.

    `topic`: what `dispatcher help` has more of it under. `told`: a program that reads along was told of it already.
    """

    exit_code = 1
    topic = ""
    told = False

    def __str__(self) -> str:
        """What went wrong; printable, though it may repeat what a job, a site or a stranger's file said."""
        return harmless(super().__str__())


class ConfigError(DispatcherError, ValueError):
    """What was asked for is not valid: an unknown key, a wrong type, a path outside the work directory."""

    exit_code = 2


class Unsupported(ConfigError):
    """Something that needs an optional package which is not installed; the message names it."""


class InputMissing(DispatcherError, FileNotFoundError):
    """A forward file that does not exist or cannot be read on the local side."""

    exit_code = 2


class InputsChanged(DispatcherError):
    """What is asked for differs from what an unfinished run of the same tasks was started with."""

    exit_code = 2
    topic = "again-corrected"


class TaskLive(InputsChanged):
    """A task is in the queue, or about to be, for another submission, which the message names; it is run once."""

    topic = "ways-out"


class ResultMissing(DispatcherError, FileNotFoundError):
    """Backward files that finished tasks did not leave behind; everything else was downloaded."""

    topic = "failures"


class TransferFailed(DispatcherError):
    """A transfer did not verify, or the disk is full, or permission is denied."""


class NotOurs(DispatcherError):
    """A directory found in place that is not ours alone; nothing in it was believed, and nothing was written."""

    exit_code = 2
    topic = "groups"


class Unreachable(DispatcherError):
    """No good answer: nothing is known, nothing has failed; ask again later."""


class Purged(Unreachable):
    """The control directory is not there any more: somebody removed it. Nothing was asked of the batch system."""

    topic = "ways-out"


class SubmissionBusy(DispatcherError):
    """Another process holds the journal of this submission open for writing."""

    exit_code = 3
    topic = "ways-out"


class JournalDamaged(DispatcherError):
    """Acknowledged bytes of the journal do not verify; nothing was changed."""

    exit_code = 4
    topic = "ways-out"


class JournalDeleted(DispatcherError):
    """The journal was deleted while its dispatcher was at work, and cannot be written anew from what that one knows."""

    exit_code = 4
    topic = "ways-out"


class IllegalTransition(DispatcherError):
    """An event that the table of states does not allow; refused before anything was written."""

    exit_code = 4


class Interrupted(DispatcherError):
    """A signal stopped the dispatcher; it was recorded, the jobs were left running.

    The command line returns 128 and the signal's number: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP.
    """

    exit_code = 130


class FailedJob:
    """One job that is over without success, with all that is known of why.

    `job` is the job hash, `native_id` the scheduler's id (may be empty), `cause`
    why the last attempt ended, `attempts` how many were made, `task` the command
    and directory of the first failing task, `where` the directory it ran in, or what the job's own script printed into.
    """

    def __init__(self, job: str, native_id: str, attempts: int, cause: Cause, task: str, where: str) -> None:
        self.job, self.native_id, self.attempts = job, native_id, attempts
        self.cause, self.task, self.where = cause, task, where

    def __str__(self) -> str:
        lines = [f"job {self.job[:12]} ({self.native_id or 'no native id'}), {self.attempts} attempt(s): {self.cause}"]
        if self.task:
            lines.append(f"  task: {self.task}")
        if self.where:
            lines.append(f"  where: {self.where}")
        lines += [f"  | {line}" for line in self.cause.stderr.splitlines()[-20:]]
        if log := self.cause.log.splitlines()[-10:]:
            lines += ["  the job's own log:", *(f"  | {line}" for line in log)]
        return "\n".join(lines)


class JobsFailed(DispatcherError):
    """Raised once, at the end: `jobs` lists every FailedJob; `resume` says what became of the others, and what next.

    `outcome`, where Python code ran the submission, is what `run_submission` would have returned.
    """

    outcome: Any = None

    def __init__(self, jobs: Sequence[FailedJob], total: int, submission: str, resume: str) -> None:
        self.jobs, self.submission = list(jobs), submission
        groups = alike(self.jobs)
        shown = "\n".join(map(_one_of, groups[:10]))
        more = f"\n… and {len(groups) - 10} more causes (dispatcher status {submission})" if len(groups) > 10 else ""
        super().__init__(f"{len(self.jobs)} of {total} jobs failed.\n{shown}{more}\n{resume}")


def alike(jobs: Sequence[FailedJob]) -> list[list[FailedJob]]:
    """The jobs by cause: what differs only in numbers, or in the name of the task's directory, is one."""
    groups: dict[tuple[str, str], list[FailedJob]] = {}
    for job in jobs:
        groups.setdefault((job.cause.kind, pattern(job.cause.title, job.where.rpartition("/")[2])), []).append(job)
    return sorted(groups.values(), key=len, reverse=True)


def _one_of(group: list[FailedJob]) -> str:
    """The first in full, the others by name."""
    others = ", ".join(job.job[:12] for job in group[1:4]) + (", …" if len(group) > 4 else "")
    return f"{group[0]}\n  {len(group) - 1} more failed alike: {others}" if others else str(group[0])
