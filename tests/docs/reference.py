"""The reference pages, made from the code; `python -m tests.docs.reference` (make reference) writes them anew.

docs/reference/keys.md       every key of machine, resources, task and submission, and who reads it
docs/reference/commands.md   what each verb's --help says
docs/reference/errors.md     every error by name, and its exit code
"""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from dispatcher import schedulers
from dispatcher.cli import VERBS
from dispatcher.core import errors
from dispatcher.core.keys import ABSENT, Key
from dispatcher.schema import parameters, profiles

HERE = Path(__file__).parents[2] / "docs" / "reference"
_MADE = "<!-- made from the code: make reference -->\n"
_KINDS = {None: "null", str: "text", int: "integer", float: "number", bool: "true/false", dict: "object"}


def kind(key: Key) -> str:
    """The JSON types that a key takes."""
    return " or ".join(dict.fromkeys(_KINDS.get(one, "list of texts") for one in key.kinds))


def default(key: Key) -> str:
    """What an absent key means."""
    if key.required:
        return "**required**"
    if key.default is ABSENT:
        return ""
    return f"`{json.dumps(key.default)}`"


def cell(text: str) -> str:
    """A text inside a table."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def table(keys: Iterable[Key]) -> Iterator[str]:
    """One row a key."""
    yield "| key | type | default | meaning |\n|---|---|---|---|\n"
    for key in keys:
        also = f" Also written {', '.join(f'`{name}`' for name in key.alias)}." if key.alias else ""
        rule = f" It {key.rule.says}." if key.rule else ""
        yield f"| `{key.name}` | {kind(key)} | {default(key)} | {cell(f'{key.doc}{rule}{also}')} |\n"
    yield "\n"


def keys() -> Iterator[str]:
    """docs/reference/keys.md"""
    yield f"# Every key\n\n{_MADE}\n"
    yield "An unknown key is refused with the nearest known one.\n\n"
    for title, rows in (
        ("machine", parameters.MACHINE),
        ("resources", parameters.RESOURCES),
        ("resources/strategy", parameters.STRATEGY),
        ("task", parameters.TASK),
        ("submission", parameters.SUBMISSION),
    ):
        yield f"## {title}\n\n"
        yield from table(rows)
    for name in schedulers.BUILTIN:
        own, needed = schedulers.kwargs_of(name)
        yield f"## resources/kwargs with batch_type {name}\n\n"
        yield "They must be given.\n\n" if needed else ""
        yield from table(own) if own else ["It reads none.\n\n"]
    for name, told in profiles.CONTEXTS.items():
        yield f"## machine/remote_profile with context_type {name}\n\n{told.doc}\n\n"
        yield "It must be given.\n\n" if told.needed else ""
        yield "Further keys are passed on as they are.\n\n" if told.free else ""
        yield from table(told.keys) if told.keys else ["It reads none.\n\n"]


def commands() -> Iterator[str]:
    """docs/reference/commands.md"""
    yield f"# Every command\n\n{_MADE}\n"
    env = os.environ | {"COLUMNS": "100", "NO_COLOR": "1"}
    for verb in ("", *VERBS):
        words = [sys.executable, "-m", "dispatcher", *verb.split(), "--help"]
        text = subprocess.run(words, capture_output=True, text=True, check=True, env=env).stdout
        yield f"## dispatcher {verb}".rstrip() + f"\n\n```text\n{text.rstrip()}\n```\n\n"


def failures() -> Iterator[str]:
    """docs/reference/errors.md"""
    yield f"# Every error\n\n{_MADE}\nAll are importable from `dispatcher`; the exit code is that of the command.\n\n"
    yield "| error | exit code | what happened |\n|---|---|---|\n"
    for name, error in vars(errors).items():
        if inspect.isclass(error) and issubclass(error, errors.DispatcherError):
            said: Any = inspect.getdoc(error)
            yield f"| `{name}` | {error.exit_code} | {cell(' '.join(said.split()))} |\n"


PAGES = {"keys.md": keys, "commands.md": commands, "errors.md": failures}


def main() -> None:
    """Write every page."""
    HERE.mkdir(parents=True, exist_ok=True)
    for name, made in PAGES.items():
        (HERE / name).write_text("".join(made()))


if __name__ == "__main__":
    main()
