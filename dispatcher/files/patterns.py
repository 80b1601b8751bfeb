"""What goes up and what comes down, decided from listings alone: no file is touched here.

    task t1: forward ["*.dat", "conf"], backward ["out*"], outlog "log"         work_base also has ["pot.json"]

    roots(sources(spec))                 ->  ["t1", "pot.json"]                   what to list on the local side
    uploads(spec, entries, "/proj/runs") ->  [Item("/proj/runs/t1/in.dat", "t1/in.dat", 812), Item(…, "t1", -1), …]
    wanted(spec, [0])                    ->  ["t1/out*"]                          patterns below the remote root
    downloads(["t1/out*"], entries)      ->  ([Item("t1/out.nc", "t1/out.nc", 4096)], [])

A file has the same path below work_base and below the remote root, so no two sources can meet
in one target. `*`, `?` and `[…]` stay within one name, `**` crosses directories,
none of them sees names that begin with a dot; a name that exists as it is
written wins over what it could mean. A directory that is named or matched
brings everything below it. Cost is linear: a listing is indexed once.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Sequence
from functools import lru_cache

from ..core.errors import ConfigError, InputMissing
from ..core.model import SubmissionSpec, TaskSpec
from ..core.names import CONTROL
from ..core.ports import FileEntry, Item
from .listing import ESCAPED, MAGIC, Listing, joined, literal

_DRIVE = re.compile(r"[A-Za-z]:")
_UNSAFE = re.compile(r"[^\w.-]")
_STRANGE = re.compile(r"[^A-Za-z0-9._/-]")
#: Paths of which nothing has to be judged: most of a million.
_PLAIN = re.compile(r"[A-Za-z0-9_][^/\\:\0]*(?:/[A-Za-z0-9_][^/\\:\0]*)*")


def clean(path: str, key: str) -> str:
    """A path of the user's as one below its directory, posix, "" for that directory itself.

    ConfigError when it could lead anywhere else; `key` says in the message where it was written.
    """
    if _PLAIN.fullmatch(path):
        return path
    name, why = _judged(path)
    if why:
        raise ConfigError(f"{key}: {path!r} is not allowed: {why}; write a path below that directory")
    return name


@lru_cache(maxsize=65536)
def _judged(path: str) -> tuple[str, str]:
    """The path as `clean` gives it, and what speaks against it."""
    posix = path.replace("\\", "/")
    parts = [part for part in posix.split("/") if part not in ("", ".")]
    faults = (
        ("\0" in path, "it contains a NUL character"),
        (posix.startswith("/"), "it is absolute"),
        (parts and _DRIVE.match(parts[0]), "it begins with a drive letter"),
        (".." in parts, "'..' would leave the directory"),
        (
            any(part.startswith(CONTROL) for part in parts),
            f"names that begin with {CONTROL!r} belong to the dispatcher",
        ),
    )
    return "/".join(parts), next((why for bad, why in faults if bad), "")


def check_paths(spec: SubmissionSpec) -> None:
    """Raise ConfigError for the first path of a submission that is not below its directory, or names no file."""
    _check("", forward_common_files=spec.forward_common_files, backward_common_files=spec.backward_common_files)
    for position, task in enumerate(spec.tasks):
        where = f"task_list[{position}]."
        clean(task.task_work_path, f"{where}task_work_path")
        _check(where, forward_files=task.forward_files, backward_files=task.backward_files)
        for key, log in (("outlog", task.outlog), ("errlog", task.errlog)):
            if log is not None and not clean(log, where + key):
                raise ConfigError(f"{where}{key}: {log!r} is a directory; write a file name, or null")


def _check(where: str, **lists: tuple[str, ...]) -> None:
    for key, paths in lists.items():
        for path in paths:
            if not path:
                raise ConfigError(f"{where}{key}: an empty name; write '.' for the whole directory, or leave it out")
            clean(path, where + key)


def escape(path: str) -> str:
    """A pattern that means this path and nothing else."""
    return MAGIC.sub(r"[\g<0>]", path) if MAGIC.search(path) else path


def readable(pattern: str) -> str:
    """A pattern as its user wrote it, without the marks of `escape`."""
    return ESCAPED.sub(r"\1", pattern) if "[" in pattern else pattern


def encoded(path: str) -> str:
    """A path of letters, digits, `._-/`, and `=xx` for every other byte: a name for any file system and any shell."""
    data = path.encode("utf-8", "surrogateescape").decode("latin-1")
    return _STRANGE.sub(lambda found: f"={ord(found[0]):02x}", data)


def _below(task: TaskSpec, paths: Sequence[str], key: str) -> list[str]:
    """Patterns of a task, relative to work_base and R; its directory is a name, never a pattern."""
    directory = escape(clean(task.task_work_path, "task_work_path")) if paths else ""
    return [joined(directory, clean(path, key)) for path in paths]


def _common(paths: Iterable[str], key: str) -> list[str]:
    return [clean(path, key) for path in paths]


def _logs(task: TaskSpec) -> list[str]:
    return _below(task, [escape(log) for log in (task.outlog, task.errlog) if log is not None], "outlog")


def common(spec: SubmissionSpec) -> list[str]:
    """Patterns, relative to work_base and to R, of what is forwarded for every task."""
    return _common(spec.forward_common_files, "forward_common_files")


def forwarded(task: TaskSpec) -> list[str]:
    """Patterns, relative to work_base and to R, of what is forwarded for this task alone."""
    return _below(task, task.forward_files, "forward_files")


def output(task: TaskSpec) -> str:
    """The file that a task's output goes to, relative to the remote root; "" when it has none."""
    if task.outlog is None:
        return ""
    return joined(clean(task.task_work_path, "task_work_path"), clean(task.outlog, "outlog"))


