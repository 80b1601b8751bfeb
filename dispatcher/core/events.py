"""What can happen to a submission and its jobs: the vocabulary of the journal.

    {"k":"submitting","job":"5f1c…","attempt":1,"nonce":"dq3v81kx0mza"}      before the scheduler is asked
    {"k":"submitted","job":"5f1c…","id":"4211","how":"reply"}               after it answered
    {"k":"finished","job":"5f1c…","tasks":[[0,0,1790000123.0]]}             [position, exit code, end time]

Add events and fields with defaults; never rename one, never change a type:
what a released version wrote stays readable. An event has one struct here,
one row in `states.TRANSITIONS` and one case in `lifecycle.apply`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from typing import Annotated, Any, Union, get_args

import msgspec

from .causes import telling
from .model import TaskSpec

#: What names something in commands and paths is of these letters, or the record is not read: whoever wrote it, no shell
#: and no file system takes it for anything but a name. Batch systems' ids are narrower, see each dialect.
Name = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")]
NativeId = Annotated[str, msgspec.Meta(pattern=r"\A(?:[A-Za-z0-9][A-Za-z0-9_.:,@\[\]/+=-]*)?\Z")]
#: Numbers, too, are such as can be: a count, a task's place in its job or in its submission, seconds since the epoch.
Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
Position = Annotated[int, msgspec.Meta(ge=0, lt=10_000_000)]
Moment = Annotated[float, msgspec.Meta(ge=0, lt=1e12)]
_ExitCode = Annotated[int, msgspec.Meta(ge=-(1 << 31), lt=1 << 31)]


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


class _Event(msgspec.Struct, frozen=True, gc=False, tag_field="k", tag=_snake, omit_defaults=True):
    pass


class CauseKind(str, Enum):
    """What ended an attempt without success; those that a user has to act on first come first."""

    memory = "memory"
    timeout = "timeout"
    scheduler = "scheduler"  # ended by the batch system or somebody who told it to, not by the dispatcher
    node = "node"
    preempted = "preempted"
    task = "task"
    lost = "lost"
    rejected = "rejected"
    inputs = "inputs"  # its inputs were written to: it is not what was asked for
    cancelled = "cancelled"
    abandoned = "abandoned"  # given up as strategy/ratio_unfinished allows

    __hash__ = str.__hash__  # equal to its text, so it hashes as that


#: Where numbers end that anybody could have measured.
_MOST = 1 << 62


class Cause(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """Why a job ended without success.

    `code` and `signal` as the shell or the accounting gives them, `native` the scheduler's own word,
    `elapsed` seconds, `maxrss` bytes, `task` the position in its job of the first failing task,
    `stderr` its last lines, `log` those of what the job's own script
    printed, `source` who said so (marker, queue, accounting).
    """

    kind: CauseKind
    reason: str = ""
    code: int | None = None
    signal: int | None = None
    native: str = ""
    node: str = ""
    elapsed: float | None = None
    maxrss: int | None = None
    task: int | None = None
    stderr: str = ""
    log: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        """A number that a site made up, and no machine can have, is not known."""
        for name, least in (("code", -_MOST), ("signal", 0), ("elapsed", 0), ("maxrss", 0), ("task", 0)):
            value = getattr(self, name)
            if value is not None and not least <= value < _MOST:
                msgspec.structs.force_setattr(self, name, None)

    @property
    def title(self) -> str:
        """The one line that tells most: of the failing task's stderr where there is any, or of whoever said so."""
        if self.kind is CauseKind.task and (
            line := telling(self.stderr.splitlines()) or telling(self.log.splitlines())
        ):
            return line
        reason = self.reason or self.native
        parts = [self.kind.value if not reason else f"{self.kind.value}: {reason}"]
        parts += [f"exit code {self.code}"] if self.code is not None else []
        parts += [f"signal {self.signal}"] if self.signal is not None else []
        return ", ".join(parts)

    def __str__(self) -> str:
        parts = [f"{self.kind.value}: {self.reason}" if self.reason else self.kind.value]
        facts = (("exit code", self.code), ("signal", self.signal), ("scheduler says", self.native or None))
        parts += [f"{name} {value}" for name, value in facts if value is not None]
        parts += [f"on {self.node}"] if self.node else []
        return ", ".join(parts)


#: When nobody said why.
LOST = Cause(CauseKind.lost)


def worst_of(causes: Iterable[Cause | None]) -> Cause | None:
    """Of the causes of an array's elements, or of a job's lives, what the user has to act on first."""
    urgency = list(CauseKind)
    return min(filter(None, causes), key=lambda cause: urgency.index(cause.kind), default=None)


#: How a note begins that tells of an outage, and the one that ends it.
OUTAGE, ANSWERS = "no good answer: ", "answers are good again"
#: Position of the task in its job (from 0), its exit code, when it ended (seconds since the epoch).
TaskResult = tuple[Position, _ExitCode, Moment]


class Opened(_Event, frozen=True, gc=False):
    """First record: what was asked, so that a journal explains itself. Never holds a profile or a secret."""

    submission: Name
    plan: str
    work_base: str
    machine: dict[str, Any]
    resources: dict[str, Any]
    root: str
    forward_common_files: tuple[str, ...] = ()
    backward_common_files: tuple[str, ...] = ()
    inputs: dict[str, str] = {}
    owner: str = ""


class Placed(_Event, frozen=True, gc=False):
    """The jobs run in a directory of this name below the remote root: that of the submission is another journal's."""

    name: Name


class Recalled(_Event, frozen=True, gc=False):
    """Attempts that have left files where the jobs run, and of which a journal that was made anew knows no more."""

    attempts: tuple[Name, ...]


