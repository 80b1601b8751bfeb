"""The shape of the code: imports go down only, each library enters in one place, importing does nothing."""

from __future__ import annotations

import ast
import functools
import graphlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "dispatcher"

#: The rooms from the doors down; a module imports from its own room and from those below.
ROOMS = (
    ("__main__",),
    ("cli", "testing", "compat"),
    ("__init__", "api"),
    ("schema", "report"),
    ("run",),
    ("schedulers", "contexts"),
    ("scripts",),
    ("files",),
    ("core",),
)
DEPTH = {room: depth for depth, level in enumerate(ROOMS) for room in level}

#: Where a library may be imported.
LIBRARIES = {
    "transitions": "dispatcher/core/states.py",
    "filelock": "journal/lock.py",
    "paramiko": "dispatcher/contexts/ssh/",
    "requests": "dispatcher/contexts/cloud/",
    "dargs": "dispatcher/schema/",
    "rich": ("dispatcher/cli/", "dispatcher/api/bar.py"),
    "textual": ("dispatcher/cli/screen.py", "dispatcher/cli/dialogs.py"),
    "dpgui": "dispatcher/cli/gui.py",
    "jinja2": "dispatcher/report/page.py",
}
#: Rooms and files that touch nothing outside: values in, values out.
_PURE_FILES = ("files/listing.py", "files/patterns.py", "run/opening.py", "run/recorder.py")
PURE = ("core/", "scripts/", "schedulers/", *_PURE_FILES)
WORLD = {"os", "subprocess", "socket", "time", "pathlib", "shutil", "tempfile"}


@functools.cache
def imports(path: Path) -> list[tuple[str, int]]:
    """Absolute names of what a file imports, with the line."""
    package = path.relative_to(ROOT).with_suffix("").parts
    found: list[tuple[str, int]] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            found += [(module, node.lineno), *((f"{module}.{alias.name}", node.lineno) for alias in node.names)]
    return found


def files(*tops: str) -> list[Path]:
    return sorted(path for top in tops for path in (ROOT / top).rglob("*.py"))


def part(name: str) -> str:
    return name.split(".")[1] if name.count(".") else "__init__"


def room_of(path: Path) -> str:
    return part(".".join(path.relative_to(ROOT).with_suffix("").parts))


@pytest.mark.parametrize("path", files("dispatcher"), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    here = room_of(path)
    assert here in DEPTH, f"{path}: say in tests/test_shape.py where this room lies"
    for name, line in imports(path):
        if name.startswith("dispatcher.") and part(name) in DEPTH:
            assert DEPTH[part(name)] >= DEPTH[here], f"{path}:{line}: {here} must not import {name}"


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def test_no_modules_import_each_other_in_a_circle() -> None:
    """What is imported for annotations only (TYPE_CHECKING) does not count; what is imported in a function does."""
    modules = {_module(path): path for path in files("dispatcher", "journal")}
    graph = {name: _needed(path, set(modules)) - {name} for name, path in modules.items()}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def _needed(path: Path, modules: set[str]) -> set[str]:
    """What a file imports of these; `from .core import events` needs events, and not all that core holds."""
    unneeded = _annotations(path)
    found = {(name, line) for name, line in imports(path) if name in modules and line not in unneeded}
    parents = {(name.rpartition(".")[0], line) for name, line in found}
    return {name for name, _ in found - parents}


def _annotations(path: Path) -> set[int]:
    guarded = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.If)]
    return {
        line
        for node in guarded
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def test_the_engine_is_handed_its_ports() -> None:
    assert not {part(name) for name, _ in imports(PACKAGE / "run" / "engine.py")} & {"schedulers", "contexts"}


def test_schedulers_and_contexts_do_not_know_each_other() -> None:
    for folder, other in (("schedulers", "contexts"), ("contexts", "schedulers")):
        for path in files(f"dispatcher/{folder}"):
            assert other not in {part(name) for name, _ in imports(path) if name.startswith("dispatcher")}, path


def test_the_journal_knows_nothing_of_jobs() -> None:
    for path in files("journal"):
        assert not [name for name, _ in imports(path) if name.startswith("dispatcher")], path


def test_rules_and_words_do_not_touch_the_world() -> None:
    for path in files("dispatcher"):
        if str(path.relative_to(PACKAGE)).startswith(PURE):
            touched = {name.split(".")[0] for name, _ in imports(path)} & WORLD
            assert not touched, f"{path} imports {touched}"


@pytest.mark.parametrize("library", LIBRARIES)
def test_each_library_enters_in_one_place(library: str) -> None:
    for path in files("dispatcher", "journal"):
        if any(name.split(".")[0] == library for name, _ in imports(path)):
            assert str(path.relative_to(ROOT)).startswith(LIBRARIES[library]), f"{path} imports {library}"


def test_importing_is_light_and_changes_nothing(tmp_path: Path) -> None:
    code = "import sys, json, dispatcher; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    heavy = {"paramiko", "requests", "oss2", "dargs", "yaml", "rich", "filelock", "transitions", "logging.handlers"}
    assert not heavy & set(json.loads(done.stdout))
    assert (done.stderr, list(tmp_path.iterdir())) == ("", [])


def test_files_and_functions_stay_small() -> None:
    for path in files("dispatcher", "journal"):
        text = path.read_text()
        assert text.count("\n") <= 400, f"{path} has {text.count(chr(10))} lines"
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                size = (node.end_lineno or 0) - node.lineno + 1 - (ast.get_docstring(node) or "").count("\n")
                assert size <= 40, f"{path}:{node.lineno} {node.name} has {size} lines"


def test_one_class_a_name() -> None:
    names = [
        node.name
        for path in files("dispatcher", "journal")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    assert sorted(names) == sorted(set(names))
