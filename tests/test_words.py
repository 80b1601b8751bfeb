"""The words of docs/glossary.md are those of the code, and those that were given up do not come back."""

from __future__ import annotations

import ast
import re
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import get_args

import pytest

from dispatcher.core.events import Event

ROOT = Path(__file__).parent.parent
ROWS = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", (ROOT / "docs/glossary.md").read_text(), re.MULTILINE)[2:]
NAMES = [name for _, _, where in ROWS for name in re.findall(r"`([A-Za-z_.]+)`", where)]

#: Names that meant nothing to a stranger, and what they are called now (docs/glossary.md).
GIVEN_UP = {
    *("homecoming", "inheritance", "ledger", "Outside", "near", "Watch", "Look", "Looks", "Ask", "asking", "Never"),
    *("TurnedUp", "Void", "turned_up", "revived", "stray", "grace", "pace", "carry_out"),
}
TAGS = {kind.__struct_config__.tag for kind in get_args(Event)}


@cache
def identifiers(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.arg(arg=name) | ast.Attribute(attr=name):
                found.add(name)
            case ast.Name(id=name):
                found.add(name)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_the_glossary_is_in_the_code(name: str) -> None:
    room, *inside = name.split(".")
    package = ROOT / "dispatcher"
    known = {path.stem for path in package.rglob("*.py")} | {path.name for path in package.iterdir()}
    if room in known and inside:
        assert any(_resolves(name, start) for start in ("dispatcher", "dispatcher.core")), name
    else:  # a class, or a member of one, of a room that the row does not name
        words = {word for path in package.rglob("*.py") for word in identifiers(path)}
        assert set(name.split(".")) <= words | known | TAGS, name


def _resolves(name: str, start: str) -> bool:
    parts = name.split(".")
    for cut in range(len(parts), 0, -1):
        try:
            found = import_module(".".join([start, *parts[:cut]]))
        except ImportError:
            continue
        for part in parts[cut:]:
            if not hasattr(found, part) and part not in getattr(found, "__annotations__", {}):
                return False
            found = getattr(found, part, None)
        return True
    return False


def test_words_that_were_given_up_do_not_come_back() -> None:
    back = {
        f"{path.relative_to(ROOT)}: {word}"
        for top in ("dispatcher", "journal")
        for path in (ROOT / top).rglob("*.py")
        for word in identifiers(path) & GIVEN_UP
    }
    assert back == set()


def test_the_glossary_is_short() -> None:
    assert len((ROOT / "docs/glossary.md").read_text().splitlines()) <= 60
