"""What a real Grid Engine printed, read by the dialect."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from dispatcher.core.errors import Unreachable
from dispatcher.core.model import ResourcesSpec
from dispatcher.core.ports import (
    Accepted,
    Answer,
    Deferral,
    Native,
    Observation,
    Place,
    Query,
    Rejection,
    Reply,
    SubmitRequest,
    Withdrawal,
)
from dispatcher.schedulers.sge.array import SGEArrayDialect
from dispatcher.schedulers.sge.dialect import SGEDialect

TRANSCRIPTS = Path(__file__).parents[2] / "fixtures" / "transcripts" / "sge"
PLACE = Place("/local", "/R", "/R/.dispatcher/s/jobs")


def said(name: str) -> tuple[int, str, str]:
    """Exit code and both outputs."""
    text = (TRANSCRIPTS / f"{name}.txt").read_text()
    code = re.search(r"^# exit: (\d+)$", text, re.M)
    out, _, err = text.partition("# stdout:\n")[2].partition("# stderr:\n")
    return int(code[1]) if code else 0, out, err


def answered(name: str) -> Answer | None:
    code, out, err = said(name)
    return SGEDialect()._answer(str(code), out, err)


def xml(*jobs: tuple[str, str, str]) -> str:
    listed = "".join(
        f"<job_list state='x'><JB_job_number>{id}</JB_job_number><JB_name>{name}</JB_name><state>{state}</state>"
        "<queue_name>all.q@node7</queue_name></job_list>\n"
        for id, name, state in jobs
    )
    return f"<?xml version='1.0'?>\n<job_info><queue_info>\n{listed}</queue_info></job_info>\n"


# -- states -------------------------------------------------------------------------------------------------------

#: By qstat(1): pending, running, suspended, error, deleted.
STATES = {
    Native.waiting: "qw hqw hRwq s ts S tS T tT Rs Rts RS RtS RT RtT",
    Native.running: "r t Rr Rt hr",
    Native.ended: "Eqw Ehqw EhRqw z",
    Native.completing: "dr dt dRr dRt ds dS dT dRs dRS dRT dEqw",
}


@pytest.mark.parametrize(("native", "codes"), STATES.items())
def test_every_state_is_in_the_table(native: Native, codes: str) -> None:
    assert {SGEDialect.STATES[code] for code in codes.split()} == {native}


def test_a_state_nobody_knows_is_no_news() -> None:
    (row,) = SGEDialect().rows(xml(("7", "dn1", "XyZ")), 0)
    assert SGEDialect().observation_of([row]).native is Native.unknown


# -- the queue ----------------------------------------------------------------------------------------------------


def test_the_xml_of_a_real_qstat() -> None:
    code, out, _ = said("qstat-xml")
    assert [(row.id, row.name, row.code, row.node) for row in SGEDialect().rows(out, code)] == [
        ("4", "ok", "t", "vm"),
        ("4", "ok", "t", "vm"),
        ("6", "sleep", "t", "vm"),
    ]


def test_names_are_whole_and_ids_are_not_searched_as_substrings() -> None:
    """W28: SGE id matched as substring (12 matches 123 or a date)."""
    rows = SGEDialect().rows(xml(("123", "dq3v81kx0mza-relax-the-long-way", "r"), ("12", "dq3v81kx0mzb", "qw")), 0)
    assert [(row.id, row.name) for row in rows] == [("123", "dq3v81kx0mza"), ("12", "dq3v81kx0mzb")]


def test_in_error_it_is_over_with_a_cause() -> None:
    """A job in error never starts and never leaves."""
    observation = SGEDialect().observation_of(SGEDialect().rows(xml(("20", "dn1", "Eqw")), 0))
    assert (observation.native, observation.code) == (Native.ended, "Eqw")
    assert observation.cause is not None
    assert observation.cause.kind == "scheduler"


@pytest.mark.parametrize(("name", "why"), [("qmaster-down-qstat", "commlib error"), ("qmaster-frozen", "in time")])
def test_no_good_answer_is_unreachable(name: str, why: str) -> None:
    """With qmaster frozen qstat was still hanging at 100 s."""
    code, out, err = said(name)
    with pytest.raises(Unreachable, match=why):
        SGEDialect().rows(out + err, code)


def test_xml_that_breaks_off_is_no_answer() -> None:
    with pytest.raises(Unreachable):
        SGEDialect().rows(xml(("7", "dn1", "r"))[:-20], 0)


# -- submitting and ending ----------------------------------------------------------------------------------------


def test_accepted() -> None:
    assert answered("qsub-terse") == Accepted("2")
    assert answered("qsub-ok") == Accepted("1")
    assert SGEDialect()._answer(
        "0", '*** welcome, 17 users ***\nYour job 4211 ("dn1") has been submitted\n', ""
    ) == Accepted("4211")


@pytest.mark.parametrize(
    "name", ["queue", "name", "resource", "pe", "option", "missing", "w"]
)  # fmt: skip
def test_never(name: str) -> None:
    assert isinstance(answered(f"err-qsub-{name}"), Rejection)


def test_not_now() -> None:
    assert isinstance(answered("qmaster-down-qsub"), Deferral)
    for who in ("user (current job count: 3)", "cluster"):
        limit = f"Unable to run job: job rejected: only 3 jobs are allowed per {who}\nExiting.\n"
        assert isinstance(SGEDialect().refusal("25", limit), Deferral)


@pytest.mark.parametrize(
    "text", ['error: commlib error: got read error (closing "vm")', "failed receiving gdi request"]
)
def test_the_outcome_is_open(text: str) -> None:
    assert SGEDialect().refusal("1", text) is None
    assert SGEDialect().refusal("124", "") is None


def test_the_attempt_before_is_deleted_before_the_next() -> None:
    """W28: Eqw is resubmitted without deleting the stuck job."""
    request = SubmitRequest(
        "dn2", "dn2-x", "dn2.sub", {}, ResourcesSpec(1, 1, 0, "", 1), withdrawals=(Withdrawal("dn1"),)
    )
    lines = SGEDialect().submit_line(request, PLACE).split("\n")
    assert ("qdel 'dn1*'" in lines[0], "qsub -b n -sync n -now n -terse -N dn2-x dn2.sub" in lines[1]) == (True, True)


@pytest.mark.parametrize(("kwargs", "asked"), [({}, []), ({"gpu_name": "gpus"}, ["#$ -l gpus=2"])])
def test_gpus_are_asked_for_by_the_sites_name_only(kwargs: dict[str, str], asked: list[str]) -> None:
    lines = SGEDialect().header(ResourcesSpec(1, 1, 2, "", 1, kwargs=kwargs), "dn1", "/log", 0)
    assert [line for line in lines if "gpu" in line] == asked


def test_killed_by_name_in_one_command() -> None:
    text = SGEDialect().kill([Query("dn1", "1"), Query("dn2")], PLACE).text
    assert "\ndn1*\ndn2*\n@@\n" in text
    assert "qdel $dsp_words" in text


def test_an_array_is_accepted_under_one_id() -> None:
    _, out, _ = said("qsub-terse-array")
    assert SGEArrayDialect().identified(out) == "3"
    assert SGEArrayDialect().identified("4211.1-1000:1\n@part\n4212.1001-1500:1\n@part\n") == "4211,4212"
    assert SGEArrayDialect().identified('Your job-array 4.1-10:3 ("ok") has been submitted\n') == "4"


def test_an_array_stands_as_its_elements_that_are_left() -> None:
    """Running before waiting before in error: a stuck element waits for the others."""
    rows = SGEArrayDialect().rows(xml(("7", "dn1", "Eqw"), ("7", "dn1", "qw"), ("8", "dn1", "r")), 0)
    assert [SGEArrayDialect().observation_of(rows[:n]).native for n in (1, 2, 3)] == [
        Native.ended,
        Native.waiting,
        Native.running,
    ]
    assert SGEArrayDialect().observation_of(rows).id == "7,8"


# -- accounting ---------------------------------------------------------------------------------------------------


def reported(lines: list[str], code: int = 0) -> Observation | None:
    mark = "@@dn1"
    text = "\n".join([f"{mark} account-code {code}", *(f"{mark} account {line}" for line in lines), f"{mark} done"])
    return SGEDialect().accounted(Reply(0, text), [Query("dn1", "13")]).jobs.get("dn1")


KEYS = ("jobnumber", "taskid", "hostname", "slots", "failed", "exit_status", "ru_wallclock", "ru_maxrss", "maxvmem",
        "category")  # fmt: skip


def record(name: str, jobname: str = "dn1-relax") -> list[str]:
    """A record of qacct as our text sends it home; some transcripts show a part of it only."""
    found = {line.split()[0]: line.partition(" ")[2].strip() for line in said(name)[1].split("\n") if line.split()}
    return [f"record {'|'.join([jobname, *({'jobnumber': '13', **found}.get(key, '') for key in KEYS)])}"]


def test_a_job_that_went_well() -> None:
    observation = reported(record("qacct-done"))
    assert observation == Observation(Native.ended, "failed 0, exit 0", "13", "accounting", "vm")


@pytest.mark.parametrize(
    ("name", "kind", "code", "signal"),
    [
        ("qacct-failed", "scheduler", 3, None),
        ("qacct-deleted", "scheduler", None, 9),
        ("qacct-h_rt", "timeout", None, 9),
        ("qacct-h_vmem", "scheduler", 2, None),
        ("qacct-rescheduled", "scheduler", None, 9),
    ],
)
def test_causes(name: str, kind: str, code: int | None, signal: int | None) -> None:
    observation = reported(record(name))
    assert observation is not None
    assert observation.cause is not None
    assert (observation.cause.kind, observation.cause.code, observation.cause.signal) == (kind, code, signal)


def test_elapsed_and_memory() -> None:
    """SGE 8.1 takes kB for bytes: `4.551KB` of a bash are 4.6 MB."""
    observation = reported(["record dn1|13|undefined|vm|1|0|3|2.5s|4.551KB|4.691MB|NONE"])
    assert observation is not None
    assert observation.cause is not None
    assert (observation.cause.elapsed, observation.cause.maxrss, observation.cause.node) == (2.5, 4772069, "vm")


def test_the_reason_of_a_job_in_error() -> None:
    observation = reported(['stuck 13 dn1 can\'t open output file "/nosuch/log": No such file or directory'])
    assert observation is not None
    assert observation.cause is not None
    assert "can't open output file" in observation.cause.reason


def replayed(top: Path, *nonces: str, **commands: str) -> dict[str, Observation]:
    """What our own text makes of whole answers, which programs of these names print again."""
    for name, text in commands.items():
        (top / f"{name}.txt").write_text(text)
        (top / name).write_text(f'#!/bin/sh\necho "{name} $*" >> {top}/asked\ncat {top}/{name}.txt\n')
        (top / name).chmod(0o755)
    queries = [Query(nonce, "20") for nonce in nonces]
    call = SGEDialect().account(queries, Place("/local", str(top), str(top)))
    assert call is not None
    env = {**os.environ, "PATH": f"{top}:{os.environ['PATH']}"}
    done = subprocess.run(["sh"], input=call.text, capture_output=True, text=True, env=env)
    observations = SGEDialect().accounted(Reply(done.returncode, done.stdout, done.stderr), queries)
    assert observations.trouble == ""
    return dict(observations.jobs)


def test_the_accounting_is_read_once_for_all_and_the_last_life_of_each_counts(tmp_path: Path) -> None:
    """Only an array's bad elements come home; limits are told apart by what was asked for and used."""
    observations = replayed(
        tmp_path, "darray", "dmem", "dtime", "drun", "dnone", qacct=said("qacct-owner")[1], qstat="", qdel=""
    )
    causes = {nonce: observation.cause for nonce, observation in observations.items()}
    assert {nonce: cause and (cause.kind, cause.native) for nonce, cause in causes.items()} == {
        "darray": ("scheduler", "failed 100, exit 137"),
        "dmem": ("memory", "failed 37, exit 137"),
        "dtime": ("timeout", "failed 37, exit 137"),
        "drun": None,
    }
    assert causes["darray"] is not None
    assert causes["darray"].reason.endswith("(element 1)")
    assert {observation.node for observation in observations.values()} == {"vm"}
    assert observations["drun"].code == "failed 0, exit 0"
    assert [line.split()[0] for line in (tmp_path / "asked").read_text().splitlines()] == ["qstat", "qacct"]


def test_a_job_in_error_is_explained_and_deleted_when_its_name_is_ours(tmp_path: Path) -> None:
    stuck = said("qstat-j-Eqw")[1]
    observations = replayed(tmp_path, "ok", qacct="", qstat=stuck, qdel="")
    assert observations["ok"].cause is not None
    assert observations["ok"].cause.reason.startswith("it could not be started: can't open output file")
    assert "qdel 20\n" in (tmp_path / "asked").read_text()
    (tmp_path / "asked").unlink()
    assert replayed(tmp_path, "dother", qacct="", qstat=stuck, qdel="") == {}
    assert "qdel" not in (tmp_path / "asked").read_text()


def test_no_record_is_no_answer() -> None:
    """A job deleted while execd was dead has no qacct record."""
    assert reported(["error: job id 13 not found"], 1) is None
