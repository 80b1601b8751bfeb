"""Whole runs through the server: results come home, failures are told, requests are counted, secrets stay put."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dispatcher.core.errors import ConfigError, DispatcherError, JobsFailed, ResultMissing
from dispatcher.core.lifecycle import State
from dispatcher.core.model import SubmissionSpec
from dispatcher.run.session import open_session
from dispatcher.run.store import stored_journals

if TYPE_CHECKING:
    from .conftest import Cloud

pytestmark = pytest.mark.slow

Loaded = Callable[..., SubmissionSpec]


def came_home(local: Path, count: int) -> None:
    for index in range(count):
        assert (local / "w" / f"t{index}" / "out").read_text() == f"input {index}\npotential\n"


def test_tasks_run_and_come_home(cloud: Cloud, kind: str, requested: Loaded, tmp_path: Path) -> None:
    spec = requested(tmp_path / "local", kind, 5, group_size=2)
    with open_session(spec, cloud.profile(kind)) as session:
        session.run(check_interval=0.2)
        assert {job.state for job in session.progress.values()} == {State.finished}
    came_home(tmp_path / "local", 5)
    reported = cloud.reported()
    assert [job["starts"] for job in reported["jobs"]] == [1, 1, 1]
    assert len({job["group"] for job in reported["jobs"]}) == 1, "one group, so that one listing shows all"


def test_what_every_job_has_goes_up_once(cloud: Cloud, kind: str, requested: Loaded, tmp_path: Path) -> None:
    spec = requested(tmp_path / "local", kind, 4)
    with open_session(spec, cloud.profile(kind)) as session:
        session.run(check_interval=0.2, clean=False)
    reported = cloud.reported()
    first = [job["inputs"][0] for job in reported["jobs"]]
    assert (len(first), len(set(first)), reported["objects"]) == (4, 1, 5)


def test_input_data_is_passed_on_and_the_name_carries_the_nonce(
    cloud: Cloud, requested: Loaded, tmp_path: Path
) -> None:
    data = {"job_type": "indicate", "machine_type": "c2_m4", "image_name": "img:1", "disk_size": 20, "job_name": "mine"}
    profile = cloud.profile("Bohrium", input_data={**data, "platform": "ali", "checkpoint_files": "sync_files"})
    with open_session(requested(tmp_path / "local", "lebesgue", 1), profile) as session:
        session.run(check_interval=0.2)
        [nonce] = [job.nonce for job in session.progress.values()]
    [job] = cloud.reported()["jobs"]
    body = job["body"]
    assert (job["name"], body["jobType"], body["scassType"]) == (f"{nonce}-mine", "indicate", "c2_m4")
    assert (body["imageName"], body["diskSize"], body["platform"]) == ("img:1", 20, "ali")
    assert (body["checkpointFiles"], body["logFiles"]) == (["*"], ["t0/log"])


def test_failing_task_is_explained_and_tried_again(cloud: Cloud, kind: str, requested: Loaded, tmp_path: Path) -> None:
    spec = requested(
        tmp_path / "local", kind, 2, "cat in ../pot > out; [ {i} = 0 ] || {{ echo bad input >&2; exit 7; }}"
    )
    spec = _with_retries(spec, 1)
    with open_session(spec, cloud.profile(kind)) as session, pytest.raises(JobsFailed) as failed:
        session.run(check_interval=0.2)
    came_home(tmp_path / "local", 1)
    [job] = failed.value.jobs
    assert (job.cause.kind, job.cause.code, job.cause.stderr.strip(), job.attempts) == ("task", 7, "bad input", 2)
    assert (tmp_path / "local" / "w" / "t1" / "err").read_text() == "bad input\n"
    assert len(cloud.reported()["jobs"]) == 3


def _with_retries(spec: SubmissionSpec, count: int) -> SubmissionSpec:
    import msgspec

    return msgspec.structs.replace(spec, machine=msgspec.structs.replace(spec.machine, retry_count=count))


def test_ignore_exit_code_is_the_default_of_the_manual(cloud: Cloud, requested: Loaded, tmp_path: Path) -> None:
    profile = cloud.profile("Bohrium")
    del profile["ignore_exit_code"]
    with open_session(requested(tmp_path / "local", "Bohrium", 1, "cat in ../pot > out; exit 3"), profile) as session:
        session.run(check_interval=0.2)
    came_home(tmp_path / "local", 1)
    [journal] = stored_journals(tmp_path / "local" / "w")
    assert "taken as finished (ignore_exit_code)" in (journal / "00000001.jsonl").read_text()


@pytest.mark.parametrize("keep", [True, False])
def test_keep_backup(cloud: Cloud, requested: Loaded, tmp_path: Path, keep: bool) -> None:
    with open_session(
        requested(tmp_path / "local", "Bohrium", 1), cloud.profile("Bohrium", keep_backup=keep)
    ) as session:
        session.run(check_interval=0.2)
    assert len(list((tmp_path / "local").rglob("results/*.zip"))) == keep
    assert not list((tmp_path / "local").rglob("cloud/*")), "receipts are removed"
    assert cloud.reported()["objects"] == 0, "and what was sent"


def test_output_log_is_written_as_the_job_prints_it(cloud: Cloud, requested: Loaded, tmp_path: Path) -> None:
    profile = cloud.profile("Bohrium", input_data={"output_log": True})
    spec = requested(
        tmp_path / "local", "Bohrium", 1, "cat in ../pot > out; for i in 1 2 3; do echo line $i; sleep 0.3; done"
    )
    with open_session(spec, profile) as session:
        session.run(check_interval=0.2)
    [log] = (tmp_path / "local").rglob("logs/*.log")
    assert log.read_text() == "line 1\nline 2\nline 3\n"


def test_a_result_that_was_not_written_is_named(cloud: Cloud, kind: str, requested: Loaded, tmp_path: Path) -> None:
    with open_session(requested(tmp_path / "local", kind, 1, "true"), cloud.profile(kind)) as session:
        with pytest.raises(ResultMissing, match="t0/out"):
            session.run(check_interval=0.2)


def test_cancelled_jobs_are_killed(cloud: Cloud, kind: str, requested: Loaded, tmp_path: Path) -> None:
    with open_session(requested(tmp_path / "local", kind, 2, "sleep 60"), cloud.profile(kind)) as session:
        session.run(check_interval=0.1, exit_on_submit=True)
        session.kill()
        with pytest.raises(JobsFailed, match="cancelled"):
            session.run(check_interval=0.2)
    assert {job["status"] for job in cloud.reported()["jobs"]} == {5}


def test_container_that_dies_without_a_marker(cloud: Cloud, kind: str, requested: Loaded, tmp_path: Path) -> None:
    spec = requested(tmp_path / "local", kind, 1, "echo last words; kill -9 $$")
    with open_session(spec, cloud.profile(kind)) as session, pytest.raises(JobsFailed) as failed:
        session.run(check_interval=0.2)
    assert failed.value.jobs[0].cause.kind in ("lost", "task")


def test_many_jobs_cost_few_requests(cloud: Cloud, kind: str, requested: Loaded, tmp_path: Path, full: bool) -> None:
    """Beside one add (with OpenAPI one create) for each job, and its files up and down."""
    many = 200 if full else 100
    with open_session(requested(tmp_path / "local", kind, many), cloud.profile(kind)) as session:
        rounds = 0
        observation = session.connect().observer.observe

        def counted(jobs: object) -> None:
            nonlocal rounds
            rounds += 1
            observation(jobs)  # type: ignore[arg-type]

        session.engine.observer.observe = counted  # type: ignore[method-assign]
        session.run(check_interval=2)
    came_home(tmp_path / "local", many)
    requests = cloud.reported()["requests"]
    work = ("job/add", "job/create", " oss", " result", "tiefblue")
    others = {name: count for name, count in requests.items() if not any(word in name for word in work)}
    assert sum(others.values()) <= 8 + 2 * rounds, (others, rounds)
    assert sum(count for name, count in requests.items() if "job/add" in name) == many


def test_secrets_are_written_nowhere(
    cloud: Cloud,
    kind: str,
    requested: Loaded,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    cloud.fault("lost", "job/add")
    cloud.fault("code", "list", code="2100")
    spec = requested(tmp_path / "local", kind, 3, "cat in ../pot > out; [ {i} = 0 ]")
    with open_session(spec, cloud.profile(kind)) as session, pytest.raises(JobsFailed) as failed:
        session.run(check_interval=0.2)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".jsonl" for path in files)
    texts = [path.read_bytes() for path in files] + [
        ("".join(capfd.readouterr()) + caplog.text + str(failed.value)).encode()
    ]
    for name, secret in cloud.secrets.items():
        assert not any(secret.encode() in text for text in texts), name
    assert not any(b"eyJ" in text and b"Bearer" in text for text in texts)


@pytest.mark.parametrize(
    "wrong", [{"password": "no"}, {"password": ""}, {"program_id": "x"}, {"input_data": {"api_version": 1}}]
)
def test_what_is_wrong_in_the_profile_is_named(
    cloud: Cloud, requested: Loaded, tmp_path: Path, wrong: dict[str, object]
) -> None:
    profile = cloud.profile("Bohrium", **wrong)
    with open_session(requested(tmp_path / "local", "Bohrium", 1), profile) as session:
        with pytest.raises(ConfigError, match=rf"remote_profile/.*{next(iter(wrong))}"):
            session.run(check_interval=0.2)
    assert not cloud.reported()["jobs"]


def test_ticket_of_the_environment(
    cloud: Cloud, requested: Loaded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOHR_TICKET", cloud.secrets["ticket"])
    monkeypatch.setenv("DPDISPATCHER_LEBESGUE_API_HOST", cloud.url)
    profile = cloud.profile("Bohrium")
    for key in ("email", "password", "base_url"):
        del profile[key]
    with open_session(requested(tmp_path / "local", "Bohrium", 1), profile) as session:
        session.run(check_interval=0.2)
    came_home(tmp_path / "local", 1)
    assert cloud.requested("account") == 0


def test_no_shell_in_a_cloud(cloud: Cloud, kind: str, requested: Loaded, tmp_path: Path) -> None:
    from dispatcher.core.ports import CloudKill, ShellText

    with open_session(requested(tmp_path / "local", kind, 1), cloud.profile(kind)) as session:
        with pytest.raises(ConfigError, match="runs no shell commands"):
            session.connect().context.run(ShellText("ls"))
    spec = requested(tmp_path / "local", "Shell", 1)
    with open_session(_at(spec, "LazyLocal"), {}) as session, pytest.raises(ConfigError, match="CloudKill"):
        session.connect().context.run(CloudKill((), ()))
    with pytest.raises(DispatcherError, match="works with"), open_session(_at(spec, kind), {}):
        pass


def _at(spec: SubmissionSpec, context: str) -> SubmissionSpec:
    import msgspec

    return msgspec.structs.replace(spec, machine=msgspec.structs.replace(spec.machine, context_type=context))


def test_files_of_ours_are_private(cloud: Cloud, requested: Loaded, tmp_path: Path) -> None:
    with open_session(requested(tmp_path / "local", "Bohrium", 1), cloud.profile("Bohrium")) as session:
        session.run(check_interval=0.2, clean=False)
    for path in (tmp_path / "local" / "w").rglob(".dispatcher/*/*/*"):
        if path.is_file() and path.parent.name == "cloud":
            assert os.stat(path).st_mode & 0o077 == 0, path
