"""The contexts of DPDispatcher's API: where jobs run, and how files get there.

    context = SSHContext("./", "/scratch/me", {"hostname": "login", "username": "me"})
    context.bind_submission(submission)
    context.block_checkcall("ls")        runs in R, the directory of that submission

They are a door: names, and the directories of one submission. Connections are
made by the context behind, opened when something is first asked of it. A
submission itself never goes through these objects, so two of them may share one.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from .. import contexts
from ..core.errors import ConfigError, DispatcherError, ResultMissing
from ..core.model import MachineSpec
from ..core.ports import Context, Reply, ShellText
from ..schema import profiles, rules
from ..schema.reading import absolute
from . import own
from .roles import Bound
from .streams import LONGEST, Output, Started

if TYPE_CHECKING:
    from ..schema import Argument


class BaseContext:
    """A place where jobs run.

    `local_root` is the project directory on this side, `remote_root` the directory in which submissions get
    theirs, `remote_profile` what is needed to get there. Raises ConfigError without a local_root.
    """

    alias: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[set[str]] = set()
    subclasses_dict: ClassVar[dict[str, type[BaseContext]]] = {}

    submission: Bound | None = None
    _opened: Context | None = None
    #: The submission that a run is at work on, with classes of the program's own; they share its connection.
    _at_work: Bound | None = None

    def __init_subclass__(cls) -> None:
        cls.options.add(cls.__name__)
        for name in (cls.__name__, *profiles.spellings(cls.__name__)):
            cls.subclasses_dict[name] = cls

    def __init__(
        self,
        local_root: str,
        remote_root: str | None = None,
        remote_profile: Mapping[str, Any] = {},
        *args: Any,
        **kwargs: Any,
    ) -> None:
        self.init_local_root = local_root
        self.init_remote_root = None if remote_root is None else _directory(remote_root, "machine/remote_root")
        self.remote_profile: dict[str, Any] = deepcopy(dict(remote_profile))

    def __new__(cls, *args: Any, context_type: str = "", **kwargs: Any) -> BaseContext:
        """`BaseContext(context_type=…, …)` makes an object of the class that is named."""
        return super().__new__(find(context_type) if cls is BaseContext and context_type else cls)

    @property
    def init_local_root(self) -> str:
        """The project directory as it was given; a program may set another one, until jobs run."""
        return self._given

    @init_local_root.setter
    def init_local_root(self, value: Any) -> None:
        self._given = _directory(value, "machine/local_root")
        self._local = absolute(self._given)  # a later change of the working directory does not move the project

    @property
    def temp_local_root(self) -> str:
        """The project directory, absolute; setting it is setting init_local_root."""
        return self._local

    @temp_local_root.setter
    def temp_local_root(self, value: Any) -> None:
        self.init_local_root = value

    @property
    def temp_remote_root(self) -> str | None:
        """The directory in which submissions get theirs, as init_remote_root."""
        return self.init_remote_root

    @temp_remote_root.setter
    def temp_remote_root(self, value: Any) -> None:
        self.init_remote_root = None if value is None else _directory(value, "machine/remote_root")

    @classmethod
    def load_from_dict(cls, context_dict: Mapping[str, Any]) -> BaseContext:
        """The context that a machine dictionary describes. Raises ConfigError for an unknown context_type."""
        name = context_dict.get("context_type", cls.__name__)
        kind = find(name) if cls is BaseContext else cls
        return kind(
            context_dict.get("local_root"),  # type: ignore[arg-type]  # null is refused by name
            context_dict.get("remote_root"),
            context_dict.get("remote_profile") or {},
        )

    def bind_submission(self, submission: Bound) -> None:
        """Work in the directories of this submission from now on. ConfigError while a run of another needs it."""
        if submission is self._at_work:
            return
        if self._at_work is not None:
            raise ConfigError(f"{self!r} is at work on another submission: give each run a context of its own")
        self.close()
        self.submission = submission

    def work_on(self, submission: Bound, opened: Context | None) -> None:
        """For as long as a run drives classes of the program's own: its submission, on its connection; None: over."""
        if opened is None:
            self._at_work = self._opened = None
            return
        if self._opened is not opened:
            self.close()
        self.submission, self._at_work, self._opened = submission, submission, opened

    def close(self) -> None:
        """Let go of the connection; the next use opens it again."""
        if self._opened is not None and self._at_work is None:
            self._opened.close()
            self._opened = None

    @property
    def local_root(self) -> str:
        """Absolute: local_root/work_base once a submission is bound, before that local_root."""
        return os.path.normpath(Path(self._local, self.submission.work_base if self.submission else ""))

    @property
    def remote_root(self) -> str | None:
        """R, where the tasks run, once a submission is bound; before that remote_root as given."""
        return self._core().place.remote_root if self.submission else self.init_remote_root

    @property
    def profile(self) -> dict[str, Any]:
        """What was given for connecting, under its real names. Holds secrets. Raises ConfigError for a bad key."""
        from ..schema import tolerated

        name = self.kind()
        tree = self.machine_arginfo().sub_fields["remote_profile"]
        return profiles.as_given(
            name, self.remote_profile, tolerated(self.remote_profile, tree, "machine/remote_profile")
        )

    def spec(self) -> MachineSpec:
        """Where it is, without the profile."""
        return MachineSpec("", self.kind(), self._local, self.init_remote_root)

    # -- files --------------------------------------------------------------------------------------------------

    def upload(self, submission: Bound, dereference: bool = True) -> None:
        """Send the forward files and verify them; links are always followed. Raises InputMissing, TransferFailed."""
        from ..run.survey import survey

        self._core(submission).put(survey(submission.spec()).uploads, replace=True)

    def download(
        self,
        submission: Bound,
        check_exists: bool = False,
        mark_failure: bool = True,
        back_error: bool = False,
    ) -> None:
        """Bring back the backward files and verify them.

        What no task wrote raises ResultMissing at the end; with `check_exists` it is left out, and with
        `mark_failure` an empty file `tag_failure_download_<name>` stands in its place. `back_error` brings files
        named error* too.
        """
        from ..files import patterns

        spec, core = submission.spec(), self._core(submission)
        everyone = range(len(spec.tasks))
        wanted = patterns.wanted(spec, everyone)
        extra = [f"{patterns.escape(patterns.clean(task.task_work_path, 'task'))}/error*" for task in spec.tasks]
        entries = core.tree(patterns.roots([*wanted, *(extra if back_error else [])]))
        items, missing = patterns.downloads(wanted, entries)
        known = {item.source for item in items}
        more, _ = patterns.downloads(extra if back_error else [], entries)
        core.get([*items, *(item for item in more if item.source not in known)])
        if missing and not check_exists:
            raise ResultMissing(
                f"{core.place.remote_root} does not have: {', '.join(missing)}; all else was downloaded"
            )
        for name in patterns.markers(spec, everyone, missing) if missing and mark_failure else []:
            marker = Path(core.place.local, name)
            marker.parent.mkdir(parents=True, exist_ok=True)
            marker.touch()

    def clean(self) -> None:
        """Remove what is ours on the execution side, whether or not it was downloaded."""
        self._core().remove()

    def write_file(self, fname: str, write_str: str) -> None:
        """Write a text below R; readers see the old content or all of the new. Raises DispatcherError."""
        name = _word(fname)
        self._must(
            f"mkdir -p -- \"$(dirname -- {name})\" && printf '%s' {_word(write_str, text=True)} > {name}.tmp.$$ "
            f"&& mv -f -- {name}.tmp.$$ {name}"
        )

    def read_file(self, fname: str) -> str:
        """The text of a file below R. Raises ResultMissing (a FileNotFoundError) when it is not there."""
        if not self.check_file_exists(fname):
            raise ResultMissing(f"{fname} does not exist in {self.get_job_root()}")
        return self._must(f"cat -- {_word(fname)}").out

    def check_file_exists(self, fname: str) -> bool:
        """True when there is something of that name below R."""
        return self._request(f"[ -e {_word(fname)} ]").code == 0

    def get_job_root(self) -> str:
        """R, absolute."""
        return self._core().place.remote_root

    # -- commands -----------------------------------------------------------------------------------------------

    def block_call(self, cmd: str) -> tuple[int, Output, Output, Output]:
        """Run a command in R and wait: exit code, stdin (empty), stdout, stderr. Raises Unreachable."""
        reply = self._request(cmd)
        return reply.code, Output(), Output(reply.out), Output(reply.err)

    def block_checkcall(
        self, cmd: str, asynchronously: bool = False, stderr_whitelist: Any = None
    ) -> tuple[Output, Output, Output]:
        """As block_call, without the code: DispatcherError (a RuntimeError) when it is not 0.

        `asynchronously` leaves the command running in the background. `stderr_whitelist` is taken and not used.
        """
        reply = self._must(f"nohup sh -c {_word(cmd, text=True)} > /dev/null 2>&1 &" if asynchronously else cmd)
        return Output(), Output(reply.out), Output(reply.err)

    def call(self, cmd: str) -> Started:
        """Start a command in R and do not wait; see check_finish and get_return."""
        return Started(self._core(), cmd)

    def check_finish(self, proc: Started) -> bool:
        """True when the command that `call` started has ended."""
        return proc.done()

    def get_return(self, proc: Started) -> tuple[int | None, Output | None, Output | None]:
        """Exit code, stdout and stderr of what `call` started; three None while it runs."""
        reply = proc.reply()
        return (None, None, None) if reply is None else (reply.code, Output(reply.out), Output(reply.err))

    def kill(self, job_id: int | str) -> None:
        """Send SIGTERM to a process of that number on the execution side; one that is gone is no error."""
        self._request(f"kill -TERM {int(job_id)} 2> /dev/null || :")

    # -- documentation ------------------------------------------------------------------------------------------

    @classmethod
    def machine_arginfo(cls) -> Argument:
        """The keys that a machine has with this context, as a dargs Argument."""
        from ..schema import context_arginfo

        return context_arginfo(cls.kind())

    @classmethod
    def machine_subfields(cls) -> list[Argument]:
        """The keys of this context's remote_profile, as dargs Arguments."""
        inner = cls.machine_arginfo().sub_fields["remote_profile"]
        return list(inner.sub_fields.values())

    def __repr__(self) -> str:
        return f"{type(self).__name__}(local_root={self.init_local_root!r}, remote_root={self.init_remote_root!r})"

    @classmethod
    def kind(cls) -> str:
        """The name of the context that it is; of a class of the program's own, of the one that it is derived from."""
        return own.nearest(cls).__name__

    # -- the context behind -------------------------------------------------------------------------------------

    def _core(self, submission: Bound | None = None) -> Context:
        """Opened for the bound submission."""
        kind = contexts.load(self.kind())
        if submission is not None and submission is not self.submission:
            self.bind_submission(submission)
        if self.submission is None:
            raise ConfigError(f"{type(self).__name__} is bound to no submission: call bind_submission first")
        if self._opened is None:
            name = self.submission.submission_hash
            self._opened = kind.open(self.spec(), self.profile, name, self.submission.work_base)
        return self._opened

    def _request(self, text: str) -> Reply:
        return self._core().run(ShellText(text, LONGEST))

    def _must(self, text: str) -> Reply:
        reply = self._request(text)
        if reply.code != 0:
            said = (reply.err or reply.out).strip()[-1000:]
            raise DispatcherError(f"in {self.get_job_root()}: {text[:200]!r} ended with code {reply.code}: {said}")
        return reply


