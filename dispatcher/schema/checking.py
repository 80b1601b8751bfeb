"""The check of a configuration: our own, for the sake of what it says.

    check({"group_size": 5, "gpu_per_nod": 1}, resources_arginfo(), "submission/resources")
      ->  ConfigError: submission/resources/gpu_per_nod: unknown key; did you mean 'gpu_per_node'? …

The same aliases, defaults and comments as dargs has, but unknown keys are
mistakes (or told, where programs ask), `true` is no number, a secret is never shown, and all mistakes are told at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from copy import deepcopy
from types import NoneType
from typing import Any, get_origin

from .. import schedulers
from ..core.errors import ConfigError
from . import profiles, rules
from .lenience import Lenient
from .mistakes import Mistakes
from .trees import NO_DEFAULT, Argument, Closed, Variant, kwargs_arginfo, resources_arginfo

#: What is done with the keys of a dictionary, given those that are known and its path.
Unknown = Callable[[Mapping[Any, Any], Collection[str], str], None]


def check(
    data: Mapping[str, Any],
    argument: Argument,
    path: str = "",
    strict: bool = True,
    tell: Callable[[str], None] = lambda message: None,
) -> dict[str, Any]:
    """The data with aliases resolved, defaults filled in and comments left out; nothing given is changed.

    `path` begins every message and is the name of the argument by default. Keys that start with `_`, and
    `$schema`, are comments, but not among the user's own names (envs, input_data). With `strict=False` unknown
    keys are left out, and each is told once in a process, with the nearest one that is known; those that DPDispatcher
    knows are left out without a word. Raises ConfigError that names each wrong key by its full path.
    """
    if argument.name == "resources" and isinstance(data, Mapping) and "batch_type" not in data:
        argument = resources_arginfo(detail_kwargs=False)
    unknown: Unknown = rules.only if strict else Lenient(tell).only
    checked: dict[str, Any] = _value(argument, data, path or argument.name, unknown)
    return checked


def _value(argument: Argument, value: Any, path: str, unknown: Unknown) -> Any:
    _typed(argument, value, path)
    if argument.repeat:
        value = _elements(argument, value, path, unknown)
    elif argument.sub_fields or argument.sub_variants or isinstance(argument, Closed):
        value = _inside(argument, value, path, unknown)
    else:
        value = deepcopy(value)
    if argument.extra_check is not None and not argument.extra_check(value):
        raise ConfigError(f"{path}: {_shown(value, path)} is not allowed: i{argument.extra_check_errmsg[1:-1]}")
    return value


def _elements(argument: Argument, given: Any, path: str, unknown: Unknown) -> list[dict[str, Any]]:
    mistakes, checked = Mistakes(), []
    for nth, item in enumerate(given):
        with mistakes.gathered():
            checked.append(_element(argument, item, f"{path}/{nth}", unknown))
    mistakes.tell()
    return checked


def _element(argument: Argument, value: Any, path: str, unknown: Unknown) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{path}: expected a dict, got {rules.said(value)}")
    return _inside(argument, value, path, unknown)


def _inside(argument: Argument, data: Mapping[Any, Any], path: str, unknown: Unknown) -> dict[str, Any]:
    """The keys of a dictionary, each by its argument."""
    given = {key: value for key, value in data.items() if not _comment(key)}
    mistakes, known = Mistakes(), dict(argument.sub_fields)
    for variant in argument.sub_variants.values():
        with mistakes.gathered():
            known |= _chosen(variant, given, path)
    whole = not mistakes.found  # else nobody knows which keys there are
    with mistakes.gathered():
        given = _without_aliases(known, given, path)
    if whole:
        with mistakes.gathered():
            unknown(given, known, path)
    checked: dict[str, Any] = {}
    for name, key in known.items():
        with mistakes.gathered():
            if name in given:
                checked[name] = _value(key, given[name], f"{path}/{name}", unknown)
            elif not key.optional:
                raise ConfigError(f"{path}/{name}: missing, and it must be given: {key.doc}")
            elif key.default is not NO_DEFAULT:
                checked[name] = deepcopy(key.default)
    with mistakes.gathered():
        _together(argument.name, checked, path, unknown, not mistakes.found)
    mistakes.tell()
    return checked


def _comment(key: Any) -> bool:
    return isinstance(key, str) and (key.startswith("_") or key == "$schema")


def _chosen(variant: Variant, given: dict[Any, Any], path: str) -> dict[str, Argument]:
    """The flag itself, in its canonical spelling, and the keys that its value brings with it."""
    flag, where = variant.flag_name, f"{path}/{variant.flag_name}"
    names = {name: name for name in variant.choice_dict} | variant.choice_alias
    if flag not in given:
        raise ConfigError(f"{where}: missing, and it must be given: one of {', '.join(variant.choice_dict)}")
    value = given[flag]
    if not isinstance(value, str):
        raise ConfigError(f"{where}: expected str, got {rules.said(value)}")
    if value not in names:
        close = rules.nearest(value, names)
        raise ConfigError(f"{where}: {value!r} is not known{close} (known: {', '.join(variant.choice_dict)})")
    given[flag] = names[value]
    return {flag: Argument(flag, str, doc=variant.doc), **variant.choice_dict[names[value]].sub_fields}


def _without_aliases(known: Mapping[str, Argument], given: dict[Any, Any], path: str) -> dict[Any, Any]:
    meant = {alias: name for name, key in known.items() for alias in key.alias}
    for alias in [key for key in given if key in meant]:
        if meant[alias] in given:
            raise ConfigError(f"{path}/{alias}: given together with {meant[alias]!r}, whose alias it is; keep one")
        given[meant[alias]] = given.pop(alias)
    return given


# -- single values --------------------------------------------------------------------------------------------------


def _typed(argument: Argument, value: Any, path: str) -> None:
    if any(_is(value, kind) for kind in argument.dtype):
        _sound(value, path)
        return
    expected = " or ".join(sorted(_named(kind) for kind in argument.dtype))
    hint = ""
    if isinstance(value, str) and list[str] in argument.dtype:
        hint = "; write it in brackets"
    elif isinstance(value, str) and not isinstance(argument, Closed) and {int, float, bool} & set(argument.dtype):
        hint = "; write it without quotes"
    raise ConfigError(f"{path}: expected {expected}, got {_got(argument, value)}{hint}")


def _sound(value: Any, path: str) -> None:
    if isinstance(value, str):
        rules.sound(value, path)
    for nth, each in enumerate(value if isinstance(value, (list, tuple)) else ()):
        if isinstance(each, str):
            rules.sound(each, f"{path}/{nth}")


def _is(value: Any, kind: Any) -> bool:
    """A value is of a kind as JSON has it: true is no number, and every int is a float."""
    if get_origin(kind) is list or kind is list:
        return isinstance(value, (list, tuple)) and (kind is list or all(isinstance(each, str) for each in value))
    if kind is dict:
        return isinstance(value, Mapping)
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return isinstance(value, NoneType if kind is None else kind)


def _named(kind: Any) -> str:
    if get_origin(kind) is list:
        return "list of str"
    return "null" if kind in (None, NoneType) else str(kind.__name__)


def _got(argument: Argument, value: Any) -> str:
    if isinstance(value, (list, tuple)) and list[str] in argument.dtype:
        nth, odd = next((nth, item) for nth, item in enumerate(value) if not isinstance(item, str))
        return f"{rules.said(odd)} as item {nth}"
    return rules.said(value)


def _shown(value: Any, path: str) -> str:
    """The value for a message; nothing out of a profile, for it may be a secret."""
    if "/remote_profile" in path:
        return "this value"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


# -- values together ------------------------------------------------------------------------------------------------


def _together(name: str, values: dict[str, Any], path: str, unknown: Unknown, sound: bool) -> None:
    """What must hold between the keys of one dictionary, as far as they are right by themselves (`sound`: all)."""
    mistakes = Mistakes()
    if name == "resources":
        for variable, value in values.get("envs", {}).items():
            with mistakes.gathered():
                rules.envs({variable: value}, f"{path}/envs")
        if {"gpu_per_node", "number_node"} <= values.keys():
            with mistakes.gathered():
                rules.cuda(values, path)
    elif name == "machine" and {"batch_type", "context_type"} <= values.keys():
        _placed(values, path, sound)
    elif name == "submission" and {"machine", "resources"} <= values.keys():
        _understood(values, path, unknown)
    mistakes.tell()


def _placed(machine: dict[str, Any], path: str, sound: bool) -> None:
    try:
        machine["batch_type"] = schedulers.canonical(machine["batch_type"])
    except ConfigError as error:
        raise ConfigError(f"{path}{str(error).removeprefix('machine')}") from None
    profile = profiles.CONTEXTS.get(machine["context_type"])
    if sound and profile and profile.remote_root and machine.get("remote_root") is None:
        raise ConfigError(
            f"{path}/remote_root: missing; {machine['context_type']} needs the directory in which the jobs run"
        )


def _understood(submission: dict[str, Any], path: str, unknown: Unknown) -> None:
    """The kwargs must be those of the machine's batch system, unless a header template reads its own."""
    resources = submission["resources"]
    if "customized_script_header_template_file" not in resources.get("strategy", {}):
        kwargs = kwargs_arginfo(submission["machine"]["batch_type"])
        resources["kwargs"] = _value(kwargs, resources["kwargs"], f"{path}/resources/kwargs", unknown)
