"""Differences that a caller sees, as docs/compatibility.md tells them: each has a test that shows it."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from dispatcher import Job, Machine, Resources, Shell, Submission, Task
from dispatcher.api.context import BaseContext
from dispatcher.core import events as ev
from dispatcher.core.errors import ConfigError
from dispatcher.schedulers.shell import ShellDialect
from tests.compat.differences import DIFFERENCES, Difference

TESTS = Path(__file__).parents[1]


def functions(path: Path) -> set[str]:
    """The tests of a file."""
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.what)
def test_a_difference_has_a_test_that_shows_it(difference: Difference) -> None:
    path, _, name = difference.test.partition("::")
    assert name in functions(TESTS / path), f"{difference.test} shows nothing: there is no such test"
    assert all((difference.here, difference.why)), "what is here, and why, is said"
    assert "|" not in "".join(difference[:4])


def test_what_is_shown_here_is_told_there() -> None:
    here = {name for name in functions(Path(__file__)) if name.startswith("test_")}
    told = {one.test.partition("::")[2] for one in DIFFERENCES if one.test.startswith("compat/test_differences.py")}
    assert here - told == {"test_a_difference_has_a_test_that_shows_it", "test_what_is_shown_here_is_told_there"}


def test_what_a_run_leaves_and_how_its_jobs_are_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names, submit = [], ShellDialect.submit_line
    monkeypatch.setattr(
        ShellDialect, "submit_line", lambda self, one, place: (names.append(one.name), submit(self, one, place))[1]
    )
    (tmp_path / "w/t").mkdir(parents=True)
    (tmp_path / "far").mkdir()
    machine = Machine("Shell", "Local", str(tmp_path), str(tmp_path / "far"))
    task = Task("echo > out", "t", backward_files=["out"])
    task.task_name = "relax it"
    submission = Submission("w", machine, Resources(1, 1, 0, "", 1), task_list=[task])
    submission.run_submission(exit_on_submit=True, clean=False)
    (place,) = (tmp_path / "far").iterdir()
    submission.submission_to_json()
    written = place / f"{submission.submission_hash}.json"
    (job,) = json.loads(written.read_text())["belonging_jobs"][0].values()
    assert (job["job_id"], job["job_task_list"][0]["command"]) == (submission.belonging_jobs[0].job_id, "echo > out")
    written.unlink()
    submission.run_submission(check_interval=0.05, clean=False)
    assert {path.name for path in place.iterdir()} == {".dispatcher", "t"}
    (nonce,) = {one.event.nonce for one in submission.events() if isinstance(one.event, ev.Submitting)}
    assert names == [f"{nonce}-relax-it"]
    assert {path.name for path in (tmp_path / "w").iterdir()} == {".dispatcher", "t"}
    scripts = {path.name.partition(".")[2] for path in place.rglob(f"{nonce}.*")}
    assert scripts >= {"sub", "log", "claim", "id"}


def job_of(name: str) -> Job:
    return Job([Task("c", "d", task_name=name)], resources=Resources(1, 1, 0, "", 1))


def test_describing_a_machine_reaches_nothing() -> None:
    profile = {"hostname": "no.such.host.invalid", "username": "me", "key_filename": "/no/such/key"}
    machine = Machine("Slurm", "SSH", "./", "/scratch/me", profile)
    assert machine.serialize()["remote_profile"]["hostname"] == "no.such.host.invalid"


@pytest.mark.parametrize("create", [False, True])
def test_a_root_whose_parents_are_missing(tmp_path: Path, create: bool) -> None:
    (tmp_path / "w/t").mkdir(parents=True)
    described = {"batch_type": "Shell", "context_type": "Local", "local_root": str(tmp_path)}
    root = {"remote_root": str(tmp_path / "not/there/yet"), "create_remote_root": create}
    machine = Machine.load_from_dict({**described, **root})
    submission = Submission("w", machine, Resources(1, 1, 0, "", 1), task_list=[Task(":", "t")])
    if create:
        submission.run_submission(dry_run=True)
    else:
        with pytest.raises(ConfigError, match="set machine/create_remote_root to true"):
            submission.run_submission(dry_run=True)


def test_state_files_of_1_1_are_read() -> None:
    job = job_of("n")
    ((name, content),) = job.serialize().items()
    assert not {"failure_reason", "task_states"} & content.keys()
    read = Job.deserialize({name: {**content, "failure_reason": "why", "task_states": [4]}})
    assert read.serialize() == job.serialize()


def test_resources_have_no_state_and_their_hooks_are_not_called() -> None:
    resources = Resources(1, 1, 2, "", 2, strategy={"if_cuda_multi_devices": True})
    machine = Shell(context_type="LazyLocal", local_root="./")
    job = Job([Task("c", "d"), Task("c", "e")], resources=resources)
    assert machine.gen_script(job) == machine.gen_script(job)
    assert not {"gpu_in_use", "task_in_para"} & vars(resources).keys()
    for hook in ("default_resources", "sub_script_head", "sub_script_cmd"):
        with pytest.raises(NotImplementedError):
            getattr(machine, hook)(resources)
    assert isinstance(machine.context, BaseContext)
