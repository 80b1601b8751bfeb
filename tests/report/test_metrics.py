"""The metrics are read by the parser of the format, and say what happened."""

from __future__ import annotations

from typing import Any

from dispatcher.core import events as ev
from dispatcher.report.metrics import metrics


def test_a_collector_reads_it(told: Any) -> None:
    from prometheus_client.openmetrics import parser

    run = told(3)
    run.attempt(0, 1, 0, 100, 400)
    run.attempt(1, 1, 0, 300, 400, ev.Cause(ev.CauseKind.timeout, reason="the limit"))
    text = metrics({'5"\\\n': run.chronicle}, run.history.began + 1000)
    read = {
        (sample.name, sample.labels.get("state") or sample.labels.get("outcome") or ""): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert read["dispatcher_tasks", "finished"] == 1 and read["dispatcher_tasks", "unsubmitted"] == 1
    assert read["dispatcher_attempts_total", "timeout"] == 1
    assert read["dispatcher_core_seconds", "useful"] == 300 * 16
    assert read["dispatcher_queue_seconds", ""] == 200
    assert read["dispatcher_over", ""] == 0
