"""Configuration files: JSON and YAML into dictionaries, and the `$ref` in them.

    machine.json   {"$ref": "site.yaml", "remote_root": "/scratch/me"}
    site.yaml      batch_type: Slurm …
      ->           {"batch_type": "Slurm", …, "remote_root": "/scratch/me"}       local keys win

A reference is followed only when the caller allows it, for it reads another
file. Relative names start from the file that holds them. Every mistake is a
ConfigError that names the file, and the line where there is one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from ..core.errors import ConfigError

_YAML = (".yml", ".yaml")


def load_json(path: str | Path) -> dict[str, Any]:
    """The mapping in a JSON file. ConfigError when it cannot be read, is not JSON, or names a key twice."""
    text = _text(path)
    try:
        found = json.loads(text, object_pairs_hook=lambda pairs: _once(pairs, path))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise ConfigError(f"{path}: not valid JSON at {where}: {error.msg}{_comma(text, error.pos)}") from None
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply to be read; this is no configuration") from None
    return _mapping(found, path)


def load_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file (safe subset: no objects are made). ConfigError as `load_json`."""
    import yaml

    text = _text(path)
    try:
        found = yaml.safe_load(text)
    except RecursionError:
        raise ConfigError(f"{path}: nested too deeply to be read; this is no configuration") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1} column {mark.column + 1}" if mark else ""
        why = getattr(error, "problem", None) or str(error)
        raise ConfigError(f"{path}: not valid YAML{where}: {why}") from None
    return _mapping(found, path)


def load(path: str | Path) -> dict[str, Any]:
    """The mapping in a file, read by the ending of its name: .json, .yml or .yaml."""
    ending = Path(path).suffix.lower()
    if ending == ".json":
        return load_json(path)
    if ending in _YAML:
        return load_yaml(path)
    raise ConfigError(f"{path}: the ending {ending!r} is not known; use .json, .yml or .yaml")


def resolve_refs(data: Any, allow_ref: bool = False, base: str | Path = ".") -> Any:
    """The same data with every `{"$ref": file}` replaced by what the file holds; keys beside `$ref` win over it.

    `base` is the directory that relative names start from. The data given is not changed. ConfigError when a
    reference is found and not allowed, when files refer to each other in a circle, or when one cannot be read.
    """
    try:
        return _resolved(data, allow_ref, Path(base), ())
    except RecursionError:
        raise ConfigError("nested too deeply, or holding itself; this is no configuration") from None


def _resolved(data: Any, allow_ref: bool, base: Path, chain: tuple[Path, ...]) -> Any:
    if isinstance(data, (list, tuple)):
        return [_resolved(item, allow_ref, base, chain) for item in data]
    if not isinstance(data, Mapping):
        return data
    local = {key: _resolved(value, allow_ref, base, chain) for key, value in data.items() if key != "$ref"}
    if "$ref" not in data:
        return local
    return _referred(data["$ref"], allow_ref, base, chain) | local


def _referred(name: Any, allow_ref: bool, base: Path, chain: tuple[Path, ...]) -> dict[str, Any]:
    if not isinstance(name, str):
        raise ConfigError(f"$ref: expected the name of a file, got {type(name).__name__}")
    if not allow_ref:
        raise ConfigError(f"$ref to {name!r} is not followed unless it is allowed: pass allow_ref=True or --allow-ref")
    file = (base / name).resolve()
    if file in chain:
        circle = " -> ".join(map(str, (*chain[chain.index(file) :], file)))
        raise ConfigError(f"$ref: these files refer to each other in a circle: {circle}")
    found: dict[str, Any] = _resolved(load(file), allow_ref, file.parent, (*chain, file))
    return found


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from None


def _once(pairs: list[tuple[str, Any]], path: str | Path) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        _twice(path, next(name for name in names if names.count(name) > 1))
    return found


def _twice(path: str | Path, name: str) -> NoReturn:
    raise ConfigError(f"{path}: the key {name!r} is given twice in the same object; keep one")


def _comma(text: str, position: int) -> str:
    """The usual mistake: a comma before a closing bracket."""
    before, after = text[:position].rstrip(), text[position:].lstrip()
    closing = after.removeprefix(",").lstrip()[:1]
    if closing in ("}", "]") and (before.endswith(",") or after.startswith(",")):
        return "; remove the comma before the closing bracket"
    return ""


def _mapping(found: Any, path: str | Path) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: expected a mapping of keys to values, got {type(found).__name__}")
    return found
