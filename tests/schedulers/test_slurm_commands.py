"""The texts the Slurm dialects send, run by a real shell with scheduler commands of our own on PATH."""

from __future__ import annotations

import os
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from dispatcher.core.model import ResourcesSpec, TaskSpec
from dispatcher.core.ports import (
    Accepted,
    Answer,
    Deferral,
    JobScript,
    Native,
    Observation,
    Observations,
    Place,
    Query,
    Reply,
    ShellText,
    SubmitRequest,
    Unclear,
    Withdrawal,
)
from dispatcher.schedulers.slurm.array import SlurmArrayDialect
from dispatcher.schedulers.slurm.dialect import SlurmDialect
from dispatcher.scripts import pool
from dispatcher.scripts.render import render

COUNT = """#!/bin/sh
here=$(dirname "$0")
echo "$@" >> "$here/sbatch.log"
n=$(wc -l < "$here/sbatch.log")
if [ -e "$here/refuse.$n" ]; then cat "$here/refuse.$n" >&2; exit 1; fi
echo "$((100 + n))"
"""
SAY = """#!/bin/sh
here=$(dirname "$0")
echo "$(basename "$0") $* ${SQUEUE_PARTITION-}" >> "$here/asked.log"
code=$(cat "$here/$(basename "$0").code" 2> /dev/null || echo 0)
[ "$code" = 0 ] || exec 1>&2
cat "$here/$(basename "$0").out" 2> /dev/null
exit "$code"
"""
BUSY = "sbatch: error: QOSMaxSubmitJobPerUserLimit\n"


class Site:
    """A jobs directory, and the answers of commands."""

    def __init__(self, top: Path, dialect: SlurmDialect) -> None:
        self.dialect = dialect
        self.bin, self.home = top / "bin", top / "R/.dispatcher/s/jobs"
        self.bin.mkdir()
        self.home.mkdir(parents=True)
        for name in ("sbatch", "squeue", "sacct", "scancel", "scontrol"):
            (self.bin / name).write_text(COUNT if name == "sbatch" else SAY)
            (self.bin / name).chmod(0o755)
        self.place = Place(str(top / "local"), str(top / "R"), str(self.home))
        self.times: Counter[str] = Counter()

    def submit(
        self, *nonces: str, tasks: int = 1, withdrawals: tuple[Withdrawal, ...] = (), **kwargs: Any
    ) -> dict[str, Answer]:
        resources = ResourcesSpec(1, 1, 0, "", tasks, kwargs=kwargs)
        listed = tuple((n, TaskSpec("true", f"t{n}")) for n in range(tasks))
        requests = []
        for nonce in nonces:
            self.times[nonce] += 1
            script = render(JobScript("5f1c", nonce, nonce, self.place, resources, listed), self.dialect)
            files, asked = script.files(nonce), self.times[nonce]
            requests.append(
                SubmitRequest(nonce, nonce, f"{nonce}.sub", files, resources, tasks, withdrawals, asked=asked)
            )
        return dict(self.dialect.submitted(self.run(self.dialect.submit(requests, self.place)), requests))

    def observe(self, *queries: Query) -> Observations:
        return self.dialect.observed(self.run(self.dialect.observe(queries, self.place)), queries)

    def run(self, call: ShellText, **env: str) -> Reply:
        path = f"{self.bin}:{os.environ['PATH']}"
        done = subprocess.run(
            ["sh"],
            input=call.text,
            capture_output=True,
            text=True,
            env={**os.environ, "PATH": path, **env},
            timeout=300,
        )
        return Reply(done.returncode, done.stdout, done.stderr)

    def says(self, command: str, text: str, code: int = 0) -> None:
        (self.bin / f"{command}.out").write_text(text)
        (self.bin / f"{command}.code").write_text(str(code))

    def refuse(self, nth: int, why: str) -> None:
        (self.bin / f"refuse.{nth}").write_text(why)

    def log(self, name: str = "sbatch") -> list[str]:
        file = self.bin / f"{name}.log"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path, SlurmDialect())


