"""The two ports: schedulers are text in and text out, contexts are the only I/O.

    scheduler.submit([SubmitRequest(nonce="dq3v81kx0mza", …)])  ->  ShellText("… sbatch …")     what to run there
    context.run(call)                                 ->  Reply(0, "@@… accepted dq3v81kx0mza …")
    scheduler.submitted(reply, requests)              ->  {"dq3v81kx0mza": Accepted("4211")}

A scheduler never holds a connection, a context never knows a job. The engine is handed one of each. To add one: a file
in `schedulers/` or `contexts/` and one line of registration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple, Protocol, Union, runtime_checkable

import msgspec

from .claim import Claim as Claim
from .events import Cause
from .model import ResourcesSpec, TaskSpec
from .possession import Possession


class ShellText(msgspec.Struct, frozen=True):
    """A POSIX shell text to be run on the execution side, fed to `sh` on its standard input.

    `timeout` in seconds: after it the answer counts as lost, whatever the command did.
    """

    text: str
    timeout: float = 120.0


#: Exit code of a call that found the directory it was to run in, or the control directory, removed.
PURGED = 97


class Reply(msgspec.Struct, frozen=True):
    """What a call printed (a cloud: JSON). `code`: the exit status (255, negative: the link broke, trust nothing)."""

    code: int
    out: str = ""
    err: str = ""


class Place(msgspec.Struct, frozen=True):
    """Where things are. `local`: the submission's directory on this side (local_root/work_base), absolute.

    `remote_root`: the directory in which tasks run; `control`: <remote root>/.dispatcher/<submission>/jobs, all that
    is ours there. `inherits`: what runs there has the environment of whoever started the dispatcher.
    """

    local: str
    remote_root: str
    control: str
    inherits: bool = False


class JobScript(msgspec.Struct, frozen=True):
    """All that a script is made of. `tasks` are those still to be run, with their position in the job.

    `template` is the text of customized_script_header_template_file, if there is one. `forward` and `backward` are
    patterns relative to the remote root: what these tasks read, and what they leave, their logs and the common
    files included; `common` are those of `forward` that every job has, `log` is the first task's output, there, too
    ("": none).
    """

    job: str
    nonce: str
    name: str
    place: Place
    resources: ResourcesSpec
    tasks: tuple[tuple[int, TaskSpec], ...]
    template: str | None = None
    forward: tuple[str, ...] = ()
    backward: tuple[str, ...] = ()
    common: tuple[str, ...] = ()
    log: str = ""


class Withdrawal(NamedTuple):
    """An attempt that is not to run any more, and how many lines of its claim are known.

    Where more is found than is known, it was not over: it counts, and nothing is submitted beside it.
    """

    nonce: str
    lines: int = 0


class SubmitRequest(msgspec.Struct, frozen=True):
    """A job to be submitted: its nonce, its job name (starts with the nonce), its files by name (text).

    `script` is the name of the file to hand to the scheduler, `tasks` how many tasks it runs; `forward` and
    `backward`, `common` and `log` are as in JobScript, for places that carry files to and from each job. `withdrawals`
    are the earlier attempts, to be withdrawn before this one is submitted. `of` is what the files were made of. `asked`
    is the number of this request among those for the attempt: one call makes it or one look withdraws it.
    """

    nonce: str
    name: str
    script: str
    files: Mapping[str, str]
    resources: ResourcesSpec
    tasks: int = 1
    withdrawals: tuple[Withdrawal, ...] = ()
    forward: tuple[str, ...] = ()
    backward: tuple[str, ...] = ()
    common: tuple[str, ...] = ()
    log: str = ""
    of: JobScript | None = None
    asked: int = 1


class Accepted(msgspec.Struct, frozen=True):
    """The scheduler has it under this id."""

    id: str


class Deferral(msgspec.Struct, frozen=True):
    """Not now: a limit, a quota, a busy controller that said no for certain."""

    why: str


class Rejection(msgspec.Struct, frozen=True):
    """Refused for good, and why."""

    why: str


class EarlierAttempt(msgspec.Struct, frozen=True):
    """Not submitted: an earlier attempt, given up as lost, runs or has run. `nonce` is that attempt's."""

    nonce: str


class Unclear(msgspec.Struct, frozen=True):
    """Asked, and the answer does not say whether it was taken: it is looked for.

    `why`: the words of the answer. `known`: trouble of a known kind, which passes; otherwise words that nobody knows:
    they are heard a bounded number of times, and then taken for a refusal.
    """

    why: str
    known: bool = False


