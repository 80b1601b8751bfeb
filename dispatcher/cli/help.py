"""`dispatcher help TOPIC`: a page of the documentation, or one section of it, without a network.

dispatcher help ssh                 docs/ssh.md
dispatcher help host-keys           the section "Host keys", of whichever page has it
dispatcher help submit              as dispatcher submit --help
"""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path

from ..core.errors import ConfigError
from .say import say

EXAMPLES = """\
examples:
  dispatcher help                    all pages, with their sections
  dispatcher help host-keys          what messages refer to: a section
  dispatcher help failures | less
"""

_HEADING = re.compile(r"^(#{1,6}) +(.+?) *$")


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("topic", metavar="TOPIC", nargs="?", help="a page, a section, or a verb; without it, a list")


def run(args: Namespace) -> int:
    """Print it as it is written: Markdown is made to be read."""
    from . import VERBS, parser_of

    if args.topic is None:
        say("\n".join(_listed()) + "\n")
    elif args.topic in VERBS:
        say(parser_of(args.topic).format_help())
    else:
        say(topic(args.topic))
    return 0


def pages() -> dict[str, Path]:
    """Every page by its name: in the package when it was installed, beside it in a clone."""
    inside = Path(__file__).parents[1] / "docs"
    top = inside if inside.is_dir() else Path(__file__).parents[2] / "docs"
    return {path.stem: path for path in sorted(top.rglob("*.md"))}


def topic(name: str) -> str:
    """The text of a page or section; ConfigError when there is none of that name."""
    found = pages()
    if name in found:
        return found[name].read_text(encoding="utf-8")
    known = list(found)
    for path in found.values():
        for slug, text in sections(path.read_text(encoding="utf-8")):
            if slug == name:
                return text
            known.append(slug)
    from ..schema.rules import nearest

    raise ConfigError(f"{name}: not a page, a section or a verb{nearest(name, known)} (dispatcher help lists them)")


def sections(page: str) -> Iterator[tuple[str, str]]:
    """Each section below a page's title: its name as in a link to it, and its text down to the next of its rank."""
    lines, fenced = page.splitlines(keepends=True), False
    heads = list[tuple[int, int, str]]()
    for place, line in enumerate(lines):
        fenced ^= line.startswith("```")
        if not fenced and (head := _HEADING.match(line)):
            heads.append((place, len(head[1]), head[2]))
    for nth, (place, rank, title) in enumerate(heads):
        ends = (after for after, other, _ in heads[nth + 1 :] if other <= rank)
        if rank > 1:
            yield _slug(title), "".join(lines[place : next(ends, len(lines))])


def _slug(title: str) -> str:
    """As the site's generator makes it."""
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title).strip().lower())


def _listed() -> Iterator[str]:
    for name, path in pages().items():
        text = path.read_text(encoding="utf-8")
        yield f"{name:<22} {text.partition(chr(10))[0].lstrip('# ')}"
        if path.parent.name not in ("reference", "decisions"):
            yield from (f"  {slug}" for slug, _ in sections(text))
