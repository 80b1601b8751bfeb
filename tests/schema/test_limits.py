"""Configurations that are made to take for ever, or all memory: each is one error that names the limit."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dispatcher.cli.run import blocks, metadata
from dispatcher.core.errors import ConfigError
from dispatcher.schema import documents
from dispatcher.schema.documents import LARGEST, LARGEST_YAML, load, resolve_refs


def _giant(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 42)


PLANTED: dict[str, tuple[Callable[[Path], object], str]] = {
    "pipe": (os.mkfifo, "is not a plain file"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "is not a plain file"),
    "giant": (_giant, f"has {1 << 42} bytes; the limit for such a file is"),
    "directory": (lambda path: path.mkdir(), "Is a directory"),
}


@pytest.mark.parametrize("what", PLANTED)
@pytest.mark.parametrize("name", ["a.json", "a.yaml"])
def test_what_is_no_file_of_a_sensible_size(tmp_path: Path, name: str, what: str) -> None:
    plant, why = PLANTED[what]
    plant(tmp_path / name)
    for ask in (lambda: load(tmp_path / name), lambda: resolve_refs({"$ref": name}, True, tmp_path)):
        with pytest.raises(ConfigError) as error:
            ask()
        said = str(error.value)
        assert (why in said and name in said) or said.startswith("/dev/zero: ")  # as the reference leads there


def test_the_limits_leave_room() -> None:
    assert LARGEST >= 100_000 * 1000  # a submission of 100,000 tasks
    assert LARGEST_YAML >= 10_000 * 1000


_BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)
_MERGES = "m0: &m0 {a: 1, b: 2}\n" + "".join(
    f"m{n}: &m{n} {{<<: [{','.join([f'*m{n - 1}'] * 9)}]}}\n" for n in range(1, 12)
)
HOSTILE = {
    "deep.json": ('{"a":' * 65 + "1" + "}" * 65, "nested too deeply"),
    "deeper.json": ("[" * 100_000, "nested too deeply"),
    "digits.json": (f'{{"a": {"9" * 100_000}}}', "cannot be read"),
    "deep.yaml": ("{a: " * 65 + "1" + "}" * 65, "nested too deeply"),
    "deeper.yaml": ("[" * 5_000, "nested too deeply"),
    "bomb.yaml": (_BOMB, "its aliases, written out, are more than"),
    "self.yaml": ("a: &a [*a, *a]\n", r"nested too deeply"),
    "digits.yaml": (f"a: {'9' * 100_000}\n", "a number of 100000 letters"),
    "sixty.yaml": (f"a: {':1' * 100_000}\nb: 1{':1' * 100_000}\n", "a number of 200001 letters"),
    "float.yaml": (f"a: 1{':1' * 100_000}.0\n", "a number of 200003 letters"),
    "date.yaml": ("a: 2024-99-99\n", "cannot be read"),
    "bool.yaml": ("a: !!bool perhaps\n", "cannot be read"),
    "binary.yaml": ("a: !!binary [x]\n", "not valid YAML|cannot be read"),
    "object.yaml": ("a: !!python/object/apply:os.system [id]\n", "not valid YAML"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_takes_for_ever(tmp_path: Path, name: str) -> None:
    text, why = HOSTILE[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=why):
        resolve_refs(load(tmp_path / name), True, tmp_path)


def test_merges_that_multiply(tmp_path: Path) -> None:
    """Newer versions of the library merge a key once; with older ones the keys are counted."""
    (tmp_path / "a.yaml").write_text(_MERGES)
    try:
        assert load(tmp_path / "a.yaml")["m11"] == {"a": 1, "b": 2}
    except ConfigError as error:
        assert "more than 100000 keys merged" in str(error)


def test_references_that_multiply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "_REFERRED", 1 << 20)
    for level in range(40):
        (tmp_path / f"{level}.json").write_text(
            json.dumps({"a": {"$ref": f"{level + 1}.json"}, "b": {"$ref": f"{level + 1}.json"}})
        )
    (tmp_path / "40.json").write_text("{}")
    with pytest.raises(ConfigError, match="the references bring more than 1048576 bytes"):
        resolve_refs({"$ref": "0.json"}, True, tmp_path)


def test_aliases_and_merges_of_people_still_work(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("base: &b {x: 1, y: [1, 2]}\nother: {<<: *b, z: 3}\nlist: [*b, *b]\n")
    found = load(tmp_path / "a.yaml")
    assert found["other"] == {"x": 1, "y": [1, 2], "z": 3}
    assert found["list"] == [found["base"]] * 2


# -- the block of PEP 723 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "found"), [
    ("# /// script\n# a = 1\n# ///\n", [("script", ["# a = 1"])]),
    ("# /// script\n# ///\n", []),
    ("# /// script\n# a\n", []),
    ("# /// script\n# a\n#\n# ///\n# b\n# ///\nx\n", [("script", ["# a", "#", "# ///", "# b"])]),
    ("x\n# /// a-b\n#x\n# ///\n# /// c\n# y\n# ///\r\n", [("c", ["# y"])]),
], ids=range(5))  # fmt: skip
def test_blocks(text: str, found: list[tuple[str, list[str]]]) -> None:
    assert list(blocks(text)) == found


@pytest.mark.parametrize("content", [
    "# /// script\n" * 200_000, "# /// script\n#\n" * 200_000, "#" + " \n" * 500_000, "# ///\n" * 300_000,
], ids=["beginnings", "pairs", "blanks", "ends"])  # fmt: skip
def test_many_beginnings_are_looked_at_once(content: str) -> None:
    """With a pattern that tries every beginning to its end this would take days."""
    assert len(list(blocks(content))) <= 1


@pytest.mark.parametrize("content", [
    f"# a = {'[' * 50_000}", f"# {'a.' * 60_000}a = 1", "\n".join(["# a = 1"] * 50_000), f"# a = {'{b=' * 30_000}",
], ids=["brackets", "dots", "lines", "braces"])  # fmt: skip
def test_blocks_that_take_for_ever(content: str) -> None:
    with pytest.raises(ConfigError, match=r"job\.py: its script block"):
        metadata(f"# /// script\n{content}\n# ///\n", "job.py")
