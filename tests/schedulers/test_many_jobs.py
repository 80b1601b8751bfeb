"""Texts for very many jobs, run by a real shell: nothing is left out, and no command is told more than fits."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dispatcher.core.ports import Native, Place, Query, Reply
from dispatcher.schedulers import load

#: More than one argument of a command (128 kB) can name, in nonces and in ids.
MANY = 20_000
#: What one command may be told, in bytes: far below that limit.
WORDS = 20_000

LIST = {
    "Slurm": ("squeue", '{ printf "%d|d%09dzz-x\\n", n, n }'),
    "LSF": ("bjobs", '{ printf "%d|RUN|d%09dzz-x|4*h1|-\\n", n, n }'),
    "JH_UniScheduler": ("jjobs", '{ printf "%d|RUN|d%09dzz-x|4*h1\\n", n, n }'),
    "Fugaku": ("pjstat", '{ if (n == 1) print "H,JOB_ID,JOB_NAME,ST"; printf ",%d,d%09dzz,RUN\\n", n, n }'),
}
KILL = {"Slurm": "scancel", "LSF": "bkill", "JH_UniScheduler": "jctrl", "Fugaku": "pjdel", "SGE": "qdel"}
ENDED = {
    "Slurm": ("sacct", '{ printf "%d|FAILED|3:0|0:0|61||c1|d%09dzz-x\\n", n, n }'),
    "LSF": ("bjobs", '{ printf "%d|EXIT|d%09dzz-x|4*h1|3|-|61 second(s)|12 Mbytes\\n", n, n }'),
    "JH_UniScheduler": ("jjobs", '{ printf "%d|EXIT|d%09dzz-x|4*h1|3\\n", n, n }'),
    "Fugaku": ("pjstat", '{ if (n == 1) print "H,JOB_ID"; printf ",%d,d%09dzz,EXT,3,-,0\\n", n, n }'),
    "SGE": (
        "qacct",
        '{ print "=====\\njobname d" sprintf("%09dzz", n) "\\njobnumber " n "\\nfailed 0\\nexit_status 3" }',
    ),
}
PBS_ROW = "echo '7.h u q d1 -- 1 1 -- -- R 00:01'"


class Site:
    """A jobs' directory, a command that lists all jobs, and others that note what they are told."""

    def __init__(self, top: Path, listing: tuple[str, str], *others: str) -> None:
        self.home, self.bin = top / "jobs", top / "bin"
        self.home.mkdir()
        self.bin.mkdir()
        name, program = listing
        lines = f"awk 'BEGIN {{ for (n = 1; n <= {MANY}; n++) {program} }}'"
        # sacct is asked for portions: each is answered with what it names
        chosen = (
            f"""{lines} | awk -F '|' -v ids="$ids" 'BEGIN {{ split(ids, a, ","); for (i in a) k[a[i]] }} $1 in k'"""
        )
        find = 'for word; do [ "$last" != -j ] || ids=$word; last=$word; done\n'
        self.write(name, f"{find}{chosen}" if name == "sacct" else lines)
        for other in others:
            self.write(other, ":")
        self.place = Place("/local", str(top), str(self.home))

    def write(self, name: str, lines: str) -> None:
        file = self.bin / name
        file.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> "$0.told"\n{lines}\n')
        file.chmod(0o755)

    def told(self, name: str) -> list[str]:
        return (self.bin / f"{name}.told").read_text().splitlines()

    def run(self, text: str) -> Reply:
        env = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}"}
        done = subprocess.run(["sh"], input=text, capture_output=True, text=True, env=env, cwd=self.home)
        return Reply(done.returncode, done.stdout, done.stderr)


QUERIES = [Query(f"d{n:09d}zz", str(n), 1e9) for n in range(1, MANY + 1)]


@pytest.mark.parametrize("name", KILL)
def test_all_are_ended_in_portions(name: str, tmp_path: Path) -> None:
    site = Site(tmp_path, LIST.get(name, ("qstat", "{ }")), KILL[name])
    dialect = load(name)
    reply = site.run(dialect.kill(QUERIES, site.place).text)
    assert dialect.killed(reply, QUERIES) == ""
    lines = site.told(KILL[name])
    assert max(map(len, lines)) < WORDS
    words = [word for line in lines for word in line.split() if word[:1].isdigit() or word.startswith("d0")]
    assert len(words) == len(set(words)) == MANY


