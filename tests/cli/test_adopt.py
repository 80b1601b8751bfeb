"""The journal deleted or damaged while jobs run: they are found again, and nothing runs twice."""

from __future__ import annotations

import shutil
import signal
from typing import Any

import pytest

pytestmark = pytest.mark.slow

#: Each start is a line in `starts`; ends when the file `go` is there.
WAITS = "echo t >> {top}/starts; until [ -e {top}/go ]; do sleep 0.1; done; echo done > out"


def _running(work: Any) -> Any:
    """A dispatcher with two jobs that run, in a place apart from the work directory."""
    command = WAITS.format(top=work.path)
    work.prepare(command, command, context_type="Local", remote_root="remote")
    text = (work.path / "submission.json").read_text()
    (work.path / "submission.json").write_text(
        text.replace('"task_work_path"', '"backward_files": ["out"], "task_work_path"')
    )
    process = work.start("submit", "submission.json", "--check-interval", "0.5")
    work.await_records("running", 2)
    work.await_that(lambda: (work.path / "starts").read_text() == "t\nt\n", "both tasks")
    return process


def _kill(process: Any) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()


def _end_of(work: Any) -> None:
    done = work.run("submit", "submission.json", "--check-interval", "0.5")
    assert done.code == 0, done
    assert (work.path / "starts").read_text() == "t\nt\n", "nothing ran twice"
    assert all((work.local / f"t{n}/out").read_text() == "done\n" for n in range(2))
    assert work.run("verify", "runs").code == 0


def test_deleted_under_its_dispatcher(work: Any) -> None:
    """Nobody else knows its jobs: it writes the journal anew, and sees them to their end."""
    process = _running(work)
    shutil.rmtree(work.local / ".dispatcher")
    (work.path / "go").touch()
    done = work.ended(process)
    assert (done.code, "was deleted while it was being written; written anew" in done.err) == (0, True), done
    _end_of(work)


def test_deleted_while_nobody_is_at_work(work: Any) -> None:
    _kill(_running(work))
    shutil.rmtree(work.local / ".dispatcher")
    refused = work.run("submit", "submission.json")
    assert (refused.code, "dispatcher adopt SUBMISSION.json" in refused.err) == (2, True), refused
    shutil.rmtree(work.local / ".dispatcher")
    adopted = work.run("adopt", "submission.json")
    assert (adopted.code, "2 jobs, from what lies where they run" in adopted.out) == (0, True), adopted
    again = work.run("adopt", "submission.json")
    assert (again.code, "is whole" in again.err) == (2, True), again
    (work.path / "go").touch()
    _end_of(work)


def test_damaged(work: Any) -> None:
    """What is whole is taken over; the damaged one is kept."""
    _kill(_running(work))
    first = min(work.journal.glob("*.jsonl"))
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    damaged = work.run("submit", "submission.json")
    assert damaged.code == 4, damaged
    adopted = work.run("adopt", "submission.json")
    assert (adopted.code, "journal.damaged-1" in adopted.out) == (0, True), adopted
    assert (work.journal.parent / "journal.damaged-1" / first.name).read_bytes() == bytes(data)
    (work.path / "go").touch()
    _end_of(work)
