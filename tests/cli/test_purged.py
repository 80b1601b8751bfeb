"""The execution side purged by somebody, while a dispatcher lives or while none does: said, and gone on."""

from __future__ import annotations

import shutil
import signal
from typing import Any

import pytest

pytestmark = pytest.mark.slow

#: Runs until the file `go` is on the local side; each start is a line in `starts` there.
WAITS = "echo $PWD >> {top}/starts; until [ -e {top}/go ]; do sleep 0.1; done; echo done > out"


def _purge(work: Any) -> None:
    for entry in (work.path / "remote").iterdir():
        shutil.rmtree(entry)


def _prepare(work: Any, *commands: str) -> None:
    work.prepare(*(command.format(top=work.path) for command in commands), context_type="Local", remote_root="remote")
    text = (work.path / "submission.json").read_text()
    given = text.replace('"task_work_path"', '"backward_files": ["out"], "task_work_path"')
    (work.path / "submission.json").write_text(given.replace('"retry_count": 0', '"retry_count": 2'))


def test_while_the_dispatcher_lives(work: Any) -> None:
    _prepare(work, WAITS, WAITS)
    process = work.start("submit", "submission.json", "--check-interval", "0.5")
    work.await_records("running", 2)
    _purge(work)
    work.await_that(lambda: "was removed by somebody: made again" in work.text(), "the note")
    (work.path / "go").touch()
    done = work.ended(process)
    assert done.code == 0, done
    assert all((work.local / f"t{n}/out").read_text() == "done\n" for n in range(2))


def test_jobs_that_end_before_anybody_looked(work: Any) -> None:
    """Jobs make our directory again to say how they ended: what was in it, and who owned it, is gone all the same."""
    _prepare(work, WAITS, WAITS)
    process = work.start("submit", "submission.json", "--check-interval", "0.5")
    work.await_records("running", 2)
    process.send_signal(signal.SIGSTOP)
    _purge(work)
    (work.path / "go").touch()
    work.await_that(lambda: len(list(work.path.glob("remote/*/.dispatcher/*/jobs/*.claim"))) == 2, "both ends")
    process.send_signal(signal.SIGCONT)
    done = work.ended(process)
    assert done.code == 0, done
    assert all((work.local / f"t{n}/out").read_text() == "done\n" for n in range(2))


def test_before_the_download(work: Any) -> None:
    """What had finished runs again, for its results are nowhere; it is said why."""
    _prepare(work, "echo done > out", WAITS)
    process = work.start("submit", "submission.json", "--check-interval", "0.5")
    work.await_records("finished")
    process.send_signal(signal.SIGKILL)
    process.wait()
    _purge(work)
    (work.path / "go").touch()
    done = work.run("submit", "submission.json", "--check-interval", "0.5")
    assert done.code == 0, done
    assert '"why":"its results were removed on the execution side"' in work.text()
    assert all((work.local / f"t{n}/out").read_text() == "done\n" for n in range(2))
