"""An earlier submission with other resources: what it has finished is brought home and not run again."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from dispatcher.core import events as ev
from dispatcher.core.errors import ConfigError, InputsChanged, JobsFailed
from dispatcher.core.lifecycle import State
from dispatcher.core.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec
from dispatcher.run.session import open_session


def requested(top: Path, context: str, **resources: object) -> SubmissionSpec:
    """Four tasks, two a job; task 2 fails while there is no file `heal`."""
    commands = [f"echo {n} >> {top}/count; cat in > out" for n in range(4)]
    commands[2] += f"; [ -e {top}/heal ]"
    for n in range(4):
        (top / f"local/t{n}").mkdir(parents=True, exist_ok=True)
        (top / f"local/t{n}/in").write_text(f"{n}\n")
    tasks = tuple(TaskSpec(command, f"t{n}", ("in",), ("out",)) for n, command in enumerate(commands))
    machine = MachineSpec("Shell", context, str(top), str(top / "far"), retry_count=0)
    return SubmissionSpec("local", machine, msgspec.structs.replace(ResourcesSpec(1, 1, 0, "", 2), **resources), tasks)


def failed(spec: SubmissionSpec) -> str:
    """Run it until task 2 has failed; the hash of that submission."""
    with open_session(spec, {"symlink": False}) as session, pytest.raises(JobsFailed):
        session.run(check_interval=0.2)
    return session.submission


def counted(top: Path) -> list[int]:
    return sorted(map(int, (top / "count").read_text().split()))


@pytest.mark.parametrize("context", ["LazyLocalContext", "LocalContext"])
def test_only_what_is_not_finished_runs_again(tmp_path: Path, context: str) -> None:
    spec = requested(tmp_path, context)
    previous = failed(spec)
    (tmp_path / "heal").touch()
    (tmp_path / "local/t0/out").unlink(missing_ok=context == "LocalContext")
    if context == "LazyLocalContext":
        (tmp_path / "local/t0/out").write_text("0\n")
    other = msgspec.structs.replace(spec, resources=msgspec.structs.replace(spec.resources, group_size=3, para_deg=2))
    with open_session(other, {"symlink": False}, previous=previous) as session:
        assert session.submission != previous
        session.run(check_interval=0.2)
        assert all(job.state is State.finished for job in session.progress.values())
        assert sum(job.reused.bit_count() for job in session.progress.values()) == 3
    assert counted(tmp_path) == [0, 1, 2, 2, 3]
    assert [(tmp_path / f"local/t{n}/out").read_text() for n in range(4)] == ["0\n", "1\n", "2\n", "3\n"]
    with open_session(other, {"symlink": False}, previous="0" * 40) as session:  # not asked a second time
        session.run(check_interval=0.2)
    assert counted(tmp_path) == [0, 1, 2, 2, 3]


def test_all_of_it_is_done(tmp_path: Path) -> None:
    (tmp_path / "heal").touch()
    spec = requested(tmp_path, "LocalContext")
    with open_session(spec, {}) as session:
        session.run(check_interval=0.2)
    other = msgspec.structs.replace(spec, resources=msgspec.structs.replace(spec.resources, group_size=1))
    with open_session(other, {}, previous=session.submission) as again:
        again.run(check_interval=0.2)
        assert again.finished() and again.history.cleaned
    assert counted(tmp_path) == [0, 1, 2, 3]


def test_another_submission_than_this_one_is_refused(tmp_path: Path) -> None:
    spec = requested(tmp_path, "LocalContext")
    previous = failed(spec)
    with (
        pytest.raises(ConfigError, match="there is no journal of 0000"),
        open_session(
            msgspec.structs.replace(spec, resources=msgspec.structs.replace(spec.resources, group_size=1)),
            {},
            previous="0" * 40,
        ),
    ):
        pass
    (tmp_path / "local/t0/in").write_text("changed\n")
    with (
        pytest.raises(ConfigError, match="differs in more than its resources"),
        open_session(spec, {}, previous=previous),
    ):
        pass


def test_the_same_tasks_with_other_resources_while_they_are_in_the_queue(tmp_path: Path) -> None:
    spec = requested(tmp_path, "LocalContext")
    with open_session(spec, {}) as session:
        job = session.planned[0].hash
        session.record(ev.Submitting(job, 1, "dn1"), ev.Submitted(job, "77"))
    other = msgspec.structs.replace(spec, resources=msgspec.structs.replace(spec.resources, queue_name="long"))
    advice = f"dispatcher cancel .*{session.submission}.*previous_submission_hash: {session.submission}"
    with pytest.raises(InputsChanged, match=advice), open_session(other, {}):
        pass
