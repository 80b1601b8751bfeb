"""`dispatcher selftest`: it counts right, it kills only its own, and a site that does not hold is told so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

PLACES = {
    "LazyLocal": {},
    "Local": {"remote_root": "far"},
}


def site(work: Any, context: str = "LazyLocal", **resources: Any) -> tuple[str, ...]:
    """A machine and resources as files, and the words that name them."""
    machine = {"batch_type": "Shell", "context_type": context, "local_root": "./", "retry_count": 0, **PLACES[context]}
    (work.path / "machine.json").write_text(json.dumps(machine))
    (work.path / "resources.json").write_text(json.dumps({"group_size": 2, **resources}))
    return ("selftest", "--machine", "machine.json", "--resources", "resources.json", "--tasks", "6")


@pytest.mark.parametrize("context", PLACES)
def test_killed_five_times_and_nothing_is_left_behind(work: Any, context: str) -> None:
    before = {*work.path.rglob("*")}
    words = site(work, context)
    done = work.run(*words, "--chaos", "5", "--json")
    (reported,) = done.lines()
    assert (done.code, done.err, reported["verdict"]) == (0, "", "passed"), done
    assert (reported["twice"], reported["lost"], reported["problem"], reported["where"]) == (0, 0, "", None)
    assert reported["accepted"] == reported["run"] == reported["tasks"] == 6 * reported["rounds"]
    assert (reported["kills"], reported["lives"]) == (5, 5 + reported["rounds"])
    assert reported["commands"]["submit"] >= reported["jobs"]
    assert reported["calls"]["run"] >= reported["commands"]["observe"] > 0
    left = {path.name for path in {*work.path.rglob("*")} - before}
    assert left <= {"machine.json", "resources.json", "far"}


def test_what_people_read(work: Any) -> None:
    done = work.run(*site(work), "--chaos", "1", "--seed", "7")
    assert done.code == 0, done
    words = [line.split("  ")[0] for line in done.out.split("\n\n")[1].splitlines()]
    assert words == [
        "accepted",
        "run",
        "twice",
        "lost",
        "lives",
        "retries",
        "calls",
        "commands",
        "logins",
        "site lacks",
        "verdict",
    ]
    assert "seed 7\n" in done.out
    assert "accounting: this batch system has none" in done.out
    assert "verdict       passed: nothing ran twice, nothing was lost" in done.out


#: A line of the script that runs the second task once more.
AGAIN = "dsp_done=(); source <(sed -n '/^dsp_task 1 /,/^dsp_drain/p' \"${dsp_claim%.claim}.sub\")"


def test_a_site_that_runs_a_task_twice_is_found_out(work: Any) -> None:
    done = work.run(*site(work, append_script=[AGAIN]), "--json")
    (reported,) = done.lines()
    assert (done.code, reported["verdict"]) == (1, "failed")
    assert (reported["twice"], reported["lost"], reported["run"]) == (3, 0, 6)
    assert any("t1 ran twice: begin t1 " in fact or "t0 ran twice: begin t0 " in fact for fact in reported["facts"])
    assert (Path(reported["where"]["local"]) / "round-0/t0/ran").exists()


def test_a_site_that_loses_what_tasks_wrote_is_found_out(work: Any) -> None:
    done = work.run(*site(work, append_script=["rm -f t3/ran"]))
    assert done.code == 1
    assert "verdict       failed: 0 tasks ran twice, 1 lost" in done.out
    assert "t3 is lost: nothing of it came home" in done.out
    (where,) = (line.split()[1] for line in done.out.splitlines() if line.startswith("where "))
    assert Path(where, "round-0/t2/ran").exists()


def test_a_site_whose_jobs_fail_says_why(work: Any) -> None:
    done = work.run(*site(work, "Local", prepend_script=["exit 5"]))
    assert done.code == 1
    assert "of 3 jobs failed" in done.out
    assert f"{work.path}/far/" in done.out[done.out.index("where ") :]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--chaos", "-1"), "--chaos"),
        (("--tasks", "0"), "not a number from 1"),
        (("--machine", "nowhere.json"), "nowhere.json: cannot be read"),
        (("--work", "nowhere"), "no such directory"),
        (("--resources", "machine.json"), "machine.json, machine.json: submission/resources/"),
    ],
)
def test_what_is_not_valid_is_refused_before_anything_is_made(work: Any, words: tuple[str, ...], message: str) -> None:
    done = work.run(*site(work), *words)
    assert (done.code, message in done.err, done.out) == (2, True, ""), done
    assert not list(work.path.glob("dispatcher-selftest-*"))