def sources(spec: SubmissionSpec, positions: Sequence[int] | None = None) -> list[str]:
    """Patterns, relative to work_base and to R, of everything that is forwarded: for all tasks, or for these."""
    tasks = spec.tasks if positions is None else [spec.tasks[position] for position in positions]
    return list(dict.fromkeys((*common(spec), *(pattern for task in tasks for pattern in forwarded(task)))))


def wanted(spec: SubmissionSpec, positions: Sequence[int]) -> list[str]:
    """Patterns, relative to the remote root, of what these tasks must bring back, the common files included."""
    patterns = _common(spec.backward_common_files, "backward_common_files")
    for position in positions:
        patterns += _below(spec.tasks[position], spec.tasks[position].backward_files, "backward_files")
    return list(dict.fromkeys(patterns))


def evidence(spec: SubmissionSpec, positions: Sequence[int]) -> list[str]:
    """Patterns below the remote root of what failed tasks may have left: logs and backward files, none required."""
    patterns: list[str] = []
    for task in (spec.tasks[position] for position in positions):
        patterns += _logs(task) + _below(task, task.backward_files, "backward_files")
    return list(dict.fromkeys(patterns))


def left(spec: SubmissionSpec, positions: Sequence[int]) -> list[str]:
    """Patterns, relative to the remote root, of all that these tasks leave and that may be brought back."""
    logs = (log for position in positions for log in _logs(spec.tasks[position]))
    return list(dict.fromkeys((*wanted(spec, positions), *logs)))


def roots(patterns: Iterable[str]) -> list[str]:
    """What to list so that all patterns can be answered: names, and the directories that wildcards start from.

    Nothing that lies below another one is listed again; "" is the whole directory.
    """
    starts = {_start(pattern): None for pattern in patterns}
    return [path for path in starts if not _is_below(path, starts)]


def _start(pattern: str) -> str:
    if not MAGIC.search(pattern):
        return pattern
    parts: list[str] = []
    for part in pattern.split("/"):
        name = literal(part)
        if name is None:
            break
        parts.append(name)
    return "/".join(parts)


def _is_below(path: str, starts: Container[str]) -> bool:
    while path:
        path = path.rpartition("/")[0]
        if path in starts:
            return True
    return False


