"""For notebooks, services and workflow engines: events, results as data, asyncio, handles."""

from __future__ import annotations

import asyncio
import io
import json
import multiprocessing
import pickle
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import dispatcher
from dispatcher import Machine, Resources, Submission, Task
from dispatcher.cli import main
from dispatcher.core import events as ev
from dispatcher.run import sharing
from dispatcher.run.store import open_journal
from dispatcher.testing.batch import install

pytestmark = pytest.mark.slow

SECRET = "correct-horse-battery"


def submission(work: Path, *commands: str, **machine: Any) -> Submission:
    for n in range(len(commands)):
        (work / f"runs/t{n}").mkdir(parents=True, exist_ok=True)
    there = Machine("Shell", "LazyLocal", str(work), retry_count=0, **machine)
    tasks = [Task(command, f"t{n}", backward_files=["out"]) for n, command in enumerate(commands)]
    return Submission("runs", there, Resources(1, 1, 0, "", 1), task_list=tasks)


def until(path: Path) -> str:
    return f"until [ -e {path} ]; do sleep 0.1; done"


# -- results as data ------------------------------------------------------------------------------------------------


def test_an_outcome_is_the_dictionary_and_more(tmp_path: Path) -> None:
    outcome = submission(tmp_path, "echo a > out", "echo b > out").run_submission(check_interval=1)
    assert outcome["belonging_jobs"] and json.loads(json.dumps(outcome)) == dict(outcome)
    assert [task.state for task in outcome.tasks] == ["finished"] * 2
    records = outcome.to_records()
    assert [(record["task"], record["exit_code"], record["attempts"]) for record in records] == [
        ("t0", 0, 1),
        ("t1", 0, 1),
    ]
    assert outcome.failed == []
    outcome.raise_for_failed()
    assert "2 of 2 tasks finished" in outcome._repr_html_()
    again = pickle.loads(pickle.dumps(outcome))
    assert again == outcome and again.to_records() == records


def test_a_failure_carries_the_same_records(tmp_path: Path) -> None:
    with pytest.raises(dispatcher.JobsFailed) as caught:
        submission(tmp_path, "echo a > out", "echo '<b>no</b>' >&2; exit 3").run_submission(check_interval=1)
    outcome = caught.value.outcome
    assert [(task.path, task.code) for task in outcome.failed] == [("t1", 3)]
    assert "&lt;b&gt;no&lt;/b&gt;" in outcome._repr_html_()
    with pytest.raises(dispatcher.JobsFailed):
        outcome.raise_for_failed()


# -- events ---------------------------------------------------------------------------------------------------------


def test_events_are_those_of_the_journal(tmp_path: Path) -> None:
    seen: list[Any] = []
    one = submission(tmp_path, "echo a > out")
    one.run_submission(check_interval=1, on_event=seen.append)
    written = [record.event for record in dispatcher.replay(tmp_path / "runs")]
    assert seen == written[-len(seen) :] and [event for event in seen if isinstance(event, ev.Finished)]
    assert [record.event for record in one.events()] == written


def test_an_observer_cannot_break_a_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: Any) -> None:
        raise ValueError("no")

    submission(tmp_path, "echo a > out").run_submission(check_interval=1, on_event=broken)
    assert (tmp_path / "runs/t0/out").read_text() == "a\n"
    assert sum("on_event" in record.message for record in caplog.records) == 1


# -- progress -------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_for_whoever_sits_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool
) -> None:
    errors = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr(sys, "stderr", errors)
    monkeypatch.setenv("TERM", "xterm")
    one = submission(tmp_path, "echo a > out")
    one.run_submission(check_interval=1)
    assert ("1/1" in errors.getvalue()) is terminal
    assert capsys.readouterr().out == ""
    before = errors.getvalue()
    one.run_submission(check_interval=1, progress=False)
    assert errors.getvalue() == before
    with pytest.raises(dispatcher.ConfigError, match="progress"):
        one.run_submission(progress="loud")


# -- asyncio --------------------------------------------------------------------------------------------------------


