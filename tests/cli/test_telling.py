"""Rows, numbers and words of a replay: values in, text out."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from dispatcher.cli import telling
from dispatcher.core import events as ev
from dispatcher.core.errors import IllegalTransition
from dispatcher.core.lifecycle import Progress, State
from dispatcher.core.model import TaskSpec
from journal import Close, Frame, Open, Unknown

JOB = "5f" * 20
OPENED = ev.Opened(
    "ab" * 20, "cd" * 20, "runs", {"batch_type": "Shell", "context_type": "LazyLocalContext"}, {}, "/proj/runs"
)
PLANNED = ev.Planned(JOB, (0, 1), (TaskSpec("true", "t0"), TaskSpec("lmp", "t1")))


def frames(*records: Any, start: float = 100.0) -> Iterator[Frame[Any]]:
    """A frame for every record, a second apart."""
    for nth, record in enumerate(records):
        yield Frame(nth, nth, start + nth, 1, nth * 200, [record])


def rows(*records: Any) -> list[telling.ReplayRow]:
    return list(telling.Replay().rows(frames(Open(1, "j", 1, host="n1", pid=7), OPENED, PLANNED, *records)))


def test_a_row_says_where_from_and_where_to() -> None:
    found = rows(ev.Submitting(JOB, 1, "dq"), ev.Submitted(JOB, "4211", "receipt"))
    assert found[3] == telling.ReplayRow(
        3, 103.0, 1, "n1:7", "submitting", JOB, 1, "unsubmitted", "unsubmitted", "", "as dq", ()
    )
    assert found[4] == telling.ReplayRow(
        4, 104.0, 1, "n1:7", "submitted", JOB, 1, "unsubmitted", "waiting", "4211", "found by its receipt"
    )


def test_exit_codes_come_with_the_end() -> None:
    cause = ev.Cause(ev.CauseKind.task, "a task failed", code=3, task=1)
    ended = rows(
        ev.Submitting(JOB, 1, "dq"), ev.Submitted(JOB, "1"), ev.Terminated(JOB, cause, ((0, 0, 1.0), (1, 3, 2.0)))
    )[-1]
    assert (ended.target, ended.why, telling.codes(ended.tasks)) == (
        "terminated",
        "task: a task failed, exit code 3",
        "exit codes 0 3",
    )


def test_a_note_about_a_job_moves_nothing() -> None:
    note = rows(ev.Note("a copy was fenced", JOB))[-1]
    assert (note.event, note.job, note.source, note.target) == ("note", JOB, "", "")


def test_runs_are_counted_and_closed() -> None:
    replay = telling.Replay()
    first, more = Open(1, "j", 1, host="a", pid=1, session="x"), Open(1, "j", 2, host="a", pid=1, session="x")
    second = Open(1, "j", 3, host="b", pid=2, session="y")
    found = list(replay.rows(frames(first, more, Close("x"), second)))
    assert [(row.event, row.run, row.by) for row in found] == [
        ("open", 1, "a:1"),
        ("segment", 1, "a:1"),
        ("close", 1, "a:1"),
        ("open", 2, "b:2"),
    ]
    assert (replay.run, replay.closed, replay.history.began, replay.ended) == (2, False, 100.0, 103.0)


def test_a_kind_nobody_knows_is_told_and_counted() -> None:
    replay = telling.Replay()
    (row,) = replay.rows(frames(Unknown("paused", b"{}")))
    assert (row.event, replay.unknown) == ("paused", {"paused": 1})


def test_an_illegal_record_stops_with_its_place() -> None:
    with pytest.raises(IllegalTransition, match=r"record 3 \(segment 00000001.jsonl, byte 600\): job 5f.*: finished"):
        rows(ev.Finished(JOB))


def test_every_event_has_a_row() -> None:
    kinds = {kind for kind in vars(ev).values() if isinstance(kind, type) and issubclass(kind, ev._Event)}
    reported = {*telling._WHY, ev.Finished, ev.Completing, ev.Cleaned, ev._Event}
    assert kinds == reported, "say in telling._WHY what this event says, or here that its name says it all"


def test_rows_are_made_one_by_one() -> None:
    def endless() -> Iterator[Frame[Any]]:
        yield from frames(OPENED, PLANNED)
        while True:
            yield from frames(ev.Note("again"))

    reported = telling.Replay().rows(endless())
    assert [next(reported).event for _ in range(4)] == ["opened", "planned", "note", "note"]


def test_memory_does_not_grow_with_the_length() -> None:
    def long() -> Iterator[Frame[Any]]:
        yield from frames(OPENED, PLANNED, ev.Submitting(JOB, 1, "dq"), ev.Submitted(JOB, "1"))
        for nth in range(30_000):
            yield Frame(nth, nth, 1.0, 1, 0, [ev.Running(JOB) if nth % 2 == 0 else ev.Waiting(JOB)])

    reported = telling.Replay().rows(long())
    next(reported)
    tracemalloc.start()
    try:
        assert sum(1 for _ in reported) == 30_003
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


def test_a_tally_counts_in_the_order_of_life() -> None:
    jobs = [
        Progress("a", 2, State.finished, attempt=1, done=3),
        Progress("b", 3, State.terminated, attempt=3, done=4),
        Progress("c", 1, State.unsubmitted, submission_pending=True),
        Progress("d", 1, State.finished, attempt=1, done=1),
    ]
    found = telling.tally(jobs)
    assert found == telling.Tally({"unsubmitted": 1, "finished": 2, "terminated": 1}, 4, 7, 2, 1)
    assert str(found) == "1 unsubmitted, 2 finished, 1 terminated"
    assert str(telling.tally([])) == "none"
    assert telling.tally(jobs, done=6).done == 6


def test_failures_name_task_and_place_and_the_end_of_stderr() -> None:
    stderr = "\n".join(f"line {nth}" for nth in range(9))
    cause = ev.Cause(ev.CauseKind.task, "a task failed", code=3, task=1, stderr=stderr)
    replay = telling.Replay().fold(
        frames(OPENED, PLANNED, ev.Submitting(JOB, 1, "dq"), ev.Submitted(JOB, "42"), ev.Terminated(JOB, cause))
    )
    (text,) = telling.failures(replay.history)
    assert text.splitlines() == [
        "job 5f5f5f5f5f5f (42), 1 attempt(s): task: a task failed, exit code 3",
        "  task: lmp",
        "  where: t1",
        *(f"  | line {nth}" for nth in range(9)),
    ]


def test_codes() -> None:
    assert telling.codes(()) == ""
    assert telling.codes(((0, 0, 1.0),)) == "exit code 0"
    assert telling.codes(((0, 0, 1.0), (1, 9, 1.0))) == "exit codes 0 9"
    assert telling.codes(((2, 0, 1.0), (5, 137, 1.0))) == "exit code 0 of 1 task, task 5: 137"
    many = tuple((nth, int(nth % 2), 1.0) for nth in range(40))
    assert telling.codes(many) == (
        "exit code 0 of 20 tasks, " + ", ".join(f"task {nth}: 1" for nth in range(1, 17, 2)) + ", …"
    )


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345, "12 kB"), (3_400_000, "3.4 MB"), (7e15, "7000 TB")],
)
def test_sizes(number: float, text: str) -> None:
    assert telling.size(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0s"), (59.9, "59s"), (60, "1m 00s"), (192, "3m 12s"), (7500, "2h 05m"), (273_600, "3d 04h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert telling.duration(seconds) == text


def test_counts() -> None:
    assert [telling.count(number, "try") for number in (0, 1, 2)] == ["0 tries", "1 try", "2 tries"]
    assert telling.count(12_000, "job") == "12,000 jobs"


def test_pairs_line_up() -> None:
    assert telling.pairs([("a", "1\n2"), ("long", ""), ("b", "3")], wide=4) == "a     1\n      2\nlong\nb     3\n"
