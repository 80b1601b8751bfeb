"""What other machines answer, listings and digests over SSH, bodies of the clouds: read, or refused by name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.contexts.cloud import answers
from dispatcher.contexts.cloud.api import RequestInfoException
from dispatcher.contexts.cloud.jobs import row
from dispatcher.contexts.ssh.listing import found_in, sums_in
from dispatcher.core.errors import TransferFailed

pytestmark = pytest.mark.slow

PIECES = st.sampled_from(
    [
        *(
            "f ",
            "d ",
            "|@regular file ",
            "|@directory ",
            "5 ",
            "99 ",
            "-1 ",
            "- ",
            "fe01:12 ",
            "./t0/out",
            "./t0",
            "..",
        ),
        *(
            "\0",
            "\n",
            "./t0/../../x",
            "/etc/passwd",
            " ",
            ".",
            "\\",
            "é",
            "\udcff",
            "9" * 30,
            "@",
            "#",
            "=0 ",
            "9f86  ",
        ),
    ]
)
TEXT = st.lists(PIECES, max_size=40).map("".join) | st.text(max_size=200)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["items", "id", "jobId", "jobName", "status", "exitCode", "resultUrl", "token", "total"])
            | st.text(max_size=8),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(TEXT)
def test_listings(text: str) -> None:
    judge_listing(text)


def judge_listing(text: str) -> None:
    """What `find` printed: paths below what was asked for, with a size, or refused."""
    try:
        found = list(found_in(text, ["t0"], "ann@hpc"))
    except TransferFailed:
        return
    for entry in found:
        assert entry.path in ("", "t0") or entry.path.startswith("t0/")
        assert not {"..", "."} & set(entry.path.split("/"))
        assert 0 <= entry.size < 10**18


@given(TEXT, st.lists(st.text(min_size=1, max_size=5), max_size=3))
def test_digests(text: str, odd: list[str]) -> None:
    judge_sums(text, odd)


def judge_sums(text: str, odd: list[str]) -> None:
    """What `sha256sum` and `wc` printed."""
    sums = sums_in(["openssl,tar,gzip", *text.split("\n"), "@", *text.split("\n")], odd, odd)
    assert all(isinstance(size, int) and 0 <= size < 10**18 for size in sums.sizes.values())


@given(JSON)
def test_answers_of_clouds(data: Any) -> None:
    shapes = [answers.SignedIn, answers.Added, answers.Logs, answers.LogEnd, answers.StorageKeys, answers.Begun]
    for shape in shapes:
        try:
            assert isinstance(answers.read(data, shape, "https://x/y"), shape)
        except RequestInfoException as error:
            assert not error.certain
    for take in (answers.rows_of, answers.as_dict):
        try:
            taken = take(data, "https://x/y")
        except RequestInfoException:
            continue
        rows = taken.get("items") if isinstance(taken, dict) and take is answers.rows_of else [taken]
        for each in rows if isinstance(rows, list) else ():
            if isinstance(each, dict):
                assert isinstance(row(each).id, str)