def test_a_cancelled_run_stops_watching_and_its_jobs_go_on(tmp_path: Path) -> None:
    go = tmp_path / "go"
    one = submission(tmp_path, f"{until(go)}; echo a >> out")

    async def cut() -> None:
        run = asyncio.ensure_future(one.async_run_submission(check_interval=60))
        while not any(isinstance(record.event, ev.Submitted) for record in _so_far(one)):
            await asyncio.sleep(0.1)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(cut())
    go.touch()
    asyncio.run(submission(tmp_path, f"{until(go)}; echo a >> out").async_run_submission(check_interval=1))
    assert (tmp_path / "runs/t0/out").read_text() == "a\n"


def _so_far(one: Submission) -> list[Any]:
    return list(one.events()) if any(one.journal.glob("*.jsonl")) else []


def test_as_many_at_once_as_are_asked_for(tmp_path: Path) -> None:
    """Each waits for all others to have begun: none may wait for another one's end to begin."""
    many = 24
    begun = [tmp_path / f"begun{n}" for n in range(many)]
    all_begun = " && ".join(until(path) for path in begun)
    runs = [submission(tmp_path / f"w{n}", f"touch {begun[n]}; {all_begun}; echo > out") for n in range(many)]

    async def together() -> None:
        await asyncio.gather(*(one.async_run_submission(check_interval=1) for one in runs))

    asyncio.run(together())
    assert all((tmp_path / f"w{n}/runs/t0/out").exists() for n in range(many))


def test_a_run_that_is_cut_before_it_has_begun_to_watch(tmp_path: Path) -> None:
    """wait_for with nothing to wait: it is over when its thread is, and not when its job is."""
    go = tmp_path / "go"
    one = submission(tmp_path, f"{until(go)}; echo a > out")

    async def cut() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(one.async_run_submission(check_interval=60), 0.01)

    asyncio.run(cut())
    for thread in threading.enumerate():
        if thread.name == "dispatcher run":
            thread.join(60)
            assert not thread.is_alive() and not go.exists()
    with open_journal(one.journal, lambda frame: None):
        pass  # nobody holds it
    go.touch()
    assert not one.run_submission(check_interval=1).failed


def test_many_of_one_loop_ask_the_queue_once_a_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, full: bool
) -> None:
    """All jobs run at the same time, for each waits for all; from then on a question is about nearly all of them."""
    many = 100 if full else 8
    site, log, go = install("slurm", tmp_path / "site"), tmp_path / "squeues", tmp_path / "go"
    squeue = site.bin / "squeue"
    squeue.write_text(squeue.read_text().replace("exec", f"echo >> {log}\nexec"))
    site.faults(slots=many)
    monkeypatch.setenv("PATH", site.path())
    running, parties = [0] * many, set[sharing.Party]()

    def one(nth: int) -> Submission:
        (tmp_path / f"w{nth}/t").mkdir(parents=True)
        machine = Machine("Slurm", "LazyLocal", str(tmp_path), retry_count=0)
        task = Task(f"{until(go)}; echo > out", "t", backward_files=["out"])
        return Submission(f"w{nth}", machine, Resources(1, 1, 0, "", 1), task_list=[task])

    def heard(nth: int) -> Any:
        def hear(event: Any) -> None:
            running[nth] += isinstance(event, ev.Running)
            parties.update(sharing._parties.values())

        return hear

    async def when_all_run() -> tuple[int, int]:
        """How many questions, and looks that these answered, in three rounds of everybody."""
        while not all(running):
            await asyncio.sleep(0.05)
        (party,) = parties
        questions, looks = party.questions, party.looks
        while party.looks < looks + 3 * many:
            await asyncio.sleep(0.05)
        questions, looks = party.questions - questions, party.looks - looks
        go.touch()
        return questions, looks

    async def together() -> tuple[int, int]:
        runs = [one(nth).async_run_submission(check_interval=2, on_event=heard(nth)) for nth in range(many)]
        counted, *outcomes = await asyncio.gather(when_all_run(), *runs)
        assert [outcome.failed for outcome in outcomes] == [[]] * many
        return counted  # type: ignore[no-any-return]

    questions, looks = asyncio.run(together())
    (party,) = parties
    print(f"{questions} questions for {looks} looks; {party.questions} for {party.looks} in all")
    assert len(log.read_text().splitlines()) == party.questions
    assert looks > 2 * questions
    site.end()


# -- handles --------------------------------------------------------------------------------------------------------


