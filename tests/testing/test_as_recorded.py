"""The stand-ins of OpenPBS and Torque answer wrong directives, ids and queues as real servers did, word for word."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dispatcher.testing.batch.queue import Call, JobOrder, Said, StandInJob, Taken, load

TRANSCRIPTS = Path(__file__).parents[2] / "fixtures" / "transcripts"
_CASE = re.compile(
    r"^\$ (qsub .*)\n\[exit (\d+).*\n--- stdout\n((?:.*\n)*?)--- stderr\n((?:.*\n)*?)(?=\n*\Z|\n*\n[$#])", re.M
)
#: What depends on how their nodes and queues were made, and not on qsub.
_THEIRS = re.compile(r"smallq|disabledq|nosuchhost| -[Wap] |gpus=1 |ppn=64|nodes=99|unreadable")


def recorded(folder: str) -> Iterator[tuple[str, int, str, str]]:
    for name in ("02-qsub-bad.txt", "90-directives.txt"):
        for found in _CASE.finditer((TRANSCRIPTS / folder / name).read_text()):
            if not _THEIRS.search(found[1]):
                yield found[1], int(found[2]), found[3], found[4].rstrip("\n")


class Numbers:
    """A queue that takes everything and runs nothing."""

    host = "pbshost"

    def __init__(self) -> None:
        self.order: JobOrder | None = None

    def wrong(self, fault: str) -> Any:
        return 0

    def jobs(self) -> list[StandInJob]:
        return []

    def submit(self, order: JobOrder) -> Taken:
        self.order = order
        return Taken(7)


def said(folder: str, line: str, top: Path) -> Said:
    """What the stand-in answers to a recorded line."""
    files = {"true.sh": "true\n", "empty.sh": "", "crlf.sh": "true\r\n", "baddir.sh": "#PBS --nonsense\n"}
    for name, text in files.items():
        (top / name).write_bytes(text.encode())
    dialect = load("pbs" if folder == "openpbs" else "torque", Numbers())  # type: ignore[arg-type]
    if script := re.fullmatch(r"qsub << '(.*)'", line):
        return dialect.answer(Call("qsub", [], str(top), lambda: script[1].replace("\\n", "\n") + "\n"))
    words = [word.strip("'") for word in re.findall(r"'[^']*'|\S+", line)]
    return dialect.answer(Call("qsub", words[1:], str(top)))


@pytest.mark.parametrize("folder", ["openpbs", "torque"])
def test_what_qsub_refuses_and_in_which_words(folder: str, tmp_path: Path) -> None:
    wrong = []
    for line, code, out, err in recorded(folder):
        answer = said(folder, line, tmp_path)
        shown = (answer.code, re.sub(r"^\d+", "7", answer.out), answer.err.rstrip("\n"))
        if shown != (code, re.sub(r"^\d+", "7", out), err):
            wrong.append((line, shown, (code, out, err)))
    assert wrong == []
    assert len(list(recorded(folder))) > 30
