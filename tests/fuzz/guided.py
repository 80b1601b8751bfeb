"""Fuzzing led by coverage: `guided.py WHAT SECONDS` (atheris; Python 3.11 to 3.13, Linux).

    answers     what a scheduler printed, read by every dialect        seeds: fixtures/corpus/answers
    archives    what a remote tar sent                                 seeds: fixtures/corpus/archives, a right one
    journals    a segment and HEAD, read by the journal's reader       seeds: fixtures/journals/v1
    records     lines of a journal, folded and told                    seeds: the same, without their frames
    claims      what a job wrote of itself                             seeds: the lines of docs/control-files.md
    listings    what `find` and `sha256sum` printed over SSH           seeds: right ones
    receipts    files where those of a cloud should be                 seeds: a right one
    bodies      what a cloud answered                                  seeds: right ones

An input that breaks something is written to the current directory as crash-…;
move it to fixtures/corpus, where the tests find it. `make fuzz` runs all.
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
    import dispatcher.contexts.cloud.context
    import dispatcher.contexts.ssh.listing
    import dispatcher.files.archive
    import dispatcher.report.figures
    from dispatcher import schedulers
    from dispatcher.core import events as ev
    from dispatcher.core.errors import IllegalTransition
    from dispatcher.core.history import History
    from dispatcher.core.ports import Reply
    from dispatcher.core.records import Chronicle
    from journal import JournalCorrupt, JournalMissing, verify
    from journal.format import SECTOR, Codec
    from journal.reader import frames

    loaded = [schedulers.load(name) for name in schedulers.BUILTIN]

HERE = Path(__file__).parent
FIXTURES = HERE.parents[1] / "fixtures"
Target = tuple[Callable[[bytes], None], list[bytes]]


def judges(name: str) -> Any:
    """The test of the same name, whose judgement is the same."""
    made = importlib.util.spec_from_file_location(name, HERE / f"test_{name}.py")
    assert made
    assert made.loader
    module = importlib.util.module_from_spec(made)
    made.loader.exec_module(module)
    return module


def text(data: bytes) -> str:
    """As the bytes of another machine are read."""
    return data.decode(errors="surrogateescape")


def answers() -> Target:
    """A dialect is chosen by the first byte."""
    tests = judges("answers")

    def judge(data: bytes) -> None:
        if data:
            reply = Reply(0, data[1:].decode(errors="replace"))
            tests.judged(loaded[data[0] % len(loaded)], reply)

    found = [file.read_bytes() for file in (FIXTURES / "corpus" / "answers").glob("*.txt")]
    return judge, [bytes([nth]) + text for text in found for nth in range(len(loaded))]


def archives() -> Target:
    """Any bytes are an archive."""
    tests = judges("archives")
    return tests.judge, [tests.whole(), *(file.read_bytes() for file in (FIXTURES / "corpus/archives").glob("*.tar"))]


def _stored() -> list[Path]:
    return [journal for journal in (FIXTURES / "journals" / "v1").iterdir() if (journal / "00000001.jsonl").exists()]


def journals() -> Target:
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

    seeds = [((j / "HEAD").read_bytes() if (j / "HEAD").exists() else b"", j / "00000001.jsonl") for j in _stored()]
    return judge, [head.ljust(2 * SECTOR) + segment.read_bytes() for head, segment in seeds]


def records() -> Target:
    """Whatever can be read can be folded or is illegal, and what was folded can be told and counted."""
    codec: Codec[Any] = Codec(ev.Event)

    def judge(data: bytes) -> None:
        history = History()
        chronicle = Chronicle(history, lambda: 1.0)
        try:
            for record in codec.decode(data):
                if isinstance(record, ev.Event.__args__):
                    history.fold(record)
        except (ValueError, IllegalTransition):
            return
        tasks = chronicle.tasks()
        dispatcher.report.figures.figures(chronicle, tasks, 2.0)
        chronicle.failures(), chronicle.pauses(), chronicle.throughput()

    lines = [(journal / "00000001.jsonl").read_bytes().splitlines(keepends=True) for journal in _stored()]
    return judge, [b"".join(line for line in found if line.startswith(b'{"k"')) for found in lines]


def claims() -> Target:
    """The claim, and below an empty line what was fenced."""
    tests = judges("outside")

    def judge(data: bytes) -> None:
        mine, _, fenced = text(data).partition("\n\n")
        tests.judge_claim(mine.split("\n"), fenced.split("\n"))

    page = (HERE.parents[1] / "docs" / "control-files.md").read_text()
    lines = [line.split("  ")[0].strip() for line in page.splitlines() if line.startswith("    ")]
    return judge, ["\n".join(lines).encode(), b"claim 4211 0 n 1 2\ntask 0 0 17 .\nend 0 17 .\n\nfenced 4212"]


def listings() -> Target:
    """Both answers from the same bytes."""
    tests = judges("far_answers")

    def judge(data: bytes) -> None:
        tests.judge_listing(text(data))
        tests.judge_sums(text(data), ["odd"])

    gnu, plain = b"f 5 - ./t0/out\0d 4096 - ./t0\0", b"|@regular file 5 fe01:12 ./t0/out\n|@directory 9 fe01:13 ./t0\n"
    return judge, [gnu, plain, b"9f86  ./t0/out\n=0 9f86\n#\n 5 ./t0/out\n"]


def receipts() -> Target:
    """Any bytes lie where a receipt should."""
    return judges("outside").judge_receipt, [b'{"requested":true,"id":"4211","group":"87","keys":["a"],"by":"d2"}']


def bodies() -> Target:
    """The status is chosen by the first byte."""
    tests, statuses = judges("outside"), (200, 204, 302, 400, 404, 500)

    def judge(data: bytes) -> None:
        tests.judge_body(statuses[data[0] % len(statuses)] if data else 200, data[1:])

    return judge, [
        b'\0{"code":0,"data":{"items":[{"id":4211,"jobName":"dn1-x","status":2}],"total":1}}',
        b'\x03{"code":"2101"}',
    ]


TARGETS: dict[str, Callable[[], Target]] = {
    target.__name__: target for target in (answers, archives, journals, records, claims, listings, receipts, bodies)
}


def main() -> None:
    judge, seeds = TARGETS[sys.argv[1]]()
    corpus = Path(tempfile.mkdtemp())
    for number, seed in enumerate(seeds):
        (corpus / str(number)).write_bytes(seed)
    options = [f"-max_total_time={sys.argv[2]}", "-max_len=20000", "-rss_limit_mb=4096", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], judge)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
