"""`dispatcher submit`, as people and programs type it."""

from __future__ import annotations

import json
import os
import shutil
import signal
from typing import Any

import pytest

from dispatcher.cli.display import PlainLines
from dispatcher.cli.monitor import Monitor

pytestmark = pytest.mark.slow


def test_a_run_to_its_end_and_again(work: Any, golden: Any) -> None:
    work.prepare("echo x >> ran", "echo x >> ran")
    done = work.run("submit", "submission.json")
    assert (done.code, done.err) == (0, "")
    progress, summary = done.out[: done.out.index("finished  ")], done.out[done.out.index("finished  ") :]
    golden("submit-finished", summary, work.path)
    assert "2 jobs, 2 tasks\n" in progress
    assert "\x1b" not in done.out
    again = work.run("submit", "submission.json")
    assert (again.code, again.err) == (0, "")
    assert work.text().count('"k":"submitting"') == 2
    assert (work.local / "t0/ran").read_text() == "x\n"


def test_failed_jobs_are_told_with_all_that_is_known(work: Any, golden: Any) -> None:
    work.prepare("echo fine > out", "echo some reason >&2; exit 3")
    done = work.run("submit", "submission.json")
    assert done.code == 1
    golden("submit-failed", done.err, work.path)
    assert (work.local / "t0/out").read_text() == "fine\n"
    assert work.run("submit", "submission.json").code == 1
    assert work.text().count('"fresh":true') == 1


def test_lines_of_json_for_programs(work: Any) -> None:
    work.prepare("true", "exit 7", retry_count=1)
    done = work.run("submit", "submission.json", "--json")
    lines = done.lines()
    assert done.code == 1
    assert [line["event"] for line in (lines[0], lines[-1])] == ["start", "end"]
    assert {line["event"] for line in lines[1:-1]} == {"progress"}
    end = lines[-1]
    assert (end["outcome"], end["tasks"], end["done"], end["retries"]) == ("failed", 2, 1, 1)
    assert end["jobs"] == {"finished": 1, "terminated": 1}
    assert work.run("verify", "runs", "--expect", end["position"]).code == 0


def test_a_dry_run_writes_scripts_and_submits_nothing(work: Any) -> None:
    work.prepare("echo never > ran")
    done = work.run("submit", "submission.json", "--dry-run")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1].startswith("scripts ")
    (script,) = work.local.glob(".dispatcher/*/dry-run/*.sub")
    assert "echo never" in script.read_text()
    assert "submitting" not in work.text()


def test_exit_on_submit_leaves_the_watching_to_a_later_run(work: Any) -> None:
    work.prepare("until [ -e go ]; do sleep 0.1; done; echo x >> ran")
    done = work.run("submit", "submission.json", "--exit-on-submit")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-5].startswith("submitted ")
    (work.local / "t0/go").touch()
    assert work.run("submit", "submission.json").code == 0
    assert (work.local / "t0/ran").read_text() == "x\n"


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_a_signal_leaves_the_jobs_running_and_the_same_command_resumes(work: Any, signum: int, code: int) -> None:
    work.prepare("until [ -e go ]; do sleep 0.1; done; echo x >> ran")
    process = work.start("submit", "submission.json")
    work.await_records("running")
    process.send_signal(signum)
    done = work.ended(process)
    assert done.code == code
    assert "stopping when what is under way is done" in done.err
    assert "dispatcher: error: interrupted: the jobs run on. Run the same command again" in done.err
    assert "interrupted; the jobs were left running" in work.text()
    (work.local / "t0/go").touch()
    assert work.run("submit", "submission.json").code == 0
    assert (work.local / "t0/ran").read_text() == "x\n"


def test_sigterm_is_recorded_like_the_others(work: Any) -> None:
    work.prepare("sleep 0.5")
    process = work.start("submit", "submission.json")
    work.await_records("submitted")
    process.send_signal(signal.SIGTERM)
    assert work.ended(process).code == 143
    assert '"k":"note"' in work.text()


def test_the_second_signal_stops_at_once() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), Monitor(PlainLines()) as monitor:
        os.kill(os.getpid(), signal.SIGINT)
        assert monitor.signum == signal.SIGINT
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_only_one_dispatcher_at_a_time(work: Any) -> None:
    work.prepare("until [ -e go ]; do sleep 0.1; done")
    process = work.start("submit", "submission.json")
    work.await_records("submitted")
    second = work.run("submit", "submission.json")
    assert second.code == 3
    assert f"process {process.pid} on " in second.err
    (work.local / "t0/go").touch()
    assert work.ended(process).code == 0


