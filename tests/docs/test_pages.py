"""Every page is followed, command by command, by a reader who knows nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dispatcher.testing import batch
from tests.docs.pages import PAGES, ROOT, Read, Type, Write, agrees, needs, steps

pytestmark = pytest.mark.slow

_ENDED = "--- the command has ended with"


class Terminal:
    """A shell in which one command is typed after the other; directories and variables stay."""

    def __init__(self, home: Path, env: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            ["bash"], cwd=home, env=env, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def type(self, command: str) -> tuple[str, int]:
        """What it prints, and its exit code."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{{ {command}\n}} < /dev/null; printf '\\n{_ENDED} %s\\n' $?\n")
        printed = []
        for line in self.process.stdout:
            if line.startswith(_ENDED):
                return "".join(printed).removesuffix("\n"), int(line.split()[-1])
            printed.append(line)
        raise AssertionError(f"the shell has ended: {''.join(printed)}")


@contextmanager
def reader(page: str, home: Path) -> Iterator[Terminal]:
    """Somebody who has installed us, on a machine with what the page needs, with the page's directory as home."""
    path, sites = [str(Path(sys.executable).parent), os.environ["PATH"]], []
    for need in needs(page):
        if need == "clone":
            (home / "fixtures").symlink_to(ROOT / "fixtures")
        else:
            sites.append(batch.install(need, home.parent / need))
            path.insert(0, str(sites[-1].bin))
    kept = {name: value for name, value in os.environ.items() if name in ("LANG", "TMPDIR") or name.startswith("PIP_")}
    terminal = Terminal(home, kept | {"PATH": os.pathsep.join(path), "HOME": str(home), "NO_COLOR": "1", "TZ": "UTC"})
    try:
        yield terminal
    finally:
        terminal.process.kill()
        terminal.process.communicate()
        for site in sites:
            site.end()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_reader_comes_to_the_end_of(page: Path, tmp_path: Path) -> None:
    text, home = page.read_text(), tmp_path / "home"
    home.mkdir()
    with reader(text, home) as terminal:
        for step in steps(text):
            match step:
                case Write(name, body):
                    path = home / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_text(body)
                case Type(command, expected, code):
                    printed, ended = terminal.type(command)
                    said = f"$ {command}\nended with {ended}, not {code}, and printed\n{printed}"
                    assert ended == code, said
                    assert not expected or agrees(expected, printed), "\n".join([said, "not", *expected])
                case Read():
                    pass


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        (("a", "b"), "a\nb\n", True),
        (("a",), "a\nb\n", False),
        (("took … s",), "took 1.2 s\n", True),
        (("took … s",), "took  s\n", False),
        (("a", "...", "z"), "a\nb\nc\nz\n", True),
        (("a", "..."), "b\n", False),
    ],
)
def test_what_is_printed_is_compared(expected: tuple[str, ...], printed: str, same: bool) -> None:
    assert agrees(expected, printed) is same


def test_a_block_that_nobody_knows_what_to_do_with_is_refused() -> None:
    with pytest.raises(ValueError, match="no title"):
        list(steps("```json\n{}\n```\n"))
    assert list(steps("<!-- not run: needs a cloud -->\n```json\n{}\n```\n")) == [Read("{}\n", "needs a cloud")]
