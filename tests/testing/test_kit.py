"""The test kit: sites that answer like the real ones, what can be made to go wrong, and the commands of its page."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from dispatcher.testing.batch import DIALECTS, FAULTS, Site, install

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "testing-kit.md"
#: How a script is handed over, and how the jobs are listed.
TYPED = {
    "pbs": ("qsub {0}", "qstat -x"), "torque": ("qsub {0}", "qstat"), "sge": ("qsub {0}", "qstat -xml"),
    "slurm": ("sbatch {0}", "squeue -t all"), "lsf": ("bsub < {0}", "bjobs -a"), "jh": ("jsub < {0}", "jjobs -a"),
    "pjm": ("pjsub {0}", "pjstat -v --data --choose=jid,jnam,st"),
}  # fmt: skip


def typed(site: Site, line: str, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    """A line typed on that site."""
    env = {**os.environ, "PATH": site.path()}
    done = subprocess.run(["bash", "-c", line], env=env, cwd=site.top, capture_output=True, text=True)
    assert code is None or done.returncode == code, done
    return done


def over(site: Site) -> None:
    end = time.monotonic() + 300
    while any(job.ended is None for job in site.jobs()):
        assert time.monotonic() < end
        time.sleep(0.05)


def script(site: Site, text: str) -> str:
    (site.top / "job.sh").write_text(f"#!/bin/bash\n{text}\n")
    return "job.sh"


@pytest.fixture(params=DIALECTS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made = install(request.param, tmp_path / "a site")
    yield made
    made.end()


def submit(site: Site) -> str:
    return TYPED[next(name for name, (_, commands) in DIALECTS.items() if (site.bin / commands[0]).exists() and name in
                      (site.bin / commands[0]).read_text().split())][0]  # fmt: skip


def test_jobs_really_run_one_after_the_other(site: Site) -> None:
    site.faults(slots=1)
    name = script(site, f"echo begin >> '{site.top}/log'; sleep 0.2; echo end >> '{site.top}/log'")
    for _ in range(3):
        typed(site, submit(site).format(name))
    over(site)
    assert (site.top / "log").read_text().split() == ["begin", "end"] * 3
    assert [job.state for job in site.jobs()] == ["F"] * 3


def test_lost_answers_before_and_after_the_effect(site: Site) -> None:
    site.faults(lost_call=1, lost_reply=1)
    name = script(site, "true")
    codes = [typed(site, submit(site).format(name), None).returncode for _ in range(3)]
    assert [code != 0 for code in codes] == [True, True, False]
    assert len(site.jobs()) == 2


def test_an_id_that_was_given_away_again(site: Site) -> None:
    site.faults(forgets=1)
    name = script(site, "true")
    first, second = (re.findall(r"\b10\d\d\b", typed(site, submit(site).format(name)).stdout) for _ in range(2))
    assert first == second
    assert len(site.jobs()) == 1


def test_down_slow_full_and_noisy(site: Site) -> None:
    name = script(site, "sleep 60")
    site.faults(down=True)
    assert typed(site, submit(site).format(name), None).returncode != 0
    assert site.jobs() == []
    site.faults(limit=1, banner=True, noise=True)
    said = typed(site, submit(site).format(name))
    assert "Welcome" in said.stdout
    assert "warning" in said.stderr
    assert typed(site, submit(site).format(name), None).returncode != 0
    assert len(site.jobs()) == 1


def test_a_lost_node_and_a_second_run(tmp_path: Path) -> None:
    site = install("pbs", tmp_path)
    name = script(site, f"echo $PBS_JOBID >> {site.top}/log; [ -e {site.top}/again ] || sleep 60")
    typed(site, f"qsub {name}")
    while not (site.top / "log").exists():
        time.sleep(0.05)
    site.lose_node(1001)
    assert typed(site, "qdel 1001", 222).stderr == "qdel: Server could not connect to MOM 1001.batchhost\n"
    (site.top / "again").touch()
    site.rerun(1001)
    over(site)
    assert (site.top / "log").read_text().split() == ["1001.batchhost"] * 2
    assert "run_count = 2" in typed(site, "qstat -x -f 1001").stdout


def test_pbs_dies_of_a_queued_and_an_unknown_id(tmp_path: Path) -> None:
    site = install("pbs", tmp_path)
    typed(site, f"qsub -h {script(site, 'true')}; qdel 999", 153)
    site.release(1001)
    site.faults(slots=1)
    typed(site, f"qsub {script(site, 'sleep 60')}; qsub job.sh; qsub job.sh")
    queued = next(job.number for job in site.jobs() if job.state == "Q")
    typed(site, f"qdel {queued} 999")
    assert site.crashed
    assert "Connection refused" in typed(site, "qstat", 255).stderr
    site.end()


def test_pbs_runs_out_of_ports(tmp_path: Path) -> None:
    site = install("pbs", tmp_path)
    typed(site, f"qsub {script(site, 'true')}")
    ids = " ".join(["1001"] * 200)
    typed(site, f"qstat -x {ids} && qstat -x {ids}")
    assert "all reserved ports in use" in typed(site, f"qstat -x {ids}", 255).stderr
    site.end()


@pytest.mark.parametrize(("name", "option", "index"), [("pbs", "-J 3-5%2", "_INDEX"), ("torque", "-t 3,5", "ID")])
def test_arrays_run_each_element_and_remember_it(tmp_path: Path, name: str, option: str, index: str) -> None:
    site = install(name, tmp_path)
    text = f"echo $PBS_ARRAY{index} $PBS_JOBID >> {tmp_path}/log; [ $PBS_ARRAY{index} != 5 ] || exit 7"
    assert typed(site, f"qsub {option} {script(site, text)}").stdout == "1001[].batchhost\n"
    over(site)
    said = dict(map(str.split, (tmp_path / "log").read_text().splitlines()))
    assert said == {each: f"1001[{each}].batchhost" for each in ("345" if name == "pbs" else "35")}
    records = typed(site, f"qstat {'-x' * (name == 'pbs')} -t -f '1001[].batchhost'").stdout
    found = re.findall(r"Job Id: (\S+)|xit_status = (\d+)", records)
    assert [id or code for id, code in found][-2:] == ["1001[5].batchhost", "7"]
    assert typed(site, "qdel '1001[].batchhost'", None).returncode in (35, 170)


def test_a_job_is_ended_process_by_process_and_its_log_says_why(tmp_path: Path) -> None:
    """A shell whose `sleep` has died of TERM goes on to the next command, before KILL."""
    site = install("pbs", tmp_path)
    site.faults(speed=20, kill_delay=60)
    typed(site, f"qsub -l walltime=20 -o {tmp_path}/out {script(site, '(trap : TERM; sleep 600; echo on)')}")
    over(site)
    said = (tmp_path / "out").read_text()
    assert re.match(r"=>> PBS: job killed: walltime \d+ exceeded limit 1\n", said)
    assert said.endswith("on\n")
    assert site.jobs()[0].why == "walltime"


def test_queues_that_are_closed_other_servers_and_long_names(tmp_path: Path) -> None:
    site = install("torque", tmp_path)
    site.faults(disabled=True)
    assert "Queue is not enabled" in typed(site, f"qsub {script(site, 'true')}", 175).stderr
    site.faults(stopped=True, server="pbs-head-01.hpc.physics.university.example")
    assert typed(site, "qsub -q batch@other job.sh; qsub job.sh").stdout.split()[0] == "1001.other"
    assert "1001.other" in typed(site, "qstat -u $(id -un) -s @other").stdout
    listed = typed(site, "qstat -u $(id -un) -s").stdout
    assert "1001" not in listed
    assert "1002.pbs-head-01.hpc.ph " in listed
    assert "Not Running: Queue not started." in listed
    assert typed(site, "qdel", 2).stderr.startswith("usage:")
    assert "illegally formed" in typed(site, "qdel '2.x*'", 1).stderr
    typed(site, "qdel 1001.other")
    site.faults(keep_completed=0.01)
    assert "Unknown Job Id" in typed(site, "qstat 1001.other", 153).stderr


def test_directives_that_the_real_ones_refuse(tmp_path: Path) -> None:
    """As in the transcripts: an empty -q, a resource beside select, an unknown queue."""
    site = install("pbs", tmp_path)
    assert "requires an argument" in typed(site, f"qsub {script(site, '#PBS -q ')}", 1).stderr
    assert "cannot be used with" in typed(site, f"qsub -l select=1 -l mem=1gb {script(site, 'true')}", 5).stderr
    typed(site, f"qsub -q nosuchq {script(site, 'true')}", 170)
    assert site.jobs() == []


def test_an_unknown_fault_or_system_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such batch system: 'pds'; known are pbs,"):
        install("pds", tmp_path)
    with pytest.raises(ValueError, match="no such fault: dwon"):
        install("pbs", tmp_path).faults(dwon=True)


def test_the_page_names_every_fault_and_every_system() -> None:
    page = PAGE.read_text()
    assert [name for name in (*FAULTS, *DIALECTS) if f"`{name}`" not in page] == []