Answer = Union[Accepted, Deferral, Rejection, EarlierAttempt, Unclear]  # noqa: UP007


class Native(str, Enum):
    """What an observation can say of a job."""

    waiting = "waiting"
    running = "running"
    completing = "completing"
    ended = "ended"  # seen, and the scheduler says it is over
    absent = "absent"  # a good, complete answer without this job
    unknown = "unknown"  # no good answer, or a state nobody knows: no news


class Query(msgspec.Struct, frozen=True):
    """A job to be looked at: its nonce, its native id ("" while the answer to its submission is missing).

    `since`: when it was first submitted, seconds since the epoch (accounting is searched from there); `job`: its hash.
    `asked`: the request without an answer, to be withdrawn unless it was made (0: none); `beat`: tell its sign of life.
    """

    nonce: str
    id: str = ""
    since: float = 0.0
    job: str = ""
    asked: int = 0
    beat: bool = False


class CloudJob(msgspec.Struct, frozen=True):
    """A job for a cloud that gives each its own container: nothing is shared with it but what goes up and comes down.

    `command` runs in the directory that holds `files` (texts by path) and what `forward` means; `outputs` are the
    patterns of what its result archive is to hold. The other fields are those of SubmitRequest; `pause`: seconds
    before it.
    """

    nonce: str
    name: str
    command: str
    files: Mapping[str, str]
    forward: tuple[str, ...] = ()
    common: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    log: str = ""
    withdrawals: tuple[Withdrawal, ...] = ()
    pause: float = 0.0


class CloudSubmit(msgspec.Struct, frozen=True):
    """Submit these jobs, one request after the other; `live` and `ended` are status numbers, as in CloudQuery."""

    jobs: tuple[CloudJob, ...]
    claim: str
    live: tuple[int, ...]
    ended: tuple[int, ...]


class CloudQuery(msgspec.Struct, frozen=True):
    """List these jobs; bring the result archives of those that have `ended` and tell the claim that lies in each.

    `claim` is its path in the archive, with {nonce}. `live` are the numbers of a job that may still run.
    """

    jobs: tuple[Query, ...]
    claim: str
    live: tuple[int, ...]
    ended: tuple[int, ...]


class CloudDetail(msgspec.Struct, frozen=True):
    """Ask about each of these jobs by its id; the end of its log where there is no result archive."""

    jobs: tuple[Query, ...]
    live: tuple[int, ...]
    ended: tuple[int, ...]


class CloudKill(msgspec.Struct, frozen=True):
    """End these jobs; what is gone already is no error. `live` as in CloudQuery."""

    jobs: tuple[Query, ...]
    live: tuple[int, ...]


class Driven(msgspec.Struct, frozen=True):
    """Ask a class of the program's own, by its `verb` (do_submit, check_status, kill); see `api.driven`."""

    verb: str
    jobs: tuple[SubmitRequest | Query, ...]


#: What a scheduler may ask a context; each context answers the kinds that it knows, and refuses the others.
Call = Union[ShellText, CloudSubmit, CloudQuery, CloudDetail, CloudKill, Driven]  # noqa: UP007


class Observation(msgspec.Struct, frozen=True):
    """All that one look says of one job.

    `id` as found (receipt, claim, queue or accounting), `how` where it was found, `code` the native state, `cause`
    why it ended, `hint` what a person must know of a job that waits, `unasked` a request that nobody can make any more.
    """

    native: Native = Native.unknown
    code: str = ""
    id: str = ""
    how: str = ""
    node: str = ""
    claim: Claim | None = None
    cause: Cause | None = None
    hint: str = ""
    unasked: int = 0


class Observations(msgspec.Struct, frozen=True):
    """One look at many jobs. `trouble` is empty when the scheduler gave a good, complete answer."""

    jobs: Mapping[str, Observation]
    trouble: str = ""


