"""`dispatcher schema`: JSON Schema of the files that people write, for editors, and of what `--json` prints.

{"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "submission", "type": "object", …}
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Mapping
from typing import Any

from ..core.keys import ABSENT, Key
from .say import say

EXAMPLES = """\
examples:
  dispatcher schema > submission.schema.json
  dispatcher schema machine
  dispatcher schema output                  what --json prints

In VS Code, settings.json:
  "json.schemas": [{"fileMatch": ["submission.json"], "url": "./submission.schema.json"}]
or in the file itself: "$schema": "./submission.schema.json".
"""

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_TYPES = {None: "null", str: "string", int: "integer", float: "number", bool: "boolean", dict: "object"}


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    choices = [*_PARTS, "output"]
    parser.add_argument("what", nargs="?", choices=choices, default="submission", help="default: submission")


def run(args: Namespace) -> int:
    """Print it."""
    found = output() if args.what == "output" else {"$schema": _DRAFT, "title": args.what, **_PARTS[args.what]()}
    say(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    return 0


def _value(key: Key) -> dict[str, Any]:
    kinds: list[dict[str, Any]] = []
    for kind in dict.fromkeys(key.kinds):
        kinds.append({"type": _TYPES[kind]} if kind in _TYPES else {"type": "array", "items": {"type": "string"}})
    says = f" It {key.rule.says}." if key.rule else ""
    found: dict[str, Any] = {**(kinds[0] if len(kinds) == 1 else {"anyOf": kinds}), "description": key.doc + says}
    if not key.required and key.default is not ABSENT:
        found["default"] = key.default
    return found


def _object(keys: Iterable[Key], more: bool = False, parts: Mapping[str, dict[str, Any]] = {}) -> dict[str, Any]:
    """An object of these keys and parts; keys that begin with _, and $schema, are comments."""
    listed = list(keys)
    values = {name: _value(key) for key in listed for name in (key.name, *key.alias)}
    return {
        "type": "object",
        "properties": {**values, **parts, "$schema": {"type": "string"}},
        "patternProperties": {"^_": {}},
        "required": [key.name for key in listed if key.required and not key.alias],
        "additionalProperties": more,
    }


def _machine() -> dict[str, Any]:
    from ..schema import parameters, profiles

    found = _object(parameters.MACHINE)
    names = [*profiles.known(), *(other for name in profiles.known() for other in profiles.spellings(name))]
    found["properties"] |= {"context_type": {"enum": names}, "remote_profile": {"type": "object"}}
    found["properties"]["batch_type"] |= {"enum": _batch_types()}
    found["required"] += ["context_type"]
    found["allOf"] = [_profile(name) for name in profiles.known()]
    return found


def _profile(name: str) -> dict[str, Any]:
    """What remote_profile holds behind one context."""
    from ..schema import profiles

    profile = profiles.profile(name)
    inner = {"properties": {"remote_profile": _object(profile.keys, profile.free)}}
    needed = {"required": ["remote_profile"]} if profile.needed else {}
    named = {"properties": {"context_type": {"enum": [name, *profiles.spellings(name)]}}, "required": ["context_type"]}
    return {"if": named, "then": {**inner, **needed}}


def _batch_types() -> list[str]:
    from .. import schedulers

    names = [*schedulers.known(), *schedulers.ALIASES]
    return list(dict.fromkeys([*names, *map(str.lower, names)]))


def _resources() -> dict[str, Any]:
    from .. import schedulers
    from ..schema import parameters

    kwargs: dict[str, Any] = {}
    for name in schedulers.known():
        for key in schedulers.kwargs_of(name)[0] or ():
            text = f"{name}: {key.doc}"
            before = kwargs.get(key.name, {}).get("description")
            kwargs[key.name] = {"description": f"{before}\n{text}" if before else text}
    parts = {
        "strategy": _object(parameters.STRATEGY),
        "kwargs": {"type": "object", "properties": kwargs, "description": "What only one batch system knows."},
        "batch_type": {"enum": _batch_types()},
    }
    return _object(parameters.RESOURCES, parts=parts)


def _task() -> dict[str, Any]:
    from ..schema import parameters

    return _object(parameters.TASK)


def _submission() -> dict[str, Any]:
    from ..schema import parameters

    tasks = {"type": "array", "minItems": 1, "items": _task()}
    machine = {"anyOf": [_machine(), {"type": "string", "description": "A machine of your own machines file."}]}
    found = _object(parameters.SUBMISSION, parts={"machine": machine, "resources": _resources(), "task_list": tasks})
    found["required"] += ["machine", "resources", "task_list"]
    return found


_PARTS = {"submission": _submission, "machine": _machine, "resources": _resources, "task": _task}


def output() -> dict[str, Any]:
    """What `--json` prints, by verb: the schema of each line."""
    from .answers import schemas

    return {"$schema": _DRAFT, "title": "what --json prints, by verb: each line is one of these", **schemas()}
