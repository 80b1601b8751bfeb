"""Whole sessions on stand-ins of the batch systems (dispatcher.testing.batch): each job once, whatever is wrong."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dispatcher.core import events as ev
from dispatcher.core.errors import JobsFailed
from dispatcher.core.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec
from dispatcher.core.ports import Place, Query, ShellText
from dispatcher.run.environment import real_environment
from dispatcher.run.session import Session, open_session
from dispatcher.testing.batch import install
from journal import frames

pytestmark = pytest.mark.slow

#: A task that runs until it is let go.
HELD = "until [ -e ../go ]; do sleep 0.1; done"
KITS = {"PBS": "pbs", "Torque": "torque", "LSF": "lsf", "Fugaku": "pjm", "JH_UniScheduler": "jh"}


class Site:
    """A batch system of our own, and a submission on it. Each task tells a log when it begins and ends."""

    def __init__(self, top: Path, batch: str) -> None:
        self.top, self.batch, self.log = top, batch, top / "log"
        self.log.touch()
        self.kit = install(KITS[batch], top / "batch")
        self.faults, self.jobs = self.kit.faults, self.kit.jobs

    def spec(self, commands: Sequence[str], **how: Any) -> SubmissionSpec:
        """These commands, a job each."""
        reported = self.log
        for number in range(len(commands)):
            (self.top / "local" / "w" / f"t{number}").mkdir(parents=True, exist_ok=True)
        tasks = tuple(
            TaskSpec(f"echo begin {n} >> {reported} && {{ {command}; }} && echo end {n} >> {reported}", f"t{n}")
            for n, command in enumerate(commands)
        )
        local, far = str(self.top / "local"), str(self.top / "far")
        machine = MachineSpec(self.batch, "LazyLocalContext", local, far, retry_count=how.pop("retry_count", 1))
        resources = ResourcesSpec(1, 1, 0, how.pop("queue_name", ""), how.pop("group_size", 1), **how)
        return SubmissionSpec("w", machine, resources, tasks)

    def run(self, commands: Sequence[str], act: Callable[[Session], object] | None = None, **how: Any) -> None:
        """Run these commands, a job each; `act` is done in between by another thread."""
        with open_session(self.spec(commands, **how), {}, environment=real_environment()) as session:
            session.scheduler.absence_timeout = 1.5
            session.scheduler.min_poll_interval = 0.2
            thread = threading.Thread(target=act, args=(session,)) if act else None
            if thread:
                thread.start()
            try:
                session.run(check_interval=0.3, clean=False)
            finally:
                if thread:
                    thread.join()

    def wait(self, word: str, times: int) -> None:
        """Until that many tasks have said so."""
        self.until(lambda: self.said(word).total() >= times)

    def until(self, happened: Callable[[], bool]) -> None:
        """Wait for something, however slow this machine is; a test that waits in vain fails later, at what it asks."""
        end = time.monotonic() + 300
        while not happened() and time.monotonic() < end:
            time.sleep(0.05)

    def let_go(self) -> None:
        """The tasks that are HELD may end."""
        (self.top / "local" / "w" / "go").touch()

    def said(self, word: str) -> Counter[int]:
        lines = (line.split() for line in self.log.read_text().splitlines())
        return Counter(int(line[1]) for line in lines if line[0] == word)

    def events(self, kind: type[Any]) -> list[Any]:
        (path,) = (self.top / "local" / "w").glob(".dispatcher/*/journal")
        return [record for frame in frames(path, ev.Event) for record in frame.records if isinstance(record, kind)]

    def causes(self) -> list[ev.Cause]:
        return [event.cause for event in self.events(ev.Terminated)]

    def notes(self) -> str:
        return "\n".join(event.text for event in self.events(ev.Note))


@pytest.fixture(params=KITS)
def site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    made = Site(tmp_path, request.param)
    monkeypatch.setenv("PATH", made.kit.path())
    monkeypatch.setenv("HOME", str(tmp_path))
    yield made
    assert not made.kit.crashed
    left = [job for job in made.jobs() if job.ended is None]
    made.kit.end()
    assert not left


def once(many: int) -> dict[int, int]:
    return dict.fromkeys(range(many), 1)


def test_five_jobs_of_which_one_fails(site: Site) -> None:
    with pytest.raises(JobsFailed) as failed:
        site.run(["true", "true", "echo no such file >&2; exit 3", "sleep 0.2", "true"])
    (job,) = failed.value.jobs
    assert (job.cause.kind, job.cause.code, job.attempts) == ("task", 3, 2)
    assert "no such file" in job.cause.stderr
    assert site.said("begin") == once(5) | {2: 2}
    assert {event.how for event in site.events(ev.Submitted)} == {"reply"}
    assert not [job for job in site.jobs() if len(job.name) < 12]


def test_a_lost_reply_and_a_ghost_are_found_by_name_and_run_once(site: Site) -> None:
    site.faults(lost_reply=1, ghost=1, late=0.5)
    site.run(["sleep 0.3"] * 4)
    assert site.said("begin") == site.said("end") == once(4)
    assert site.causes() == []
    assert {event.how for event in site.events(ev.Submitted)} & {"queue", "claim"}


def test_a_banner_before_each_answer(site: Site) -> None:
    site.faults(banner=True)
    site.run(["true"] * 3)
    assert site.said("end") == once(3)


def test_killed_by_somebody_else(site: Site) -> None:
    def kill(session: Session) -> None:
        site.wait("begin", 1)
        query = Query(next(iter(session.progress.values())).nonce)
        place = Place("/local", str(site.top), str(site.top))
        call: ShellText = session.scheduler.kill([query], place)
        assert os.system(f"sh << '@@@' > /dev/null 2>&1\n{call.text}\n@@@\n") == 0

    with pytest.raises(JobsFailed) as failed:
        site.run(["sleep 60"], kill, retry_count=0)
    cause = failed.value.jobs[0].cause
    assert (cause.kind, cause.source) == ("scheduler", "accounting")
    assert site.said("begin") == {0: 1}
    assert site.said("end") == {}


def run_and_cancel(site: Site, tasks: int, begun: int) -> None:
    """A run that is cancelled as soon as so many tasks have begun."""

    def cancel(session: Session) -> None:
        site.wait("begin", begun)
        (path,) = (site.top / "local" / "w").glob(".dispatcher/*/journal")
        (path.parent / "cancel").touch()

    with suppress(JobsFailed):
        site.run(["sleep 60"] * tasks, cancel)


def test_cancelled_by_us_everything_that_was_started_ends(site: Site) -> None:
    run_and_cancel(site, tasks=6, begun=2)
    assert {cause.kind for cause in site.causes()} == {"cancelled"}
    assert site.said("end") == {}


_PROGRAM = """
import sys
import msgspec
from dispatcher.core.model import SubmissionSpec
from dispatcher.run.session import open_session
spec = msgspec.json.decode(open(sys.argv[1], "rb").read(), type=SubmissionSpec)
with open_session(spec, {}) as session:
    session.scheduler.absence_timeout, session.scheduler.min_poll_interval = 1.5, 0.2
    session.run(check_interval=0.3, clean=False)
