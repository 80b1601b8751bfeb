"""Fuzzing led by coverage: `guided.py answers|archives|journals SECONDS` (atheris; Python 3.11 to 3.13, Linux).

    answers     what a scheduler printed, read by every dialect        seeds: fixtures/corpus/answers
    archives    what a remote tar sent                                 seeds: fixtures/corpus/archives, a right one
    journals    a segment and HEAD, read by the journal's reader       seeds: fixtures/journals/v1

An input that breaks something is written to the current directory as crash-…;
move it to fixtures/corpus, where the tests find it. `make fuzz` runs all three.
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["dispatcher", "journal"]):
    import dispatcher.contexts.archive

    from dispatcher import schedulers
    from dispatcher.core.ports import Reply
    from journal import JournalCorrupt, JournalMissing, verify
    from journal.format import SECTOR
    from journal.reader import frames

    loaded = [schedulers.load(name) for name in schedulers.BUILTIN]

assert dispatcher.files.archive
HERE = Path(__file__).parent
FIXTURES = HERE.parents[1] / "fixtures"


def judges(name: str) -> Any:
    """The test of the same name, whose judgement is the same."""
    made = importlib.util.spec_from_file_location(name, HERE / f"test_{name}.py")
    assert made
    assert made.loader
    module = importlib.util.module_from_spec(made)
    made.loader.exec_module(module)
    return module


def answers() -> tuple[Callable[[bytes], None], list[bytes]]:
    """A dialect is chosen by the first byte."""
    tests = judges("answers")

    def judge(data: bytes) -> None:
        if data:
            reply = Reply(0, data[1:].decode(errors="replace"))
            tests.judged(loaded[data[0] % len(loaded)], reply)

    found = [file.read_bytes() for file in (FIXTURES / "corpus" / "answers").glob("*.txt")]
    return judge, [bytes([nth]) + text for text in found for nth in range(len(loaded))]


def archives() -> tuple[Callable[[bytes], None], list[bytes]]:
    """Any bytes are an archive."""
    tests = judges("archives")
    return tests.judge, [tests.whole(), *(file.read_bytes() for file in (FIXTURES / "corpus/archives").glob("*.tar"))]


def journals() -> tuple[Callable[[bytes], None], list[bytes]]:
    """HEAD is the first two sectors, the rest is the first segment."""
    place = Path(tempfile.mkdtemp(dir="/dev/shm"))

    def judge(data: bytes) -> None:
        (place / "HEAD").write_bytes(data[: 2 * SECTOR])
        (place / "00000001.jsonl").write_bytes(data[2 * SECTOR :])
        report = verify(place)
        try:
            read = sum(len(frame.records) for frame in frames(place, Any))
        except (JournalCorrupt, JournalMissing):
            assert report.status in ("corrupt", "unreadable"), report
        else:
            assert report.records == read, report

    stored = [journal for journal in (FIXTURES / "journals" / "v1").iterdir() if (journal / "00000001.jsonl").exists()]
    seeds = [((j / "HEAD").read_bytes() if (j / "HEAD").exists() else b"", j / "00000001.jsonl") for j in stored]
    return judge, [head.ljust(2 * SECTOR) + segment.read_bytes() for head, segment in seeds]


def main() -> None:
    judge, seeds = {"answers": answers, "archives": archives, "journals": journals}[sys.argv[1]]()
    corpus = Path(tempfile.mkdtemp())
    for number, seed in enumerate(seeds):
        (corpus / str(number)).write_bytes(seed)
    options = [f"-max_total_time={sys.argv[2]}", "-max_len=20000", "-rss_limit_mb=4096", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], judge)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