class LazyLocalContext(BaseContext):
    """Runs jobs on this machine, in the directory where the files are."""


class LocalContext(BaseContext):
    """Runs jobs on this machine, in another directory."""


class SSHContext(BaseContext):
    """Runs jobs on another machine, reached by SSH."""


class HDFSContext(BaseContext):
    """Keeps the files of YARN jobs on HDFS."""


class BohriumContext(BaseContext):
    """Runs jobs on the Bohrium cloud."""

    alias = ("DpCloudServerContext", "LebesgueContext")


class OpenAPIContext(BaseContext):
    """Runs jobs on Bohrium through its open API."""


DpCloudServerContext = LebesgueContext = BohriumContext


def find(name: str) -> type[BaseContext]:
    """The class for any spelling of a context's name; one is made for a context of another package."""
    if found := BaseContext.subclasses_dict.get(name):
        return found
    known = contexts.canonical(name)
    return BaseContext.subclasses_dict.get(known) or type(known, (BaseContext,), {})


def _directory(value: Any, where: str) -> str:
    if not isinstance(value, (str, os.PathLike)):
        raise ConfigError(f"{where}: expected the name of a directory, got {rules.said(value)}")
    return str(os.fspath(value))


def _word(value: str, text: bool = False) -> str:
    """One shell word that is not expanded; a name never looks like an option."""
    if "\0" in value:
        raise ConfigError("a NUL character cannot be sent in a command")
    name = value if text or value.startswith("/") else f"./{value}"
    return "'" + name.replace("'", "'\\''") + "'"
