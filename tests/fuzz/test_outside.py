"""What comes from outside, with anything in it: names, claims, receipts, envelopes of an API. A value, or one error.

t1/../../x      a name that leads out: TransferFailed, and nothing is made
claim $(id) …   a claim of nonsense: no owner that is not a word, no number without bounds
{"code": [[[[   an envelope of nonsense: RequestInfoException
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.contexts.cloud.api import RequestInfoException, listed, opened
from dispatcher.contexts.cloud.http import Answer
from dispatcher.contexts.cloud.jobs import row
from dispatcher.contexts.cloud.receipts import Receipt, Receipts
from dispatcher.core import events as ev
from dispatcher.core.errors import TransferFailed, Unreachable
from dispatcher.files.gate import Way, below, inside
from dispatcher.schedulers.command_line import read_claim

pytestmark = pytest.mark.slow

FUZZ = settings(derandomize=True, database=None)
PARTS = st.sampled_from(["a", "t1", "..", ".", "", "...", "..a", "\0", "\n", "\x1b", "~", "-rf", "link", "ü", "\udcff"])
NAMES = st.lists(PARTS, max_size=6).map("/".join) | st.text(max_size=12)


@FUZZ
@given(NAMES, st.lists(NAMES, max_size=2))
def test_names_stay_below_or_are_refused(name: str, tops: list[str]) -> None:
    for gate in (lambda: inside(name, "far"), lambda: below(name, tops, "far")):
        try:
            found = gate()
        except TransferFailed as error:
            assert "far" in str(error)
            continue
        assert found
        assert not found.startswith("/")
        assert {"..", ".", ""}.isdisjoint(found.split("/"))
        assert "\0" not in found


@FUZZ
@given(st.lists(NAMES, min_size=1, max_size=4))
def test_nothing_is_made_elsewhere(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as top:
        root, elsewhere = Path(top, "runs"), Path(top, "elsewhere")
        root.mkdir()
        elsewhere.mkdir()
        (root / "link").symlink_to(elsewhere)
        way = Way(root)
        for name in names:
            try:
                target = way.to(name)
            except (TransferFailed, UnicodeEncodeError):
                continue
            assert os.path.realpath(os.path.dirname(target)).startswith(os.path.realpath(root))
        assert not list(elsewhere.iterdir())
        assert sorted(path.name for path in Path(top).iterdir()) == ["elsewhere", "runs"]


WORDS = st.sampled_from(
    ["claim", "task", "err", "end", "fenced", "revoked", "0", "4211", "-1", "9" * 30, "$(id)", "`id`", ";id", "²", "."]
)
LINES = st.lists(st.lists(WORDS | st.text(max_size=6), max_size=7).map(" ".join), max_size=8)


@FUZZ
@given(LINES, LINES)
def test_claims(lines: list[str], fenced: list[str]) -> None:
    judge_claim(lines, fenced)


def judge_claim(lines: list[str], fenced: list[str]) -> None:
    """A claim, whoever wrote it: no number without bounds, and nothing that the journal would not take."""
    claim = read_claim(lines, fenced)
    if claim is None:
        return
    assert 0 <= claim.restarts < 10**9
    assert all(0 <= task[0] < 10**7 and 0 <= task[1] < 10**5 and 0 <= task[2] < 10**12 for task in claim.tasks)
    assert claim.ended is None or 0 <= claim.ended < 10**5
    assert all(0 <= index < 10**7 for index in claim.stderr)
    ended = ev.Finished("a1", claim.tasks)
    assert msgspec.json.decode(msgspec.json.encode(ended), type=ev.Event) == ended


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("\x1b[2J"),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["code", "data", "message", "items", "total", "id", "jobId", "status", "by", "group"]),
            inner,
        )
    ),
    max_leaves=12,
)
BODIES = (
    JSON.map(lambda value: json.dumps(value).encode())
    | st.binary(max_size=60)
    | st.sampled_from([b"[" * 100_000, b'{"code":' * 50_000, b'{"code":0,"data":' + b"9" * 5000 + b"}", b""])
)


@FUZZ
@given(st.sampled_from([200, 204, 302, 400, 404, 408, 500, 502]), BODIES)
def test_envelopes(status: int, body: bytes) -> None:
    judge_body(status, body)


def judge_body(status: int, body: bytes) -> None:
    """What an API answers: its data, or one error without anything secret in it."""
    try:
        data = opened(Answer(status, {}, body), "https://cloud/api/job?key=hunter2")
    except RequestInfoException as error:
        assert "hunter2" not in str(error)
        assert str(error).isprintable() or "\n" in str(error) or "\t" in str(error)
        return
    assert status < 300
    try:
        rows = listed(lambda page: data, 0, 30)
    except Unreachable:
        return
    for item in rows:
        assert isinstance(row(item).id, str)


@FUZZ
@given(BODIES)
def test_receipts(body: bytes) -> None:
    judge_receipt(body)


def judge_receipt(body: bytes) -> None:
    """A file where a receipt should be: what it says, or nothing; and it can be noted over."""
    with tempfile.TemporaryDirectory() as top:
        Path(top, "dq3v81kx0mza.json").write_bytes(body)
        receipts = Receipts(Path(top))
        assert isinstance(receipts.of("dq3v81kx0mza"), Receipt)
        receipts.note("dq3v81kx0mza", id="4211")
        assert Receipts(Path(top)).of("dq3v81kx0mza").id == "4211"


#: What a shell, a path or an option could be made of.
LETTERS = st.text(alphabet=" \t\n;&|<>(){}$`'\"\\*?~#!%^\0\x1b/.-_a1ü", min_size=1, max_size=12)


@FUZZ
@given(LETTERS, st.sampled_from(["submitting", "submitted", "owner_changed", "earlier_attempt_found"]))
def test_what_names_something_in_a_record_is_a_name(text: str, kind: str) -> None:
    field = "id" if kind in ("submitted", "owner_changed") else "nonce"
    data = {"k": kind, "job": "j", "attempt": 1, "why": "", field: text}
    try:
        event: Any = msgspec.json.decode(msgspec.json.encode(data), type=ev.Event)
    except (msgspec.ValidationError, UnicodeEncodeError):
        return
    found = getattr(event, field)
    assert not set(found) & set(" \t\n;&|<>(){}$`'\"\\*?~#!%^\0\x1b")
    assert not found.startswith(("-", "/", "."))
    assert field == "id" or "/" not in found
