"""What squeue really printed, read by the dialect. Tests that stand for a sentence of "What surprised" quote it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from dispatcher.core import events as ev
from dispatcher.core.errors import Unreachable
from dispatcher.core.lifecycle import Progress, State, decide
from dispatcher.core.ports import Claim, Native, Query
from dispatcher.schedulers.slurm import answers
from dispatcher.schedulers.slurm.dialect import SlurmDialect

if TYPE_CHECKING:
    from .conftest import Said

    Read = Callable[[str], Said]


#: JOB STATE CODES of squeue(1), 22.05, and what later versions added.
CODES = """
    BF BOOT_FAIL ended, CA CANCELLED ended, CD COMPLETED ended, CF CONFIGURING waiting, CG COMPLETING completing,
    DL DEADLINE ended, F FAILED ended, NF NODE_FAIL ended, OOM OUT_OF_MEMORY ended, PD PENDING waiting,
    PR PREEMPTED ended, R RUNNING running, RD RESV_DEL_HOLD waiting, RF REQUEUE_FED waiting, RH REQUEUE_HOLD waiting,
    RQ REQUEUED waiting, RS RESIZING running, RV REVOKED unknown, SI SIGNALING running, SE SPECIAL_EXIT waiting,
    SO STAGE_OUT completing, ST STOPPED waiting, S SUSPENDED waiting, TO TIMEOUT ended,
    LF LAUNCH_FAILED waiting, PO POWER_UP_NODE waiting
"""


def test_every_state_code_short_and_long() -> None:
    table = {}
    for row in CODES.split(","):
        short, long, native = row.split()
        table |= {short: Native[native], long: Native[native]}
    assert dict(answers.STATES) == table


def test_every_state_this_slurm_knows_is_in_the_table(slurm: Read) -> None:
    (names,) = re.findall(r"Valid job states include: (\S+)", slurm("bad-squeue-state").err)
    assert set(names.split(",")) <= set(answers.STATES)


def test_a_state_nobody_knows_is_no_news() -> None:
    (row,) = answers.rows("7|XX|c1|None|dn0000000001", 0)
    assert answers.observation_of([row], join=False).native is Native.unknown


def queue(slurm: Read, name: str) -> dict[str, list[tuple[str, str]]]:
    """Ids and codes by nonce."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in answers.rows(slurm(name).out, slurm(name).code):
        found.setdefault(row.name, []).append((row.id, row.code))
    return found


@pytest.mark.parametrize(
    "name",
    [
        "ctld-down-squeue", "ctld-frozen-squeue", "munged-down-squeue", "conf-missing", "conf-default-missing",
        "bad-squeue-state", "bad-squeue-id", "unknown-squeue-one",
    ],
)  # fmt: skip
def test_a_bad_answer_is_unreachable_and_says_why(slurm: Read, name: str) -> None:
    """Controller down: "Unable to contact slurm controller (connect failure)", and its like."""
    answer = slurm(name)
    last = answer.err.strip().splitlines()[0]
    with pytest.raises(Unreachable, match=re.escape(last.partition("error: ")[2][:40])):
        answers.rows(answer.all, answer.code)


def test_squeue_of_an_unknown_user_prints_an_error_but_exits_0(slurm: Read) -> None:
    """A failed user look-up looks like "no jobs"."""
    answer = slurm("squeue-bad-user")
    assert (answer.code, answer.out) == (0, "")
    with pytest.raises(Unreachable, match="Invalid user: nosuch"):
        answers.rows(answer.err, answer.code)


def test_no_jobs_is_a_good_answer(slurm: Read) -> None:
    assert answers.rows(slurm("squeue-me").out, 0) == []


def test_a_question_that_took_too_long() -> None:
    with pytest.raises(Unreachable, match="no answer in time"):
        answers.rows("", 124)


