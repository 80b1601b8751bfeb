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
        found = [record.getMessage() for record in caplog.records if record.name == "dispatcher"]
        caplog.clear()
        return found

    return since