@pytest.fixture
def arrays(tmp_path: Path) -> Site:
    made = Site(tmp_path, SlurmArrayDialect())
    made.says("scontrol", "MaxArraySize            = 11\nSchedulerParameters     = bf_interval=1\n")
    return made


# -- one job after another ---------------------------------------------------------------------------------------


def test_many_jobs_in_one_call_each_with_a_receipt(site: Site) -> None:
    assert site.submit("da", "db", "dc") == {"da": Accepted("101"), "db": Accepted("102"), "dc": Accepted("103")}
    assert [(site.home / f"{n}.id").read_text() for n in ("da", "db", "dc")] == ["101\n", "102\n", "103\n"]
    assert site.log()[0] == "--parsable --job-name=da da.sub"


def test_what_has_a_receipt_is_never_asked_for_again(site: Site) -> None:
    site.submit("da")
    assert site.submit("da", "db") == {"da": Accepted("101"), "db": Accepted("102")}
    assert len(site.log()) == 2


def test_after_a_refusal_the_others_are_not_asked_for(site: Site) -> None:
    site.refuse(2, BUSY)
    answers = site.submit("da", "db", "dc")
    assert answers["da"] == Accepted("101")
    assert isinstance(answers["db"], Deferral)
    assert isinstance(answers["dc"], Deferral)
    assert len(site.log()) == 2


def test_an_open_outcome_is_told_with_its_words(site: Site) -> None:
    why = "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation"
    site.refuse(1, f"{why}\n")
    answers = site.submit("da", "db")
    assert answers["da"] == Unclear(why, known=True)
    assert isinstance(answers["db"], Deferral)


def test_wait_time_stands_between_two_submissions(site: Site) -> None:
    resources = ResourcesSpec(1, 1, 0, "", 1, wait_time=0.5)
    call = site.dialect.submit([SubmitRequest(n, n, f"{n}.sub", {}, resources) for n in ("da", "db", "dc")], site.place)
    assert call.text.count("\nsleep 0.5\n") == 2
    assert call.timeout > 120


# -- looking -----------------------------------------------------------------------------------------------------


def test_queue_and_receipt_and_claim_in_one_look(site: Site) -> None:
    site.submit("da", "db")
    (site.home / "da.claim").write_text("claim 101 0 node7 42 1\ntask 0 0 1790000000 .\nend 0 1790000001 .\n")
    site.says("squeue", "102|R|c1|None|db-relax\n77|R|c2|None|somebody's\n")
    observations = site.observe(Query("da", "101"), Query("db"))
    assert observations.trouble == ""
    assert observations.jobs["da"].claim is not None
    assert observations.jobs["da"].claim.ended == 0
    assert observations.jobs["da"].native is Native.absent
    assert observations.jobs["db"] == Observation(Native.running, "R", "102", "receipt", "c1")


def test_settings_of_the_user_do_not_reach_squeue(site: Site) -> None:
    site.says("squeue", "")
    site.run(site.dialect.observe([Query("da")], site.place), SQUEUE_PARTITION="gpu", SQUEUE_STATES="R")
    (requested,) = site.log("asked")
    assert "-t all" in requested
    assert "gpu" not in requested


def test_found_in_the_queue_by_name_alone(site: Site) -> None:
    site.says("squeue", "55|PD||Priority|da-x\n")
    assert site.observe(Query("da")).jobs["da"] == Observation(Native.waiting, "PD Priority", "55", "queue")


def test_markers_count_when_the_queue_does_not_answer(site: Site) -> None:
    (site.home / "da.claim").write_text("claim 101 0 node7 42 1\nend 0 1790000001 .\n")
    site.says("squeue", "slurm_load_jobs error: Unable to contact slurm controller (connect failure)\n", 1)
    observations = site.observe(Query("da", "101"))
    assert "Unable to contact" in observations.trouble
    assert observations.jobs["da"].native is Native.unknown
    assert observations.jobs["da"].claim is not None


