"""LSF and JH_UniScheduler, by their documentation (IBM Spectrum LSF 10.1 command and administration reference)."""

from __future__ import annotations

import pytest

from dispatcher.core.errors import Unreachable
from dispatcher.core.ports import Accepted, Deferral, Native, Observation, Observations, Place, Query, Rejection, Reply
from dispatcher.schedulers.lsf.dialect import LSFDialect, histories
from dispatcher.schedulers.lsf.jh_unischeduler import JHUniSchedulerDialect

PLACE = Place("/local", "/R", "/R/.dispatcher/s/jobs")
STATES = {
    "PEND": "waiting", "PROV": "waiting", "PSUSP": "waiting", "WAIT": "waiting", "FWD_PEND": "waiting",
    "USUSP": "waiting", "SSUSP": "waiting", "RUN": "running", "DONE": "ended", "EXIT": "ended", "POST_DONE": "ended",
    "POST_ERR": "ended", "UNKWN": "unknown", "ZOMBI": "ended",
}  # fmt: skip


@pytest.mark.parametrize("dialect", [LSFDialect, JHUniSchedulerDialect])
def test_every_state_is_in_the_table(dialect: type[LSFDialect]) -> None:
    """W25: LSF SSUSP, UNKWN, ZOMBI, PROV."""
    assert {code: native.value for code, native in dialect.STATES.items()} == STATES


def test_a_state_nobody_knows_is_no_news() -> None:
    assert LSFDialect().observation_of(LSFDialect().rows("7|NEW|dn1|-|-", 0)).native is Native.unknown


# -- the queue ----------------------------------------------------------------------------------------------------

LISTED = """\
4211|RUN|dq3v81kx0mza-relax|4*hostA:4*hostB|-
4212|PEND|dq3v81kx0mzb|-|New job is waiting for scheduling;
4213|PSUSP|dq3v81kx0mzc|-|The job was suspended by the user while pending;
77|RUN|somebody's|hostC|-
"""


def test_the_queue() -> None:
    rows = LSFDialect().rows(LISTED, 0)
    assert [(row.id, row.name, row.node) for row in rows[:2]] == [
        ("4211", "dq3v81kx0mza", "hostA"),
        ("4212", "dq3v81kx0mzb", ""),
    ]
    waiting = LSFDialect().observation_of(rows[1:2])
    assert (waiting.native, waiting.code, waiting.hint) == (
        Native.waiting, "PEND New job is waiting for scheduling;", "",
    )  # fmt: skip
    assert "will not start by itself" in LSFDialect().observation_of(rows[2:3]).hint


@pytest.mark.parametrize("text", ["No job found", "No unfinished job found", "No matching job found"])
def test_no_job_is_an_answer(text: str) -> None:
    assert LSFDialect().rows(text, 255) == []


@pytest.mark.parametrize(
    "text",
    [
        "LSF is down. Please wait ...",
        "batch system daemon not responding ... still trying",
        "",
        "Cannot connect to LSF.",
    ],
)
def test_no_good_answer_is_unreachable(text: str) -> None:
    with pytest.raises(Unreachable):
        LSFDialect().rows(text, 255)


def test_fields_without_a_width_because_names_would_lose_their_beginning() -> None:
    text = LSFDialect().observe([Query("dn1", "1")], PLACE).text
    assert "-o \"$1 delimiter='|'\"" in text
    assert "dsp_list 'jobid stat job_name exec_host pend_reason'" in text
    assert 'bjobs -a -u "$dsp_user"' in text


def test_jh_prints_a_header_line() -> None:
    rows = JHUniSchedulerDialect().rows("JOBID|STAT|JOB_NAME|EXEC_HOST\n12|RUN|dn1-x|host1\n", 0)
    assert [(row.id, row.name, row.code, row.node) for row in rows] == [("12", "dn1", "RUN", "host1")]


# -- submitting ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dialect", "out"),
    [
        (LSFDialect, "Job <4211> is submitted to queue <normal>.\n"),
        (LSFDialect, "INFO: 17 jobs of yours <99> wait\nJob <4211> is submitted to default queue <normal>.\n"),
        (JHUniSchedulerDialect, "Job <4211> has been submitted to queue <normal>.\n"),
    ],
)
def test_accepted_with_a_banner_or_without(dialect: type[LSFDialect], out: str) -> None:
    """W29: the first line of submit output is trusted: site banners break the id (issue 200)."""
    assert dialect()._answer("0", out, "") == Accepted("4211")


