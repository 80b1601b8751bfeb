"""What a real OpenPBS and a real Torque printed, read by the dialects.

Each line of "What a dispatcher must handle" (fixtures/transcripts/openpbs/README.txt) has a test that quotes it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from dispatcher.core.errors import Unreachable
from dispatcher.core.model import ResourcesSpec
from dispatcher.core.ports import Native, Observation, Place, Query, Reply
from dispatcher.schedulers.pbs import answers
from dispatcher.schedulers.pbs.dialect import PBSDialect
from dispatcher.schedulers.pbs.refusals import REFUSALS
from dispatcher.schedulers.pbs.torque import TorqueDialect
from dispatcher.schedulers.restarts import RESTARTS

TRANSCRIPTS = Path(__file__).parents[2] / "fixtures" / "transcripts"
PLACE = Place("/local", "/R", "/R/.dispatcher/s/jobs")


class Said(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err


def said(name: str, command: str, nth: int = 0) -> Said:
    """The nth answer to a command in a transcript: `$ command`, `[exit N; …]`, both outputs."""
    text = (TRANSCRIPTS / f"{name}.txt").read_text()
    blocks = [block for block in re.split(r"^\$ ", text, flags=re.M)[1:] if block.split("\n")[0] == command]
    found = re.match(r".*\n\[exit (\d+).*?\]\n--- stdout\n(.*?)--- stderr\n(.*)", blocks[nth], re.S)
    assert found, (name, command)
    return Said(int(found[1]), found[2], re.split(r"^## ", found[3], flags=re.M)[0])


def jobs(answer: Said) -> dict[str, answers.Record]:
    return answers.records(answer.out)


def cause(answer: Said) -> answers.Cause:
    (job,) = jobs(answer).values()
    found = answers.accounted_cause(job)
    assert found is not None
    return found


# -- states -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "native"),
    [
        *zip("QHWTSU", [Native.waiting] * 6, strict=True), ("R", Native.running), ("B", Native.running),
        ("E", Native.completing), ("F", Native.ended), ("C", Native.ended), ("X", Native.ended), ("M", Native.unknown),
    ],
)  # fmt: skip
def test_every_state_is_in_the_table(code: str, native: Native) -> None:
    assert answers.STATES[code] is native
    assert len(answers.STATES) == 13


def test_a_state_nobody_knows_is_no_news() -> None:
    assert answers.observation_of([answers.QueueRow("7.host", "dn1", "Z")]).native is Native.unknown


# -- the queue ----------------------------------------------------------------------------------------------------


def test_the_queue_of_a_user() -> None:
    """A unique -N finds a ghost: here `ghost` was made by a qsub that had been killed."""
    answer = said("openpbs/29-interrupted", "qstat -u pbsuser")
    assert answers.rows(answer.all, answer.code, "PBS") == [answers.QueueRow("6015.pbshost", "ghost", "Q")]


def test_a_ghost_that_turns_up_is_found_by_its_nonce() -> None:
    """A qsub killed by time-out while the server hung still created the job later: a ghost."""
    assert said("openpbs/29-interrupted", "qsub -N ghost -q stoppedq true.sh").code == 124
    assert REFUSALS.judged("124", "") is None
    line = "6015.pbshost    pbsuser  stoppedq dq3v81kx0mza-re  --    1   1    --    --  Q   -- "
    (row,) = answers.rows(line, 0, "PBS")
    assert (row.id, row.name) == ("6015.pbshost", "dq3v81kx0mza")


def test_the_wide_form_and_the_comment_below_a_job() -> None:
    text = (
        "                                                                                               Req'd  Req'd\n"
        "Job ID                         Username        Queue           Jobname         SessID   NDS  TSK   Mem\n"
        "------------------------------ --------------- --------------- --------------- -------- ---- ----- ------\n"
        "104.pbshost                    pbsuser         workq           dq3v81kx0mza-re       --    1    64   --    "
        "--  Q  --\n   Can Never Run: Insufficient amount of resource: ncpus (R: 64 A: 4 T: 4)\n"
        "105.pbshost                    pbsuser         workq           dq3v81kx0mzb        2211    1     1   --  "
        "01:00 R 00:02\n   Job run at Sun Nov 22 at 10:28 on (pbshost:ncpus=1)\n"
    )
    first, second = answers.rows(text, 0, "PBS")
    assert (first.name, second.name, second.code) == ("dq3v81kx0mza", "dq3v81kx0mzb", "R")
    assert "will not start by itself" in answers.observation_of([first]).hint
    assert answers.observation_of([second]) == Observation(Native.running, "R", "105.pbshost", "queue")


def test_oversized_requests_stay_q() -> None:
    """Oversized requests stay Q ("Can Never Run")."""
    answer = said("openpbs/02-qsub-bad", "qstat -s 104.pbshost")
    (row,) = answers.rows(answer.all, answer.code, "PBS")
    assert (row.code, row.reason[:13]) == ("Q", "Can Never Run")
    assert "Insufficient amount of resource: ncpus" in answers.observation_of([row]).hint


def test_a_failing_prologue_leaves_h_for_ever() -> None:
    """A failing prologue leaves H for ever."""
    row = answers.QueueRow("151.pbshost", "dn1", "H", reason="job held, too many failed attempts to run")
    assert "too many failed attempts" in answers.observation_of([row]).hint


@pytest.mark.parametrize(
    ("name", "command", "why"),
    [
        ("openpbs/42-server-down", "qstat", "Connection refused"),
        ("openpbs/43-server-killed", "qstat 158.pbshost", "Connection refused"),
        ("openpbs/02-qsub-bad", "PBS_SERVER=nosuchhost qstat", "Unknown Host"),
        ("torque/42-server-down", "qstat", "Connection refused"),
        ("torque/02-qsub-bad", "PBS_DEFAULT=nosuchhost qstat", "unknown host"),
    ],
)
def test_no_good_answer_is_unreachable(name: str, command: str, why: str) -> None:
    """Server down: "Connection refused", 255 (qstat). Torque: server down 111; trqauthd down 33."""
    answer = said(name, command)
    with pytest.raises(Unreachable, match=why):
        answers.rows(answer.all, answer.code, "PBS")


@pytest.mark.parametrize(
    ("name", "mark", "text", "code", "why"),
    [
        (
            "torque/45-trqauthd-down",
            "[exit 33;",
            "qstat: Error (15137 - could not connect to trqauthd) ",
            33,
            "trqauthd",
        ),
        ("openpbs/44-server-hang", "124", "", 124, "in time"),
    ],
)
def test_trqauthd_down_and_a_hung_server(name: str, mark: str, text: str, code: int, why: str) -> None:
    """Torque: trqauthd down 33. OpenPBS: server hung: clients block."""
    assert mark in (TRANSCRIPTS / f"{name}.txt").read_text()
    with pytest.raises(Unreachable, match=why):
        answers.rows(text, code, "PBS")


@pytest.mark.parametrize("dialect", [PBSDialect(), TorqueDialect()])
def test_one_question_for_this_user_and_never_ids_by_the_hundred(dialect: PBSDialect) -> None:
    """qstat takes one privileged port per id. So: one call a round restricted to the user."""
    queries = [Query(f"dn{number:010}", f"{number}.pbshost") for number in range(500)]
    text = dialect.observe(queries, PLACE).text
    assert text.count("qstat") == 1
    assert 'qstat -u "$dsp_user"' in text
    assert "1.pbshost" not in text
    account = dialect.account(queries, PLACE)
    assert account is not None
    assert account.text.count(".pbshost\n") == min(500, dialect.ASKED)


@pytest.mark.parametrize("dialect", [PBSDialect(), TorqueDialect()])
def test_one_id_per_qdel(dialect: PBSDialect) -> None:
    """`qdel QUEUED UNKNOWN` crashed pbs_server 4 times of 4: one id per qdel."""
    assert "unknown: SERVER" in (TRANSCRIPTS / "openpbs/60-qdel-crash.txt").read_text()
    text = dialect.kill([Query("dn1", "1.h"), Query("dn2", "2.h")], PLACE).text
    assert text.count("qdel") == 1
    assert 'qdel "$dsp_id"' in text


# -- records ------------------------------------------------------------------------------------------------------


def test_history_off_is_said_and_not_taken_for_absence() -> None:
    """History off: `qstat -x ID` exits 0 with empty stdout and "PBS is not configured to maintain job history"."""
    text = (TRANSCRIPTS / "openpbs/51-history-off-live.txt").read_text()
    assert re.search(r"\$ qstat -x \S+\n\[exit 0;[^\n]*\n--- stdout\n--- stderr\n.*not configured", text)
    reply = Reply(0, "@@dn1 account-code 0\n@@dn1 account PBS is not configured to maintain job history\n@@dn1 done\n")
    observations = PBSDialect().accounted(reply, [Query("dn1", "1.h")])
    assert (observations.jobs, "history" in observations.trouble) == ({}, True)


def test_another_users_job_gives_no_output_at_all() -> None:
    """With query_other_jobs False another user's job gives exit 0 and no output at all."""
    answer = said("openpbs/28-user-mismatch", "qstat -x 6014.pbshost")
    assert (answer.code, answer.all.strip()) == (0, "")
    assert answers.rows(answer.all, answer.code, "PBS") == []
    assert answers.from_accounting(Query("dn1", "6014.pbshost"), jobs(answer)) is None


