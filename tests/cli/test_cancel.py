"""`dispatcher cancel`: the jobs end, whether or not a dispatcher is at work."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from dispatcher.core import events as ev
from dispatcher.testing.batch import install
from journal import Journal

pytestmark = pytest.mark.slow

#: Ends after a while by itself, so that a failing test leaves nothing behind; `late` tells that it was not ended.
LONG = "echo $$ > pid; sleep 110; touch late"


def _gone(work: Any) -> bool:
    """Dead: what is left of it at most is an entry that init has not collected yet."""
    try:
        status = Path(f"/proc/{(work.local / 't0/pid').read_text().strip()}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


def test_when_nobody_is_at_work(work: Any) -> None:
    work.prepare(LONG, "true", "exit 3", retry_count=0)
    process = work.start("submit", "submission.json")
    work.await_records("running", 1)
    work.await_records("terminated")
    process.send_signal(signal.SIGINT)
    assert work.ended(process).code == 130
    done = work.run("cancel", "runs")
    assert (done.code, done.err) == (0, ""), done
    assert done.out.endswith("cancelled 1 job; jobs: 1 finished, 2 terminated\n")
    assert _gone(work)
    assert not (work.local / "t0/late").exists()
    assert work.run("verify", "runs").code == 0
    again = work.run("cancel", "runs")
    assert (again.code, again.out) == (0, "nothing to cancel; jobs: 1 finished, 2 terminated\n")


def test_when_a_dispatcher_is_at_work(work: Any) -> None:
    work.prepare(LONG)
    process = work.start("submit", "submission.json", "--check-interval", "0.5")
    work.await_records("running")
    work.await_that((work.local / "t0/pid").exists, "the task")
    done = work.run("cancel", "runs")
    assert (done.code, done.err) == (0, ""), done
    assert f"process {process.pid} on " in done.out
    assert done.out.endswith("cancelled: 1 terminated\n")
    reported = work.ended(process)
    assert reported.code == 1
    assert "cancelled: killed by the dispatcher" in reported.err
    assert _gone(work)
    assert not (work.journal.parent / "cancel").exists()


def test_a_dispatcher_that_does_not_obey(work: Any) -> None:
    work.prepare("until [ -e go ]; do sleep 0.1; done")
    process = work.start("submit", "submission.json")
    work.await_records("running")
    process.send_signal(signal.SIGSTOP)
    done = work.run("cancel", "runs", "--timeout", "1")
    assert (done.code, "has not obeyed in time" in done.err) == (1, True)
    assert not (work.journal.parent / "cancel").exists()
    (work.local / "t0/go").touch()
    process.send_signal(signal.SIGCONT)
    assert work.ended(process).code == 0


def test_a_dispatcher_that_dies_before_it_obeys(work: Any) -> None:
    """Whoever asked looks at the lock again, and ends the jobs itself."""
    work.prepare(LONG)
    process = work.start("submit", "submission.json")
    work.await_records("running")
    work.await_that((work.local / "t0/pid").exists, "the task")
    process.send_signal(signal.SIGSTOP)
    asking = work.start("cancel", "runs")
    work.await_that((work.journal.parent / "cancel").exists, "the request")
    process.kill()
    process.send_signal(signal.SIGCONT)
    assert work.ended(asking).code == 0
    assert _gone(work)
    assert not (work.journal.parent / "cancel").exists()


def test_a_request_outlives_those_who_should_obey_and_the_one_who_asked(work: Any) -> None:
    work.prepare(LONG)
    process = work.start("submit", "submission.json")
    work.await_records("running")
    work.await_that((work.local / "t0/pid").exists, "the task")
    process.send_signal(signal.SIGSTOP)
    asking = work.start("cancel", "runs")
    work.await_that((work.journal.parent / "cancel").exists, "the request")
    for each in (asking, process):
        each.kill()
        each.wait()
    again = work.run("submit", "submission.json")
    assert (again.code, "cancelled: killed by the dispatcher" in again.err) == (1, True), again
    assert _gone(work)
    assert not (work.journal.parent / "cancel").exists()
    assert work.text().count('"k":"submitting"') == 1, "it was not submitted again"


def test_a_context_that_needs_a_profile_says_so(reported: Any, work: Any) -> None:
    shutil.copytree(reported.local / ".dispatcher", work.local / ".dispatcher")
    with Journal.open(work.journal, ev.Event) as log:
        log.append(ev.Retried("c3" * 20, fresh=True))
    done = work.run("cancel", "runs")
    assert done.code == 2
    assert "SSHContext" in done.err


def test_jobs_that_cannot_be_seen_gone_are_said_to_be_so(work: Any) -> None:
    work.prepare("until [ -e go ]; do sleep 0.1; done")
    assert work.run("submit", "submission.json", "--exit-on-submit").code == 0
    done = work.run("cancel", "runs", "--timeout", "0.01")
    assert done.code == 1
    assert "not all jobs are gone in time: that they are to be killed is written down" in done.err
    assert '"k":"stopping"' in work.text()
    (work.local / "t0/go").touch()
    assert work.run("cancel", "runs").code == 0


def test_a_job_on_a_host_that_is_gone_is_named_and_over_when_a_person_says_so(work: Any) -> None:
    work.prepare("until [ -e go ]; do sleep 0.1; done")
    (work.path / "bin").mkdir()
    (work.path / "bin/uname").write_text("#!/bin/sh\necho node7\n")
    (work.path / "bin/uname").chmod(0o755)
    there = f"{work.path}/bin:{os.environ['PATH']}"
    assert work.run("submit", "submission.json", "--exit-on-submit", PATH=there).code == 0
    named = work.run("cancel", "runs", "--timeout", "2")
    assert (named.code, "Jobs on node7 can be seen and ended only there" in named.err) == (1, True), named
    assert "--host-gone node7" in named.err
    done = work.run("cancel", "runs", "--host-gone", "node7")
    (work.local / "t0/go").touch()
    assert (done.code, done.out.endswith("cancelled 1 job; jobs: 1 terminated\n")) == (0, True), done


@pytest.mark.parametrize(("batch", "kit"), [("PBS", "pbs"), ("SGE", "sge")])
def test_what_was_killed_and_is_not_listed_any_more_needs_no_absence_timeout(
    work: Any, tmp_path: Path, batch: str, kit: str
) -> None:
    """One job runs and one waits; an absence timeout, twice, would take longer than is waited for here."""
    site = install(kit, tmp_path / "batch")
    site.faults(slots=1, history_off=True)
    work.prepare(LONG, LONG, batch_type=batch)
    env = {"PATH": site.path(), "HOME": str(tmp_path)}
    assert work.run("submit", "submission.json", "--exit-on-submit", **env).code == 0
    work.await_that(lambda: any((work.local / f"t{n}/pid").exists() for n in (0, 1)), "the task")
    done = work.run("cancel", "runs", "--timeout", "100", **env)
    assert (done.code, done.out.endswith("cancelled 2 jobs; jobs: 2 terminated\n")) == (0, True), done
    assert all(job.ended for job in site.jobs())