def test_of_two_copies_the_one_that_holds_the_claim_counts(site: Site) -> None:
    (site.home / "da.claim").write_text("claim 102 0 node7 42 1\n")
    site.says("squeue", "101|PD||Priority|da\n102|R|c1|None|da\n")
    observation = site.observe(Query("da", "101")).jobs["da"]
    assert (observation.native, observation.claim.owner if observation.claim else "") == (Native.running, "102")


# -- ending ------------------------------------------------------------------------------------------------------


def test_only_jobs_of_that_name_are_cancelled(site: Site) -> None:
    site.says("squeue", "101|da-x\n102|other\n103|db\n103|db\n")
    site.run(site.dialect.kill([Query("da", "102"), Query("db", "103")], site.place))
    assert site.log("asked")[-1].split() == ["scancel", "-Q", "101", "103"]


def test_nothing_is_cancelled_when_the_queue_does_not_answer(site: Site) -> None:
    site.says("squeue", "", 1)
    assert site.run(site.dialect.kill([Query("da", "102")], site.place)).code == 0
    assert not any("scancel" in line for line in site.log("asked"))


# -- accounting --------------------------------------------------------------------------------------------------


def accounted(site: Site, *queries: Query) -> Observations:
    call = site.dialect.account(queries, site.place)
    assert call is not None
    return site.dialect.accounted(site.run(call), queries)


def test_one_sacct_for_all_with_an_explicit_start(site: Site) -> None:
    """By ids, because sacct -S alone trails -j by 1-4 s."""
    site.says("sacct", "101|TIMEOUT|0:0|0:0|60||c1|da\n102|CANCELLED by 7|0:0|0:0|6||c1|db\n")
    observations = accounted(
        site, Query("da", "101", 1790000000.0), Query("db", "102", 1790000000.0), Query("dc", "103")
    )
    assert set(observations.jobs) == {"da", "db"}
    (requested,) = site.log("asked")
    assert "-j 101,102,103" in requested
    assert " -S " in requested


def test_the_start_is_a_day_before_the_first_question(site: Site) -> None:
    site.says("sacct", "")
    accounted(site, Query("da", "101", 1790000000.0))
    day = subprocess.run(["date", "-d", "@1789913600", "+%Y-%m-%dT%H:%M:%S"], capture_output=True, text=True)
    assert f"-S {day.stdout.strip()} " in site.log("asked")[0]


def test_by_name_when_no_id_is_known(site: Site) -> None:
    site.says("sacct", "101|COMPLETED|0:0|0:0|60||c1|da-x\n102|RUNNING|0:0|0:0|6||c1|other\n")
    observations = accounted(site, Query("da"), Query("db"))
    assert (observations.jobs["da"].id, observations.jobs["da"].how) == ("101", "accounting")
    assert set(observations.jobs) == {"da"}


@pytest.mark.parametrize("query", [Query("da", "101"), Query("da")])
def test_no_accounting_is_told(site: Site, query: Query) -> None:
    site.says("sacct", "Slurm accounting storage is disabled\n", 1)
    observations = accounted(site, query)
    assert not observations.jobs
    assert "disabled" in observations.trouble


# -- arrays ------------------------------------------------------------------------------------------------------


def test_an_array_is_one_sbatch(arrays: Site) -> None:
    assert arrays.submit("da", tasks=10, array_throttle=3) == {"da": Accepted("101")}
    assert arrays.log() == ["--parsable --job-name=da --array=0-9%3 da.sub 0"]