@pytest.mark.parametrize(
    "text",
    [
        "nosuch: No such queue. Job not submitted.",
        "Bad resource requirement syntax. Job not submitted.",
        "User cannot use the queue. Job not submitted.",
        "Request aborted by esub. Job not submitted.",
        "RUNLIMIT: Cannot exceed queue's hard limit(s). Job not submitted.",
    ],
)
def test_never(text: str) -> None:
    assert isinstance(LSFDialect().refusal("255", text), Rejection)


@pytest.mark.parametrize(
    "text",
    [
        "User's pending job threshold reached. Job not submitted.",
        "Pending job threshold reached. Retrying in 60 seconds...",
        "LSF is down. Please wait ...",
        "Queue is closed. Job not submitted.",
    ],
)
def test_not_now(text: str) -> None:
    assert isinstance(LSFDialect().refusal("255", text), Deferral)


@pytest.mark.parametrize(
    ("code", "text"), [("124", "batch daemon not responding"), ("255", "Connection reset by peer")]
)
def test_the_outcome_is_open(code: str, text: str) -> None:
    assert LSFDialect().refusal(code, text) is None


# -- accounting ---------------------------------------------------------------------------------------------------


def accounted(dialect: LSFDialect, text: str, code: int = 0) -> Observations:
    lines = "\n".join(f"@@dn1 account {line}" for line in text.split("\n"))
    reply = Reply(0, f"@@dn1 account-code {code}\n{lines}\n@@dn1 done\n")
    return dialect.accounted(reply, [Query("dn1", "4211")])


@pytest.mark.parametrize(
    ("code", "reason", "kind", "signal"),
    [
        ("130", "TERM_OWNER: job killed by owner", "scheduler", 2),
        ("140", "TERM_RUNLIMIT: job killed after reaching LSF run time limit", "timeout", 12),
        ("137", "TERM_MEMLIMIT: job killed after reaching LSF memory usage limit", "memory", 9),
        ("130", "TERM_PREEMPT: job killed after preemption", "preempted", 2),
        ("143", "TERM_ZOMBIE: job exited while LSF is not available", "node", 15),
        ("3", "-", "scheduler", None),
    ],
)
def test_causes(code: str, reason: str, kind: str, signal: int | None) -> None:
    text = f"4211|EXIT|dn1-relax|4*hostA|{code}|{reason}|120 second(s)|1.5 Gbytes"
    cause = accounted(LSFDialect(), text).jobs["dn1"].cause
    assert cause is not None
    assert (cause.kind, cause.signal, cause.node, cause.elapsed) == (kind, signal, "hostA", 120.0)
    assert cause.maxrss == 3 << 29


def test_went_well_and_is_listed_still() -> None:
    assert accounted(LSFDialect(), "4211|DONE|dn1|hostA|-|-|1 second(s)|-").jobs["dn1"].cause is None


def test_jh_tells_an_exit_code_only() -> None:
    cause = accounted(JHUniSchedulerDialect(), "JOBID|STAT\n4211|EXIT|dn1|host1|3").jobs["dn1"].cause
    assert cause is not None
    assert (cause.kind, cause.code, cause.node) == ("scheduler", 3, "host1")


HISTORY = """
Job <4211>, Job Name <dn1-relax>, User <jane>, Project <default>, Command <#!/bi
                     n/bash -l>
Sun Nov 22 10:00:00: Submitted from host <hostA>, to Queue <normal>;
Sun Nov 22 10:00:01: Started on <hostB>;
Sun Nov 22 11:00:01: Exited with exit code 140. The CPU time used is 62.0 secon
                     ds; Completed <exit>; TERM_RUNLIMIT: job killed after reaching LSF run time li
                     mit;
Job <4212>, Job Name <dn2>, User <jane>, Project <default>
Sun Nov 22 10:00:03: Exited by signal 9. The CPU time used is 0.1 seconds;
Sun Nov 22 10:00:09: Done successfully. The CPU time used is 0.1 seconds;
"""


def test_history_of_what_bjobs_has_forgotten() -> None:
    observations = accounted(LSFDialect(), f"No job found{HISTORY}", 255)
    cause = observations.jobs["dn1"].cause
    assert cause is not None
    assert (cause.kind, cause.signal, cause.native) == ("timeout", 12, "TERM_RUNLIMIT")
    assert observations.trouble == ""


def test_the_last_end_of_a_requeued_job_counts() -> None:
    assert histories(HISTORY)["dn2"] == Observation(Native.ended, "DONE", "4212", "accounting")


def test_an_id_with_another_name_is_another_job() -> None:
    assert accounted(LSFDialect(), "4211|EXIT|other|hostA|1|-|1 second(s)|-").jobs == {}
