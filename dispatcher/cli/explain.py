"""`dispatcher explain KEY`: what a key of a configuration means, who reads it, and what it is when it is absent.

resources/kwargs/walltime  (Slurm)
  text or integer; no default
  Longest time a job may run …
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..core.errors import ConfigError
from ..core.keys import ABSENT, Key
from .say import paint, say, say_json

EXAMPLES = """\
examples:
  dispatcher explain walltime
  dispatcher explain machine/remote_profile/port
  dispatcher explain                          every key, a line each
"""

_KINDS = {None: "null", str: "text", int: "integer", float: "number", bool: "true or false", dict: "object"}


class KeyRow(NamedTuple):
    """A key where it stands; `reader` is the batch system or context that reads it, "" for all."""

    path: str
    reader: str
    key: Key


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("key", metavar="KEY", nargs="?", help="its name, or its path (machine/remote_profile/port)")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each place of it, a line each")


def run(args: Namespace) -> int:
    """A block for every place where a key of that name stands."""
    every = list(rows())
    found = [row for row in every if args.key is None or fits(row, args.key)]
    if not found:
        from ..schema.rules import nearest

        names = [row.key.name for row in every] + [row.path for row in every]
        raise ConfigError(f"{args.key}: not a key of any configuration{nearest(args.key, names)}")
    if not args.json:
        found = _merged(found)
    for nth, row in enumerate(found):
        if args.json:
            say_json(facts(row))
        elif args.key is None:
            say(f"{row.path:<44}  {row.reader or 'all':<18}  {_first(row.key.doc)}\n")
        else:
            say(("\n" if nth else "") + _block(row))
    return 0


def rows() -> Iterator[KeyRow]:
    """Every key there is, from the tables that the checks read."""
    from .. import schedulers
    from ..schema import parameters, profiles

    yield from (KeyRow(f"submission/{key.name}", "", key) for key in parameters.SUBMISSION)
    yield from (KeyRow(f"task_list/{key.name}", "", key) for key in parameters.TASK)
    yield from (KeyRow(f"machine/{key.name}", "", key) for key in parameters.MACHINE)
    for name in profiles.known():
        yield from (KeyRow(f"machine/remote_profile/{key.name}", name, key) for key in profiles.profile(name).keys)
    yield from (KeyRow(f"resources/{key.name}", "", key) for key in parameters.RESOURCES)
    yield from (KeyRow(f"resources/strategy/{key.name}", "", key) for key in parameters.STRATEGY)
    for name in schedulers.known():
        yield from (KeyRow(f"resources/kwargs/{key.name}", name, key) for key in schedulers.kwargs_of(name)[0] or ())


def fits(row: KeyRow, asked: str) -> bool:
    """By name, by alias, or by the end of the path."""
    asked = asked.strip("/")
    return asked in (row.key.name, *row.key.alias) or row.path == asked or row.path.endswith(f"/{asked}")


def _merged(found: list[KeyRow]) -> list[KeyRow]:
    """A key that several readers take alike, once, with all of them."""
    groups: dict[tuple[str, str], list[KeyRow]] = {}
    for row in found:
        groups.setdefault((row.path, row.key.doc), []).append(row)
    merged: list[KeyRow] = []
    for alike in groups.values():
        readers = ", ".join(row.reader for row in alike if row.reader)
        merged.append(KeyRow(alike[0].path, readers, alike[0].key))
    return merged


def facts(row: KeyRow) -> dict[str, Any]:
    """For programs."""
    key = row.key
    default = {} if key.required or key.default is ABSENT else {"default": key.default}
    return {
        "path": row.path,
        "reader": row.reader,
        "types": kinds(key),
        "required": key.required,
        "alias": list(key.alias),
        "doc": key.doc,
        "rule": key.rule.says if key.rule else "",
        **default,
    }


def kinds(key: Key) -> list[str]:
    """The types it takes, in words."""
    return list(dict.fromkeys(_KINDS.get(kind, "list of texts") for kind in key.kinds))


def _first(doc: str) -> str:
    return doc.partition(". ")[0].rstrip(".")


def _block(row: KeyRow) -> str:
    key = row.key
    reader = f"  ({row.reader})" if row.reader else ""
    if key.required:
        default = "must be given"
    else:
        default = "no default" if key.default in (ABSENT, None) else f"default {key.default!r}"
    lines = [paint(row.path, "strong") + reader, f"  {' or '.join(kinds(key))}; {default}", f"  {key.doc}"]
    lines += [f"  It {key.rule.says}."] if key.rule else []
    lines += [f"  Also written {', '.join(key.alias)}."] if key.alias else []
    return "".join(f"{line}\n" for line in lines)
