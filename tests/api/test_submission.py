"""Submission: jobs, formats and real runs on this machine."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest

from dispatcher.api import Job, JobStatus, Machine, Resources, Submission, Task
from dispatcher.contexts.local.local import LocalConnection
from dispatcher.core.errors import ConfigError, InputMissing, JobsFailed, ResultMissing
from dispatcher.files import local

pytestmark = pytest.mark.slow


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Five task directories with an input each, and a common file."""
    base = tmp_path / "project" / "w"
    for nth in range(5):
        (base / f"t{nth}").mkdir(parents=True)
        (base / f"t{nth}" / "in.txt").write_text(f"{nth}\n")
    (base / "common.txt").write_text("common\n")
    return tmp_path


def machine(project: Path, context: str = "LocalContext", **extra: Any) -> Machine:
    where = {"local_root": str(project / "project"), "remote_root": str(project / "remote")}
    return Machine(batch_type="Shell", context_type=context, **{**where, **extra})


def tasks(count: int = 5, command: str = "cat in.txt ../common.txt > out.txt") -> list[Task]:
    return [Task(command, f"t{nth}", ["in.txt"], ["out.txt"]) for nth in range(count)]


def submission(project: Path, *, count: int = 5, group_size: int = 2, **extra: Any) -> Submission:
    given = {"machine": machine(project), "task_list": tasks(count), "forward_common_files": ["common.txt"], **extra}
    return Submission("w", resources=Resources(1, 1, 0, "", group_size), **given)


# -- jobs -----------------------------------------------------------------------------------------------------------


def test_grouping(project: Path) -> None:
    made = submission(project)
    made.generate_jobs()
    assert [len(job.job_task_list) for job in made.belonging_jobs] == [2, 2, 1]
    assert {task.task_work_path for job in made.belonging_jobs for task in job.job_task_list} == {
        f"t{n}" for n in range(5)
    }
    again = submission(project)
    again.generate_jobs()
    assert [job.job_hash for job in made.belonging_jobs] == [job.job_hash for job in again.belonging_jobs]
    whole = submission(project, group_size=0)
    whole.generate_jobs()
    assert len(whole.belonging_jobs) == 1


def test_the_callers_random_numbers_are_untouched(project: Path) -> None:
    random.seed(7)
    expected = random.random()
    random.seed(7)
    submission(project).generate_jobs()
    assert random.random() == expected


def test_jobs_are_made_once(project: Path) -> None:
    made = submission(project)
    made.generate_jobs()
    for request in (made.generate_jobs, lambda: made.register_task(Task("c", "d"))):
        with pytest.raises(RuntimeError, match="the jobs are made already"):
            request()
    with pytest.raises(ConfigError, match="submission/task_list is empty"):
        submission(project, task_list=[]).generate_jobs()
    with pytest.raises(ConfigError, match="submission/resources: missing"):
        Submission("w", machine(project), task_list=tasks()).generate_jobs()


def test_failed_jobs_are_named_and_their_finished_tasks_inherited(project: Path) -> None:
    given = tasks(3)
    given[1] = Task("echo because >&2; cat in.txt > out.txt; [ -e ../heal ]", "t1", ["in.txt"], ["out.txt"])
    made = submission(project, count=3, group_size=1, task_list=given)
    made.raise_for_failed_jobs()
    made.bind_machine(machine(project, retry_count=0))
    with pytest.raises(JobsFailed):
        made.run_submission(check_interval=0.2)
    assert [job.job_task_list[0].task_work_path for job in made.failed_jobs()] == ["t1"]
    with pytest.raises(JobsFailed, match="because"):
        made.raise_for_failed_jobs()
    (project / "remote" / made.submission_hash / "heal").touch()
    with pytest.raises(ConfigError, match=r"previous_submission_hash.*40 hexadecimal digits"):
        submission(project, previous_submission_hash="5f1c")
    again = submission(
        project,
        group_size=3,
        task_list=[*given[:1], Task("exit 1", "t1", ["in.txt"], ["out.txt"]), given[2]],
        machine=machine(project, retry_count=0),
        previous_submission_hash=made.submission_hash,
    )
    with pytest.raises(ConfigError, match="differs in more than its resources"):
        again.run_submission(check_interval=0.2)
    again = submission(project, group_size=3, task_list=given, previous_submission_hash=made.submission_hash)
    assert Submission.deserialize(again.serialize()).previous_submission_hash == made.submission_hash
    (project / "remote" / again.submission_hash).mkdir()
    (project / "remote" / again.submission_hash / "heal").touch()
    again.run_submission(check_interval=0.2)
    assert again.check_all_finished() and not again.failed_jobs()