@pytest.mark.parametrize(
    ("name", "command", "code", "known"),
    [
        ("openpbs/26-ids", "qstat -f 143.pbshost 999999 107.pbshost 888888", 153, ["143.pbshost"]),
        ("openpbs/26-ids", "qstat -xf 999999", 153, []),
        ("openpbs/12-state-F-exit0", "qstat -f 107.pbshost", 35, []),
        ("torque/26-ids", "qstat -f 999999", 153, []),
    ],
)
def test_mixed_ids_print_the_known_ones_and_still_fail(name: str, command: str, code: int, known: list[str]) -> None:
    """Finished: exit 35. Unknown: exit 153. Mixed ids print the known ones and still exit 153. Torque: Unknown: 153."""
    answer = said(name, command)
    assert answer.code == code
    assert answers.complaint(answer.all, answer.code) == ""
    assert list(jobs(answer)) == known


def test_json_of_several_ids_has_the_first_only_so_the_text_is_read() -> None:
    """`qstat -f -F json ID1 ID2` prints only the first job (this build). Non-UTF-8 variables come through raw."""
    answer = said("openpbs/26-ids", "qstat -x -f -F json 143.pbshost 999999 107.pbshost 888888")
    assert '"107.pbshost":' not in answer.out
    assert "json" not in PBSDialect.RECORDS
    assert (
        answers.records("Job Id: 1.h\n    Job_Name = dn1\n    Variable_List = A=\udce9\n")["1.h"]["job_name"] == "dn1"
    )