def test_squeue_is_never_asked_by_ids(slurm: Read) -> None:
    """squeue -j 999 exits 1; -j 1,999 silently omits 999; -j takes twice as long with the controller down."""
    requested = SlurmDialect().queue_lines([Query("dn0000000001", "999")])
    assert " -j" not in requested
    assert "999" not in requested
    assert slurm("unknown-squeue-list").out == "27 F\n"


def test_squeue_shows_finished_jobs_only_with_t_all(slurm: Read) -> None:
    assert " -t all " in SlurmDialect().queue_lines([])
    assert "|CD|" in slurm("own-queue-ends").out


def test_settings_of_the_user_that_would_hide_jobs_are_dropped() -> None:
    assert "SQUEUE_" in SlurmDialect().queue_lines([])


def test_irregular_lists_are_cut_at_31_characters_without_closing_bracket(slurm: Read) -> None:
    (line,) = [line for line in slurm("own-queue-mixed").out.splitlines() if "|dq3v81kx0mza-" in line]
    assert "]" not in line
    (row,) = answers.rows(line, 0)
    assert (row.id + "_", row.code, row.name) == (line[: len(row.id) + 1], "PD", "dq3v81kx0mza")


def test_array_rows_with_throttle_and_single_elements(slurm: Read) -> None:
    rows = queue(slurm, "own-queue-mixed")["da9w7hn42kfc"]
    assert {code for _, code in rows} >= {"PD", "R"}
    assert len({job for job, _ in rows}) == 1


@pytest.mark.parametrize(
    ("listed", "native"),
    [
        ("9_[3-5,7%3]|PD||Resources|dx", Native.waiting),
        ("9_[3-5,7%3]|PD||Resources|dx 9_1|R|c1|None|dx 9_0|CD|c1|None|dx", Native.running),
        ("9_[3-5,7%3]|PD||Resources|dx 9_0|CD|c1|None|dx", Native.waiting),
        ("9_1|CG|c1|None|dx 9_0|CD|c1|None|dx", Native.completing),
        ("9_1|F|c1|NonZeroExitCode|dx 9_0|CD|c1|None|dx", Native.ended),
        ("9_1|XX|c1|None|dx 9_0|CD|c1|None|dx", Native.unknown),
    ],
)
def test_elements_together_are_one_job(listed: str, native: Native) -> None:
    observation = answers.observation_of(answers.rows(listed.replace(" ", "\n"), 0), join=True)
    assert (observation.native, observation.id) == (native, "9")


def test_the_last_element_keeps_the_base_id(slurm: Read) -> None:
    """`%i` shows 60_10 for it, although its own id is 60: rows go by what stands before the underscore."""
    lines = slurm("array-done").out.replace("|60|", "|").splitlines()
    assert lines[0].startswith("60_10|")
    assert answers.rows("60_10|CD|c1|None|dx", 0)[0].id == "60"


def test_het_jobs_have_a_plus_in_their_ids(slurm: Read) -> None:
    rows = answers.rows(slurm("own-queue-mixed").out, 0)
    parts = [row for row in rows if row.name == "dhet00000001"]
    assert len(parts) == 2
    assert len({row.id for row in parts}) == 1


def test_separators_in_names_are_not_escaped(slurm: Read) -> None:
    """Ours hold none; those of other jobs cannot spoil a line, because the name comes last."""
    assert "|a b|c,d" in slurm("own-queue-mixed").out
    assert "a b|c,d" in queue(slurm, "own-queue-mixed")


@pytest.mark.parametrize(
    ("nonce", "reason"),
    [("dlim00000001", "PartitionTimeLimit"), ("dbig00000001", "PartitionNodeLimit"), ("dbad00000001", "JobHeldUser")],
)
def test_accepted_and_then_pending_for_ever_shows_the_reason(slurm: Read, nonce: str, reason: str) -> None:
    """Time above the partition limit, too many nodes or CPUs, partition DOWN."""
    rows = [row for row in answers.rows(slurm("own-queue-mixed").out, 0) if row.name == nonce]
    observation = answers.observation_of(rows, join=False)
    assert observation.code == f"PD {reason}"
    assert f"waits for {reason}" in observation.hint


