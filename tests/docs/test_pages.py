"""Every page is followed, command by command, by a reader who knows nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dispatcher.testing import batch
from tests.docs.pages import PAGES, ROOT, Read, agrees, needs, steps
from tests.docs.terminal import Terminal

pytestmark = pytest.mark.slow


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
        terminal.close()
        for site in sites:
            site.end()


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if "laptop" not in needs(page.read_text())],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_the_reader_comes_to_the_end_of(page: Path, tmp_path: Path) -> None:
    text, home = page.read_text(), tmp_path / "home"
    home.mkdir()
    with reader(text, home) as terminal:
        terminal.follow(text)


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
