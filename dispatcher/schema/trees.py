"""What a configuration may say, as dargs arguments. The only file that imports dargs.

    resources_arginfo()["kwargs"]      the tree behind `dargs doc`, forms, and our own check

Made from the tables in `parameters` and `profiles`, which need no library.
"""

from __future__ import annotations

import msgspec
from dargs import Argument, Variant

from .. import contexts, schedulers
from ..core.keys import ABSENT, Key
from . import parameters, profiles

__all__ = [
    "NO_DEFAULT",
    "Argument",
    "Closed",
    "Variant",
    "batch_arginfo",
    "context_arginfo",
    "kwargs_arginfo",
    "machine_arginfo",
    "resources_arginfo",
    "submission_arginfo",
    "task_arginfo",
]

#: What dargs itself keeps for "no default".
NO_DEFAULT = Argument("", str, optional=True).default


class Closed(Argument):
    """A dictionary of which every key is known, even when there are none. dargs takes one without keys as open."""


def _argument(key: Key) -> Argument:
    return Argument(
        key.name,
        list(key.kinds),
        optional=not key.required,
        default=NO_DEFAULT if key.default is ABSENT else key.default,
        alias=list(key.alias),
        doc=key.doc,
        extra_check=key.rule.test if key.rule else None,
        extra_check_errmsg=f"It {key.rule.says}." if key.rule else "",
    )


def _undefaulted(key: Key) -> Key:
    """Nothing is filled in: what is not given is not part of what was asked for, and so not of its identity."""
    meant = "" if key.default in (ABSENT, None) else f" Default: {key.default!r}."
    return msgspec.structs.replace(key, default=ABSENT, doc=f"{key.doc}{meant}")


def context_arginfo(name: str) -> Argument:
    """The keys of one context, under its class name: its remote_profile."""
    name = contexts.canonical(name)
    profile = profiles.profile(name)
    inner = (Argument if profile.free else Closed)(
        "remote_profile",
        dict,
        None if profile.free else [_argument(key) for key in profile.keys],
        optional=not profile.needed,
        doc="What this context is told of the other side; never journalled, logged or hashed.",
        default=NO_DEFAULT if profile.needed else {},
    )
    return Argument(name, dict, [inner], alias=profiles.spellings(name), doc=profile.doc)


def machine_arginfo() -> Argument:
    """The keys of a machine."""
    choices = [context_arginfo(name) for name in profiles.known()]
    context = Variant("context_type", choices, doc="How files get to where the jobs run, and commands too.")
    keys = [_argument(key) for key in parameters.MACHINE]
    return Argument("machine", dict, keys, [context], doc="Where and how jobs are run.")


def kwargs_arginfo(batch_type: str) -> Argument:
    """The key `kwargs` of resources for one batch system."""
    keys, needed = schedulers.kwargs_of(batch_type)
    return (Argument if keys is None else Closed)(
        "kwargs",
        dict,
        None if keys is None else [_argument(_undefaulted(key)) for key in keys],
        optional=not needed,
        doc="What only this batch system knows.",
        default=NO_DEFAULT if needed else {},
    )


def resources_arginfo(detail_kwargs: bool = True) -> Argument:
    """The keys of resources.

    With `detail_kwargs` the kwargs are those of `batch_type`, which must then be given; without, any.
    """
    strategy = Argument(
        "strategy",
        dict,
        [_argument(key) for key in parameters.STRATEGY],
        optional=True,
        doc="How the tasks of a job share its node.",
    )
    keys = [*(_argument(key) for key in parameters.RESOURCES), strategy]
    doc = "What each job asks of the batch system."
    if detail_kwargs:
        batch = Variant("batch_type", [batch_arginfo(name) for name in schedulers.known()], doc="As in machine.")
        return Argument("resources", dict, keys, [batch], doc=doc)
    keys.append(Argument("batch_type", str, optional=True, doc="As in machine."))
    keys.append(Argument("kwargs", dict, optional=True, default={}, doc="What only this batch system knows."))
    return Argument("resources", dict, keys, doc=doc)


def batch_arginfo(batch_type: str) -> Argument:
    """What one batch system adds to resources, under its name."""
    return Argument(batch_type, dict, [kwargs_arginfo(batch_type)], alias=list(schedulers.spellings(batch_type)))


def task_arginfo() -> Argument:
    """The keys of a task."""
    keys = [_argument(key) for key in parameters.TASK]
    return Argument("task", dict, keys, doc="A command, the directory it runs in and its files.")


def submission_arginfo() -> Argument:
    """The keys of a submission.json, as `dispatcher submit` reads it."""
    tasks = task_arginfo()
    listed = Argument(
        "task_list",
        list,
        tasks.sub_fields.values(),
        repeat=True,
        doc="The tasks; at least one.",
        extra_check=bool,
        extra_check_errmsg="It must have at least one task.",
    )
    keys = [_argument(key) for key in parameters.SUBMISSION]
    parts = [machine_arginfo(), resources_arginfo(detail_kwargs=False), listed]
    return Argument("submission", dict, [*keys, *parts], doc="Tasks, and where and how they are run.")
