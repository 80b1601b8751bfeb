"""Configuration files: JSON and YAML into dictionaries, and the `$ref` in them.

    machine.json   {"$ref": "site.yaml", "remote_root": "/scratch/me"}
    site.yaml      batch_type: Slurm …
      ->           {"batch_type": "Slurm", …, "remote_root": "/scratch/me"}       local keys win

A reference is followed only when the caller allows it, for it reads another
file. Relative names start from the file that holds them. Every mistake is a
ConfigError that names the file, and the line where there is one; so is whatever is
too large, too deep, or grows when its YAML aliases and references are written out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from ..core.errors import ConfigError
from ..files.texts import read_text

_YAML = (".yml", ".yaml")
#: Bytes of a file at most. YAML is read by a slow library, and what is large can be written as JSON.
LARGEST, LARGEST_YAML = 256 << 20, 16 << 20
#: How deep a configuration may be nested, and how many values more than letters its aliases may make.
DEEPEST, _ALIASED = 64, 1 << 20
#: Bytes that all references of one configuration may read, each counted as often as it is followed.
_REFERRED = 256 << 20
_TOO_DEEP = f"nested too deeply (more than {DEEPEST} deep), or holding itself; this is not a configuration"


def load_json(path: str | Path) -> dict[str, Any]:
    """The mapping in a JSON file. ConfigError when it cannot be read, is not JSON, or names a key twice."""
    text = _text(path, LARGEST)
    try:
        found = json.loads(text, object_pairs_hook=lambda pairs: _once(pairs, path))
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise ConfigError(f"{path}: not valid JSON at {where}: {error.msg}{_comma(text, error.pos)}") from None
    except RecursionError:
        raise ConfigError(f"{path}: {_TOO_DEEP}") from None
    except ValueError as error:  # a number of thousands of digits
        raise ConfigError(f"{path}: holds a value that cannot be read: {error}") from None
    return _mapping(found, path)


def load_yaml(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file (safe subset: no objects are made). ConfigError as `load_json`."""
    import yaml

    from .yaml_loader import Loader

    text = _text(path, LARGEST_YAML)
    try:
        found = yaml.load(text, Loader)  # noqa: S506 (a safe one)
        _written_out(found, len(text) + _ALIASED, path)
    except RecursionError:
        raise ConfigError(f"{path}: {_TOO_DEEP}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1} column {mark.column + 1}" if mark else ""
        why = getattr(error, "problem", None) or str(error)
        raise ConfigError(f"{path}: not valid YAML{where}: {why}") from None
    except (ValueError, LookupError, TypeError, AttributeError) as error:  # a date that no calendar has, and the like
        raise ConfigError(f"{path}: holds a value that cannot be read: {error}") from None
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
        return _resolved(data, _References(allow_ref), Path(base), ())
    except RecursionError:
        raise ConfigError(_TOO_DEEP) from None


class _References:
    """Whether they are followed, and how many bytes they may still bring."""

    def __init__(self, allowed: bool) -> None:
        self.allowed, self.left = allowed, _REFERRED

    def spend(self, file: Path) -> None:
        """Count a file that was read; a small one counts, too."""
        self.left -= file.stat().st_size + 4096
        if self.left < 0:
            raise ConfigError(f"$ref to {file}: the references bring more than {_REFERRED} bytes; this has no end")


def _resolved(data: Any, references: _References, base: Path, chain: tuple[Path, ...], depth: int = 0) -> Any:
    if depth > DEEPEST:
        raise ConfigError(_TOO_DEEP)
    if isinstance(data, (list, tuple)):
        return [_resolved(item, references, base, chain, depth + 1) for item in data]
    if not isinstance(data, Mapping):
        return data
    given = [(key, value) for key, value in data.items() if key != "$ref"]
    local = {key: _resolved(value, references, base, chain, depth + 1) for key, value in given}
    if "$ref" not in data:
        return local
    return _referred(data["$ref"], references, base, chain) | local


def _referred(name: Any, references: _References, base: Path, chain: tuple[Path, ...]) -> dict[str, Any]:
    if not isinstance(name, str):
        raise ConfigError(f"$ref: expected the name of a file, got {type(name).__name__}")
    if not references.allowed:
        raise ConfigError(f"$ref to {name!r} is not followed unless it is allowed: pass allow_ref=True or --allow-ref")
    file = (base / name).resolve()
    if file in chain:
        circle = " -> ".join(map(str, (*chain[chain.index(file) :], file)))
        raise ConfigError(f"$ref: these files refer to each other in a circle: {circle}")
    read = load(file)
    references.spend(file)
    found: dict[str, Any] = _resolved(read, references, file.parent, (*chain, file))
    return found


def _text(path: str | Path, limit: int) -> str:
    try:
        return read_text(path, limit)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error


def _written_out(found: Any, limit: int, path: str | Path) -> None:
    """Refuse aliases that hold one another over and over: a few lines of them stand for more than any memory."""
    stack, count = [(found, 0)], 0
    while stack:
        value, depth = stack.pop()
        count += 1
        if depth > DEEPEST:
            raise ConfigError(f"{path}: {_TOO_DEEP}")
        if count > limit:
            raise ConfigError(f"{path}: its aliases, written out, are more than {limit} values; write less")
        below = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple, set)) else ()
        stack += [(each, depth + 1) for each in below]


def _once(pairs: list[tuple[str, Any]], path: str | Path) -> dict[str, Any]:
    """A comment may be written as often as one likes."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs if not name.startswith("_")]
        for name in names:
            if names.count(name) > 1:
                _twice(path, name)
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
