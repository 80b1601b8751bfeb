"""What is asked for and what lies here, before anything is written: the two steps that need no journal.

asked = check(spec, profile)     ->  Asked: jobs planned, dialect and context chosen; refused here or not at all
found = survey(spec)             ->  Surveyed: every forward file with its digest, and the submission's hash
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from .. import contexts, schedulers
from ..core.errors import ConfigError
from ..core.model import JobSpec, MachineSpec, ResourcesSpec, SubmissionSpec, plan_hash, submission_hash
from ..core.plan import plan
from ..core.ports import Item, Scheduler
from ..files import local, patterns
from ..scripts.render import check_header
from .store import local_directory


class Asked(msgspec.Struct, frozen=True):
    """A submission that is fit to be run: its jobs, the dialect, the kind of context, and how that is reached."""

    spec: SubmissionSpec
    planned: tuple[JobSpec, ...]
    scheduler: Scheduler
    kind: type[contexts.Opens]
    profile: Mapping[str, Any]


class Surveyed(msgspec.Struct, frozen=True):
    """What there is to be sent, and the digests of those files that enter the submission's hash."""

    uploads: tuple[Item, ...]
    inputs: dict[str, str]
    submission: str


def check(spec: SubmissionSpec, profile: Mapping[str, Any], jobs: Sequence[JobSpec] | None = None) -> Asked:
    """Raise ConfigError for what can be refused without looking at any file of the user's."""
    scheduler = schedulers.chosen(spec.machine.batch_type, spec.resources)
    scheduler.check(spec.resources)
    check_header(spec.resources, scheduler, template_of(spec.resources))
    patterns.check_paths(spec)
    kind = contexts.load(spec.machine.context_type)
    check_pair(spec.machine, scheduler, kind)
    return Asked(spec, tuple(jobs) if jobs else plan(spec), scheduler, kind, profile)


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
    entries = local.tree(place, patterns.roots(patterns.sources(spec)))
    items = patterns.uploads(spec, entries, str(place))
    digests = local.digests(place, [item.source for item in items if item.size >= 0])
    known = [msgspec.structs.replace(item, digest=digests.get(item.source, "")) for item in items]
    counted = patterns.inputs(spec, known)
    inputs = {item.target: item.digest for item in known if item.target in counted and item.size >= 0}
    return Surveyed(tuple(known), inputs, submission_hash(plan_hash(spec), inputs))


def template_of(resources: ResourcesSpec) -> str | None:
    """The text of strategy/customized_script_header_template_file, None without one; ConfigError when unreadable."""
    name = resources.strategy.customized_script_header_template_file
    try:
        return None if name is None else Path(name).expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        where = "resources/strategy/customized_script_header_template_file"
        raise ConfigError(f"{where}: {name} cannot be read: {error}") from None
