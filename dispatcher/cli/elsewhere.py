"""The files of a submission: on this side where they are here, otherwise through the context, and without any lock.

with Elsewhere(chosen, profile_of(args)) as there:
    there.tail("c13/err", 200)      the last lines, from the work directory or from the execution side
"""

from __future__ import annotations

import os
import re
import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import journal as journals

from .. import contexts, schedulers
from ..core.errors import ConfigError, InputMissing, SubmissionBusy
from ..core.model import SubmissionSpec
from ..core.names import CONTROL
from ..core.ports import Context, FileEntry, Scheduler, ShellText
from ..files.gate import inside
from ..run.environment import Environment
from ..run.reopen import asked, context_of, reopened_session
from ..run.session import Session
from .wanted import Chosen


def arguments(parser: ArgumentParser) -> None:
    """The arguments of every verb that may have to reach the execution side."""
    parser.add_argument("--machine", metavar="FILE", help="machine or submission file, where a context needs a profile")
    parser.add_argument("--allow-ref", action="store_true", help="follow $ref in that file")


def profile_of(args: Namespace) -> Mapping[str, Any] | None:
    """What the context is told of the other side, from the file that was named; None when none was."""
    if not args.machine:
        return None
    from ..schema.reading import read_profile

    return read_profile(args.machine, args.allow_ref)


@contextmanager
def alone_with(
    path: Path, profile: Mapping[str, Any] | None, again: str, environment: Environment | None = None
) -> Iterator[Session]:
    """The submission opened, for what cannot be done beside a dispatcher at work; SubmissionBusy says what to do then.

    `again` is what to type once that dispatcher has stopped.
    """
    try:
        with reopened_session(path, profile, environment) as session:
            yield session
    except journals.JournalBusy as busy:
        raise SubmissionBusy(
            f"{busy.holder or 'a dispatcher'} is at work on this submission, and some of its jobs cannot be changed "
            f"beside it: stop it (Ctrl-C; its jobs run on), type `{again}` again, then start it again"
        ) from None


#: Bytes of a file that are read at once: for its last lines, or of what was added to it.
_MOST = 16 << 20
_SIZE = re.compile("[0-9]{1,18}")


class Elsewhere:
    """The two sides of a submission; the other one is reached only when it is needed."""

    #: Seconds between two looks at a file that lies on the other side.
    PAUSE = 5.0

    def __init__(self, found: Chosen, profile: Mapping[str, Any] | None) -> None:
        self._found, self._profile = found, profile
        self._context: Context | None = None

    def __enter__(self) -> Elsewhere:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._context is not None:
            self._context.close()

    @property
    def context(self) -> Context:
        """The place where the jobs run, opened when it is first needed."""
        if self._context is None:
            self._context = context_of(self._found.path, self._found.replay.history, self._profile)
        return self._context

    @property
    def spec(self) -> SubmissionSpec:
        """What was asked."""
        return asked(self._found.path, self._found.replay.history, self._profile)[0]

    @property
    def scheduler(self) -> Scheduler:
        """The dialect of the batch system that has the jobs."""
        return schedulers.chosen(self.spec.machine.batch_type, self.spec.resources)

    def log_of(self, nonce: str) -> str:
        """The pattern of the paths, below the work directory, of what the script of an attempt printed itself."""
        return f"{CONTROL}/{self._found.path.parent.name}/jobs/{nonce}*.log"

    def here(self, name: str) -> Path | None:
        """The file on this side, if it is here; TransferFailed for a name that leads out of the work directory."""
        inside(name, str(self._found.path.parent), "read")
        folder, _, last = name.rpartition("/")
        found = sorted((self._found.local / folder).glob(last)) if _is_log(name) else [self._found.local / name]
        return next((path for path in found if path.is_file()), None)

    def where(self, name: str) -> str:
        """Its whole path, for people."""
        return str(self.here(name) or f"{self.context.place.remote_root}/{name}")

    def tail(self, name: str, lines: int) -> str:
        """The last lines of a file. InputMissing when it is on neither side, Unreachable when that cannot be said."""
        if path := self.here(name):
            return "".join(_end(path).splitlines(True)[-lines:] if lines > 0 else [])
        return self._shell(f"tail -n {max(lines, 0)} -- {self._quoted(name)}", name)

    def size(self, name: str) -> int:
        """Its bytes."""
        if path := self.here(name):
            return path.stat().st_size
        said = self._shell(f"cat -- {self._quoted(name)} | wc -c", name).strip()
        if not _SIZE.fullmatch(said):
            raise InputMissing(f"{self.where(name)}: its size was not told ({said[:80]!r})")
        return int(said)

    def since(self, name: str, size: int) -> bytes:
        """What was added behind so many bytes."""
        if path := self.here(name):
            with path.open("rb") as file:
                file.seek(size)
                return file.read(_MOST)
        return self._shell(f"tail -c +{size + 1} -- {self._quoted(name)} | head -c {_MOST}", name).encode()

    def listing(self, folder: str) -> list[FileEntry]:
        """All files of a task's directory, on the execution side."""
        return self.context.tree([folder])

    def _quoted(self, name: str) -> str:
        """The path there; only a trailing pattern of our own is expanded."""
        place = self.context.place
        if _is_log(name):
            return f"{shlex.quote(place.control)}/{name.rpartition('/')[2]}"
        return shlex.quote(f"{place.remote_root}/{name}")

    def _shell(self, text: str, name: str) -> str:
        reply = self.context.run(ShellText(text, timeout=60.0))
        if reply.code:
            said = (reply.err.strip() or f"exit code {reply.code}").splitlines()[-1]
            raise InputMissing(f"{self.context.place.remote_root}/{name}: {said}")
        return reply.out


def _is_log(name: str) -> bool:
    """Whether it is what `log_of` gives: its last part is a pattern of ours, and no name that a task has chosen."""
    return name.startswith(f"{CONTROL}/")


def _end(path: Path) -> str:
    """The end of a file on this side, as much as anybody reads of it."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _MOST))
        return file.read().decode("utf-8", "replace")


def context_type(found: Chosen) -> str:
    """What stands between us and the place where the jobs run. ConfigError for a journal that does not say it."""
    opened = found.replay.history.opened
    if opened is None:
        raise ConfigError(f"{found.path} does not say what was asked: the dispatcher died before it began")
    return contexts.canonical(str(opened.machine.get("context_type")))


def only_here(found: Chosen) -> bool:
    """Whether jobs run in the work directory itself."""
    return context_type(found) == "LazyLocalContext"
