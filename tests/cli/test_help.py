"""`dispatcher help`: pages and sections by the names that messages use."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from dispatcher.cli.help import pages, sections, topic
from dispatcher.core import errors

CODE = Path(errors.__file__).parents[1]
OTHERS = [path.read_text() for path in CODE.rglob("*.py") if path.name != "help.py"]
NAMED = {name for text in OTHERS for name in re.findall(r"dispatcher help ([a-z][a-z0-9-]+)", text)}
NAMED |= {kind.topic for kind in vars(errors).values() if isinstance(kind, type) and getattr(kind, "topic", "")}


@pytest.mark.parametrize("name", sorted(NAMED))
def test_what_a_message_refers_to_is_there(name: str) -> None:
    assert topic(name).startswith("#")


def test_a_section_ends_where_the_next_of_its_rank_begins() -> None:
    page = "# A\n\n## One thing\ntext\n```\n## not a heading\n```\n### Below\n\n## Two, too\nlast\n"
    assert dict(sections(page)) == {
        "one-thing": "## One thing\ntext\n```\n## not a heading\n```\n### Below\n\n",
        "below": "### Below\n\n",
        "two-too": "## Two, too\nlast\n",
    }


def test_no_two_pages_have_one_name() -> None:
    assert len(pages()) == len(list((CODE.parent / "docs").rglob("*.md")))


def test_the_verb(work: Any) -> None:
    assert work.run("help", "host-keys").out.startswith("## Host keys\n")
    assert work.run("help", "submit").out.startswith("usage: dispatcher submit")
    listed = work.run("help").out.splitlines()
    assert {"ssh                    SSH", "  host-keys"} & set(listed) >= {"  host-keys"}
    done = work.run("help", "host-kees")
    assert (done.code, "did you mean 'host-keys'?" in done.err) == (2, True)


def test_an_error_says_where_more_is(work: Any) -> None:
    work.prepare("true")
    work.local.chmod(0o755)
    (work.local / ".dispatcher").mkdir(mode=0o777)
    (work.local / ".dispatcher").chmod(0o777)
    done = work.run("submit", "submission.json")
    assert done.err.endswith("more: dispatcher help groups\n"), done.err