def test_a_server_that_is_down_is_trouble_for_the_records() -> None:
    answer = said("openpbs/42-server-down", "qstat -x -f -F json 156.pbshost")
    assert "Connection refused" in answers.complaint(answer.all, answer.code)


def test_an_id_counts_only_with_the_name() -> None:
    """kill -9 of the server makes ids jump."""
    known = jobs(said("openpbs/13-state-F-exit7", "qstat -xf 108.pbshost"))
    assert answers.from_accounting(Query("dn1", "108.pbshost"), known) is None
    known["9.h"] = {"job_name": "dn1-relax", "job_state": "Q"}
    assert answers.from_accounting(Query("dn1"), known) == Observation(Native.waiting, "Q", "9.h", "accounting")


def test_went_well_as_far_as_pbs_knows() -> None:
    (job,) = jobs(said("openpbs/12-state-F-exit0", "qstat -xf 107.pbshost")).values()
    assert answers.accounted_cause(job) is None


def test_exit_code_node_time_and_memory() -> None:
    found = cause(said("openpbs/13-state-F-exit7", "qstat -xf 108.pbshost"))
    assert (found.kind, found.code, found.signal, found.node) == ("scheduler", 7, None, "pbshost")
    assert (found.elapsed, found.maxrss, found.source) == (0.0, 0, "accounting")
    assert found.native == "F exit 7 substate 93"


def test_walltime() -> None:
    """walltime -29; the comment is on two lines. Torque: walltime -11."""
    found = cause(said("openpbs/20-killed-walltime", "qstat -xf 120.pbshost"))
    assert (found.kind, found.elapsed, found.maxrss) == ("timeout", 21.0, 7176 * 1024)
    torque = answers.accounted_cause({"job_state": "C", "exit_status": "-11"})
    assert torque is not None
    assert torque.kind == "timeout"


@pytest.mark.parametrize("status", ["271", "143", "265", "0"])
def test_qdel_while_running_is_known_by_substate_91(status: str) -> None:
    """Exit_status alone is not enough: qdel while running gives 271, 143, 265, even 0 (substate 91 is the mark)."""
    job = {"job_state": "F", "exit_status": status, "substate": "91", "comment": "run … and terminated by jane@host"}
    found = answers.accounted_cause(job)
    assert found is not None
    assert (found.kind, found.reason) == ("scheduler", "deleted by jane@host, not by the dispatcher")


