"""What a dispatcher must handle on OpenPBS and Torque: every line of transcripts/openpbs/README.txt has tests.

`LINES` says which; a line or a test that is not there fails. Here is what no other file tests.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dispatcher.core import events as ev
from dispatcher.core.errors import JobsFailed
from dispatcher.core.ports import Place, Query
from dispatcher.schedulers.pbs import dialect as pbs
from dispatcher.schedulers.pbs.dialect import PBSDialect
from dispatcher.schedulers.pbs.torque import TorqueDialect
from tests.simulation.cluster import Conditions
from tests.simulation.simulated import submission

HERE = Path(__file__).parent
NOTES = HERE.parents[1] / "fixtures" / "transcripts" / "openpbs" / "README.txt"

#: How a line of the notes begins -> tests, file:name.
LINES: dict[str, tuple[str, ...]] = {
    "History off": (
        "pbs_answers:test_history_off_is_said_and_not_taken_for_absence",
        "pbs_answers:test_another_users_job_gives_no_output_at_all",
        "pbs_sessions:test_nothing_is_told_of_what_has_ended",
    ),
    "Finished: exit 35": (
        "pbs_answers:test_mixed_ids_print_the_known_ones_and_still_fail",
        "pbs_answers:test_no_good_answer_is_unreachable",
        "pbs_answers:test_trqauthd_down_and_a_hung_server",
        "pbs_sessions:test_the_server_is_away_for_a_while",
    ),
    "`qstat -f -F json": (
        "pbs_answers:test_json_of_several_ids_has_the_first_only_so_the_text_is_read",
        "pbs_must:test_bytes_that_are_no_text_in_a_record_harm_nothing",
    ),
    "`qdel QUEUED UNKNOWN`": (
        "pbs_answers:test_one_id_per_qdel",
        "test_kit:test_pbs_dies_of_a_queued_and_an_unknown_id",
    ),
    "qstat takes one privileged port": (
        "pbs_answers:test_one_question_for_this_user_and_never_ids_by_the_hundred",
        "pbs_must:test_more_bad_endings_than_may_be_asked_for_at_once_all_have_their_cause",
        "test_kit:test_pbs_runs_out_of_ports",
    ),
    "A qsub killed by time-out": (
        "pbs_answers:test_a_ghost_that_turns_up_is_found_by_its_nonce",
        "pbs_sessions:test_a_lost_reply_and_a_ghost_are_found_by_name_and_run_once",
    ),
    "Exit_status alone is not enough": (
        "pbs_answers:test_qdel_while_running_is_known_by_substate_91",
        "pbs_answers:test_walltime",
        "pbs_answers:test_a_failed_prologue_is_the_sites_doing",
        "pbs_answers:test_deleted_before_its_start_has_no_exit_status",
    ),
    "Arrays: parent B": ("pbs_answers:test_every_state_is_in_the_table",),
    "After qdel a job stays R": (
        "pbs_must:test_a_job_that_lingers_after_qdel_is_asked_to_end_until_it_does",
        "pbs_must:test_a_lost_node_and_a_second_run_under_the_same_id",
        "pbs_answers:test_exiting_is_completing_for_half_a_minute",
        "pbs_answers:test_after_mom_restarts_the_job_runs_again",
        "pbs_answers:test_a_failing_prologue_leaves_h_for_ever",
        "pbs_answers:test_oversized_requests_stay_q",
        "pbs_restarts:test_a_later_life_takes_over_and_what_was_done_stays_done",
    ),
    "An empty `#PBS -q ` line": (
        "pbs_scripts:test_no_queue_directive_without_a_queue_and_the_shebang_is_the_first_line",
        "pbs_scripts:test_names_are_cut_to_what_old_servers_take_with_the_nonce_whole",
        "pbs_restarts:test_a_first_life",
    ),
    "Unknown: 153, \"qstat: Unknown Job Id Error": (
        "pbs_answers:test_trqauthd_down_and_a_hung_server",
        "pbs_answers:test_torque_keeps_completed_jobs_for_a_while",
        "pbs_sessions:test_nothing_is_told_of_what_has_ended",
    ),
    "`qstat N[].host` without -t": (
        "pbs_answers:test_torques_xml_of_several_ids_is_no_xml_so_the_text_is_read",
        "pbs_answers:test_torque_writes_exit_status_in_lower_case_and_271_for_qdel",
        "pbs_answers:test_deleted_before_its_start_has_no_exit_status",
    ),
    "Output directories with a blank": (
        "pbs_scripts:test_output_that_would_get_lost_is_not_asked_for",
        "pbs_scripts:test_memory_stands_in_the_chunk_and_torque_wants_it_for_the_whole_job",
        "pbs_refusals:test_never",
        "pbs_refusals:test_qsub_is_not_there_or_refuses_root",
    ),
}  # fmt: skip


def test_every_line_has_its_tests() -> None:
    lines = [line[2:] for line in NOTES.read_text().splitlines() if line.startswith("- ")]
    assert len(lines) >= 13
    assert [line for line in lines if not any(line.startswith(begin) for begin in LINES)] == []


@pytest.mark.parametrize("test", sorted({test for tests in LINES.values() for test in tests}))
def test_every_test_of_the_table_is_there(test: str) -> None:
    file, _, name = test.partition(":")
    path = HERE / f"test_{file}.py" if file.startswith("pbs") else HERE.parent / "testing" / f"{file}.py"
    assert re.search(rf"^def {name}\(", path.read_text(), re.M), f"{path} has no {name}"


def test_bytes_that_are_no_text_in_a_record_harm_nothing() -> None:
    """Contexts read them as U+FFFD; the attribute that has them is not one that is looked at."""
    lines = ["Job_Name = dn1", "Variable_List = A=\ufffd\ufffd,\n\tB=x", "job_state = F", "Exit_status = 3"]
    text = "\n    ".join(["Job Id: 7.host", *lines])
    assert pbs.answers.from_accounting(Query("dn1", "7.host"), pbs.answers.records(text)).cause.code == 3  # type: ignore[union-attr]


class AllNodesDie(Conditions):
    """Every first life of a job ends with its node."""

    left = 5

    def fate(self) -> str:
        self.left -= 1
        return "killed" if self.left >= 0 else "ends"


@pytest.mark.parametrize("dialect", ["PBS"])
def test_more_bad_endings_than_may_be_asked_for_at_once_all_have_their_cause(
    simulate: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, dialect: str
) -> None:
    monkeypatch.setattr(PBSDialect, "ASKED", 2)
    monkeypatch.setattr(pbs, "PAUSE", 0)
    simulated = simulate(AllNodesDie(), submission(tasks=5, group_size=1, retries=0))
    simulated.run()
    causes = [record.cause for record in simulated.records() if isinstance(record, ev.Terminated)]
    assert [(cause.kind, cause.source) for cause in causes] == [("node", "accounting")] * 5


def test_after_a_hundred_records_the_ports_are_given_time() -> None:
    queries = [Query(f"dn{number}", f"{number}.host") for number in range(101)]
    place = Place("/local", "/R", "/R/home")
    requested, few = (PBSDialect().account(queries[:many], place) for many in (101, 100))
    torque = TorqueDialect().account(queries, place)
    assert requested
    assert few
    assert torque
    assert f"\nsleep {pbs.PAUSE}\n" in requested.text
    assert "sleep" not in few.text + torque.text
    assert ("\n100.host\n" in requested.text, "\n100.host\n" in torque.text) == (False, True)


@pytest.mark.parametrize("dialect", ["PBS", "Torque"])
def test_a_lost_node_and_a_second_run_under_the_same_id(simulate: Callable[..., Any], dialect: str) -> None:
    class Reruns(Conditions):
        left = 2

        def fate(self) -> str:
            self.left -= 1
            return "requeued" if self.left >= 0 else "ends"

    simulated = simulate(Reruns())
    history = simulated.run()
    assert {(job.state.value, job.attempt) for job in history.jobs.values()} == {("finished", 1)}
    assert {run.life for run in simulated.cluster.runs} >= {0, 1}


@pytest.mark.parametrize("dialect", ["PBS", "Torque"])
def test_a_job_that_lingers_after_qdel_is_asked_to_end_until_it_does(
    simulate: Callable[..., Any], dialect: str
) -> None:
    """The first three qdels have no effect that can be seen."""
    simulated = simulate(type("Long", (Conditions,), {"runs_for": lambda self: 1e9})())
    kill, times = simulated.cluster.kill, []

    def slow(ids: Any) -> None:
        times.append(ids)
        if len(times) > 3:
            kill(ids)

    simulated.cluster.kill = slow
    with pytest.raises(JobsFailed, match="cancelled"):
        simulated.run(environment={"cancelled": lambda: len(simulated.cluster.runs) > 0})
    assert len(times) > 3