@pytest.mark.parametrize("name", ENDED)
def test_all_have_their_cause_when_they_leave_at_once(name: str, tmp_path: Path) -> None:
    site = Site(
        tmp_path, ENDED[name], *(tool for tool in ("bhist", "jhist", "qstat", "qdel") if tool != ENDED[name][0])
    )
    dialect = load(name)
    call = dialect.account(QUERIES, site.place)
    assert call is not None
    known = dialect.accounted(site.run(call.text), QUERIES)
    assert known.trouble == ""
    assert len(known.jobs) == MANY
    assert {job.native for job in known.jobs.values()} == {Native.ended}
    assert {job.cause.code for job in known.jobs.values() if job.cause} == {3}
    for tool in site.bin.glob("*.told"):
        assert max(map(len, tool.read_text().splitlines())) < WORDS


@pytest.mark.parametrize("name", ["Slurm", "SlurmJobArray", "PBS", "Torque", "SGE", "LSF", "JH_UniScheduler", "Fugaku"])
def test_no_command_in_a_text_names_all_jobs(name: str) -> None:
    """But in here-documents, whose lines are short: a line is what a command can be told at most."""
    place = Place("/local", "/R", "/R/.dispatcher/s/jobs")
    dialect = load(name)
    lost = [Query(query.nonce, "", 1e9) for query in QUERIES]
    for queries in (QUERIES, lost):
        calls = [dialect.observe(queries, place), dialect.kill(queries, place), dialect.account(queries, place)]
        for call in calls:
            assert call is not None
            assert max(map(len, call.text.split("\n"))) < WORDS


@pytest.mark.parametrize(
    ("name", "tools", "why"),
    [
        ("Slurm", {"squeue": "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1"},
         "Unable to contact"),
        ("Slurm", {"squeue": "echo '7|d1'", "scancel": "echo 'scancel: error: Kill job error on job id 7: "
                   "Access/permission denied' >&2; exit 1"}, "permission denied"),
        ("PBS", {"qstat": PBS_ROW, "qdel": "echo 'qdel: Unauthorized Request 7.h' >&2; exit 159"}, "Unauthorized"),
        ("SGE", {"qdel": "echo 'u - you do not have the necessary privileges to delete the job \"7\"'; exit 1"},
         "you do not have the necessary privileges"),
        ("LSF", {"bjobs": "echo '7|RUN|d1|4*h|-'", "bkill": "echo 'Job <7>: User permission denied' >&2; exit 255"},
         "permission denied"),
        ("Fugaku", {"pjstat": "echo H,ID; echo ,7,d1,RUN", "pjdel": "echo '[ERR.] PJM 0101 pjdel No permission.' >&2; "
                    "exit 1"}, "No permission"),
        ("Fugaku", {}, "PATH is"),
    ],
)  # fmt: skip
def test_a_kill_that_fails_is_told(name: str, tools: dict[str, str], why: str, tmp_path: Path) -> None:
    site = Site(tmp_path, ("other", "{ }"))
    for tool, lines in tools.items():
        site.write(tool, lines)
    dialect, queries = load(name), [Query("d1", "7")]
    assert why in dialect.killed(site.run(dialect.kill(queries, site.place).text), queries)


@pytest.mark.parametrize(
    ("name", "tools"),
    [
        ("Slurm", {"squeue":
            "echo '7|d1'", "scancel":
            "echo 'scancel: error: Kill job error on job id 7: Invalid job id "
                   "specified' >&2; exit 1"}),
        ("PBS", {"qstat": PBS_ROW, "qdel": "echo 'qdel: Unknown Job Id 7.h' >&2; exit 153"}),
        ("SGE", {"qdel": "echo 'denied: job \"d1*\" does not exist'; exit 1"}),
        ("LSF", {"bjobs": "echo '7|RUN|d1|4*h|-'", "bkill": "echo 'Job <7>: Job has already finished' >&2; exit 255"}),
        ("PBS", {"qstat": ":"}), ("Slurm", {"squeue": ":"}), ("Fugaku", {"pjstat": "echo H,ID"}),
        ("LSF", {"bjobs": "echo 'No job found' >&2; exit 255"}),
    ],
)  # fmt: skip
def test_what_is_gone_is_no_trouble(name: str, tools: dict[str, str], tmp_path: Path) -> None:
    site = Site(tmp_path, ("other", "{ }"))
    for tool, lines in tools.items():
        site.write(tool, f"echo 'warning: setlocale: cannot change locale' >&2\n{lines}")
    dialect, queries = load(name), [Query("d1", "7")]
    assert dialect.killed(site.run(dialect.kill(queries, site.place).text), queries) == ""