def test_qdel_while_running_really() -> None:
    text = (TRANSCRIPTS / "openpbs/18-killed-qdel-running.txt").read_text()
    job = answers.records(text)["119.pbshost"]
    assert (job["substate"], job["exit_status"]) == ("91", "271")
    found = answers.accounted_cause(job)
    assert found is not None
    assert (found.signal, found.elapsed) == (15, 6.0)


@pytest.mark.parametrize("name", ["openpbs/19-killed-qdel-queued", "torque/19-killed-qdel-queued"])
def test_deleted_before_its_start_has_no_exit_status(name: str) -> None:
    """Deleted before start or failed dependency: F without Exit_status. Torque: deleted before start: none."""
    found = cause(said(name, "qstat -xf 105.pbshost" if "openpbs" in name else "qstat -f 56.pbshost"))
    assert (found.kind, found.code, found.signal) == ("scheduler", None, None)
    assert re.search("never ran|deleted", found.reason)


def test_a_failed_prologue_is_the_sites_doing() -> None:
    """failed prologue -2"""
    assert "Exit_status = -2" in (TRANSCRIPTS / "openpbs/34-epilogue-prologue-fail.txt").read_text()
    found = answers.accounted_cause({"job_state": "F", "exit_status": "-2", "substate": "93"})
    assert found is not None
    assert found.kind == "node"


def test_signals() -> None:
    assert "Exit_status = 137" in (TRANSCRIPTS / "openpbs/21-killed-signal.txt").read_text()
    found = answers.accounted_cause({"job_state": "F", "exit_status": "137", "substate": "93"})
    assert found is not None
    assert (found.kind, found.signal, found.code) == ("scheduler", 9, None)


def test_torque_writes_exit_status_in_lower_case_and_271_for_qdel() -> None:
    """Field exit_status (lower case): qdel 271."""
    found = cause(said("torque/18-killed-qdel-running", "qstat -f 69.pbshost"))
    assert (found.kind, found.signal, found.elapsed, found.node) == ("scheduler", 15, 5.0, "pbshost")


def test_after_mom_restarts_the_job_runs_again() -> None:
    """Mom lost: R for ever, qdel 222; after mom restarts the job runs AGAIN (run_count 2)."""
    text = (TRANSCRIPTS / "openpbs/41-mom-down.txt").read_text()
    assert "qdel: Server could not connect to MOM" in text
    assert "run_count = 2" in text
    found = answers.accounted_cause({"job_state": "F", "exit_status": "0", "substate": "92", "run_count": "2"})
    assert found is not None
    assert (found.kind, "2 times" in found.reason) == ("node", True)
    assert PBSDialect.restarts == TorqueDialect.restarts == RESTARTS


def test_exiting_is_completing_for_half_a_minute() -> None:
    """After qdel a job stays R 10 s or more; E can last 30 s when output cannot be delivered."""
    (job,) = jobs(said("openpbs/33-state-E", "qstat -f 1005.pbshost")).values()
    job["job_name"] = "dn1"
    observation = answers.from_accounting(Query("dn1", "1005.pbshost"), {"1005.pbshost": job})
    assert observation is not None
    assert observation.native is Native.completing


def test_torque_keeps_completed_jobs_for_a_while() -> None:
    """C lasts keep_completed: at 0 a short job goes from Q straight to unknown."""
    answer = said("torque/50-keep-completed", "qstat 85.pbshost", 1)
    assert "Unknown Job Id Error" in answer.err
    assert answers.complaint(answer.all, answer.code) == ""
    row = "69.pbshost  pbsuser  workq  dn1  5432  1  1  --  01:00:00 C  --"
    assert answers.observation_of(answers.rows(row, 0, "Torque")).native is Native.ended


def test_torques_xml_of_several_ids_is_no_xml_so_the_text_is_read() -> None:
    """`qstat N[].host` without -t lists EVERY job; -x is XML, several ids give concatenated, invalid XML."""
    answer = said("torque/26-ids", "qstat -x 76.pbshost 999999 58.pbshost")
    assert answer.out.count("<?xml") == 2
    assert TorqueDialect.RECORDS == "-f"
    assert TorqueDialect().elements(ResourcesSpec(1, 1, 0, "", 4, kwargs={"array": True}), 4) == 0
