"""What the library warns of."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dispatcher.schema import lenience


@pytest.fixture
def warned(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """The warnings of the library since the last call, in a process that has told nothing yet."""
    monkeypatch.setattr(lenience, "_told", set())

    def since() -> list[str]:
        # one record, however many handlers an earlier test has left behind: a second warning is another record
        records = {id(record): record for record in caplog.records if record.name == "dispatcher"}
        found = [record.getMessage() for record in records.values()]
        caplog.clear()
        return found

    return since
