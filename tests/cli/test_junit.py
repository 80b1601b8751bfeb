"""What `replay --format junit` writes is valid for whoever reads JUnit reports, whatever tasks are called and said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xmlschema
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.cli.tell import as_github, as_junit
from dispatcher.cli.telling import Replay
from dispatcher.core import events as ev
from dispatcher.core.model import TaskSpec
from journal import Frame, Open

SCHEMA = xmlschema.XMLSchema(str(Path(__file__).parents[2] / "fixtures" / "schemas" / "junit.xsd"))
OPENED = ev.Opened("ab" * 20, "cd" * 20, "runs", {"batch_type": "Shell", "context_type": "Local"}, {}, "/p/runs")
JOB, OTHER = "5f" * 20, "6a" * 20


def told(name: str, stderr: str) -> Replay:
    """A task that has failed, one that never ended, one that is done."""
    cause = ev.Cause(ev.CauseKind.task, "a task failed", code=3, task=0, stderr=stderr)
    records = [
        Open(1, "j", 1, host="n1", pid=7),
        OPENED,
        ev.Planned(JOB, (0, 2), (TaskSpec(f"run {name}", "t0", task_name=name), TaskSpec("true", "t2"))),
        ev.Planned(OTHER, (1,), (TaskSpec("true", "t1"),)),
        ev.Submitting(JOB, 1, "dabc"),
        ev.Submitted(JOB, "1"),
        ev.Running(JOB),
        ev.Terminated(JOB, cause, ((0, 3, 4.0), (1, 0, 5.0))),
    ]
    return Replay().fold(Frame(n, n, 100.0 + n, 1, n, [record]) for n, record in enumerate(records))


def counted(text: str) -> tuple[Any, ...]:
    """The suite's own numbers, after they were compared with what is in it."""
    suite: Any = SCHEMA.to_dict(text)["testsuite"][0]
    cases = suite["testcase"]
    numbers = (len(cases), sum("failure" in case for case in cases), sum("skipped" in case for case in cases))
    assert numbers == (suite["@tests"], suite["@failures"], suite["@skipped"])
    return numbers


def test_a_failed_an_open_and_a_finished_task() -> None:
    text = as_junit(told("c13", "python: command not found"))
    assert counted(text) == (3, 1, 1)
    assert '<failure message="python: command not found">' in text
    line = as_github(told("c13", "python: command not found"))
    assert line.startswith("::error title=c13::1 job failed: python: command not found; first c13, attempt 1 of 1")


@given(st.text(max_size=40), st.text(max_size=80))
def test_whatever_stands_in_names_and_messages(name: str, stderr: str) -> None:
    replay = told(name, stderr)
    assert counted(as_junit(replay))[:2] == (3, 1)
    github = as_github(replay)
    assert (github.count("\n"), github.count("\r")) == (1, 0) and github.startswith("::error title=")