def test_what_is_frozen_does_not_follow_later_changes(project: Path) -> None:
    made = submission(project)
    made.generate_jobs()
    before = made.spec()
    made.belonging_tasks[0].command = "other"
    assert made.resources is not None
    made.resources.para_deg = 4
    assert made.spec() == before


def test_defaults_and_lists_are_not_shared(project: Path) -> None:
    common, given = ["b", "a"], tasks(1)
    first = Submission("w", forward_common_files=common, task_list=given)
    first.register_task(Task("c", "d"))
    first.backward_common_files.append("x")
    assert (common, len(given)) == (["b", "a"], 1)
    assert first.forward_common_files == ["a", "b"]
    second = Submission("w")
    assert (second.belonging_tasks, second.backward_common_files) == ([], [])


def test_two_equal_tasks_are_two(project: Path) -> None:
    made = submission(project, count=0, group_size=1, task_list=[Task("echo x >> out", "t0", [], ["out"])] * 3)
    made.generate_jobs()
    assert len({job.job_hash for job in made.belonging_jobs}) == 3


# -- formats --------------------------------------------------------------------------------------------------------


def test_the_state_file(project: Path) -> None:
    made = submission(project)
    made.generate_jobs()
    written = made.serialize()
    assert list(written) == [
        "work_base",
        "_abs_work_base",
        "machine",
        "resources",
        "forward_common_files",
        "backward_common_files",
        "belonging_jobs",
    ]
    (content,) = written["belonging_jobs"][0].values()
    assert list(content) == ["job_task_list", "resources", "job_state", "job_id", "fail_count"]
    assert (content["job_state"], content["job_id"], content["fail_count"]) == (None, "", 0)
    (static,) = made.belonging_jobs[0].serialize(if_static=True).values()
    assert list(static) == ["job_task_list", "resources"]
    assert Path(written["_abs_work_base"]).is_absolute()
    assert made["work_base"] == "w"


@pytest.mark.parametrize("group_size", [0, 1, 2, 3])
def test_round_trip(project: Path, group_size: int) -> None:
    made = submission(project, group_size=group_size, backward_common_files=["c"], stop_on_failure=True)
    for ready in (False, True):
        if ready:
            made.generate_jobs()
            made.belonging_jobs[0].job_state = JobStatus.running
            made.belonging_jobs[0].register_job_id("4211")
            made.belonging_jobs[0].fail_count = 2
        back = Submission.deserialize(json.loads(json.dumps(made.serialize())))
        assert back.serialize() == made.serialize()
        assert back == made
        assert [task.task_work_path for task in back.belonging_tasks] == [f"t{nth}" for nth in range(5)]
        assert back.spec() == made.spec()
    assert back.belonging_jobs[0].job_state is JobStatus.running
    assert (back.belonging_jobs[0].job_id, back.belonging_jobs[0].fail_count) == ("4211", 2)


def test_a_state_file_with_jobs_removed(project: Path) -> None:
    made = submission(project)
    made.generate_jobs()
    written = made.serialize()
    del written["belonging_jobs"][0]
    back = Submission.deserialize(written)
    assert [len(job.job_task_list) for job in back.belonging_jobs] == [2, 1]
    assert len(back.belonging_tasks) == 3
    assert Submission.deserialize(back.serialize()) == back


