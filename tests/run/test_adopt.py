"""What lies in a control directory is told to its end, or nothing of it is believed."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dispatcher.core.errors import NotOurs, Unreachable
from dispatcher.core.ports import Reply, ShellText
from dispatcher.run.adopt import LastAttempt, _owner, lying_there

JOBS = {"a" * 40: "da2345678901", "b" * 40: "db2345678901"}


class Cut:
    """The place itself, over a line that breaks after so many lines of an answer (None: never)."""

    def __init__(self, control: Path, after: int | None = None, also: str = "") -> None:
        self.place = SimpleNamespace(control=str(control), remote_root=str(control), local="/elsewhere")
        self._after, self._also = after, also

    def run(self, call: ShellText) -> Reply:
        done = subprocess.run(["bash", "-c", call.text], capture_output=True, text=True)
        lines = (self._also + done.stdout).splitlines(keepends=True)
        return Reply(done.returncode if self._after is None else 255, "".join(lines[: self._after]), done.stderr)

    def own(self, record: str) -> Any:
        return SimpleNamespace(record="{not a record")


@pytest.fixture
def control(tmp_path: Path) -> Path:
    for job, nonce in JOBS.items():
        (tmp_path / f"{nonce}.sub").write_text(f"# job {job}: 2 task(s)\ndsp_task 0 'd' log err 'true'\n")
    return tmp_path


def test_every_job_is_found(control: Path) -> None:
    found = lying_there(Cut(control))  # type: ignore[arg-type]
    assert found == {job: LastAttempt(nonce, frozenset({0})) for job, nonce in JOBS.items()}
    for number in (1, 2):
        (control / f"{JOBS['b' * 40]}.{number}.asked").write_text("asked\n")
    assert lying_there(Cut(control))["b" * 40].asked == 2  # type: ignore[arg-type]
    (control / f"{JOBS['a' * 40]}.claim").write_text("revoked\n")
    assert lying_there(Cut(control)).keys() == {"b" * 40}  # type: ignore[arg-type]


def test_an_answer_that_breaks_off_is_none(control: Path) -> None:
    for after in range(5):
        with pytest.raises(Unreachable, match="not told to its end"):
            lying_there(Cut(control, after))  # type: ignore[arg-type]
    with pytest.raises(Unreachable):
        lying_there(Cut(control / "nowhere"))  # type: ignore[arg-type]


def test_lines_of_strangers_change_nothing(control: Path) -> None:
    noise = f"@@ task da2345678901 {'9' * 5000}\n@@ task da2345678901 ff\n@@ job $(reboot) {'a' * 40}\n@@ job x\n"
    assert lying_there(Cut(control, also=noise)) == lying_there(Cut(control))  # type: ignore[arg-type]


def test_an_owner_that_cannot_be_read_is_told(control: Path) -> None:
    with pytest.raises(NotOurs, match="cannot be read"):
        _owner(Cut(control), control)  # type: ignore[arg-type]
