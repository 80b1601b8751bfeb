"""Look at a journal from a shell or a CI job, without the application that wrote it and without a lock.

python -m journal verify runs/journal             clean: 1204 records in 87 frames, 2 segments, 190411 bytes
python -m journal cat runs/journal --from 1200    {"n":1200,"t":1795342361.644751,"r":{"k":"submitted",…}}
python -m journal unlock runs/journal             process 4242 on login1 since 2026-11-22 10:12:41 is shut out
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from .errors import JournalError
from .format import Frame
from .lock import unlock
from .reader import follow, frames
from .report import Report, verify

_CODES = {"clean": 0, "torn": 1, "corrupt": 2, "unreadable": 2, "foreign": 3}
_NEEDS = 4
_EXAMPLES = """\
exit codes of verify:
  0  clean
  1  an unfinished write at the end, kept and ignored (a writer died, or is just writing)
  2  corrupt, unreadable, or the expected position is not there
  3  bytes were written after a segment was sealed: a second writer was alive
  4  a reader of this journal must know kinds that were not named by --knows

examples:
  python -m journal verify runs/journal
  python -m journal verify runs/journal --expect 1204:56b6ab1f6d0d0cf04a2a1d3a9c1f40fe --json
  python -m journal cat runs/journal --from 1200
  python -m journal cat runs/journal --follow | jq -c 'select(.r.k == "submitted")'
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    asked = _parser().parse_args(arguments)
    try:
        code = {"verify": _verify, "cat": _cat, "unlock": _unlock}[asked.command](asked)
        sys.stdout.flush()
    except BrokenPipeError:  # head has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except (JournalError, OSError) as error:
        sys.stderr.write(f"journal: {_printable(str(error))}\n")
        return 2
    return code


def _parser() -> argparse.ArgumentParser:
    shown = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m journal", description=__doc__, epilog=_EXAMPLES, formatter_class=shown)
    commands = parser.add_subparsers(dest="command", required=True, metavar="verify|cat|unlock")
    check = commands.add_parser("verify", help="is it whole?", epilog=_EXAMPLES, formatter_class=shown)
    check.add_argument("path", help="directory of the journal")
    check.add_argument("--expect", type=_position, metavar="N:DIGEST", help="a position printed earlier: still there?")
    check.add_argument("--knows", default="", metavar="KIND,…", help="kinds that your reader knows")
    check.add_argument("--json", action="store_true", help="the whole report as one line of JSON")
    cat = commands.add_parser("cat", help="print the records", epilog=_EXAMPLES, formatter_class=shown)
    cat.add_argument("path", help="directory of the journal")
    cat.add_argument("--from", dest="first", type=int, default=0, metavar="N", help="start at this record number")
    cat.add_argument("--follow", action="store_true", help="go on printing what is committed, until interrupted")
    free = commands.add_parser("unlock", help="shut out a writer that cannot be stopped (its host is out of reach)")
    free.add_argument("path", help="directory of the journal")
    return parser


def _printable(text: str) -> str:
    """What a terminal only shows: who wrote it is not known."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "?" for letter in text)


def _json(data: bytes) -> str:
    """The same JSON, with an escape in the place of each letter that a terminal would not only show."""
    text = data.decode(errors="replace")
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in text)


def _position(text: str) -> str:
    if not re.fullmatch("[0-9]+:[0-9a-f]{32}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is no position: number:digest, as verify prints it")
    return text


def _verify(asked: argparse.Namespace) -> int:
    report = verify(asked.path, expect=asked.expect)
    unknown = [kind for kind in report.needs if kind not in asked.knows.split(",")]
    sys.stdout.write(
        _json(msgspec.json.encode(report)) + "\n" if asked.json else _printable(_in_words(report, unknown))
    )
    code = _CODES[report.status]
    return _NEEDS if unknown and code < 2 else code


def _in_words(report: Report, unknown: list[str]) -> str:
    if report.status == "unreadable":
        return f"unreadable: {report.problem}\n"
    found = f"{report.records} records in {report.frames} frames, {report.segments} segments, {report.bytes} bytes"
    lines = [f"{report.status}: {found}; position {report.position}"]
    lines += [f"  {report.problem}"] if report.problem else []
    lines += [f"  {report.torn_bytes} bytes of an unfinished write at the end are ignored"] if report.torn_bytes else []
    lines += [f"  {warning}" for warning in report.warnings]
    lines += [f"  its readers must know: {', '.join(unknown)}"] if unknown else []
    return "\n".join(lines) + "\n"


def _cat(asked: argparse.Namespace) -> int:
    found: Iterator[Frame[Any]] = (
        follow(asked.path, msgspec.Raw, stop=lambda: False) if asked.follow else frames(asked.path, msgspec.Raw)
    )
    for frame in found:
        skip = max(asked.first - frame.first, 0)
        for nth, record in enumerate(frame.records[skip:], frame.first + skip):
            sys.stdout.write(f'{{"n":{nth},"t":{frame.at:.6f},"r":{_json(bytes(record))}}}\n')
        if asked.follow:
            sys.stdout.flush()
    return 0


def _unlock(asked: argparse.Namespace) -> int:
    holder = unlock(Path(asked.path).absolute())
    who = _printable(str(holder or "whoever wrote it"))
    sys.stdout.write(f"{who} is shut out: it can write no more; what it began runs on\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