def test_a_reader_that_goes_away_does_not_stop_a_run(work: Any) -> None:
    work.prepare("until [ -e go ]; do sleep 0.1; done")
    process = work.start("submit", "submission.json")
    work.await_records("running")
    process.stdout.close()
    (work.local / "t0/go").touch()
    assert process.wait(60) in (0, 141)
    assert '"k":"concluded"' in work.text()
    process.stderr.close()


def test_yaml_and_references(work: Any) -> None:
    work.prepare("true")
    requested = json.loads((work.path / "submission.json").read_text())
    (work.path / "site").mkdir()
    (work.path / "site/machine.json").write_text(json.dumps(requested["machine"]))
    text = json.dumps({**requested, "machine": {"$ref": "machine.json"}})  # JSON is YAML
    (work.path / "site/ask.yaml").write_text(text)
    refused = work.run("submit", "site/ask.yaml")
    assert (refused.code, "--allow-ref" in refused.err) == (2, True)
    assert work.run("submit", "site/ask.yaml", "--allow-ref").code == 0


def _requested(work: Any, **changes: Any) -> None:
    work.prepare("true")
    path = work.path / "submission.json"
    requested = json.loads(path.read_text())
    for key, value in changes.items():
        part, _, name = key.partition("__")
        (requested[part] if name else requested)[name or part] = value
    path.write_text(json.dumps(requested))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resources__gpu_per_nod": 1}, "submission.json: submission/resources/gpu_per_nod: unknown key; did you mean"),
        ({"machine__batch_type": "Slrum"}, "did you mean"),
        ({"machine__retry_count": "3"}, "submission.json: submission/machine/retry_count: "),
        ({"task_list": []}, "task_list"),
        ({"work_base": "elsewhere"}, "is not a directory"),
        ({"machine__context_type": "OpenAPI"}, "works with OpenAPI only"),
        ({"task_list": [{"command": "true", "task_work_path": "../up"}]}, "'..' would leave the directory"),
    ],
)
def test_a_wrong_file_is_refused_before_anything_is_written(work: Any, changes: dict[str, Any], message: str) -> None:
    _requested(work, **changes)
    done = work.run("submit", "submission.json")
    assert done.code == 2, done
    assert message in done.err
    assert (done.err.count("\n"), done.out) == (1, "")
    assert not list(work.local.glob(".dispatcher/*/journal/*.jsonl"))


def test_unknown_keys_are_told_where_that_is_allowed(work: Any) -> None:
    _requested(work, resources__gpu_per_nod=1, machine__remote_profile={"hostname": "h", "_note": 1})
    assert "--allow-unknown-keys warns of it and goes on" in work.run("submit", "submission.json").err
    done = work.run("submit", "submission.json", "--allow-unknown-keys", "--dry-run")
    assert done.code == 0, done
    (warning,) = done.err.splitlines()
    assert "submission/resources/gpu_per_nod: unknown key; did you mean 'gpu_per_node'" in warning


@pytest.mark.parametrize(
    ("text", "message"), [("{", "not valid JSON at line 1"), ("[]", "expected a mapping"), ("\xff", "not UTF-8")]
)
def test_a_file_that_is_no_submission(work: Any, text: str, message: str) -> None:
    (work.path / "bad.json").write_bytes(text.encode("latin-1"))
    done = work.run("submit", "bad.json")
    assert (done.code, message in done.err) == (2, True)


def test_secrets_are_never_shown(work: Any) -> None:
    profile = {"hostname": "nowhere.invalid", "username": "me", "password": "geheim!", "port": "x"}
    _requested(work, machine__context_type="SSH", machine__remote_root="/r", machine__remote_profile=profile)
    done = work.run("submit", "submission.json", "--debug")
    assert done.code == 2
    assert "geheim" not in done.err + done.out


@pytest.mark.parametrize("left", [(), ("LOCK",), ("LOCK", "HEAD"), ("LOCK", "HEAD", "00000001.jsonl")])
def test_a_death_while_the_journal_was_being_made(work: Any, left: tuple[str, ...]) -> None:
    """A directory with nothing in it yet, or with files that hold nothing: the next start begins it."""
    work.prepare("true")
    assert work.run("submit", "submission.json", "--dry-run").code == 0
    journal = work.journal
    shutil.rmtree(journal.parent)
    journal.mkdir(mode=0o700, parents=True)
    journal.parent.chmod(0o700)
    for name in left:
        (journal / name).touch(0o600)
    done = work.run("submit", "submission.json")
    assert done.code == 0, done
    assert work.run("verify", "runs").code == 0