def handed_over(work: Path, command: str) -> Any:
    one = submission(work, command)
    assert one.machine and one.resources
    return dispatcher.submit_tasks(one.belonging_tasks, one.machine, one.resources, "runs", check_interval=1)


def test_handles_come_as_they_end(tmp_path: Path) -> None:
    go = tmp_path / "go"
    slow, fast = handed_over(tmp_path / "a", f"{until(go)}; echo > out"), handed_over(tmp_path / "b", "echo > out")
    ended = dispatcher.as_completed([slow, fast])
    assert next(ended) is fast and not slow.done()
    with pytest.raises(TimeoutError):
        slow.result(0.1)
    copy = pickle.loads(pickle.dumps(slow))
    assert not copy.done()
    go.touch()
    assert next(ended) is slow and slow.status() == {"finished": 1}
    assert copy.result(60).to_records() == slow.result().to_records()


def test_a_cancelled_handle_ends_its_jobs(tmp_path: Path) -> None:
    handle = handed_over(tmp_path, "sleep 600")
    while handle.status() != {"running": 1}:
        time.sleep(0.1)
    handle.cancel()
    assert handle.wait(60)
    with pytest.raises(dispatcher.JobsFailed):
        handle.result()
    assert handle.status() == {"terminated": 1}


def test_a_handle_in_a_forked_worker_reads_along(tmp_path: Path) -> None:
    go = tmp_path / "go"
    handle = handed_over(tmp_path, f"{until(go)}; echo > out")
    while handle.status() != {"running": 1}:
        time.sleep(0.1)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(stands, (handle,)) == (False, {"running": 1})
        told = pool.apply_async(records, (handle,))
        go.touch()
        outcome = handle.result(60)
        assert told.get(60) == outcome.to_records()


def stands(handle: Any) -> Any:
    return handle.done(), handle.status()


def records(handle: Any) -> Any:
    return handle.result(60).to_records()


def test_mistakes_are_told_at_once(tmp_path: Path) -> None:
    one = submission(tmp_path, "true")
    assert one.machine and one.resources
    with pytest.raises(dispatcher.InputMissing):
        dispatcher.submit_tasks([Task("true", "t0", ["missing"])], one.machine, one.resources, "runs")


# -- a notebook -----------------------------------------------------------------------------------------------------


def test_a_saved_notebook_holds_results_and_no_secret(tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    (tmp_path / "runs/t0").mkdir(parents=True)
    (tmp_path / "more").mkdir()
    setup = (
        "from dispatcher import Machine, Resources, Submission, Task\n"
        f"machine = Machine('Shell', 'LazyLocal', {str(tmp_path)!r}, remote_profile={{'password': {SECRET!r}}})\n"
        "submission = Submission('runs', machine, Resources(1, 1, 0, '', 1), task_list=[Task('echo > out', 't0')])"
    )
    cells = [
        setup,
        "submission.run_submission(check_interval=1)",
        (
            "submission = Submission('more', machine, Resources(1, 1, 0, '', 1), task_list=[Task('echo > out', '.')])\n"
            "await submission.async_run_submission(check_interval=1)"
        ),
        "dict(submission.run_submission(progress=False)), submission, machine",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in notebook.cells[1:] for output in cell.outputs]
    assert "1 of 1 tasks finished" in str(shown)
    drawn = [any("1/1 tasks" in str(output) for output in cell.outputs) for cell in notebook.cells[1:]]
    assert drawn == [True, True, False]
    assert SECRET not in json.dumps(shown)


# -- budgets --------------------------------------------------------------------------------------------------------


def test_a_budget_is_kept_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    keys = {"batch_type": "Shell", "context_type": "LazyLocal", "local_root": str(tmp_path)}
    one = submission(tmp_path, "echo a > out")
    one.bind_machine(Machine.load_from_dict({**keys, "max_calls_per_minute": 1000}))
    one.run_submission(check_interval=1)
    main(["status", str(tmp_path / "runs"), "--json"])
    budget = json.loads(capsys.readouterr().out)["budget"]
    assert (budget["machine"], budget["max_calls_per_minute"], budget["logins"]) == ("this machine", 1000, 0)
    assert budget["calls"] > 3
    main(["status", str(tmp_path / "runs")])
    assert "of 1000 calls in the last minute" in capsys.readouterr().out
