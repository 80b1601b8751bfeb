"""Journals with anything in them: `verify`, `replay` and `status` say so with a documented exit code; none breaks.

bytes       cut, flipped, inserted, lines swapped or twice, segments gone, HEAD overwritten
meaning     whole frames whose records cannot follow one another, or tell of what cannot be
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.cli import main
from dispatcher.core import events as ev
from dispatcher.core.model import TaskSpec
from journal import Journal

pytestmark = pytest.mark.slow

FUZZ = settings(derandomize=True, database=None)
FIXTURES = Path(__file__).parents[2] / "fixtures" / "journals" / "v1"
CORPUS = FIXTURES.parents[1] / "corpus"
#: What each verb may answer; 4 is a damaged journal, 2 that there is nothing to read.
ASKED: dict[tuple[str, ...], set[int]] = {
    ("verify",): {0, 1, 2},
    ("verify", "--json"): {0, 1, 2},
    ("replay",): {0, 2, 4},
    ("replay", "--format", "json"): {0, 2, 4},
    ("replay", "--format", "jsonl"): {0, 2, 4},
    ("status",): {0, 2, 4},
    ("status", "--json"): {0, 2, 4},
}


def judge(local: Path) -> None:
    """Ask every verb."""
    for words, codes in ASKED.items():
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main([words[0], str(local), *words[1:]])
        said = f"{' '.join(words)}: exit {code}: {err.getvalue()}"
        assert code in codes, said
        assert "Traceback" not in err.getvalue() + out.getvalue(), said
        assert code in (0, 1) or err.getvalue() or "--json" in words or words == ("status",) or "verify" in words, said
        assert all(letter.isprintable() or letter in "\n\t" for letter in out.getvalue() + err.getvalue()), (
            f"a control character gets through: {said}"
        )


def _flip(data: bytearray, rng: random.Random) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def _hole(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    data[at : at + rng.randrange(1, 300)] = bytes(rng.randrange(0, 300))


def _junk(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data))
    data[at:at] = rng.choice([b"\n", b"\0", b"{", b"\xff\xfe", b"[" * 5000, rng.randbytes(40), b'{"f":' + b"9" * 5000])


def _lines(data: bytearray, rng: random.Random) -> None:
    lines = bytes(data).splitlines(keepends=True)
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    if rng.random() < 0.5:
        lines[one], lines[other] = lines[other], lines[one]
    else:
        lines.insert(one, lines[other])
    data[:] = b"".join(lines)


def _number(data: bytearray, rng: random.Random) -> None:
    digits = [nth for nth, byte in enumerate(data) if 48 <= byte <= 57]
    data[rng.choice(digits)] = rng.choice(b"0123456789-e.")


DEEDS: list[Callable[[bytearray, random.Random], None]] = [_flip, _cut, _hole, _junk, _lines, _number]


@FUZZ
@given(st.randoms(use_true_random=False), st.sampled_from(["clean", "torn", "torn-sealed", "corrupt"]))
def test_damaged_bytes(rng: random.Random, name: str) -> None:
    with tempfile.TemporaryDirectory() as top:
        journal = Path(top, "runs", ".dispatcher", "ab" * 20, "journal")
        shutil.copytree(FIXTURES / name, journal)
        for _ in range(rng.randrange(1, 4)):
            file = rng.choice(sorted(journal.iterdir()))
            if rng.random() < 0.1:
                file.unlink()
                if not list(journal.iterdir()):
                    break
                continue
            data = bytearray(file.read_bytes())
            if data:
                rng.choice(DEEDS)(data, rng)
            file.write_bytes(data)
        judge(Path(top, "runs"))


JOBS = st.sampled_from(["a1" * 20, "b2" * 20, "", "\x1b[2J", "../x"])
TEXT = st.sampled_from(["", "x", "\x1b[31mred\x1b[0m", "a\nb", "\r\n", "ü" * 300, "\x00", "{", "%s"])
NUMBER = st.sampled_from([0, 1, -1, 2**31, 2**62])
TIME = st.sampled_from([0.0, -1.0, 1e9, 1e18, 1e300])
TASK = st.builds(TaskSpec, TEXT, TEXT)
CAUSE = st.builds(
    ev.Cause, TEXT, TEXT, code=st.none() | NUMBER, signal=st.none() | NUMBER, task=st.none() | NUMBER, stderr=TEXT
)
RESULTS = st.lists(st.tuples(st.sampled_from([0, 1, 2, 63, -1, 10**6]), NUMBER, TIME), max_size=3).map(tuple)
MAPPING = st.sampled_from(
    [{}, {"batch_type": None}, {"batch_type": ["x"], "context_type": 3}, {"local_root": "\x1b[2J"}]
)
OPENED = st.builds(ev.Opened, TEXT, TEXT, TEXT, MAPPING, MAPPING, TEXT)
PLANNED = st.builds(ev.Planned, JOBS, st.lists(NUMBER, max_size=3).map(tuple), st.lists(TASK, max_size=3).map(tuple))
EVENTS = st.one_of(
    OPENED,
    PLANNED,
    st.builds(ev.Staged, NUMBER, NUMBER),
    st.builds(ev.Placed, TEXT),
    st.builds(ev.Recalled, st.lists(TEXT, max_size=3).map(tuple)),
    st.builds(ev.Submitting, JOBS, NUMBER, TEXT),
    st.builds(ev.Submitted, JOBS, TEXT, TEXT),
    st.builds(ev.Running, JOBS, TEXT),
    st.builds(ev.Finished, JOBS, RESULTS),
    st.builds(ev.Terminated, JOBS, CAUSE, RESULTS, NUMBER),
    st.builds(ev.Retried, JOBS, st.booleans()),
    st.builds(ev.EarlierAttemptFound, JOBS, TEXT),
    st.builds(ev.Rerun, JOBS, st.lists(st.integers(-1, 3), max_size=3).map(tuple), TEXT),
    st.builds(ev.Received, st.dictionaries(TEXT, TEXT, max_size=2)),
    st.builds(ev.Reused, JOBS, st.lists(st.integers(-1, 3), max_size=3).map(tuple), TEXT),
    st.builds(
        ev.Delivered, st.lists(JOBS, max_size=2).map(tuple), NUMBER, NUMBER, st.lists(TEXT, max_size=2).map(tuple)
    ),
    st.builds(ev.Concluded, TEXT, NUMBER),
    st.builds(ev.Note, TEXT, JOBS),
)
#: Mostly in an order that is possible, so that what the records hold is looked at.
STORIES = st.tuples(
    OPENED,
    st.builds(
        ev.Planned,
        st.just("a1" * 20),
        st.sampled_from([(), (0,), (0, 1), (-1,), (2**62,)]),
        st.lists(TASK, max_size=2).map(tuple),
    ),
    st.lists(
        st.sampled_from(["submit", "run", "end", "fail", "retry"]).flatmap(
            lambda what: {
                "submit": st.tuples(st.builds(ev.Submitting, st.just("a1" * 20), st.just(1), TEXT),
                                    st.builds(ev.Submitted, st.just("a1" * 20), TEXT)),
                "run": st.tuples(st.builds(ev.Running, st.just("a1" * 20), TEXT)),
                "end": st.tuples(st.builds(ev.Finished, st.just("a1" * 20), RESULTS)),
                "fail": st.tuples(st.builds(ev.Terminated, st.just("a1" * 20), CAUSE, RESULTS, NUMBER)),
                "retry": st.tuples(st.builds(ev.Retried, st.just("a1" * 20))),
            }[what]
        ),
        max_size=6,
    ),
    st.lists(EVENTS, max_size=4),
).map(lambda parts: [parts[0], parts[1], *(event for group in parts[2] for event in group), *parts[3]])  # fmt: skip


class Unchecked:
    """Writes what a reader of ours would not take, as a stranger's program does."""

    def encode(self, records: list[Any]) -> bytes:
        return msgspec.json.Encoder().encode_lines(records)


