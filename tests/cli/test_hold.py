"""Jobs that wait are held and released with each batch system's own commands, behind stand-ins that really run jobs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from dispatcher import schedulers
from dispatcher.core.errors import ConfigError
from dispatcher.core.holding import Holding
from dispatcher.core.model import ResourcesSpec
from dispatcher.core.ports import Place, Query
from dispatcher.testing.batch import install

SITES = {"slurm": "Slurm", "pbs": "PBS", "torque": "Torque", "sge": "SGE", "lsf": "LSF"}
WORDS = {
    "Slurm": ('scontrol "$@" hold', 'scontrol "$@" release', "-t PD"),
    "SlurmJobArray": ('scontrol "$@" hold', 'scontrol "$@" release', "-t PD"),
    "PBS": ('qhold "$dsp_id"', 'qrls "$dsp_id"', "$10 ~ /"),
    "Torque": ('qhold "$dsp_id"', 'qrls "$dsp_id"', "$10 ~ /"),
    "SGE": ("qhold $dsp_words", "qrls $dsp_words", "dabc*"),
    "LSF": ("bstop $dsp_words", "bresume $dsp_words", "$2 ~ /^P"),
    "Fugaku": ("pjhold $dsp_words", "pjrls $dsp_words", "$4 =="),
}


def test_each_has_its_commands_and_the_others_say_so() -> None:
    query, place = [Query("dabc", "1", 1.0)], Place("/l", "/r", "/r/.dispatcher/x/jobs")
    for name in schedulers.BUILTIN:
        scheduler = schedulers.chosen(name, ResourcesSpec(1, 1, 0, "", 1))
        if name not in WORDS:
            if isinstance(scheduler, Holding):
                with pytest.raises(ConfigError, match="has no command that holds"):
                    scheduler.hold(query, place)
            continue
        assert isinstance(scheduler, Holding)
        hold, release, chosen = WORDS[name]
        held, freed = (scheduler.hold(query, place, release=free).text for free in (False, True))  # type: ignore[union-attr]
        assert (hold in held, release in held, chosen in held) == (True, False, True), held
        assert (hold in freed, release in freed, chosen in freed) == (False, True, True), freed


@pytest.mark.slow
@pytest.mark.parametrize("name", SITES)
def test_a_held_job_does_not_start_is_told_as_such_and_goes_on(work: Any, tmp_path: Path, name: str) -> None:
    site = install(name, tmp_path / "site")
    site.faults(slots=1)
    environment = {"PATH": f"{site.bin}{os.pathsep}{os.environ['PATH']}"}
    busy = "until [ -e ../go ]; do sleep 0.1; done"
    path = work.prepare(busy, busy, batch_type=SITES[name])
    path.write_text(path.read_text().replace('{"group_size": 1}', '{"group_size": 1, "kwargs": {}}'))
    assert work.run("submit", str(path), "--exit-on-submit", **environment).code == 0
    try:
        work.await_that(lambda: sorted(job.state for job in site.jobs()) == ["Q", "R"], "one that runs")
        done = work.run("hold", **environment)
        assert (done.code, done.out) == (0, "held 1 job; `dispatcher release` lets them go\n"), done
        (work.local / "go").touch()
        work.await_that(lambda: sorted(job.state for job in site.jobs()) == ["F", "H"], "the end of the other")
        told = work.run("status", "--json").lines()[0]["notices"]
        assert [(one["kind"], one["jobs"]) for one in told if "held by" in one["what"]] == [("waiting", 1)]
        done = work.run("release", "--json", **environment)
        assert (done.code, done.lines()[0]["released"]) == (0, True), done
        done = work.run("submit", str(path), "--check-interval", "1", **environment)
        assert (done.code, "2 of 2 tasks done" in done.out) == (0, True), done
        assert work.run("hold", "t0", **environment).code == 2
    finally:
        site.end()


@pytest.mark.slow
def test_what_some_jobs_need_is_refused_beside_a_dispatcher_at_work_with_what_to_do(work: Any) -> None:
    work.prepare("until [ -e ../go ]; do sleep 0.1; done", "exit 3")
    at_work = work.start("submit", "submission.json", "--check-interval", "1")
    work.await_records("terminated")
    for words in (("cancel", "runs", "t0"), ("retry", "t1")):
        done = work.run(*words)
        assert (done.code, "stop it (Ctrl-C; its jobs run on)" in done.err, "at work" in done.err) == (3, True, True), (
            done
        )
    assert '"k":"stopping"' not in work.text()
    (work.local / "go").touch()
    assert work.ended(at_work).code == 1
