"""Inputs that are edited while jobs wait or run: results of other bytes do not count. Real processes and files."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from dispatcher.core.errors import JobsFailed
from dispatcher.core.events import CauseKind
from dispatcher.core.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec
from dispatcher.core.ports import Place
from dispatcher.files.local import digest
from dispatcher.run.environment import real_environment
from dispatcher.run.inputs import Inputs, stamp_of
from dispatcher.run.session import Session, open_session


def test_stamps_and_digests(tmp_path: Path) -> None:
    paths = [("t0/in", "pot"), ("t1/in", "pot"), ()]
    for path in ("t0/in", "t1/in", "pot"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(path)
    digests = {path: digest(tmp_path / path) for path in ("t0/in", "t1/in", "pot")}
    seen = {path: stamp_of(f"{tmp_path}/{path}") for path in digests}
    here = Place(str(tmp_path), str(tmp_path), "")
    inputs = Inputs(here, digests, seen, lambda: paths)
    before = inputs.stamps([0, 1, 2])
    assert (inputs.edited([0, 1, 2]), before[2]) == ([], "")
    (tmp_path / "t0/in").write_text("other")
    assert inputs.edited([0, 1]) == inputs.changed(0, before[0]) == ["t0/in"]
    assert inputs.changed(1, before[1]) == []
    (tmp_path / "t0/in").write_text("t0/in")
    assert (inputs.edited([0]), inputs.changed(0, before[0])) == ([], ["t0/in"]), "put back: fit for the next attempt"
    (tmp_path / "pot").unlink()
    assert inputs.edited([1]) == inputs.changed(1, before[1]) == ["pot"]
    elsewhere = Inputs(msgspec.structs.replace(here, remote_root=str(tmp_path / "none")), digests, {}, lambda: paths)
    assert (elsewhere.edited([0]), elsewhere.stamps([0, 1]), elsewhere.changed(0, "")) == ([], ("", ""), [])


class Work:
    """Tasks that wait for the file `go`, then copy their input; `edit` does something once all that can run does."""

    def __init__(self, top: Path) -> None:
        self.top = top
        for nth in range(2):
            (top / f"work/t{nth}").mkdir(parents=True)
            self.write(nth, "asked")

    def write(self, nth: int, text: str) -> None:
        (self.top / f"work/t{nth}/in").write_text(text)

    def spec(self, context: str, tasks: int = 1, max_running: int | None = None, group_size: int = 1) -> SubmissionSpec:
        command = f"echo x >> {self.top}/ran; while [ ! -e {self.top}/go ]; do sleep 0.05; done; cat in > out"
        return SubmissionSpec(
            "work",
            MachineSpec("Shell", context, str(self.top), str(self.top / "far"), 0, max_running),
            ResourcesSpec(1, 1, 0, "", group_size, para_deg=2),
            tuple(TaskSpec(command, f"t{nth}", ("in",), ("out",)) for nth in range(tasks)),
        )

    def runs(self) -> int:
        return len((self.top / "ran").read_text().split()) if (self.top / "ran").exists() else 0

    def out(self, nth: int) -> str:
        return (self.top / f"work/t{nth}/out").read_text()

    def run(self, spec: SubmissionSpec, edit: Callable[[], object], after: int = 1, symlink: bool = True) -> Session:
        """Edit when so many tasks have begun, then let them go."""

        def act() -> None:
            end = time.monotonic() + 60
            while self.runs() < after and time.monotonic() < end:
                time.sleep(0.05)
            edit()
            (self.top / "go").touch()

        editor = threading.Thread(target=act)
        editor.start()
        try:
            with open_session(spec, {"symlink": symlink} if "Lazy" not in spec.machine.context_type else {}) as session:
                session.run(check_interval=0.2)
        finally:
            editor.join()
        return session


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Work]:
    made = Work(tmp_path)
    yield made
    (tmp_path / "go").touch()


@pytest.mark.parametrize("context", ["LazyLocal", "Local"])
@pytest.mark.parametrize("put_back", [False, True])
def test_an_edited_input_is_never_answered_with_other_bytes(work: Work, context: str, put_back: bool) -> None:
    def edit() -> None:
        work.write(0, "other")
        if put_back:
            work.write(0, "asked")

    with pytest.raises(JobsFailed, match=r"inputs: t0/in was written to") as failed:
        work.run(work.spec(context), edit)
    assert [job.cause.kind for job in failed.value.jobs] == [CauseKind.inputs]
    work.write(0, "asked")
    session = work.run(work.spec(context), lambda: None, after=2)
    assert session.history.concluded and session.history.concluded.outcome == "finished"
    assert (work.out(0), work.runs()) == ("asked", 2)


def test_copies_are_not_touched_by_edits(work: Work) -> None:
    session = work.run(work.spec("Local"), lambda: work.write(0, "other"), symlink=False)
    assert session.finished()
    assert (work.out(0), work.runs()) == ("asked", 1)


def test_what_was_not_edited_in_the_same_job_is_kept(work: Work) -> None:
    with pytest.raises(JobsFailed, match="t1/in was written to"):
        work.run(work.spec("LazyLocal", tasks=2, group_size=2), lambda: work.write(1, "other"), after=2)
    work.write(1, "asked")
    work.run(work.spec("LazyLocal", tasks=2, group_size=2), lambda: None, after=3)
    assert (work.runs(), work.out(0), work.out(1)) == (3, "asked", "asked")


def test_a_job_that_is_held_back_is_not_submitted_with_other_bytes(work: Work) -> None:
    def edit() -> None:  # only one of the two runs
        for nth in range(2):
            work.write(nth, "other")

    with pytest.raises(JobsFailed, match="2 of 2 jobs failed"):
        work.run(work.spec("LazyLocal", tasks=2, max_running=1), edit)
    assert work.runs() == 1


def test_an_edit_while_no_dispatcher_lives_is_seen(work: Work) -> None:
    spec = work.spec("LazyLocal")
    with open_session(spec, {}) as session:
        session.run(check_interval=0.2, exit_on_submit=True)
    while not work.runs():
        time.sleep(0.05)
    work.write(0, "other")
    work.write(0, "asked")
    (work.top / "go").touch()
    with pytest.raises(JobsFailed, match="t0/in was written to"), open_session(spec, {}) as session:
        session.run(check_interval=0.2)
    assert session.history.jobs[session.planned[0].hash].done == 0


def test_nothing_is_read_again_while_nothing_changes(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    (work.top / "go").touch()
    calls: list[str] = []
    monkeypatch.setattr(Inputs, "_digest", lambda self, path: calls.append(path) or "")  # type: ignore[func-returns-value]
    with open_session(work.spec("LazyLocal", tasks=2), {}, environment=real_environment()) as session:
        session.run(check_interval=0.2)
    assert (calls, work.runs()) == ([], 2)