class Planned(_Event, frozen=True, gc=False):
    """A job and its tasks: their positions in the submission and what they are."""

    job: Name
    positions: tuple[Position, ...]
    tasks: tuple[TaskSpec, ...]


class Reused(_Event, frozen=True, gc=False):
    """These tasks (positions in the job) ended with code 0 in an earlier submission, and their results are here."""

    job: str
    tasks: tuple[Position, ...]
    previous: Name


class Staged(_Event, frozen=True, gc=False):
    """Every forward file is on the execution side and was verified there."""

    files: Count
    bytes: Count


class Submitting(_Event, frozen=True, gc=False):
    """About to ask the scheduler; durable before the question leaves.

    `inputs` are stamps of what its tasks read, one for each that is not done (`run.inputs`). `asked`: how often this
    attempt is asked for by now; 0: not known.
    """

    job: str
    attempt: Count
    nonce: Name
    inputs: tuple[str, ...] = ()
    asked: Count = 0


class Submitted(_Event, frozen=True, gc=False):
    """The scheduler has it. `how`: reply, receipt, claim, queue or accounting."""

    job: str
    id: NativeId
    how: str = "reply"


class Deferred(_Event, frozen=True, gc=False):
    """Not now (a queue limit, a quota): stays unsubmitted, costs no attempt."""

    job: str
    why: str


class InDoubt(_Event, frozen=True, gc=False):
    """Answered, but not whether it was taken: it is looked for. `known`: passing trouble, else words nobody knows."""

    job: str
    why: str
    known: bool = False


class NotFound(_Event, frozen=True, gc=False):
    """Requested, unanswered, and never asked for, or found nowhere after the absence timeout; a next request keeps the
    nonce.
    """

    job: str
    why: str


class Rejected(_Event, frozen=True, gc=False):
    """The scheduler will never take it as it is."""

    job: str
    cause: Cause


class Waiting(_Event, frozen=True, gc=False):
    """Back in the queue: requeued, preempted, held or suspended."""

    job: str
    why: str = ""


class Running(_Event, frozen=True, gc=False):
    """It runs."""

    job: str
    node: str = ""


class Completing(_Event, frozen=True, gc=False):
    """Its tasks are over or being ended; the scheduler still has it."""

    job: str


class OwnerChanged(_Event, frozen=True, gc=False):
    """Another native id than the one recorded holds the claim of this attempt; that one counts."""

    job: str
    id: NativeId
    why: str


class Finished(_Event, frozen=True, gc=False):
    """The exit marker says that every task of this attempt ended with code 0."""

    job: str
    tasks: tuple[TaskResult, ...] = ()


class Stopping(_Event, frozen=True, gc=False):
    """About to kill it; durable before the command leaves. `why`: cancelled or abandoned.

    `tasks` are positions of tasks that were seen to have ended well before that: what is found after the kill may have
    been cut short by it, and does not count.
    """

    job: str
    why: CauseKind
    tasks: tuple[Position, ...] = ()


class Terminated(_Event, frozen=True, gc=False):
    """This attempt is over without success. `tasks` are the results of those that ended.

    `lines` is how much of its claim was known: if more of it is found later, it was not over.
    """

    job: str
    cause: Cause
    tasks: tuple[TaskResult, ...] = ()
    lines: Count = 0


class Retried(_Event, frozen=True, gc=False):
    """To be submitted again. `fresh`: a new run by the user, the count of failures starts again.

    `resources` are keys of resources, or of its kwargs, that are other from now on.
    """

    job: str
    fresh: bool = False
    resources: dict[str, Any] = {}


class Rerun(_Event, frozen=True, gc=False):
    """These tasks are to be run again, though they had ended with code 0: their results are gone, or the user says so.

    `tasks` are positions in the job.
    """

    job: str
    tasks: tuple[Position, ...]
    why: str


class EarlierAttemptFound(_Event, frozen=True, gc=False):
    """An earlier attempt that had been given up was found; it counts, and nothing was submitted beside it."""

    job: str
    nonce: Name


class Delivered(_Event, frozen=True, gc=False):
    """The backward files of these jobs are on the local side and verified."""

    jobs: tuple[str, ...]
    files: Count
    bytes: Count
    missing: tuple[str, ...] = ()


class Received(_Event, frozen=True, gc=False):
    """Results of finished tasks that are on the local side: SHA-256 by path below it."""

    files: dict[str, str]


class Cleaned(_Event, frozen=True, gc=False):
    """Our files on the execution side were removed."""


class Concluded(_Event, frozen=True, gc=False):
    """The run ended. `outcome`: finished or failed."""

    outcome: str
    failed: Count = 0


class Hooked(_Event, frozen=True, gc=False):
    """What the user wants called at the end (`on_end`, `on_failure`) is about to be called, once for each end."""

    hook: str


class Note(_Event, frozen=True, gc=False):
    """Something worth knowing that moves nothing: an outage, a duplicate that was fenced, a correction."""

    text: str
    job: str = ""


JobEvent = Union[  # noqa: UP007 (msgspec wants a Union at run time on 3.10)
    Reused,
    Submitting,
    Submitted,
    Deferred,
    InDoubt,
    NotFound,
    Rejected,
    Waiting,
    Running,
    Completing,
    OwnerChanged,
    Finished,
    Stopping,
    Terminated,
    Retried,
    Rerun,
    EarlierAttemptFound,
]
Event = Union[  # noqa: UP007
    JobEvent, Opened, Placed, Recalled, Planned, Staged, Received, Delivered, Cleaned, Concluded, Hooked, Note
]
#: The structs of JobEvent: events that move a job.
JOB_EVENTS: tuple[type, ...] = get_args(JobEvent)
