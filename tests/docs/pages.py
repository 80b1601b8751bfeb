"""A page as its reader follows it: files to write, commands to type, what they print.

    ```json title="machine.json"        ->  Write("machine.json", text)
    ```console                          ->  Type("dispatcher status runs", expected=("…",), code=0)
    $ dispatcher status runs
    …
    ```

One page is one reader in one new directory, from top to bottom. In what a command prints, `…` inside a line stands for
anything on it, blanks for any number of blanks, and a line `...` for any lines; a command with nothing below it may
print what it likes. It must end with 0 unless `# exits with N` stands behind it. `<!-- not run: reason -->` just above
a block exempts it, `<!-- needs: slurm -->` at the top of a page puts a stand-in of this batch system on PATH. A page
that needs a `laptop` is followed in front of real servers (tests/clusters/ssh/test_newcomer.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(
    r"(?:<!-- not run: (?P<why>.+?) -->\n+)?^(?P<fence>```+)(?P<head>[^\n`]*)\n(?P<body>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
_TITLE = re.compile(r'title="([^"]+)"')
_CODE = re.compile(r"\s+# exits with (\d+)$")
_NEEDS = re.compile(r"<!-- needs: (.+?) -->")

#: Blocks in these languages are pictures or texts to read; there is nothing to run in them.
READ = {"", "text", "mermaid", "ini", "diff"}


class Write(NamedTuple):
    """A file that the reader makes."""

    name: str
    text: str


class Type(NamedTuple):
    """A command that the reader types."""

    command: str
    expected: tuple[str, ...]
    code: int


class Read(NamedTuple):
    """A text that the reader only reads, and why."""

    text: str
    why: str


Step = Write | Type | Read


def needs(page: str) -> list[str]:
    """What the page's reader has: batch systems."""
    return [word for found in _NEEDS.findall(page) for word in found.split()]


def steps(page: str) -> Iterator[Step]:
    """What the reader of a page does; ValueError for a block of which it is not said what to do with it."""
    for found in _BLOCK.finditer(page):
        language = found["head"].split(" ")[0]
        title = _TITLE.search(found["head"])
        if found["why"]:
            yield Read(found["body"], found["why"])
        elif language == "console":
            yield from _typed(found["body"])
        elif title:
            yield Write(title[1], found["body"])
        elif language in READ:
            yield Read(found["body"], "")
        else:
            raise ValueError(f"a block of {language} has no title and no reason not to be run:\n{found['body'][:200]}")


def _typed(body: str) -> Iterator[Type]:
    command, expected = "", list[str]()
    for line in [*body.splitlines(), "$ "]:
        if line.startswith("$ "):
            if command:
                code = _CODE.search(command)
                yield Type(_CODE.sub("", command), tuple(expected), int(code[1]) if code else 0)
            command, expected = line[2:], []
        elif command.endswith("\\"):
            command += f"\n{line.removeprefix('> ')}"
        else:
            expected.append(line)


def agrees(expected: tuple[str, ...], printed: str) -> bool:
    """What was printed is what the page shows."""
    pattern = "".join(r"(?:.*\n)*?" if line == "..." else _line(line) for line in expected)
    return re.fullmatch(pattern, printed if printed.endswith("\n") or not printed else f"{printed}\n") is not None


def _line(line: str) -> str:
    parts = (re.sub(r"(?:\\ )+", " +", re.escape(part)) for part in line.rstrip().split("…"))
    return r"\S.*?".join(parts) + r"[ \t]*\n"