def test_beyond_max_array_size_it_is_asked_for_in_parts(arrays: Site) -> None:
    assert arrays.submit("da", "db", tasks=25) == {"da": Accepted("101,102,103"), "db": Accepted("104,105,106")}
    assert [line.split()[2:] for line in arrays.log()[:3]] == [
        ["--array=0-10", "da.sub", "0"],
        ["--array=0-10", "da.sub", "11"],
        ["--array=0-2", "da.sub", "22"],
    ]
    assert arrays.log("asked") == ["scontrol show config "]


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        ("MaxArraySize = 5\nSchedulerParameters = max_array_tasks=3,bf_interval=1\n", 3),
        ("MaxArraySize = 0\n", 1001),
        ("", 1001),
    ],
)
def test_the_limit_of_the_site(arrays: Site, config: str, limit: int) -> None:
    arrays.says("scontrol", config)
    arrays.submit("da", tasks=4)
    assert (arrays.home / "da.many").read_text() == f"4 {limit}\n"


def test_without_knowing_the_limit_nothing_is_asked_for(arrays: Site) -> None:
    why = "slurm_load_ctl_conf error: Unable to contact slurm controller (connect failure)"
    arrays.says("scontrol", f"{why}\n", 1)
    assert arrays.submit("da", tasks=4) == {"da": Unclear(why, known=True)}
    assert arrays.log() == []


def test_a_refused_part_is_asked_for_later_and_the_others_stay(arrays: Site) -> None:
    arrays.refuse(2, BUSY)
    assert isinstance(arrays.submit("da", tasks=25)["da"], Deferral)
    assert arrays.submit("da", tasks=25) == {"da": Accepted("101,103,104")}
    assert [line.split()[-1] for line in arrays.log()] == ["0", "11", "11", "22"]


def test_an_incomplete_array_is_not_taken_for_the_whole(arrays: Site) -> None:
    arrays.refuse(2, "sbatch: error: Batch job submission failed: Socket timed out on send/recv operation\n")
    assert isinstance(arrays.submit("da", tasks=25)["da"], Unclear)
    arrays.says("squeue", "101_[0-10]|PD||Priority|da\n")
    assert arrays.observe(Query("da")).jobs["da"] == Observation(Native.absent)


def test_a_whole_array_with_lost_receipt_is_found_by_name(arrays: Site) -> None:
    arrays.submit("da", tasks=5)
    (arrays.home / "da.id").unlink()
    arrays.says("squeue", "101_[1-4]|PD||Priority|da\n101_0|R|c1|None|da\n")
    observation = arrays.observe(Query("da")).jobs["da"]
    assert (observation.native, observation.id, observation.how) == (Native.running, "101", "queue")


def element(site: Site, number: int, *lines: str, owner: str = "101") -> None:
    (site.home / f"da.{number}.claim").write_text("\n".join([f"claim {owner} 0 c{number} 42 1", *lines, ""]))


def test_claims_of_elements_are_one_claim(arrays: Site) -> None:
    arrays.submit("da", tasks=3)
    arrays.says("squeue", "101_2|R|c1|None|da\n101_1|F|c1|NonZeroExitCode|da\n")
    element(arrays, 0, "task 0 0 1790000000 .", "end 0 1790000001 .")
    element(arrays, 1, "err 1 no such file", "task 1 3 1790000000 .", "end 1 1790000001 .")
    element(arrays, 2, "task 2 0 1790000000 .")
    claim = arrays.observe(Query("da", "101")).jobs["da"].claim
    assert claim is not None
    assert [task[:2] for task in claim.tasks] == [(0, 0), (1, 3), (2, 0)]
    assert (claim.owner, claim.ended, claim.stderr, claim.node) == ("101", None, {1: "no such file"}, "c1")
    element(arrays, 2, "task 2 0 1790000000 .", "end 0 1790000001 .")
    claim = arrays.observe(Query("da", "101")).jobs["da"].claim
    assert claim is not None
    assert claim.ended == 1


