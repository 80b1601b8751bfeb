"""What each verb prints, for people and programs: golden texts of a journal that is always the same, and small runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dispatcher.cli import VERBS, answers, parser_of
from dispatcher.cli.open import command_for
from dispatcher.core.errors import ConfigError
from dispatcher.testing.batch import install

PRINTS = {
    "list": ("list",),
    "list-json": ("list", "--json"),
    "status-json": ("status", "--json"),
    "tasks": ("tasks",),
    "tasks-failed": ("tasks", "--failed"),
    "tasks-csv": ("tasks", "--csv", "t1", "t3"),
    "tasks-json": ("tasks", "--json", "--finished"),
    "info": ("info", "t3", "b2b2"),
    "info-json": ("info", "--json", "#3"),
    "status": ("status",),
    "tasks-state": ("tasks", "--waiting", "--unsubmitted", "--failed"),
    "replay-json": ("replay", "runs", "--format", "json"),
    "replay-jsonl": ("replay", "runs", "--json"),
    "metrics": ("metrics", "runs"),
    "schedulers": ("schedulers",),
    "diff": ("diff", "runs", "runs"),
    "diff-json": ("diff", "runs", "runs", "--json"),
    "replay-csv": ("replay", "runs", "--format", "csv"),
    "replay-junit": ("replay", "runs", "--format", "junit"),
    "replay-github": ("replay", "runs", "--format", "github"),
    "replay-explain": ("replay", "runs", "--explain", "t1"),
    "replay-task": ("replay", "runs", "--task", "t3"),
    "replay-at": ("replay", "runs", "--at", "12"),
    "replay-at-time": ("replay", "runs", "--at", "14:13:30", "--format", "junit"),
    "explain": ("explain", "port"),
    "explain-json": ("explain", "strategy/ratio_unfinished", "--json"),
    "schema-task": ("schema", "task"),
    "schema-output": ("schema", "output"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", PRINTS)
def test_what_it_prints(reported: Any, golden: Any, name: str) -> None:
    done = reported.run(*PRINTS[name])
    assert (done.code, done.err) == (0, ""), done
    golden(f"verb-{name}", done.out, reported.path)


def test_every_verb_says_what_it_does_with_examples_and_prints_what_is_published() -> None:
    for verb in VERBS:
        parser = parser_of(verb)
        options = {option for action in parser._actions for option in action.option_strings}
        assert parser.epilog and parser.epilog.startswith("examples:\n"), verb
        assert ("--json" in options) == (verb in answers.PRINTED or verb in ("verify", "selftest", "diff")), verb


@pytest.mark.slow
@pytest.mark.parametrize("name", ["list-json", "status-json", "tasks-json", "info-json", "explain-json"])
def test_json_is_as_its_schema_says(reported: Any, name: str) -> None:
    words = PRINTS[name]
    (kind,) = answers.PRINTED[words[0]]
    lines = reported.run(*words).lines()
    assert lines
    for line in lines:
        assert set(line) <= set(kind.__struct_fields__)
        msgspec.convert(line, kind)


@pytest.mark.slow
def test_the_tab_key(reported: Any, tmp_path: Path) -> None:
    """In a real bash; of the scripts for the other shells, that every verb and option is in them."""
    (tmp_path / "completion").write_text(reported.run("completion", "bash").out)
    asked = (
        "source ./completion; COMP_WORDS=(dispatcher sta) COMP_CWORD=1; _dispatcher; echo ${COMPREPLY[@]}; "
        "COMP_WORDS=(dispatcher tasks --fa) COMP_CWORD=2; _dispatcher; echo ${COMPREPLY[@]}"
    )
    done = subprocess.run(["bash", "-c", asked], cwd=tmp_path, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("status\n--failed\n", "")
    for shell in ("zsh", "fish"):
        text = reported.run("completion", shell).out
        for verb in VERBS:
            options = [one for action in parser_of(verb)._actions for one in action.option_strings if one[:2] == "--"]
            assert all(verb in text and option.removeprefix("--") in text for option in options), (shell, verb)


def test_mistakes_get_a_suggestion_and_programs_an_object(reported: Any) -> None:
    done = reported.run("statsu")
    assert (done.code, "'statsu' is not a verb; did you mean 'status'?" in done.err) == (2, True)
    done = reported.run("status", "--jsno")
    assert (done.code, "--jsno: not an option; did you mean '--json'?" in done.err) == (2, True)
    done = reported.run("info", "t33", "--json")
    (line,) = done.lines()
    error = msgspec.convert(line, answers.ErrorLine).error
    assert (done.code, error.type, error.exit_code) == (2, "ConfigError", 2)
    assert "t33: not a task or job of 1 submission(s) here; did you mean 't3'?" in error.message
    assert reported.run("replay", "runs", "--fail-on", "memroy").code == 2


@pytest.mark.slow
def test_a_journal_file_alone_says_which_tasks_failed_and_why(reported: Any, tmp_path: Path) -> None:
    """As in a CI job that has only that file, on an image without any of the libraries that a run needs."""
    file = shutil.copyfile(reported.journal / "00000001.jsonl", tmp_path / "journal.txt")
    command = [sys.executable, "-m", "dispatcher", "replay", str(file), "--format"]
    junit = subprocess.run([*command, "junit", "--fail-on", "task"], cwd=tmp_path, capture_output=True, text=True)
    suite = ET.fromstring(junit.stdout)[0]
    assert [case.get("name") for case in suite] == ["t0", "t1", "t2", "t3"]
    assert suite.get("tests") == "4"
    again = subprocess.run([*command, "table", "--fail-on", "running"], cwd=tmp_path, capture_output=True, text=True)
    assert (again.returncode, "journal.txt" in again.stdout) == (0, True), again
    other = shutil.copyfile(reported.journal / "00000002.jsonl", tmp_path / "second")
    done = subprocess.run([*command[:-2], str(other)], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, "is part 2 of a journal" in done.stderr) == (2, True)


@pytest.mark.slow
def test_causes_and_states_that_end_a_ci_job(reported: Any) -> None:
    assert reported.run("replay", "runs", "--fail-on", "rejected", "--format", "github").code == 1
    assert reported.run("replay", "runs", "--fail-on", "memory", "--format", "github").code == 0
    assert (reported.run("status", "--fail").code, reported.run("status").code) == (1, 0)


def test_the_shell_that_is_opened() -> None:
    profile = {"hostname": "h", "username": "me", "port": 2222}
    command = command_for("SSHContext", profile, "/s/it's")
    assert command == ["ssh", "-t", "-p", "2222", "--", "me@h", "cd '/s/it'\"'\"'s' && exec ${SHELL:-sh} -l"]
    assert command_for("SSHContext", {"hostname": "h"}, "/s")[:4] == ["ssh", "-t", "--", "h"]
    with pytest.raises(ConfigError, match="BohriumContext has no shell"):
        command_for("BohriumContext", {}, "/s")


@pytest.mark.slow
def test_from_it_failed_to_its_stderr_and_on(work: Any) -> None:
    work.prepare("true", "echo because >&2; [ -e ../heal ]", "pythn x.py")
    failed = work.run("submit", "submission.json", "--check-interval", "1")
    assert failed.code == 1
    assert "1 job failed: because; first t1, attempt 1 of 1, not tried again" in failed.out
    logs = work.run("logs")
    assert logs.code == 0
    assert "==> t1/err (because) <==\nbecause\n" in logs.out
    assert "==> t2/err (pythn: command not found) <==\n" in logs.out
    assert "t0" not in logs.out
    assert work.run("logs", "t0", "--err").out.startswith("==> t0/err <==\n(empty)\n(the job's own log may say more")
    assert work.run("logs", "runs/t1", "--json").lines()[0]["text"] == "because\n"
    assert [line["path"] for line in work.run("files", "t1", "--json").lines()] == ["t1/err", "t1/log"]
    assert work.run("open", "t1", "--json").lines()[0]["directory"] == str(work.local / "t1")
    assert work.run("clean", "--dry-run").out == f"would remove what was made in {work.local}\n"
    assert work.run("diff", "runs", "live").out == "no difference\n"
    (work.local / "heal").touch()
    assert work.run("retry", "t0").code == 2
    for wrong in ("cpu_per_nod=2", "cpu_per_node=many", "group_size=2", "cpu_per_node"):
        refused = work.run("retry", "t1", "--set", wrong)
        assert (refused.code, "--set" in refused.err) == (2, True), refused
    healed = work.run("retry", "t1", "--set", "cpu_per_node=2", "--check-interval", "1")
    assert (healed.code, "1 job to be tried again, with cpu_per_node=2" in healed.out) == (1, True), healed
    assert [line["state"] for line in work.run("tasks", "--json").lines()] == ["finished", "finished", "terminated"]
    assert '"resources":{"cpu_per_node":2}' in work.text()
    assert work.run("download").code == 0
    assert work.run("cancel", "runs", "t2", "--json").lines() == [
        {"submission": work.journal.parent.name, "ended": 0, "jobs": {"finished": 2, "terminated": 1}}
    ]


@pytest.mark.slow
def test_one_of_several_jobs_is_cancelled_and_the_other_goes_on(work: Any) -> None:
    work.prepare("sleep 600", "until [ -e ../go ]; do sleep 0.1; done")
    assert work.run("submit", "submission.json", "--exit-on-submit").code == 0
    ended = work.run("cancel", "runs", "t0", "--timeout", "100")
    assert (ended.code, ended.out.startswith("cancelled 1 job; jobs: ")) == (0, True), ended
    (work.local / "go").touch()
    assert work.run("submit", "submission.json", "--check-interval", "1").code == 1
    states = {line["path"]: (line["state"], line["cause"]) for line in work.run("tasks", "--json").lines()}
    assert states["t1"] == ("finished", "")
    assert states["t0"][0] == "terminated" and "cancelled" in states["t0"][1]


@pytest.mark.slow
def test_a_machine_is_checked_and_leaves_nothing_behind(work: Any) -> None:
    path = work.prepare("true")
    before = sorted(work.path.rglob("*"))
    done = work.run("check", str(path), "--json")
    assert (done.code, {line["what"]: line["state"] for line in done.lines()}) == (
        0,
        {"login": "ok", "write": "ok", "programs": "ok", "clock": "ok"},
    ), done
    assert [one for one in sorted(work.path.rglob("*")) if one not in before and one.name != ".dispatcher"] == []
    work.prepare("true", batch_type="Fugaku")
    done = work.run("check", "submission.json")
    assert (done.code, "failed   programs    pjsub, pjstat, pjdel: not on PATH there" in done.out) == (1, True), done


@pytest.mark.slow
def test_a_batch_system_that_the_users_own_lines_bring(work: Any, tmp_path: Path) -> None:
    site = install("pbs", tmp_path / "site")
    path = work.prepare("true", batch_type="PBS")
    asked = json.loads(path.read_text())
    asked["resources"]["kwargs"] = {"scheduler_prologue": [f"echo welcome; export PATH={site.bin}:$PATH"]}
    path.write_text(json.dumps(asked))
    done = work.run("check", str(path), "--json")
    told = {line["what"]: line["state"] for line in done.lines()}
    assert (done.code, told["programs"], told["answers"]) == (0, "ok", "ok"), done
    asked["resources"]["kwargs"] = {"scheduler_prologue": ["exit 0"]}
    path.write_text(json.dumps(asked))
    done = work.run("check", str(path))
    assert (done.code, "the answer broke off" in done.out) == (1, True), done
    asked["resources"]["kwargs"] = {"scheduler_prolog": []}
    path.write_text(json.dumps(asked))
    assert work.run("check", str(path)).code == 2


@pytest.mark.slow
def test_the_first_file_can_be_checked_and_run(work: Any) -> None:
    done = work.run("init", "--yes", PATH="/nowhere")
    assert (done.code, "wrote submission.yaml" in done.out) == (0, True), done
    assert work.run("check", "submission.yaml").code == 0
    assert work.run("submit", "submission.yaml", "--check-interval", "1").code == 0
    assert work.run("init", "--yes").code == 2


@pytest.mark.slow
def test_editors_accept_what_a_run_accepts(work: Any) -> None:
    schema = json.loads(work.run("schema").out)
    asked = json.loads(work.prepare("true").read_text())
    assert set(asked) <= set(schema["properties"])
    assert set(asked["machine"]) <= set(schema["properties"]["machine"]["anyOf"][0]["properties"])
    assert set(schema["required"]) == {"work_base", "machine", "resources", "task_list"}