@FUZZ
@given(STORIES | st.lists(EVENTS, max_size=8), TIME)
def test_whole_frames_of_impossible_things(story: list[Any], at: float) -> None:
    with tempfile.TemporaryDirectory() as top:
        journal = Path(top, "runs", ".dispatcher", "ab" * 20, "journal")
        with Journal.open(journal, ev.Event, application="\x1b[2J", clock=lambda: at) as log:
            for event in story:
                log._hold(Unchecked(), [event])
                log.commit()
        judge(Path(top, "runs"))


@pytest.mark.parametrize("file", sorted((CORPUS / "holders").glob("*.json")), ids=lambda file: file.stem)
def test_a_holder_that_cannot_be(tmp_path: Path, file: Path) -> None:
    """`HOST` in the file stands for this host, whose processes are looked for."""
    journal = tmp_path / "runs" / ".dispatcher" / ("ab" * 20) / "journal"
    shutil.copytree(FIXTURES / "clean", journal)
    (journal / "LOCK.holder").write_text(file.read_text().replace("HOST", os.uname().nodename))
    judge(tmp_path / "runs")


@pytest.mark.parametrize("place", sorted((CORPUS / "journals").iterdir()), ids=lambda place: place.name)
def test_what_was_found(place: Path) -> None:
    judge(place)


def test_a_directory_that_is_no_journal(tmp_path: Path) -> None:
    for name in ("00000001.jsonl", "HEAD", "00000009.jsonl"):
        (tmp_path / name).mkdir()
    judge(tmp_path)


@pytest.mark.parametrize("name", ["clean", "torn", "torn-sealed", "corrupt"])
def test_what_a_released_version_wrote(name: str) -> None:
    judge(FIXTURES / name)
