"""Patterns in task_work_path: a task for each directory that matches.

    expanded([{"task_work_path": "c*", "command": "run"}], Path("runs"))  ->  [{"task_work_path": "c0", …}, …]

A directory that has the very name of the pattern is meant itself. Hidden directories match only what begins with a dot.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..core.errors import InputMissing

_WILD = frozenset("*?[")


def expanded(tasks: Sequence[Any], local: Path, where: str = "task_list") -> list[Any]:
    """The tasks with patterns replaced; what is not a task is left for the check to refuse. InputMissing for none."""
    return [each for task in tasks for each in _each(task, local, where)]


def _each(task: Any, local: Path, where: str) -> Iterator[Any]:
    pattern = task.get("task_work_path") if isinstance(task, Mapping) else None
    if not isinstance(pattern, str) or not _WILD & set(pattern) or (local / pattern).is_dir():
        yield task
        return
    if pattern.startswith("/") or ".." in Path(pattern).parts:
        yield task
        return
    found = sorted(path.relative_to(local) for path in local.glob(pattern) if path.is_dir())
    shown = [path for path in found if pattern.startswith(".") or not any(part.startswith(".") for part in path.parts)]
    if not shown:
        raise InputMissing(f"{where}/task_work_path: no directory matches {pattern!r} below {local}")
    for path in shown:
        yield {**task, "task_work_path": path.as_posix()}