def uploads(spec: SubmissionSpec, entries: Sequence[FileEntry], local: str) -> list[Item]:
    """Everything to be sent, each target once: forward files, their empty directories, and every task's directory.

    `entries` list the local side at `roots(sources(spec))`, `local` is where they lie, absolute. InputMissing
    names the patterns that nothing answers, ConfigError a name that cannot be sent.
    """
    found, unanswered = _found(sources(spec), entries)
    if unanswered:
        raise InputMissing(_missing(spec, unanswered, local))
    for position, task in enumerate(spec.tasks):
        directory = clean(task.task_work_path, "task_work_path")
        if directory and found.setdefault(directory, -1) >= 0:
            raise ConfigError(f"task_list[{position}].task_work_path: {local}/{directory} is a file; name a directory")
    return [Item(f"{local}/{_sendable(path)}", path, size) for path, size in found.items()]


def _found(patterns: Sequence[str], entries: Iterable[FileEntry]) -> tuple[dict[str, int], list[str]]:
    """Sizes of everything that the patterns mean, by path, and the patterns that mean nothing."""
    listing = Listing(entries)
    found: dict[str, int] = {}
    unanswered: list[str] = []
    for pattern in patterns:
        files = listing.files(pattern)
        found.update((file.path, file.size) for file in files)
        if pattern and not files:
            unanswered.append(pattern)
    return found, unanswered


def _missing(spec: SubmissionSpec, unanswered: Sequence[str], local: str) -> str:
    requested = dict.fromkeys(_common(spec.forward_common_files, "forward_common_files"), "forward_common_files")
    for position, task in enumerate(spec.tasks):
        for pattern in forwarded(task):
            requested.setdefault(pattern, f"forward_files of task {position}: {task.command[:60]}")
    lines = [f"{readable(pattern)} ({requested[pattern]})" for pattern in unanswered[:10]]
    lines += [f"… and {len(unanswered) - 10} more"] if len(unanswered) > 10 else []
    head = f"{len(unanswered)} forward file(s) not found below {local}; create them or correct the names:"
    return "\n  ".join([head, *lines])


def _sendable(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"forward file {path!a}: its name is not valid UTF-8; rename it") from None
    return path


def inputs(spec: SubmissionSpec, items: Sequence[Item]) -> set[str]:
    """Targets whose bytes belong to the submission's identity: all that is sent, but for what tasks rewrite.

    A file that any task names in backward_files, outlog or errlog (or that is in backward_common_files) changes
    while the submission runs; if it counted, a resumed run would not know itself again.
    """
    patterns = left(spec, range(len(spec.tasks)))
    rewritten, _ = _found(patterns, (FileEntry(item.target, item.size) for item in items))
    return {item.target for item in items if item.size >= 0 and item.target not in rewritten}


def downloads(patterns: Sequence[str], entries: Sequence[FileEntry]) -> tuple[list[Item], list[str]]:
    """What to fetch, each file once, and the patterns (as their user wrote them) that nothing answers.

    `entries` list the remote root at `roots(patterns)`; sources are relative to it, targets to the local side.
    """
    found, unanswered = _found(patterns, entries)
    return [Item(path, path, size) for path, size in found.items()], [readable(pattern) for pattern in unanswered]


def marker(name: str) -> str:
    """Name of the empty file that stands for a result that is missing: `out/*.nc` -> `tag_failure_download_out_*.nc`.

    Only letters, digits and `.-_` are kept, everything else becomes `_`.
    """
    return f"tag_failure_download_{_UNSAFE.sub('_', name)}"


def markers(spec: SubmissionSpec, positions: Sequence[int], missing: Sequence[str]) -> list[str]:
    """Where these tasks' markers go, relative to the local side, for what `downloads` said is missing."""
    lost = set(missing)
    found = [marker(name) for name in spec.backward_common_files if clean(name, "backward_common_files") in lost]
    for task in (spec.tasks[position] for position in positions):
        directory = clean(task.task_work_path, "task_work_path")
        patterns = zip(task.backward_files, _below(task, task.backward_files, "backward_files"), strict=True)
        found += [joined(directory, marker(name)) for name, pattern in patterns if readable(pattern) in lost]
    return list(dict.fromkeys(found))
