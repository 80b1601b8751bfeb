"""What is asked for and what lies here, before anything is written: the two steps that need no journal.

asked = check(spec, profile)     ->  Asked: jobs planned, dialect and context chosen; refused here or not at all
found = survey(spec)             ->  Surveyed: every forward file with its digest, and the submission's hash
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from .. import contexts, schedulers
from ..core.errors import ConfigError
from ..core.model import JobSpec, MachineSpec, ResourcesSpec, SubmissionSpec, plan_hash, submission_hash
from ..core.plan import plan
from ..core.ports import Context, Item, Scheduler
from ..files import local, patterns
from ..files.texts import read_text
from ..scripts.render import check_header
from .digests import Looked, look
from .store import local_directory

#: Bytes of a header template at most.
_LONGEST_HEADER = 1 << 20
#: Bytes above which an input of which less than a hundredth is on the disk is taken for a mistake, or an attack.
_GIANT = 1 << 40


class Drives(Protocol):
    """Classes of the program's own in the place of a dialect and a context; see `api.driven`."""

    def dialect(self, resources: ResourcesSpec) -> Scheduler:
        """In the place of the dialect."""
        ...

    def over(self, context: Context) -> Context:
        """In the place of this context."""
        ...


class Asked(msgspec.Struct, frozen=True):
    """A submission that is fit to be run: its jobs, the dialect, the kind of context, and how that is reached."""

    spec: SubmissionSpec
    planned: tuple[JobSpec, ...]
    scheduler: Scheduler
    kind: type[contexts.Opens]
    profile: Mapping[str, Any]
    driver: Drives | None = None

    def open(self, name: str) -> Context:
        """The place where the jobs run, under this name."""
        context = self.kind.open(self.spec.machine, self.profile, name, self.spec.work_base)
        return self.driver.over(context) if self.driver else context


class Surveyed(msgspec.Struct, frozen=True):
    """What there is to be sent, and the digests of those files that enter the submission's hash.

    `looked` holds the stamps that were taken before the files were read.
    """

    uploads: tuple[Item, ...]
    inputs: dict[str, str]
    submission: str
    looked: Looked


def check(
    spec: SubmissionSpec,
    profile: Mapping[str, Any],
    jobs: Sequence[JobSpec] | None = None,
    driver: Drives | None = None,
) -> Asked:
    """Raise ConfigError for what can be refused without looking at any file of the user's."""
    resources = spec.resources
    scheduler = driver.dialect(resources) if driver else schedulers.chosen(spec.machine.batch_type, resources)
    scheduler.check(spec.resources)
    check_header(spec.resources, scheduler, template_of(spec.resources))
    patterns.check_paths(spec)
    kind = contexts.load(spec.machine.context_type)
    check_pair(spec.machine, scheduler, kind)
    return Asked(spec, tuple(jobs) if jobs else plan(spec), scheduler, kind, profile, driver)


def check_pair(machine: MachineSpec, scheduler: Scheduler, kind: type[contexts.Opens]) -> None:
    """Refuse a batch system in a place where it does not run."""
    if scheduler.context and scheduler.context != contexts.canonical(machine.context_type):
        raise ConfigError(
            f"machine/context_type: {machine.batch_type} works with {scheduler.context} only, not with "
            f"{machine.context_type}"
        )
    if kind.batch_type and kind.batch_type != scheduler.name:
        raise ConfigError(
            f"machine/batch_type: {machine.context_type} works with {kind.batch_type} only, not with "
            f"{machine.batch_type}"
        )


def survey(spec: SubmissionSpec) -> Surveyed:
    """Look at every forward file. Raises InputMissing and ConfigError."""
    place = local_directory(spec)
    if not place.is_dir():
        raise ConfigError(
            f"machine/local_root + work_base: {place} is not a directory; create it with the tasks' files in it"
        )
    stamps = local.stamped(place, patterns.roots(patterns.sources(spec)))
    items = patterns.uploads(spec, local.entries(stamps), str(place))
    for item in items:
        _refuse_giant(item)
    plan = plan_hash(spec)
    looked = look(place, plan, {item.target: stamp for item in items if (stamp := stamps.get(item.target))})
    known = looked.known
    counted = patterns.inputs(spec, items)
    inputs = {item.target: known[item.target].digest for item in items if item.target in counted}
    uploads = tuple(
        Item(item.source, item.target, item.size, known[item.target].digest if item.size >= 0 else "") for item in items
    )
    return Surveyed(uploads, inputs, submission_hash(plan, inputs), looked)


def _refuse_giant(item: Item) -> None:
    """A file of nothing but holes would be read, and hashed, for days."""
    if item.size >= _GIANT and os.stat(item.source).st_blocks * 512 * 100 < item.size:  # noqa: PTH116
        raise ConfigError(
            f"forward file {item.source} has {item.size} bytes, nearly all of them holes; name a file that has content"
        )


def template_of(resources: ResourcesSpec) -> str | None:
    """The text of strategy/customized_script_header_template_file, None without one; ConfigError when unreadable."""
    name = resources.strategy.customized_script_header_template_file
    try:
        return None if name is None else read_text(Path(name).expanduser(), _LONGEST_HEADER)
    except (OSError, ConfigError) as error:
        where = "resources/strategy/customized_script_header_template_file"
        raise ConfigError(f"{where}: {name} cannot be read: {error}") from None
