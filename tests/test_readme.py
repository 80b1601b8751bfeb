"""README tells the truth: its diagram, its example, its commands, its map and its links.

`python tests/test_readme.py` puts the current diagram into it (make diagram).
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dispatcher.core.lifecycle import mermaid

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
DIAGRAM = re.compile(r"(<!-- diagram: make diagram -->\n```mermaid\n)(.*?)(```\n<!-- /diagram -->)", re.DOTALL)


def work(tmp_path: Path) -> Path:
    """The tasks' files that the example speaks of."""
    for number in range(5):
        task = tmp_path / "runs" / f"task{number}"
        task.mkdir(parents=True)
        (task / "in.txt").write_text("line\n" * number)
    return tmp_path


def test_the_diagram_is_that_of_the_table() -> None:
    found = DIAGRAM.search(README.read_text())
    assert found, "README has no diagram"
    assert found[2] == mermaid() + "\n", "README's diagram is not that of the table: make diagram"


def test_the_example_runs_and_runs_again(tmp_path: Path) -> None:
    [example] = re.findall(r"```python[^\n]*\n(.*?)```", README.read_text(), re.DOTALL)
    work(tmp_path)
    for _ in range(2):
        subprocess.run([sys.executable, "-c", example], cwd=tmp_path, check=True, timeout=300)
    for number in range(5):
        assert (tmp_path / "runs" / f"task{number}" / "lines.txt").read_text().strip() == str(number)


def test_the_commands_run(tmp_path: Path) -> None:
    work(tmp_path)
    (tmp_path / "runs" / "common.txt").write_text("squares\n")
    (tmp_path / "submission.json").write_text((ROOT / "fixtures/demo/submission.json").read_text())
    commands = re.findall(r"^    (dispatcher \w+ \S+)", README.read_text(), re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        words = [sys.executable, "-m", *command.split()]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"


@pytest.mark.parametrize("page", [README, *sorted((ROOT / "docs").rglob("*.md"))], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_map_is_that_of_the_tree() -> None:
    tops = re.findall(r"^    (\w+)/ ", README.read_text(), re.MULTILINE)
    assert tops == ["journal", "dispatcher", "tests", "fixtures", "examples", "docs"]
    assert all((ROOT / top).is_dir() for top in tops)
    named = set(re.findall(r"[a-z_]+", README.read_text().split("dispatcher/    ")[1].split("tests/  ")[0]))
    modules = {path.stem for path in (ROOT / "dispatcher").iterdir() if not path.name.startswith("_")}
    assert modules <= named, f"README's map does not name {modules - named}"


if __name__ == "__main__":
    README.write_text(DIAGRAM.sub(lambda found: f"{found[1]}{mermaid()}\n{found[3]}", README.read_text()))
