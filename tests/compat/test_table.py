"""docs/compatibility.md shows the names as they are."""

from __future__ import annotations

import pytest

from tests.compat import table


def test_the_page_is_as_the_signatures_are() -> None:
    assert table.PAGE.read_text() == table.written(), "python -m tests.compat.table"


def test_reasons_are_of_names_that_are_offered() -> None:
    offered = {name for names in table.MODULES.values() for name in names}
    assert {name.partition(" ")[0] for name in table.DIFFERS} <= offered
    assert table.ORIGINAL.keys() <= offered


@pytest.mark.parametrize(
    ("original", "missing"),
    [("a, b=1", ""), ("a, b=1, *, c=2", ""), ("b=1, a", "the order"), ("a, d", "d"), ("a, *, b=1", "by keyword only")],
)
def test_a_difference_is_seen(original: str, missing: str) -> None:
    def ours(a: int, b: int = 1, *, c: int = 2, more: int = 3) -> None:
        """Takes what the original takes, and more."""

    found = table.lacking(ours, original)
    assert found == missing if not missing else missing in found
