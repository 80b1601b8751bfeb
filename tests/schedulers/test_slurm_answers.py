"""What Slurm really printed, read by the dialect. Tests named after a sentence of "What surprised" say so."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from dispatcher.errors import Unreachable
from dispatcher.ports import Accepted, Later, Native, Never, Watch
from dispatcher.schedulers import slurm_answers as answers
from dispatcher.schedulers.slurm import Slurm

TRANSCRIPTS = Path(__file__).parents[2] / "fixtures" / "transcripts" / "slurm"


class Said(NamedTuple):
    """One transcript."""

    code: int
    out: str
    err: str


def said(name: str) -> Said:
    text = (TRANSCRIPTS / f"{name}.txt").read_text()
    code = re.search(r"^# exit: (\d+)$", text, re.MULTILINE)
    _, _, rest = text.partition("# stdout:\n")
    out, _, err = rest.partition("# stderr:\n")
    return Said(int(code[1]) if code else 0, out, err)


# -- states -----------------------------------------------------------------------------------------------------

#: JOB STATE CODES of squeue(1), 22.05, and what later versions added.
CODES = """
    BF BOOT_FAIL ended, CA CANCELLED ended, CD COMPLETED ended, CF CONFIGURING waiting, CG COMPLETING completing,
    DL DEADLINE ended, F FAILED ended, NF NODE_FAIL ended, OOM OUT_OF_MEMORY ended, PD PENDING waiting,
    PR PREEMPTED ended, R RUNNING running, RD RESV_DEL_HOLD waiting, RF REQUEUE_FED waiting, RH REQUEUE_HOLD waiting,
    RQ REQUEUED waiting, RS RESIZING running, RV REVOKED ended, SI SIGNALING running, SE SPECIAL_EXIT waiting,
    SO STAGE_OUT completing, ST STOPPED waiting, S SUSPENDED waiting, TO TIMEOUT ended,
    LF LAUNCH_FAILED waiting, PO POWER_UP_NODE waiting