@pytest.mark.parametrize("reason", ["Resources", "Priority", "BeginTime", "Licenses", "None", "JobArrayTaskLimit"])
def test_what_passes_by_itself_is_no_hint(reason: str) -> None:
    assert answers.observation_of(answers.rows(f"9|PD||{reason}|dx", 0), join=False).hint == ""


@pytest.mark.parametrize(
    "reason",
    [
        "PartitionDown", "PartitionConfig", "BadConstraints", "QOSMaxWallDurationPerJobLimit", "JobHeldAdmin",
        "launch failed requeued held", "job requeued in held state", "DependencyNeverSatisfied", "InvalidQOS",
    ],
)  # fmt: skip
def test_what_does_not_pass_is_a_hint(reason: str) -> None:
    assert answers.observation_of(answers.rows(f"9|PD||{reason}|dx", 0), join=False).hint


@pytest.mark.parametrize(
    ("nonce", "kind", "reason"),
    [
        ("df3000000001", "scheduler", "NonZeroExitCode"),
        ("dk9000000001", "scheduler", "JobLaunchFailure"),
        ("dbo000000001", "scheduler", "JobLaunchFailure"),
    ],
)
def test_queue_alone_tells_a_cause(slurm: Read, nonce: str, kind: str, reason: str) -> None:
    rows = [row for row in answers.rows(slurm("own-queue-ends").out, 0) if row.name == nonce]
    cause = answers.observation_of(rows, join=False).cause
    assert cause is not None
    assert (cause.kind, cause.reason, cause.source) == (kind, reason, "queue")


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("2|CG|c1|OutOfMemory|dx", "memory"),
        ("2|OOM|c1|OutOfMemory|dx", "memory"),
        ("2|CG|c1|TimeLimit|dx", "timeout"),
        ("2|DL||DeadLine|dx", "timeout"),
        ("2|NF|c1|NodeDown|dx", "node"),
        ("2|BF|c1|None|dx", "node"),
        ("2|PR|c1|None|dx", "preempted"),
        ("2|CA||None|dx", "scheduler"),
        ("2|CD|c1|None|dx", ""),
        ("2|CG|c1|None|dx", ""),
    ],
)
def test_kinds_of_causes(line: str, kind: str) -> None:
    cause = answers.observation_of(answers.rows(line, 0), join=False).cause
    assert (cause.kind if cause else "") == kind


def test_oom_is_reported_even_when_the_script_exits_0(slurm: Read) -> None:
    """The marker says that every task ended well: then it did, whatever was killed meanwhile."""
    assert re.search("OUT_OF_MEMORY", slurm("life-oom-exit0").text)
    progress = Progress("j", 1, State.running, attempt=1, nonce="dx", id="2")
    observation = answers.observation_of(answers.rows("2|OOM|c1|OutOfMemory|dx", 0), join=False)
    marked = structs.replace(observation, claim=Claim("2", tasks=((0, 0, 1.0),), ended=0))
    assert isinstance(decide(progress, marked, gone=False), ev.Finished)


def test_requeue_returns_to_pd_under_the_same_id(slurm: Read) -> None:
    """So do preemption and NODE_FAIL; and a FAILED job can become PENDING by scontrol requeue."""
    rows = [row for row in answers.rows(slurm("own-queue-ends").out, 0) if row.name == "drq000000001"]
    assert answers.observation_of(rows, join=False).native is Native.waiting
    for name in ("life-requeued", "life-preempted-requeue", "life-requeue-finished", "ctld-restarted"):
        assert re.search(r"\d+ PD ", slurm(name).out or slurm(f"{name}").text)


def test_ids_are_cancelled_only_together_with_their_names() -> None:
    """scancel of an unknown id is silent; of one that was given to another job, it would hit that."""
    text = SlurmDialect().kill_lines([Query("dmine", "87")])
    assert "87" not in text
    assert "|dmine" in text
