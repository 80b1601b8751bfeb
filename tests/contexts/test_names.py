from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dispatcher import contexts
from dispatcher.core.errors import ConfigError
from dispatcher.core.keys import Key

CLASSES = {
    "LazyLocalContext": ["LazyLocal"],
    "LocalContext": ["Local"],
    "SSHContext": ["SSH"],
    "HDFSContext": ["HDFS"],
    "BohriumContext": ["Bohrium", "DpCloudServerContext", "DpCloudServer", "LebesgueContext", "Lebesgue"],
    "OpenAPIContext": ["OpenAPI"],
}
SPELLINGS = [
    (form, known) for known, others in CLASSES.items() for name in (known, *others) for form in (name, name.lower())
]


@pytest.mark.parametrize(("name", "known"), SPELLINGS)
def test_every_documented_spelling(name: str, known: str) -> None:
    assert contexts.canonical(name) == known


def test_every_builtin_is_documented_here() -> None:
    assert set(contexts.BUILTIN) == set(CLASSES)


@pytest.mark.parametrize(
    ("name", "local"), [("lazyLocal", "LazyLocal"), ("Ssh", "SSH"), ("LocalContxt", "Local"), ("LOCAL", "Local")]
)
def test_other_spellings_are_refused_with_the_nearest(name: str, local: str) -> None:
    with pytest.raises(ConfigError, match=rf"context_type: '{name}' .*did you mean '{local}Context'"):
        contexts.canonical(name)


def test_a_name_like_nothing_gets_the_list() -> None:
    with pytest.raises(ConfigError, match="choose one of LazyLocalContext, LocalContext, "):
        contexts.load("qqqqqq")


@pytest.mark.parametrize("name", list(contexts.BUILTIN))
def test_what_is_built_loads(name: str) -> None:
    kind = contexts.load(name)
    assert kind.__name__ == name.replace("Context", "Connection")
    assert all(isinstance(key, Key) and key.doc for key in kind.profile_keys)


STRANGER = """
class MoonContext:
    profile_keys = ()
    batch_type = ""
"""


def test_strangers_join_by_entry_point(tmp_path: Path) -> None:
    info = tmp_path / "moon-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: moon\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[dispatcher.contexts]\nMoonContext = moon:MoonContext\n")
    (tmp_path / "moon.py").write_text(STRANGER)
    script = "import sys; sys.path.insert(0, sys.argv[1]); from dispatcher.contexts import load; print(load('moon'))"
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "<class 'moon.MoonContext'>\n"


def test_nothing_is_loaded_by_asking_for_names() -> None:
    script = (
        "import sys, dispatcher.contexts as c; c.canonical('ssh')\n"
        "print(*[m for m in sys.modules if m.startswith(('dispatcher.contexts.', 'paramiko', 'requests', 'oss2'))])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