"""


def test_every_state_code_short_and_long() -> None:
    table = {}
    for row in CODES.split(","):
        short, long, native = row.split()
        table |= {short: Native[native], long: Native[native]}
    assert dict(answers.STATES) == table


def test_every_state_this_slurm_knows_is_in_the_table() -> None:
    (names,) = re.findall(r"Valid job states include: (\S+)", said("bad-squeue-state").err)
    assert set(names.split(",")) <= set(answers.STATES)


def test_a_state_nobody_knows_is_no_news() -> None:
    (row,) = answers.rows("7|XX|c1|None|dn0000000001", 0)
    assert answers.standing([row], join=False).native is Native.unknown


# -- squeue -----------------------------------------------------------------------------------------------------


def queue(name: str) -> dict[str, list[tuple[str, str]]]:
    """Ids and codes by nonce."""
    found: dict[str, list[tuple[str, str]]] = {}
    for row in answers.rows(said(name).out, said(name).code):
        found.setdefault(row.name, []).append((row.id, row.code))
    return found


@pytest.mark.parametrize(
    "name",
    [
        "ctld-down-squeue", "ctld-frozen-squeue", "munged-down-squeue", "conf-missing", "conf-default-missing",
        "bad-squeue-state", "bad-squeue-id", "unknown-squeue-one",
    ],
)  # fmt: skip
def test_a_bad_answer_is_unreachable_and_says_why(name: str) -> None:
    """Controller down: "Unable to contact slurm controller (connect failure)", and its like."""
    answer = said(name)
    last = answer.err.strip().splitlines()[0]
    with pytest.raises(Unreachable, match=re.escape(last.partition("error: ")[2][:40])):
        answers.rows(answer.out + answer.err, answer.code)


def test_squeue_of_an_unknown_user_prints_an_error_but_exits_0() -> None:
    """A failed user look-up looks like "no jobs"."""
    answer = said("squeue-bad-user")
    assert (answer.code, answer.out) == (0, "")
    with pytest.raises(Unreachable, match="Invalid user: nosuch"):
        answers.rows(answer.err, answer.code)


def test_no_jobs_is_a_good_answer() -> None:
    assert answers.rows(said("squeue-me").out, 0) == []


def test_a_question_that_took_too_long() -> None:
    with pytest.raises(Unreachable, match="no answer in time"):
        answers.rows("", 124)


def test_squeue_is_never_asked_by_ids() -> None:
    """squeue -j 999 exits 1; -j 1,999 silently omits 999; -j takes twice as long with the controller down."""
    asked = Slurm().queue_lines([Watch("dn0000000001", "999")])
    assert " -j" not in asked
    assert "999" not in asked
    assert said("unknown-squeue-list").out == "27 F\n"


def test_squeue_shows_finished_jobs_only_with_t_all() -> None:
    assert " -t all " in Slurm().queue_lines([])
    assert "|CD|" in said("own-queue-ends").out


def test_settings_of_the_user_that_would_hide_jobs_are_dropped() -> None:
    assert "SQUEUE_" in Slurm().queue_lines([])


def test_irregular_lists_are_cut_at_31_characters_without_closing_bracket() -> None:
    (line,) = [line for line in said("own-queue-mixed").out.splitlines() if "|dq3v81kx0mza-" in line]
    assert "]" not in line
    (row,) = answers.rows(line, 0)
    assert (row.id + "_", row.code, row.name) == (line[: len(row.id) + 1], "PD", "dq3v81kx0mza")


def test_array_rows_with_throttle_and_single_elements() -> None:
    rows = queue("own-queue-mixed")["da9w7hn42kfc"]
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
    look = answers.standing(answers.rows(listed.replace(" ", "\n"), 0), join=True)
    assert (look.native, look.id) == (native, "9")


def test_the_last_element_keeps_the_base_id() -> None:
    """`%i` shows 60_10 for it, although its own id is 60: rows go by what stands before the underscore."""
    lines = said("array-done").out.replace("|60|", "|").splitlines()
    assert lines[0].startswith("60_10|")
    assert answers.rows("60_10|CD|c1|None|dx", 0)[0].id == "60"


def test_het_jobs_have_a_plus_in_their_ids() -> None:
    rows = answers.rows(said("own-queue-mixed").out, 0)
    parts = [row for row in rows if row.name == "dhet00000001"]
    assert len(parts) == 2
    assert len({row.id for row in parts}) == 1


def test_separators_in_names_are_not_escaped() -> None:
    """Ours hold none; those of other jobs cannot spoil a line, because the name comes last."""
    assert "|a b|c,d" in said("own-queue-mixed").out
    assert "a b|c,d" in queue("own-queue-mixed")


@pytest.mark.parametrize(
    ("nonce", "reason"),
    [("dlim00000001", "PartitionTimeLimit"), ("dbig00000001", "PartitionNodeLimit"), ("dbad00000001", "JobHeldUser")],
)
def test_accepted_and_then_pending_for_ever_shows_the_reason(nonce: str, reason: str) -> None:
    """Time above the partition limit, too many nodes or CPUs, partition DOWN."""
    rows = [row for row in answers.rows(said("own-queue-mixed").out, 0) if row.name == nonce]
    look = answers.standing(rows, join=False)
    assert look.code == f"PD {reason}"
    assert f"waits for {reason}" in look.hint


@pytest.mark.parametrize("reason", ["Resources", "Priority", "BeginTime", "Licenses", "None", "JobArrayTaskLimit"])
def test_what_passes_by_itself_is_no_hint(reason: str) -> None:
    assert answers.standing(answers.rows(f"9|PD||{reason}|dx", 0), join=False).hint == ""


@pytest.mark.parametrize(
    "reason",
    [
        "PartitionDown", "PartitionConfig", "BadConstraints", "QOSMaxWallDurationPerJobLimit", "JobHeldAdmin",
        "launch failed requeued held", "job requeued in held state", "DependencyNeverSatisfied", "InvalidQOS",
    ],
)  # fmt: skip
def test_what_does_not_pass_is_a_hint(reason: str) -> None:
    assert answers.standing(answers.rows(f"9|PD||{reason}|dx", 0), join=False).hint


@pytest.mark.parametrize(
    ("nonce", "kind", "reason"),
    [
        ("df3000000001", "scheduler", "NonZeroExitCode"),
        ("dk9000000001", "scheduler", "JobLaunchFailure"),
        ("dbo000000001", "scheduler", "JobLaunchFailure"),
    ],
)
def test_queue_alone_tells_a_cause(nonce: str, kind: str, reason: str) -> None:
    rows = [row for row in answers.rows(said("own-queue-ends").out, 0) if row.name == nonce]
    cause = answers.standing(rows, join=False).cause
    assert cause is not None
    assert (cause.kind, cause.reason, cause.source) == (kind, reason, "queue")


def test_requeue_returns_to_pd_under_the_same_id() -> None:
    """So do preemption and NODE_FAIL; and a FAILED job can become PENDING by scontrol requeue."""
    rows = [row for row in answers.rows(said("own-queue-ends").out, 0) if row.name == "drq000000001"]
    assert answers.standing(rows, join=False).native is Native.waiting
    for name in ("life-requeued", "life-preempted-requeue", "life-requeue-finished", "ctld-restarted"):
        assert re.search(r"\d+ PD ", said(name).out or (TRANSCRIPTS / f"{name}.txt").read_text())


# -- sacct ------------------------------------------------------------------------------------------------------


def ids_of(name: str) -> dict[str, str]:
    """Native id by nonce, from the names in a transcript of ours."""
    lines = (line.split("|", 7) for line in said(name).out.splitlines())
    return {answers.nonce_of(line[7]): re.split(r"\D", line[0])[0] for line in lines if "." not in line[0]}


def told(name: str, nonce: str) -> answers.Look | None:
    return answers.told(Watch(nonce, ids_of(name).get(nonce, "")), answers.lives(said(name).out))


@pytest.mark.parametrize(
    ("transcript", "nonce", "kind", "code", "signal"),
    [
        ("own-account-ends", "df3000000001", "scheduler", 3, None),
        ("own-account-ends", "dk9000000001", "scheduler", None, 9),
        ("own-account-ends", "dbo000000001", "scheduler", None, 53),
        ("own-account-limits", "dto000000001", "timeout", None, None),
        ("own-account-limits", "dnf000000001", "node", None, None),
        ("own-account-cancelled", "dm27cfx0ak4p", "scheduler", None, None),
        ("own-account-cancelled", "da9w7hn42kfc", "scheduler", None, None),
    ],
)
def test_cause_from_the_accounting(
    transcript: str, nonce: str, kind: str, code: int | None, signal: int | None
) -> None:
    look = told(transcript, nonce)
    assert look is not None
    assert look.native is Native.ended
    cause = look.cause
    assert cause is not None
    assert (cause.kind, cause.source) == (kind, "accounting")
    if nonce != "da9w7hn42kfc":
        assert (cause.code, cause.signal) == (code, signal)


def test_cancelled_by_whom() -> None:
    look = told("own-account-cancelled", "dm27cfx0ak4p")
    assert look is not None
    assert look.cause is not None
    assert look.cause.reason == "cancelled by uid 0, not by the dispatcher"
    assert look.cause.elapsed is not None
    assert look.cause.node


def test_elements_that_did_not_complete_are_named() -> None:
    look = told("own-account-cancelled", "da9w7hn42kfc")
    assert look is not None
    assert look.cause is not None
    assert re.search(r"CANCELLED by 0: \d+_", look.cause.reason)


def test_a_bad_log_path_is_0_53() -> None:
    """A bad -o or --chdir: 0:53."""
    look = told("own-account-ends", "dbo000000001")
    assert look is not None
    assert look.cause is not None
    assert "could not be started" in look.cause.reason


def test_completed_without_a_marker_has_no_cause() -> None:
    look = told("own-account-ends", "dok000000001")
    assert look is not None
    assert (look.native, look.cause) == (Native.ended, None)


def test_with_d_every_life_is_listed_and_the_last_one_counts() -> None:
    """sacct without -D shows only the last life."""
    assert re.search(r"^18\|REQUEUED(?s:.*)^18\|PENDING", said("own-account-ends").out, re.M)
    look = told("own-account-ends", "drq000000001")
    assert look is not None
    assert look.native is Native.waiting


def test_sacct_can_say_pending_while_the_job_runs() -> None:
    look = answers.told(Watch("dx", "30"), answers.lives("30|PENDING|0:0|0:0|0||None assigned|dx"))
    assert look is not None
    assert look.native is Native.waiting


def test_an_empty_answer_is_no_answer() -> None:
    """sacct is empty right after sbatch, for unknown ids, and trails by seconds after bursts; exit 0 each time."""
    assert said("unknown-sacct") == Said(0, "", "")
    assert answers.told(Watch("dx", "999999"), answers.lives("")) is None


def test_for_seconds_the_name_may_read_allocation() -> None:
    line = "16|FAILED|3:0|0:0|0||c1|allocation"
    assert "16|allocation|FAILED|3:0" in (TRANSCRIPTS / "sacct-provisional.txt").read_text()
    look = answers.told(Watch("dshorty", "16"), answers.lives(line))
    assert look is not None
    assert look.native is Native.completing


def test_an_id_with_another_name_is_another_job() -> None:
    """slurmctld killed within seconds of sbatch: its id is given to the next job."""
    assert "87|other|RUNNING" in said("ctld-crash-reused").out
    assert answers.told(Watch("dmine", "87"), answers.lives("87|RUNNING|0:0|0:0|5||c1|other")) is None


def test_found_by_name_when_the_id_is_not_known() -> None:
    known = answers.lives("87|RUNNING|0:0|0:0|5||c1|other\n88|CANCELLED by 0|0:0|0:0|0||None assigned|dmine-x")
    look = answers.told(Watch("dmine", ""), known)
    assert look is not None
    assert (look.id, look.how, look.native) == ("88", "accounting", Native.ended)


@pytest.mark.parametrize("state", ["CANCELLED by 1001", "CANCELLED+", "CANCELLED"])
def test_cancelled_with_whom_or_cut_at_default_width(state: str) -> None:
    (life,) = answers.lives(f"32|{state}|0:0|0:0|1||c1|dx")
    assert life.native is Native.ended


def test_after_an_outage_of_slurmdbd_the_exit_code_may_be_wrong() -> None:
    """FAILED|0:0, later corrected to 3:0: no code is better than a wrong one, and the marker knows the right one."""
    assert "92|FAILED|0:0" in said("dbd-back-sacct").out
    (life,) = answers.lives("92|FAILED|0:0|0:0|1||c1|dx")
    cause = answers.explained(life)
    assert cause is not None
    assert (cause.kind, cause.code, cause.signal) == ("scheduler", None, None)


def test_largest_maxrss_of_the_steps() -> None:
    text = (
        "7|OUT_OF_MEMORY|0:125|0:0|9||c1|dx\n7.batch|OUT_OF_MEMORY|0:125||9|61000K|c1|batch\n7.0|FAILED|1:0||9|2M|c1|x"
    )
    (life,) = answers.lives(text)
    cause = answers.explained(life)
    assert cause is not None
    assert (cause.kind, cause.maxrss, cause.elapsed) == ("memory", 61000 * 1024, 9.0)


@pytest.mark.parametrize("name", ["noacct-sacct", "dbd-down-sacct", "dbd-frozen-sacct", "ctld-down-sacct"])
def test_no_accounting_is_said(name: str) -> None:
    answer = said(name)
    assert answers.complaint(answer.out + answer.err, answer.code)


# -- sbatch -----------------------------------------------------------------------------------------------------


def answered(name: str) -> object:
    answer = said(name)
    return Slurm()._answer(str(answer.code), answer.out, answer.err)


@pytest.mark.parametrize(
    ("name", "id_"),
    [
        ("sbatch-ok", "1"), ("sbatch-parsable", "2"), ("err-sbatch-timelimit", "10"),
        # -d afterok:<unknown> is accepted and runs
        ("err-sbatch-bad-dependency", "16"), ("err-sbatch-partition-down", "9"), ("err-sbatch-too-many-nodes", "11"),
        ("dbd-down-sbatch", "91"),
    ],
)  # fmt: skip
def test_accepted(name: str, id_: str) -> None:
    assert answered(name) == Accepted(id_)


@pytest.mark.parametrize(
    "out",
    [
        "*** Welcome to node 7 ***\nmaintenance on 24.12.\n4211\n",
        "4211;cluster2\n",
        "sbatch: info\n\n  4211  \n",
        "Submitted batch job 4211\n",
    ],
)
def test_a_banner_before_the_id(out: str) -> None:
    assert Slurm()._answer("0", out, "") == Accepted("4211")


def test_accepted_without_an_id_is_looked_for() -> None:
    assert answered("sbatch-stdin-quiet") is None


@pytest.mark.parametrize(
    "name",
    [
        "err-sbatch-bad-account", "err-sbatch-bad-feature", "err-sbatch-bad-gres", "err-sbatch-bad-license",
        "err-sbatch-bad-nodelist", "err-sbatch-bad-option", "err-sbatch-bad-partition", "err-sbatch-bad-qos",
        "err-sbatch-bad-reservation", "err-sbatch-bad-time", "err-sbatch-dependency-syntax", "err-sbatch-dos",
        "err-sbatch-empty", "err-sbatch-missing-script", "err-sbatch-no-shebang", "err-sbatch-partition-denied",
        "err-sbatch-too-many-gpus", "err-sbatch-too-much-mem", "err-sbatch-array-too-big", "err-sbatch-array-syntax",
        "err-sbatch-user-unknown-to-accounting", "own-sbatch-tight-time", "own-sbatch-tight-cpus",
        "own-sbatch-script-too-big", "own-sbatch-not-found",
    ],
)  # fmt: skip
def test_refused_for_good(name: str) -> None:
    answer = answered(name)
    assert isinstance(answer, Never)
    assert answer.why.strip() == said(name).err.strip()


@pytest.mark.parametrize("name", ["maxjobcount-full", "munged-down-sbatch", "conf-default-missing", "conf-missing"])
def test_not_now(name: str) -> None:
    """MaxJobCount: sbatch retries by itself for 120 s, then "Resource temporarily unavailable"."""
    answer = said(name)
    assert isinstance(Slurm()._answer("1", answer.out, answer.err.replace("squeue:", "sbatch:")), Later)


def test_a_limit_on_submitted_jobs_passes() -> None:
    text = said("err-sbatch-qos-submit-limit").err
    assert "QOSMaxSubmitJobPerUserLimit" in text
    assert isinstance(answers.refusal("1", text), Later)
    assert isinstance(answers.refusal("1", text.splitlines()[1]), Later)  # old versions do not name the limit


def test_sbatch_cut_short_while_the_controller_is_full() -> None:
    line = "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying"
    assert line in said("maxjobcount").err
    assert isinstance(answers.refusal("124", line), Later)


@pytest.mark.parametrize("name", ["ctld-frozen-sbatch", "ctld-down-sbatch"])
def test_the_outcome_is_open(name: str) -> None:
    """Frozen slurmctld: sbatch says "Socket timed out on send/recv operation" but the job is accepted afterwards."""
    assert answered(name) is None


@pytest.mark.parametrize(
    "why", ["Zero Bytes were transmitted or received", "Unexpected message received", "Connection reset by peer"]
)
def test_the_outcome_is_open_too(why: str) -> None:
    assert answers.refusal("1", f"sbatch: error: Batch job submission failed: {why}") is None


def test_killed_without_a_word_is_open() -> None:
    assert answers.refusal("124", "") is None
    assert answers.refusal("137", "Killed") is None


# -- scancel ----------------------------------------------------------------------------------------------------


def test_ids_are_cancelled_only_together_with_their_names() -> None:
    """scancel of an unknown id is silent; of one that was given to another job, it would hit that."""
    text = Slurm().kill_lines([Watch("dmine", "87")])
    assert "87" not in text
    assert "|dmine" in text