class Scheduler(Protocol):
    """A dialect: says what to ask and reads the answer. Pure: no I/O, no clock, no state."""

    name: str
    #: Seconds that a job may be absent before that counts; longer than the site's message time-out.
    absence_timeout: float
    #: Seconds between two looks at least; the interval grows from here to check_interval while there is no news.
    min_poll_interval: float
    #: Most jobs to submit in one call.
    max_submit_batch: int
    #: Shell expressions, evaluated inside the job: its native id, how often it was requeued, its array element.
    native_id: str
    restarts: str
    element: str
    #: The one context that its jobs can be reached through; "" for every context that runs shell text.
    context: str

    def header(self, resources: ResourcesSpec, name: str, log: str, elements: int) -> list[str]:
        """The directive lines below `#!/bin/bash -l`; `log` is the path for the job's own output."""

    def elements(self, resources: ResourcesSpec, tasks: int) -> int:
        """Into how many array elements this many tasks are cut; 0 when the job is no array."""

    def fence(self, job: JobScript, elements: int) -> str:
        """The bash at a script's head that lets one copy of this attempt through, and ends the others with `exit 0`.

        It leaves REMOTE_ROOT (the directory that holds the tasks' directories), dsp_control (that of our files),
        dsp_claim, dsp_own (a temporary name beside it), dsp_done, and dsp_still_mine; and changes into REMOTE_ROOT.
        """

    def closing(self, job: JobScript) -> str:
        """The bash at a script's end: publishes the exit marker, last of all that the job hands over."""

    def check(self, resources: ResourcesSpec) -> None:
        """Raise ConfigError for resources that this batch system cannot express; called before anything starts."""

    def directive(self, line: str, key: str) -> str:
        """A line of the user's (of `custom_flags`) as a directive, "" when it is shell and has to stand below them all.

        ConfigError, which begins with `key`, for an option that would be read as a command.
        """

    def submit(self, requests: Sequence[SubmitRequest], place: Place) -> Call:
        """One call that writes the files, submits every job and leaves a receipt for each."""

    def submitted(self, reply: Reply, requests: Sequence[SubmitRequest]) -> Mapping[str, Answer]:
        """By nonce. A job without an answer here, or with an unclear one, may or may not have been accepted."""

    def observe(self, queries: Sequence[Query], place: Place) -> Call:
        """One call for all jobs: the queue, the receipts and the claims."""

    def observed(self, reply: Reply, queries: Sequence[Query]) -> Observations:
        """By nonce, one Observation for every query; raises Unreachable when the reply is not whole."""

    def account(self, queries: Sequence[Query], place: Place) -> Call | None:
        """Ask the accounting about jobs that left the queue; None when there is none to ask."""

    def accounted(self, reply: Reply, queries: Sequence[Query]) -> Observations:
        """As `observed`, from the accounting: `ended` with a cause, or `unknown` where it knows nothing."""

    def kill(self, queries: Sequence[Query], place: Place) -> Call:
        """One call that ends these jobs with everything they started; killing what is gone is no error."""

    def killed(self, reply: Reply, queries: Sequence[Query]) -> str:
        """Why some of them may not have been ended, "" when there is no reason to think so; asked again until gone."""


class FileEntry(msgspec.Struct, frozen=True, gc=False):
    """A file or (empty) directory by its path below a root, posix; `size` in bytes, -1 for a directory."""

    path: str
    size: int


class Item(msgspec.Struct, frozen=True, gc=False):
    """One thing to move: `source` on the sending side, `target` below the receiving root.

    `size` -1 is a directory to be made. `digest` is the SHA-256 of the content, "" when not known.
    """

    source: str
    target: str
    size: int
    digest: str = ""


class Context(Protocol):
    """A place: seven verbs, no knowledge of jobs or schedulers. All may raise Unreachable or TransferFailed."""

    place: Place

    def own(self, record: str) -> Possession:
        """Leave this line there, once: of all that ever come, the first one stays. "" only looks."""
        ...

    def run(self, call: Call) -> Reply:
        """Run it there and wait; Unreachable when there is no answer (the effect is then unknown)."""

    def put(self, items: Sequence[Item], replace: bool) -> None:
        """Send what differs (`replace`) or what is not there (not `replace`), and verify; idempotent.

        `source` is an absolute path on this side, `target` is relative to the remote root. Never deletes a directory.
        """

    def tree(self, paths: Sequence[str]) -> list[FileEntry]:
        """What is there: each path below the remote root as a file, or as a directory all below it; links followed."""

    def get(self, items: Sequence[Item]) -> list[Item]:
        """Bring back and verify; returns the items with the size and digest that arrived.

        `source` is relative to the remote root, `target` to the local side. A file that already is where it belongs
        is left as it is.
        """

    def remove(self) -> None:
        """Remove all that is ours there, and nothing else."""

    def close(self) -> None:
        """Let go of the connection; nothing on the other side changes."""


@runtime_checkable
class Guarded(Protocol):
    """A context whose `run` does one thing after the other, where nothing far away turns a second copy down."""

    def guard(self, confirm: Callable[[], None]) -> None:
        """Call `confirm` before each of them: it raises SubmissionBusy when another process has taken over."""