"""


def test_a_dispatcher_killed_at_random_loses_nothing_and_runs_nothing_twice(site: Site) -> None:
    site.faults(lost_reply=1, late=0.3)
    reported, chance = site.top / "spec.json", random.Random(site.batch)
    reported.write_bytes(msgspec.json.encode(site.spec(["sleep 0.3"] * 8)))
    for _ in range(4):
        program = subprocess.Popen([sys.executable, "-c", _PROGRAM, reported], start_new_session=True)
        time.sleep(0.2 + chance.random())
        if program.poll() is None:
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()
    subprocess.run([sys.executable, "-c", _PROGRAM, reported], check=True, timeout=300)
    assert site.said("begin") == site.said("end") == once(8)
    assert site.causes() == []


def test_the_server_is_away_for_a_while(site: Site) -> None:
    def away(session: Session) -> None:
        site.wait("begin", 2)
        site.faults(down=True)
        site.until(lambda: "no good answer" in site.notes())
        site.faults()
        site.let_go()

    site.run([HELD] * 3, away)
    assert site.said("begin") == site.said("end") == once(3)
    assert site.causes() == []
    assert "no good answer" in site.notes()


def test_the_limit_of_jobs_is_waited_for(site: Site) -> None:
    site.faults(limit=2)

    def let_go(session: Session) -> None:
        """The first jobs run until the limit was met: however slow this machine is."""
        site.until(lambda: bool(site.events(ev.Deferred)))
        site.let_go()

    site.run([HELD] * 5, let_go)
    assert site.said("begin") == site.said("end") == once(5)
    assert site.events(ev.Deferred)
    assert site.causes() == []


def test_nothing_is_told_of_what_has_ended(site: Site) -> None:
    """History off: the markers decide."""
    site.faults(history_off=True)
    site.run(["true", "sleep 0.3", "true"])
    assert site.said("begin") == site.said("end") == once(3)
    assert site.causes() == []


def test_run_time_limit(site: Site) -> None:
    site.faults(speed=60)
    with pytest.raises(JobsFailed) as failed:
        site.run(["sleep 60"], retry_count=0, kwargs={"walltime": 1})
    cause = failed.value.jobs[0].cause
    # JH_UniScheduler's listing has no reason, only an exit code
    assert cause.kind == ("scheduler" if site.batch == "JH_UniScheduler" else "timeout")
    assert cause.source == "accounting"


def test_refused_for_good(site: Site) -> None:
    with pytest.raises(JobsFailed) as failed:
        site.run(["true"], queue_name="nosuch")
    assert failed.value.jobs[0].cause.kind == "rejected"
    assert site.jobs() == []


LONG = "pbs-head-01.hpc.physics.university.example"
PBS_ALONE = pytest.mark.parametrize("site", ["PBS", "Torque"], indirect=True)


@PBS_ALONE
def test_jobs_of_a_server_whose_name_its_list_cuts_can_be_ended(site: Site) -> None:
    site.faults(server=LONG)

    run_and_cancel(site, tasks=2, begun=1)
    assert {cause.kind for cause in site.causes()} == {"cancelled"}
    assert {event.id.partition(".")[2] for event in site.events(ev.Submitted)} == {LONG}
    assert {job.why for job in site.jobs()} == {"deleted"}


@PBS_ALONE
def test_a_queue_of_another_server_whose_answer_was_lost(site: Site) -> None:
    site.faults(lost_reply=1)
    site.run(["true", "sleep 0.3"], custom_flags=("#PBS -q batch@other",))
    assert site.said("begin") == site.said("end") == once(2)
    assert {event.id.partition(".")[2] for event in site.events(ev.Submitted)} == {"other"}


@PBS_ALONE
def test_an_array_of_which_one_element_fails(site: Site) -> None:
    with pytest.raises(JobsFailed) as failed:
        site.run(["true", "exit 3", "true"], group_size=3, kwargs={"array": True}, retry_count=0)
    assert (failed.value.jobs[0].cause.kind, failed.value.jobs[0].cause.code) == ("task", 3)
    assert site.said("begin") == once(3)
    assert site.said("end") == {0: 1, 2: 1}
    assert [(job.elements, job.name[:1]) for job in site.jobs()] == [(3, "d")]
