"""The reference pages say what the code says."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.docs.reference import HERE, PAGES

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("name", "made"), PAGES.items())
def test_page_is_what_the_code_makes(name: str, made: Callable[[], Iterator[str]]) -> None:
    assert (HERE / name).read_text() == "".join(made()), "the page is not what the code says: make reference"
