"""A request is made by one call, or withdrawn by one look; a job that is missing is looked at for signs of life."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dispatcher.core.model import ResourcesSpec
from dispatcher.core.ports import Accepted, Answer, Place, Query, Reply, ShellText, SubmitRequest, Unclear
from dispatcher.schedulers.command_line import CommandDialect
from dispatcher.schedulers.slurm.array import SlurmArrayDialect
from dispatcher.schedulers.slurm.dialect import SlurmDialect
from dispatcher.schedulers.submitting import ASK, withdrawing

SBATCH = """#!/bin/sh
echo "$@" >> "$0.log"
if [ -e "$0.refuses" ]; then echo 'sbatch: error: QOSMaxSubmitJobPerUserLimit' >&2; exit 1; fi
echo "$((100 + $(wc -l < "$0.log")))"
"""
ANOTHER = Unclear("another call has asked for it", known=True)


class Site:
    """A control directory, an sbatch that counts, and a queue that lists nothing."""

    def __init__(self, top: Path, dialect: CommandDialect, shell: tuple[str, ...] = ("sh",)) -> None:
        self.dialect, self.shell, self.bin, self.home = dialect, shell, top / "bin", top / "R/jobs"
        self.bin.mkdir()
        self.home.mkdir(parents=True)
        for name, text in (("sbatch", SBATCH), ("squeue", "#!/bin/sh\n"), ("scontrol", "#!/bin/sh\n")):
            (self.bin / name).write_text(text)
            (self.bin / name).chmod(0o755)
        self.place = Place(str(top), str(top / "R"), str(self.home))

    def requests(self, *names: str, asked: int = 1) -> list[SubmitRequest]:
        resources = ResourcesSpec(1, 1, 0, "", 1)
        return [
            SubmitRequest(name, name, f"{name}.sub", {f"{name}.sub": "true\n"}, resources, asked=asked)
            for name in names
        ]

    def submit(self, *names: str, asked: int = 1) -> dict[str, Answer]:
        requests = self.requests(*names, asked=asked)
        return dict(self.dialect.submitted(self.run(self.dialect.submit(requests, self.place)), requests))

    def unasked(self, *names: str, asked: int = 1) -> dict[str, int]:
        queries = [Query(name, asked=asked) for name in names]
        seen = self.dialect.observed(self.run(self.dialect.observe(queries, self.place)), queries)
        return {name: observation.unasked for name, observation in seen.jobs.items()}

    def run(self, call: ShellText) -> Reply:
        env = {**os.environ, "PATH": f"{self.bin}:{os.environ['PATH']}"}
        done = subprocess.run(self.shell, input=call.text, capture_output=True, text=True, env=env, timeout=300)
        return Reply(done.returncode, done.stdout, done.stderr)

    def asked(self) -> int:
        log = self.bin / "sbatch.log"
        return len(log.read_text().splitlines()) if log.exists() else 0


@pytest.fixture(params=[SlurmDialect, SlurmArrayDialect])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    return Site(tmp_path, request.param())


def test_a_look_withdraws_what_was_never_asked_and_a_late_call_is_turned_away(site: Site) -> None:
    assert site.unasked("da", "db") == {"da": 1, "db": 1}
    assert site.submit("da", "db") == {"da": ANOTHER, "db": ANOTHER}
    assert site.asked() == 0
    assert site.submit("da", "db", asked=2) == {"da": Accepted("101"), "db": Accepted("102")}
    assert site.submit("da") == {"da": Accepted("101")}, "what has a receipt is told to the late call, too"


def test_what_was_asked_stays_in_doubt_however_often_it_is_looked_for(site: Site) -> None:
    (site.bin / "sbatch.refuses").touch()
    site.submit("da", "db")
    for _ in range(2):
        assert site.unasked("da", "db") == {"da": 0, "db": 1}, "after the refusal db was not asked for"


def test_a_withdrawal_whose_answer_was_lost_is_told_again(site: Site) -> None:
    site.unasked("da")
    assert site.unasked("da") == {"da": 1}


def test_only_requests_in_doubt_are_withdrawn(site: Site) -> None:
    assert site.unasked("da", asked=0) == {"da": 0}
    assert not list(site.home.iterdir())


@pytest.mark.parametrize("shell", [("sh",), ("bash",), ("bash", "-o", "noclobber")])
def test_of_calls_and_looks_at_the_same_moment_one_decides(tmp_path: Path, shell: tuple[str, ...]) -> None:
    site, names = Site(tmp_path, SlurmDialect(), shell), [f"d{n}" for n in range(6)]
    acts: list[Callable[[], object]] = [lambda: site.submit(*names), lambda: site.unasked(*names)] * 2
    with ThreadPoolExecutor(4) as threads:
        for act in [threads.submit(act) for act in acts]:
            act.result()
    withdrawn = sum(map(bool, site.unasked(*names).values()))
    made = [file for file in site.home.glob("*.1.asked") if file.read_text() == "asked\n"]
    assert (len(made), site.asked()) == (len(names) - withdrawn, len(names) - withdrawn)


def test_where_the_disk_is_full_nothing_is_asked_and_an_empty_mark_is_a_doubt(tmp_path: Path) -> None:
    site = Site(tmp_path, SlurmDialect())
    (site.home / "da.1.asked").touch()
    assert site.unasked("da") == {"da": 0}
    assert site.submit("da") == {"da": ANOTHER}
    assert site.asked() == 0


def test_a_mark_costs_no_command(site: Site) -> None:
    """Its lines call builtins alone: with nothing on PATH they work as well."""
    text = f"cd {site.home}\nPATH=/nowhere dsp_mark=@@da\n{ASK}dsp_ask da 1 && echo yes\n"
    told = site.run(ShellText(text + withdrawing([Query("da", asked=1), Query("db", asked=1)], "@@da")))
    assert (told.out, told.err) == ("yes\n@@da unasked db 1\n", "")


def test_a_sign_of_life_is_told_of_those_that_are_asked_about_alone(site: Site) -> None:
    for name in ("da.claim", "db.claim", "da.7.claim"):
        (site.home / name).write_text("claim 101 0 node7 42 1\n")
    array = isinstance(site.dialect, SlurmArrayDialect)

    def beats() -> dict[str, str]:
        queries = [Query("da", "101", beat=True), Query("db", "101")]
        seen = site.dialect.observed(site.run(site.dialect.observe(queries, site.place)), queries)
        return {name: one.claim.beat for name, one in seen.jobs.items() if one.claim}

    first = beats()
    assert first["da"]
    assert not first.get("db")
    assert beats() == first
    os.utime(site.home / ("da.7.claim" if array else "da.claim"), (1, 1))
    assert beats()["da"] != first["da"]
