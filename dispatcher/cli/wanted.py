"""From what people call a task or a job to the records of it.

c13             the directory of a task, or its name; a pattern ("c*") means all that match
runs/c13        the same, as a path from here: the submission is found above it
runs c13        the same: what a submission can be called by may stand first
5f1c            the start of a job's hash
4211            a native id
#7              the eighth task of the submission
"""

from __future__ import annotations

import fnmatch
import os
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import journal as journals

from ..core.errors import ConfigError
from ..core.events import Event
from ..core.names import CONTROL
from ..core.records import TaskRecord
from ..schema.rules import nearest
from .find import HASH, journals_of
from .say import warn
from .telling import Replay

_SHORTEST = 4


class Chosen(NamedTuple):
    """A submission and the tasks of it that are meant."""

    path: Path
    replay: Replay
    tasks: list[TaskRecord]

    @property
    def local(self) -> Path:
        """The work directory, where the journal lies now."""
        return self.path.absolute().parents[2]

    @property
    def jobs(self) -> list[str]:
        """The hashes of the jobs that these tasks belong to."""
        return list(dict.fromkeys(task.job for task in self.tasks))


def arguments(parser: ArgumentParser, many: str = "*") -> None:
    """The arguments of every verb that is about tasks or jobs."""
    about = (
        "directory or name of a task (a pattern means all), #position, start of a job's hash, or native id; "
        "a work directory or a submission's hash may come first"
    )
    parser.add_argument("names", metavar="TASK|JOB", nargs=many, help=about)
    parser.add_argument("--in", dest="where", metavar="PATH|HASH", help="which submission (default: those below here)")


def folded(path: Path) -> Replay:
    """A journal, told to its end."""
    return Replay().fold(journals.frames(path, Event))


def chosen(names: Sequence[str], where: str | None, only: bool = False) -> Chosen:
    """The newest submission that has tasks of these names, and those tasks; all tasks without names.

    With `only`, for those who change something, there must not be another one.

    ConfigError that says what there is when nothing fits, or that names the submissions when several do.
    """
    if where is None and names and _is_place(names[0]):
        where, names = names[0], names[1:]
    elif where is None and names and (above := _above(names[0])):
        where, names = str(above), [_below(name, above) for name in names]
    found: list[Chosen] = []
    paths = journals_of(where or ".")
    for path in paths:
        replay = folded(path)
        tasks = replay.chronicle.tasks()
        parts = [named(name, tasks) for name in names]
        if all(parts):
            wanted = {task.position for part in parts for task in part} if names else {t.position for t in tasks}
            found.append(Chosen(path, replay, [task for task in tasks if task.position in wanted]))
    if found and (len(found) == 1 or not only):
        if len(found) > 1:
            others = f"the newest of {len(found)} submissions that fit (--in says which)"
            warn(f"dispatcher: {os.path.relpath(found[-1].path.parent)}: {others}\n")
        return found[-1]
    if found:
        listed = "".join(f"\n  --in {one.path.parent}" for one in found[:20])
        raise ConfigError(f"{len(found)} submissions fit; say which:{listed}")
    raise ConfigError(_nothing(names, paths))


def _is_place(name: str) -> bool:
    """Whether this is the work directory, the directory or the hash of submissions, and not a task or a job of one."""
    path = Path(name)
    if path.is_dir():
        return (path / CONTROL).is_dir() or CONTROL in path.absolute().parts[-3:]
    if not HASH.fullmatch(name):
        return False
    with suppress(ConfigError):
        return bool(journals_of(name))
    return False


def _above(name: str) -> Path | None:
    """The work directory that a task's directory, given as a path from here, is below."""
    path = Path(name)
    if not path.is_dir() or (Path(CONTROL).is_dir() and os.sep not in name):
        return None
    return next((above for above in path.absolute().parents if (above / CONTROL).is_dir()), None)


def _below(name: str, above: Path) -> str:
    path = Path(name).absolute()
    return path.relative_to(above).as_posix() if path.is_dir() and path.is_relative_to(above) else name


def named(name: str, tasks: Sequence[TaskRecord]) -> list[TaskRecord]:
    """The tasks that a name means. Exact names count before starts of hashes, those before patterns."""
    plain = name.rstrip("/")
    found = [task for task in tasks if plain in (task.path.rstrip("/"), task.name, task.id)]
    if not found and plain.startswith("#") and plain[1:].isdecimal():
        found = [task for task in tasks if task.position == int(plain[1:])]
    if not found and len(plain) >= _SHORTEST:
        found = [task for task in tasks if task.job.startswith(plain)]
    if not found and set(plain) & set("*?["):
        found = [task for task in tasks if any(fnmatch.fnmatchcase(one, plain) for one in (task.path, task.name))]
    return found


def _nothing(names: Sequence[str], paths: Sequence[Path]) -> str:
    known = [task for path in paths[-20:] for task in folded(path).chronicle.tasks()]
    for name in names:
        if not named(name, known):
            close = nearest(name, [task.path for task in known])
            return f"{name}: not a task or job of {len(paths)} submission(s) here{close} (dispatcher tasks lists them)"
    return f"{', '.join(names)}: not of one submission"