def test_a_state_file_of_the_manuals_system(project: Path) -> None:
    resources = {**Resources(1, 1, 0, "", 2).serialize()}
    old = {
        "work_base": "w",
        "_abs_work_base": "/somewhere/w",
        "machine": machine(project).serialize(),
        "resources": resources,
        "forward_common_files": [],
        "backward_common_files": [],
        "continue_on_failure": False,
        "previous_submission_hash": None,
        "belonging_jobs": [
            {"aaaa": {"job_task_list": [tasks()[0].serialize()], "resources": resources, "job_state": 5, "job_id": 4711,
                      "fail_count": 0, "failure_reason": None, "task_states": [5]}},
        ],
    }  # fmt: skip
    back = Submission.deserialize(old)
    assert back.belonging_jobs[0].job_id == 4711
    assert back.belonging_tasks[0].task_state is JobStatus.finished
    assert back.check_all_finished()


def test_from_a_file(project: Path) -> None:
    made = submission(project)
    file = project / "submission.json"
    file.write_text(json.dumps(made.serialize()))
    assert Submission.submission_from_json(file) == made
    other = machine(project, "LazyLocal")
    assert Submission.deserialize(made.serialize(), machine=other).machine is other


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"work_bas": 1, "work_base": None}, "submission/work_base: expected str"),
        ({"belonging_jobs": [{}]}, "belonging_jobs: expected one key in each, the hash of the job, got 0"),
        ({"belonging_jobs": [{"h": {"resources": {}}}]}, "belonging_jobs/job_task_list: missing"),
        ({"machine": {"batch_typ": "x"}}, "machine/batch_type: missing"),
    ],
)
def test_bad_state_files(project: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Submission.deserialize({**submission(project).serialize(), **change})


def test_jobs_read_alone(project: Path) -> None:
    made = submission(project)
    made.generate_jobs()
    job = made.belonging_jobs[1]
    assert Job.deserialize(job.serialize()) == job
    with pytest.raises(RuntimeError, match="expected one key, the hash of the job, got 2"):
        Job.deserialize({"a": {}, "b": {}})
    with pytest.raises(ConfigError, match="job/job_state: 17 is not a state"):
        Job.deserialize({"h": {**job.serialize()[job.job_hash], "job_state": 17}})
    with pytest.raises(ConfigError, match="job/resources: missing"):
        Job.deserialize({"h": {"job_task_list": []}})


def test_the_hash_covers_inputs_and_neither_secrets_nor_directory(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = submission(project).get_hash()
    monkeypatch.chdir(project)
    assert submission(project).get_hash() == first
    assert submission(project, machine=machine(project, retry_count=0, max_running=1)).get_hash() == first
    (project / "project" / "w" / "t0" / "in.txt").write_text("changed")
    assert submission(project).get_hash() != first
    (project / "project" / "w" / "t0" / "in.txt").unlink()
    with pytest.raises(InputMissing):
        submission(project).get_hash()
    with pytest.raises(ConfigError, match="submission/machine: missing"):
        submission(project, machine=None).get_hash()


# -- runs -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("context", ["LocalContext", "LazyLocal"])
def test_the_manuals_program(project: Path, context: str) -> None:
    made = submission(project, machine=machine(project, context))
    written = made.run_submission(check_interval=0.2)
    for nth in range(5):
        assert (project / "project" / "w" / f"t{nth}" / "out.txt").read_text() == f"{nth}\ncommon\n"
    assert {job.job_state for job in made.belonging_jobs} == {JobStatus.finished}
    assert {task.task_state for task in made.belonging_tasks} == {JobStatus.finished}
    assert all(job.job_id for job in made.belonging_jobs)
    assert made.check_all_finished()
    assert made.check_ratio_unfinished(0.0)
    assert [job.owner.exit_code(job) for job in made.belonging_jobs] == [0, 0, 0]
    assert written == made.serialize()
    assert made.submission_hash == made.get_hash()
    assert not list((project / "remote").glob("*/t0")) if context == "LocalContext" else True


def test_results_are_durable_before_anything_is_removed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    settle, remove = local.settle, LocalConnection.remove
    monkeypatch.setattr(local, "settle", lambda root, files: (done.extend(files), settle(root, files)))
    monkeypatch.setattr(LocalConnection, "remove", lambda self: (done.append("removed"), remove(self)))
    submission(project).run_submission(check_interval=0.2)
    assert set(done[:-1]) == {f"t{nth}/out.txt" for nth in range(5)}
    assert done[-1] == "removed"


def test_a_finished_run_is_not_run_again(project: Path) -> None:
    given = tasks(2, "echo run >> count.txt; cp in.txt out.txt")
    for task in given:
        task.backward_files.append("count.txt")
    for _ in range(2):
        made = submission(project, task_list=given)
        assert not made.belonging_jobs
        made.run_submission(check_interval=0.2)
    assert (project / "project" / "w" / "t0" / "count.txt").read_text() == "run\n"
    fresh = submission(project, task_list=given)
    fresh.try_recover_from_json()
    assert {job.job_state for job in fresh.belonging_jobs} == {JobStatus.finished}
    assert fresh.machine is not None
    assert fresh.machine.check_if_recover(fresh)
    assert not machine(project).check_if_recover(submission(project, task_list=tasks(1, "true")))


def test_step_by_step(project: Path) -> None:
    made = submission(project, count=2, group_size=1, task_list=tasks(2, "cp in.txt out.txt"))
    assert not made.check_all_finished()
    made.upload_jobs()
    made.handle_unexpected_submission_state()
    assert {job.job_state for job in made.belonging_jobs} <= {
        JobStatus.waiting, JobStatus.running, JobStatus.completing, JobStatus.finished,
    }  # fmt: skip
    job = made.belonging_jobs[0]
    assert made.machine is not None
    for _ in range(100):
        if made.machine.check_finish_tag(job):
            break
    assert made.machine.check_status(job) is JobStatus.finished
    assert made.machine.do_submit(job) == job.job_id != ""
    assert made.machine.get_exit_code(job) == 0
    assert job.get_job_state() is JobStatus.finished
    made.run_submission(check_interval=0.2, clean=False)
    made.try_download_result()
    assert job.job_task_list[0].get_task_state(made.machine.context) is JobStatus.finished
    made.clean_jobs()
    assert (project / "project" / "w" / "t1" / "out.txt").exists()


def test_a_dry_run_runs_nothing(project: Path) -> None:
    made = submission(project)
    made.run_submission(dry_run=True)
    assert {job.job_state for job in made.belonging_jobs} == {JobStatus.unsubmitted}
    assert not list(project.rglob("out.txt"))


def test_failures_are_told_at_the_end(project: Path) -> None:
    given = [*tasks(1, "cp in.txt out.txt"), Task("echo because >&2; exit 3", "t1")]
    made = submission(project, group_size=1, machine=machine(project, retry_count=0), task_list=given)
    with pytest.raises(JobsFailed, match="because"):
        made.run_submission(check_interval=0.2)
    failed = next(job for job in made.belonging_jobs if job.job_state is JobStatus.terminated)
    assert failed.job_task_list[0].task_work_path == "t1"
    assert failed.fail_count == 1
    assert made.machine is not None
    assert made.machine.get_exit_code(failed) == 3
    assert "because" in (failed.get_last_error_message() or "")
    assert (project / "project" / "w" / "t0" / "out.txt").exists()
    assert not made.check_all_finished()
    assert made.check_ratio_unfinished(0.5)
    assert not made.check_ratio_unfinished(0.4)


def test_a_job_that_tells_nothing_is_told_where_its_script_wrote(project: Path) -> None:
    reported = Resources(1, 1, 0, "", 0, prepend_script=["echo no license >&2", "exit 7"])
    made = Submission("w", machine(project, retry_count=0), reported, task_list=tasks(1))
    with pytest.raises(JobsFailed, match=r"1 of 1 jobs failed\.\n") as caught:
        made.run_submission(check_interval=0.2)
    where = Path(caught.value.jobs[0].where)
    assert [log.read_text() for log in where.parent.glob(where.name)] == ["no license\n"]


def test_of_what_was_left_running_nothing_is_said_to_be_here(project: Path) -> None:
    given = [Task("exit 3", "t0"), Task("until [ -e go ]; do sleep 0.1; done", "t1")]
    where = machine(project, "LazyLocal", retry_count=0)
    made = submission(project, group_size=1, machine=where, task_list=given, stop_on_failure=True)
    with pytest.raises(JobsFailed, match="left running") as caught:
        made.run_submission(check_interval=0.2)
    assert "downloaded" not in str(caught.value)
    (project / "project" / "w" / "t1" / "go").touch()


def test_a_template_that_does_not_fit_is_refused_before_anything_is_written(project: Path) -> None:
    strategy = {"customized_script_header_template_file": str(project / "head")}
    made = Submission("w", machine(project), Resources(1, 1, 0, "", 0, strategy=strategy), task_list=tasks(1))
    with pytest.raises(ConfigError, match="head cannot be read"):
        made.run_submission()
    (project / "head").write_text("#!/bin/bash\n#SBATCH -p {queue}\n")
    with pytest.raises(ConfigError, match="template does not fit: 'queue'"):
        made.run_submission()
    assert not (project / "project" / "w" / ".dispatcher").exists()


def test_a_missing_result_does_not_hide_a_failure(project: Path) -> None:
    given = [Task("true", "t0", [], ["out.txt"]), Task("test -e better", "t1")]
    requested = {"machine": machine(project, "LazyLocal", retry_count=0), "task_list": given}
    with pytest.raises(JobsFailed, match=r"(?s)test -e better.*did not write 1 of their backward_files: t0/out.txt"):
        submission(project, group_size=1, **requested).run_submission(check_interval=0.2)
    (project / "project" / "w" / "t1" / "better").touch()
    with pytest.raises(ResultMissing, match=r"t0/out.txt"):  # the failed job was given another try
        submission(project, group_size=1, **requested).run_submission(check_interval=0.2)
    (project / "project" / "w" / "t0" / "out.txt").touch()
    submission(project, group_size=1, **requested).run_submission(check_interval=0.2)


def test_jobs_are_ended(project: Path) -> None:
    given = [Task("sleep 20", "t0"), Task("true", "t1")]
    made = submission(project, group_size=1, task_list=given)
    made.run_submission(exit_on_submit=True, clean=False)
    sleeper = next(job for job in made.belonging_jobs if job.job_task_list[0].command == "sleep 20")
    assert sleeper.job_state in (JobStatus.waiting, JobStatus.running)
    for _ in range(100):
        made.update_submission_state()
        if given[1].task_state is JobStatus.finished:
            break
    assert made.machine is not None
    made.machine.kill(sleeper)
    with pytest.raises(JobsFailed, match="cancelled"):
        made.run_submission(check_interval=0.5, clean=False)
    assert sleeper.job_state is JobStatus.terminated
    made.remove_unfinished_tasks()
    assert made.belonging_tasks == [given[1]]
    assert len(made.belonging_jobs) == 1


def test_in_an_event_loop(project: Path) -> None:
    async def both() -> list[dict[str, Any]]:
        shared = machine(project)
        one = submission(project, machine=shared, task_list=tasks(2))
        two = submission(project, machine=shared, task_list=tasks(5)[2:])
        return await asyncio.gather(
            one.async_run_submission(check_interval=0.2), two.async_run_submission(check_interval=0.2)
        )

    written = asyncio.run(both())
    assert [len(each["belonging_jobs"]) for each in written] == [1, 2]
    assert {next(iter(job.values()))["job_state"] for each in written for job in each["belonging_jobs"]} == {5}


@pytest.mark.parametrize("clean", ["always", "never", "on_success", True, False])
def test_clean(project: Path, clean: Any) -> None:
    submission(project, task_list=tasks(1)).run_submission(check_interval=0.2, clean=clean)
    assert bool(list((project / "remote").glob("*/t0"))) is (clean in ("never", False))


def test_clean_is_checked_first(project: Path) -> None:
    with pytest.raises(ValueError, match="clean: 'sometimes' is not known"):
        submission(project).run_submission(clean="sometimes")
    with pytest.raises(ConfigError, match="submission/machine: missing"):
        submission(project, machine=None).run_submission()
    with pytest.raises(ConfigError, match="ratio_unfinished"):
        submission(project).check_ratio_unfinished(1.5)


def test_a_batch_system_in_a_cloud_it_is_not_part_of(project: Path) -> None:
    wrong = Machine("Shell", "OpenAPI", str(project / "project"), "/x/y")
    with pytest.raises(ConfigError, match="OpenAPIContext works with OpenAPI only"):
        submission(project, machine=wrong).run_submission()


def test_files_on_the_other_side_hold_no_secret(project: Path) -> None:
    made = submission(project)
    made.generate_jobs()
    assert made.machine is not None
    assert made.machine.context is not None
    made.submission_to_json()
    made.belonging_jobs[0].job_to_json()
    context = made.machine.context
    written = json.loads(context.read_file(f"{made.submission_hash}.json"))
    assert written["machine"]["remote_profile"] == {}
    assert Submission.deserialize(written).spec() == made.spec()
    assert json.loads(context.read_file(f"{made.belonging_jobs[0].job_hash}_job.json"))


# -- the context ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["LocalContext", "LazyLocalContext"])
def test_the_context_by_hand(project: Path, name: str) -> None:
    given = [Task("true", "t0", ["in.txt"], ["made.txt", "none.txt"])]
    made = submission(project, machine=machine(project, name), task_list=given)
    assert made.machine is not None
    context = made.machine.context
    assert context is not None
    local = project / "project" / "w"
    assert context.local_root == str(local)
    context.upload(made)
    assert context.get_job_root() == context.remote_root
    assert context.check_file_exists("t0/in.txt")
    context.write_file("t0/made.txt", "it's $HOME\n")
    assert context.read_file("t0/made.txt") == "it's $HOME\n"
    context.write_file("t0/error.1", "bad")
    with pytest.raises(FileNotFoundError):
        context.read_file("t0/absent")
    with pytest.raises(ResultMissing, match=r"none\.txt"):
        context.download(made)
    context.download(made, check_exists=True, back_error=True)
    assert (local / "t0" / "made.txt").read_text() == "it's $HOME\n"
    assert (local / "t0" / "error.1").exists()
    assert (local / "t0" / "tag_failure_download_none.txt").exists()
    code, _, out, err = context.block_call("echo out; echo err >&2; exit 3")
    assert (code, out.read(), err.readlines()) == (3, b"out\n", ["err\n"])
    with pytest.raises(RuntimeError, match="ended with code 1"):
        context.block_checkcall("false")
    assert context.block_checkcall("pwd")[1].read().decode().strip() == context.get_job_root()
    proc = context.call("sleep 0.3; echo done; exit 4")
    assert context.get_return(proc) == (None, None, None)
    while not context.check_finish(proc):
        pass
    code_, out_, _ = context.get_return(proc)
    assert (code_, out_ and out_.read()) == (4, b"done\n")
    context.block_checkcall("echo later > later.txt", asynchronously=True)
    context.kill(2**22 + 1)
    context.clean()
    assert (local / "t0" / "in.txt").exists()
    context.close()


def test_a_context_bound_to_nothing(project: Path) -> None:
    context = machine(project).context
    assert context is not None
    assert context.local_root == str(project / "project")
    with pytest.raises(ConfigError, match="call bind_submission first"):
        context.get_job_root()
