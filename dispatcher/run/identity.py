"""What makes a task the same task, whoever names it: what it runs, what it reads, and in which surroundings.

    identities(spec, {"t0/in": "9f86…", "pot.json": "2c26…"})
      ->  [TaskIdentity(directory="t0", command="4b22…", whole="5f1c…"), …]        by position in the submission

Its position, its neighbours, its name, the queue, what it asks of the scheduler, and what is to be brought back are
not part of it. Pure: the same for a submission that is asked for and for one that is read from its journal.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping

import msgspec

from ..core.model import ResourcesSpec, SubmissionSpec, digest
from ..core.ports import FileEntry
from ..files.listing import Listing
from ..files.patterns import clean, common, forwarded


class TaskIdentity(msgspec.Struct, frozen=True):
    """`directory` is below the work directory ("" for that itself); `command` and `whole` are digests.

    `whole` covers the command, every input by name and bytes, and the surroundings; not the directory, so that a work
    directory may be moved.
    """

    directory: str
    command: str
    whole: str


def identities(spec: SubmissionSpec, inputs: Mapping[str, str]) -> list[TaskIdentity]:
    """One for each task, in their order; `inputs` are the digests of the forward files that count, by path."""
    surroundings = _surroundings(spec.resources)
    found = []
    for task, reads in zip(spec.tasks, task_inputs(spec, inputs), strict=True):
        directory = clean(task.task_work_path, "task_work_path")
        # by their way from the task's directory: another cut of local_root and work_base names them alike
        read = {_way(path, directory): inputs[path] for path in reads}
        found.append(TaskIdentity(directory, digest(task.command), digest([task.command, read, surroundings])))
    return found


def task_inputs(spec: SubmissionSpec, inputs: Mapping[str, str]) -> list[tuple[str, ...]]:
    """The paths of what each task reads, in the order of the tasks, among the forward files that count."""
    listing = Listing(FileEntry(path, 0) for path in inputs)
    shared = list(dict.fromkeys(common(spec)))
    for_all, named = _meant(listing, shared), frozenset(shared)
    return [
        (*for_all, *_meant(listing, [own for own in dict.fromkeys(forwarded(task)) if own not in named]))
        for task in spec.tasks
    ]


def _way(path: str, directory: str) -> str:
    """The way from a directory to a path, both below the same one: `posixpath.relpath`, without its price."""
    if not directory:
        return path
    if path.startswith(f"{directory}/"):
        return path[len(directory) + 1 :]
    if path.partition("/")[0] != directory.partition("/")[0]:
        return "../" * (directory.count("/") + 1) + path
    return posixpath.relpath(f"/{path}", f"/{directory}")


def _meant(listing: Listing, patterns: list[str]) -> list[str]:
    return [file.path for pattern in patterns for file in listing.files(pattern) if file.size >= 0]


def _surroundings(resources: ResourcesSpec) -> list[object]:
    """What of the resources a command can see: modules, variables, and what is run before and after the tasks."""
    return [
        resources.module_purge,
        resources.module_unload_list,
        resources.module_list,
        resources.source_list,
        resources.envs,
        resources.prepend_script,
        resources.append_script,
    ]
