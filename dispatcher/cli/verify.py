"""`dispatcher verify PATH`: is a journal whole, and is what it tells legal?

whole      clean, 22 records in 14 frames and 1 segment, 4.1 kB
legal      every record follows from those before it
position   22:95db98efece4898a6b694b3e94ea4eea
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

import journal as journals

from ..core.errors import ConfigError, IllegalTransition
from ..core.events import Event
from . import telling
from .find import journal_of, journals_of, readable_journal
from .say import paint, say, say_json

EXAMPLES = """\
examples:
  dispatcher verify runs
  dispatcher verify runs --expect 22:95db98efece4898a6b694b3e94ea4eea     nothing since then is gone
  dispatcher verify 00000001.jsonl                     a copied file alone
  dispatcher verify runs --json

exit codes:
  0  whole and legal (an unfinished write at the very end is set aside and counts as whole)
  1  damaged, or a record that cannot follow from those before it
  2  there is nothing to read
"""

_WHOLE = ("clean", "torn")


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument(
        "path",
        metavar="PATH|HASH",
        help="a work directory, a journal, a copy of its first file, or the start of a hash",
    )
    parser.add_argument(
        "--expect", metavar="N:DIGEST", help="a position that was printed before: it must still be there"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: Namespace) -> int:
    """Say it; the exit code says it too."""
    with _journal(args.path) as path:
        found = journals.verify(path, expect=args.expect)
        problem = _illegal(path) if found.status in _WHOLE else ""
    if Path(args.path).is_file():
        found = msgspec.structs.replace(found, path=args.path)
    if args.json:
        say_json({**msgspec.to_builtins(found), "legal": not problem and found.status in _WHOLE, "illegal": problem})
    else:
        say(telling.pairs(_lines(found, problem)))
    if found.status == "unreadable":
        return 2
    return 0 if found.status in _WHOLE and not problem else 1


@contextmanager
def _journal(name: str) -> Iterator[Path]:
    """A directory that holds no journal is verified as it is: unreadable, and not a mistake in the arguments."""
    if Path(name).is_file():
        with readable_journal(name) as path:
            yield path
        return
    try:
        journals_of(name)
    except ConfigError:
        if not Path(name).is_dir():
            raise
        yield Path(name)
    else:
        yield journal_of(name)


def _illegal(path: Path) -> str:
    """Why the history cannot have happened as it is told, and where; "" when it can."""
    replay = telling.Replay()
    try:
        replay.fold(journals.frames(path, Event))
    except (IllegalTransition, journals.JournalError) as error:
        return str(error)
    if replay.unknown:
        return f"kinds of records that this version does not know ({', '.join(replay.unknown)}): update dispatcher"
    return ""


def _lines(found: Any, problem: str) -> list[tuple[str, str]]:
    good = found.status in _WHOLE
    count = telling.count
    frames, segments = count(found.frames, "frame"), count(found.segments, "segment")
    held = f"{count(found.records, 'record')} in {frames} and {segments}, {telling.size(found.bytes)}"
    torn = f"; an unfinished write of {count(found.torn_bytes, 'byte')} is set aside" if found.torn_bytes else ""
    lines = [("whole", paint(found.status, "finished" if good else "terminated") + f", {held}{torn}")]
    lines += [("problem", found.problem)] if found.problem else []
    lines += [("warning", warning) for warning in found.warnings]
    if good:
        lines.append(("illegal", problem) if problem else ("legal", "every record follows from those before it"))
    return [*lines, ("position", found.position), ("journal", found.path)]