def test_an_element_of_a_part_belongs_to_the_array(arrays: Site) -> None:
    arrays.submit("da", tasks=25)
    element(arrays, 12, owner="102")
    claim = arrays.observe(Query("da", "101,102,103")).jobs["da"].claim
    assert claim is not None
    assert claim.owner == "101,102,103"


def test_a_retry_withdraws_every_element(arrays: Site) -> None:
    """Also those that have not begun: they look for the claim of the whole."""
    element(arrays, 0, "task 0 0 1790000000 .", "end 0 1790000001 .")
    element(arrays, 1, "task 1 0 1790000000 .")
    arrays.submit("db", tasks=2, withdrawals=(Withdrawal("da", 5),))
    assert (arrays.home / "da.claim").read_text() == "revoked\n"
    assert (arrays.home / "da.1.claim").read_text() == "revoked\n"
    assert (arrays.home / "da.0.claim").read_text().startswith("claim 101")
    assert '[ ! -e "$dsp_control/db.claim" ] || exit 0' in (arrays.home / "db.sub").read_text()


def test_two_thousand_claims_are_not_listed_by_name(arrays: Site) -> None:
    text = arrays.dialect.observe([Query("da", "101")], arrays.place).text
    assert len(text) < 3000


def test_elements_run_their_own_tasks(arrays: Site) -> None:
    """The offset of a part comes as the script's argument."""
    arrays.submit("da", tasks=25)
    for number in range(25):
        (Path(arrays.place.remote_root) / f"t{number}").mkdir()
    env = {**os.environ, "SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_JOB_ID": "102"}
    done = subprocess.run(["bash", "da.sub", "11"], cwd=arrays.home, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "task 13 0 " in (arrays.home / "da.13.claim").read_text()


# -- two copies --------------------------------------------------------------------------------------------------


def test_both_copies_ran_at_once(site: Site) -> None:
    """A node cut off: the job is requeued and both copies ran at once. The older one starts nothing more."""
    root = Path(site.place.remote_root)
    (root / "t0").mkdir()
    both = f"until [ $(wc -l < {root}/log) -ge 2 ]; do sleep 0.1; done"
    commands = (f"echo begin 0 >> {root}/log; {both}", f"echo begin 1 >> {root}/log")
    tasks = tuple((n, TaskSpec(command, "t0")) for n, command in enumerate(commands))
    script = render(JobScript("5f1c", "da", "da", site.place, ResourcesSpec(1, 1, 0, "", 2), tasks), site.dialect)
    for name, text in script.files("da").items():
        (site.home / name).write_text(text)
    env = {**os.environ, "SLURM_JOB_ID": "1"}
    with subprocess.Popen(["bash", "da.sub"], cwd=site.home, env=env) as older:
        while not (root / "log").exists():
            time.sleep(0.05)
        newer = subprocess.run(["bash", "da.sub"], cwd=site.home, env={**env, "SLURM_RESTART_COUNT": "1"})
        assert older.wait() == 0
    assert newer.returncode == 0
    assert sorted((root / "log").read_text().split("\n")) == ["", "begin 0", "begin 0", "begin 1"]
    claim = site.observe(Query("da", "1")).jobs["da"].claim
    assert claim is not None
    assert (claim.restarts, claim.ended) == (1, 0)


def test_a_time_out_in_the_middle_of_a_line_loses_nothing() -> None:
    """Seen on a real Slurm: a task of exactly five seconds ended without a code."""
    script = f"""
        {pool.BASH.replace("-t 2", "-t 0.2")}
        exec 198<> <(:)
        dsp_running=1 dsp_beat=9999999999 dsp_pid[1234]=1
        dsp_clock() {{ :; }}
        dsp_collect() {{ echo "task $1 told $2"; dsp_running=0; }}
        (printf y; sleep 0.5; printf 12; sleep 0.5; printf '34\\n') >&198 &
        dsp_drain"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=300)
    assert done.stdout == "task 1234 told y\n"
