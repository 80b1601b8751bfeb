"""What a real Grid Engine printed, read by the dialect."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dispatcher.errors import Unreachable
from dispatcher.model import ResourcesSpec
from dispatcher.ports import Accepted, Answer, Ask, Later, Look, Native, Never, Place, Reply, Watch
from dispatcher.schedulers.sge import SGE

TRANSCRIPTS = Path(__file__).parents[2] / "fixtures" / "transcripts" / "sge"
PLACE = Place("/near", "/R", "/R/.dispatcher/s/jobs")


def said(name: str) -> tuple[int, str, str]:
    """Exit code and both outputs."""
    text = (TRANSCRIPTS / f"{name}.txt").read_text()
    code = re.search(r"^# exit: (\d+)$", text, re.M)
    out, _, err = text.partition("# stdout:\n")[2].partition("# stderr:\n")
    return int(code[1]) if code else 0, out, err


def answered(name: str) -> Answer | None:
    code, out, err = said(name)
    return SGE()._answer(str(code), out, err)


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
    assert {SGE.STATES[code] for code in codes.split()} == {native}


def test_a_state_nobody_knows_is_no_news() -> None:
    (row,) = SGE().rows(xml(("7", "dn1", "XyZ")), 0)
    assert SGE().standing([row]).native is Native.unknown


# -- the queue ----------------------------------------------------------------------------------------------------


def test_the_xml_of_a_real_qstat() -> None:
    code, out, _ = said("qstat-xml")
    assert [(row.id, row.name, row.code, row.node) for row in SGE().rows(out, code)] == [
        ("4", "ok", "t", "vm"),
        ("4", "ok", "t", "vm"),
        ("6", "sleep", "t", "vm"),
    ]


def test_names_are_whole_and_ids_are_not_searched_as_substrings() -> None:
    """W28: SGE id matched as substring (12 matches 123 or a date)."""
    rows = SGE().rows(xml(("123", "dq3v81kx0mza-relax-the-long-way", "r"), ("12", "dq3v81kx0mzb", "qw")), 0)
    assert [(row.id, row.name) for row in rows] == [("123", "dq3v81kx0mza"), ("12", "dq3v81kx0mzb")]


def test_in_error_it_is_over_with_a_cause() -> None:
    """A job in error never starts and never leaves."""
    look = SGE().standing(SGE().rows(xml(("20", "dn1", "Eqw")), 0))
    assert (look.native, look.code) == (Native.ended, "Eqw")
    assert look.cause is not None
    assert look.cause.kind == "scheduler"


@pytest.mark.parametrize(("name", "why"), [("qmaster-down-qstat", "commlib error"), ("qmaster-frozen", "in time")])
def test_no_good_answer_is_unreachable(name: str, why: str) -> None:
    """With qmaster frozen qstat was still hanging at 100 s."""
    code, out, err = said(name)
    with pytest.raises(Unreachable, match=why):
        SGE().rows(out + err, code)


def test_xml_that_breaks_off_is_no_answer() -> None:
    with pytest.raises(Unreachable):
        SGE().rows(xml(("7", "dn1", "r"))[:-20], 0)


# -- submitting and ending ----------------------------------------------------------------------------------------


def test_accepted() -> None:
    assert answered("qsub-terse") == Accepted("2")
    assert answered("qsub-ok") == Accepted("1")
    assert SGE()._answer("0", '*** welcome, 17 users ***\nYour job 4211 ("dn1") has been submitted\n', "") == Accepted(
        "4211"
    )


@pytest.mark.parametrize(
    "name", ["queue", "name", "resource", "pe", "option", "missing", "w"]
)  # fmt: skip
def test_never(name: str) -> None:
    assert isinstance(answered(f"err-qsub-{name}"), Never)


def test_not_now() -> None:
    assert isinstance(answered("qmaster-down-qsub"), Later)
    limit = "Unable to run job: job rejected: Only 10 jobs are allowed per user (current job count: 10)\nExiting.\n"
    assert isinstance(SGE().refusal("25", limit), Later)


@pytest.mark.parametrize(
    "text", ['error: commlib error: got read error (closing "vm")', "failed receiving gdi request"]
)
def test_the_outcome_is_open(text: str) -> None:
    assert SGE().refusal("1", text) is None
    assert SGE().refusal("124", "") is None


def test_the_attempt_before_is_deleted_before_the_next() -> None:
    """W28: Eqw is resubmitted without deleting the stuck job."""
    ask = Ask("dn2", "dn2-x", "dn2.sub", {}, ResourcesSpec(1, 1, 0, "", 1), revoke=(("dn1", 0),))
    lines = SGE().submit_line(ask, PLACE).split("\n")
    assert ("qdel 'dn1*'" in lines[0], "qsub -terse -N dn2-x dn2.sub" in lines[1]) == (True, True)


def test_killed_by_name_in_one_command() -> None:
    text = SGE().kill([Watch("dn1", "1"), Watch("dn2")], PLACE).text
    assert "qdel 'dn1*' 'dn2*'" in text


# -- accounting ---------------------------------------------------------------------------------------------------


def told(lines: list[str], code: int = 0) -> Look | None:
    mark = "@@dn1"
    text = "\n".join([f"{mark} account-code {code}", *(f"{mark} account {line}" for line in lines), f"{mark} done"])
    return SGE().accounted(Reply(0, text), [Watch("dn1", "13")]).jobs.get("dn1")


def record(name: str, jobname: str = "dn1-relax") -> list[str]:
    """A record of qacct as our text sends it home."""
    keys = ("hostname", "jobname", "jobnumber", "failed", "exit_status", "ru_wallclock", "ru_maxrss")
    lines = [line for line in said(name)[1].split("\n") if line.split() and line.split()[0] in keys]
    head = [] if any(line.startswith("jobname") for line in lines) else ["jobname "]
    return [f"record {re.sub(r'^jobname.*', f'jobname      {jobname}', line)}" for line in [*head, *lines]]


def test_a_job_that_went_well() -> None:
    look = told(record("qacct-done"))
    assert look == Look(Native.ended, "failed 0, exit 0", "13", "accounting", "vm")


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
    look = told(record(name))
    assert look is not None
    assert look.cause is not None
    assert (look.cause.kind, look.cause.code, look.cause.signal) == (kind, code, signal)


def test_elapsed_and_memory() -> None:
    """SGE 8.1 takes kB for bytes: `4.551KB` of a bash are 4.6 MB."""
    look = told(["record hostname vm", "record jobname dn1", "record jobnumber 13", "record failed 0",
                 "record exit_status 3", "record ru_wallclock 2.5s", "record ru_maxrss 4.551KB"])  # fmt: skip
    assert look is not None
    assert look.cause is not None
    assert (look.cause.elapsed, look.cause.maxrss, look.cause.node) == (2.5, 4772069, "vm")


def test_the_reason_of_a_job_in_error() -> None:
    lines = [f"stuck {line}" for line in said("qstat-j-Eqw")[1].split("\n") if re.match("job_n|error reason", line)]
    look = told([line.replace("ok", "dn1") for line in lines])
    assert look is not None
    assert look.cause is not None
    assert "can't open output file" in look.cause.reason


def test_no_record_is_no_answer() -> None:
    """A job deleted while execd was dead has no qacct record."""
    assert told(["error: job id 13 not found"], 1) is None
