"""`array: true`: which dialects it chooses, what they ask, and what an array's answers amount to."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from dispatcher.core.errors import ConfigError
from dispatcher.core.model import ResourcesSpec
from dispatcher.core.ports import Accepted, Native, Place, Query, SubmitRequest
from dispatcher.schedulers import ARRAYS, chosen, load
from dispatcher.schedulers.pbs import answers

TRANSCRIPTS = Path(__file__).parents[2] / "fixtures" / "transcripts"
PLACE = Place("/local", "/R", "/R/.dispatcher/s/jobs")


def requested(**kwargs: Any) -> ResourcesSpec:
    return ResourcesSpec(1, 1, 0, "", 0, kwargs=kwargs)


def requests(tasks: int, **kwargs: Any) -> list[SubmitRequest]:
    return [
        SubmitRequest(
            "dq3v81kx0mza", "dq3v81kx0mza-relax", "dq3v81kx0mza.sub", {}, requested(array=True, **kwargs), tasks
        )
    ]


def answer(file: str, command: str) -> str:
    """What a command of a transcript printed."""
    text = (TRANSCRIPTS / f"{file}.txt").read_text()
    found = re.search(rf"^\$ {re.escape(command)}\n.*?--- stdout\n(.*?)--- stderr$", text, re.S | re.M)
    assert found, command
    return found[1]


@pytest.mark.parametrize("name", ARRAYS)
def test_chosen_by_the_key_alone(name: str) -> None:
    assert type(chosen(name, requested())) is type(chosen(name, requested(array=False))) is type(load(name))
    made = chosen(name.lower(), requested(array=True))
    assert (made.name, made.elements(requested(array=True), 10)) == (name, 10)


@pytest.mark.parametrize("name", ["Shell", "Slurm", "LSF", "Fugaku", "JH_UniScheduler"])
def test_refused_where_there_are_none(name: str) -> None:
    with pytest.raises(ConfigError, match=f"resources/kwargs/array: job arrays of {name} cannot be asked for"):
        chosen(name, requested(array=True))


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_only_true_and_false(value: object) -> None:
    with pytest.raises(ConfigError, match="neither true nor false"):
        chosen("SGE", requested(array=value))


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("value", [0, -1, "2", True, 1.5])
def test_the_throttle_is_a_positive_number(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match="resources/kwargs/array_throttle"):
        chosen(name, requested(array=True)).check(requested(array=True, array_throttle=value))


@pytest.mark.parametrize(
    ("name", "tasks", "line"),
    [
        ("PBS", 10, "qsub -N dq3v81kx0mza-re -J 0-9%2 "),
        ("PBS", 1, 'qsub -N dq3v81kx0mza-re "$dsp_nonce.sub"'),
        ("Torque", 10, "qsub -N dq3v81kx0mza-re -t 0-9%2 "),
        ("Torque", 1, 'qsub -N dq3v81kx0mza-re "$dsp_nonce.sub"'),
        ("SGE", 10, '-terse -N dq3v81kx0mza-relax -t "$(($1 + 1))-$(($1 + $2))" -tc 2 "$dsp_nonce.sub"'),
    ],
)
def test_one_question_for_all_tasks(name: str, tasks: int, line: str) -> None:
    assert line in chosen(name, requested(array=True)).submit(requests(tasks, array_throttle=2), PLACE).text


@pytest.mark.parametrize(("name", "file", "id"), [("PBS", "openpbs/30-array", "144[].pbshost"),
                                                  ("Torque", "torque/30-array", "77[].pbshost")])  # fmt: skip
def test_accepted_under_the_id_of_the_array(name: str, file: str, id: str) -> None:
    command = "qsub -J 0-9 -v T=6 arr.sh" if name == "PBS" else "qsub -t 0-9 -v T=6 tarr.sh"
    dialect: Any = chosen(name, requested(array=True))
    assert dialect._answer("0", answer(file, command), "") == Accepted(id)


def test_the_ids_of_elements_are_that_of_the_array() -> None:
    import subprocess

    for name in ("PBS", "Torque"):
        text = f"PBS_JOBID='4211[7].pbshost'\necho {chosen(name, requested(array=True)).native_id}\n"
        done = subprocess.run(["sh"], input=text, capture_output=True, text=True)
        assert done.stdout == "4211[].pbshost\n"


def test_an_array_that_has_begun_runs() -> None:
    """Arrays: parent B, done sub-jobs X, all F at the end."""
    line = "144[].pbshost        pbsuser  workq    dq3v81kx0mza-re   --     1   1    --    --  B   --\n"
    (row,) = answers.rows(line, 0, "PBS")
    assert (row.id, row.name, answers.observation_of([row]).native) == ("144[].pbshost", "dq3v81kx0mza", Native.running)


def test_the_records_of_elements_explain_an_array() -> None:
    """Exit_status of a PBS array says little: 1 when anything went wrong."""
    known = {
        "144[].pbshost": {"job_name": "dn1", "job_state": "F", "exit_status": "1"},
        "144[0].pbshost": {"job_name": "dn1", "job_state": "F", "exit_status": "0", "substate": "92"},
        "144[1].pbshost": {"job_name": "dn1", "job_state": "F", "exit_status": "5", "substate": "92"},
        "144[2].pbshost": {"job_name": "dn1", "job_state": "F", "exit_status": "-29", "substate": "92"},
    }
    observation = answers.from_accounting(Query("dn1", "144[].pbshost"), known)
    assert observation is not None
    assert observation.cause is not None
    assert (observation.native, observation.id, observation.cause.kind, observation.cause.code) == (
        Native.ended,
        "144[].pbshost",
        "timeout",
        -29,
    )


def test_a_real_array_of_openpbs_while_it_runs_and_when_one_of_it_has_ended() -> None:
    text = answer("openpbs/30-array", "qstat -f '144[].pbshost'") + answer(
        "openpbs/30-array", "qstat -f '144[0].pbshost'"
    )
    known = answers.records(text)
    observation = answers.from_accounting(Query("arr.sh", "144[].pbshost"), known)
    assert observation is not None
    assert (observation.native, observation.cause) == (Native.running, None)
    ended = {id: {**job, "job_state": "F"} for id, job in known.items()}
    observation = answers.from_accounting(Query("arr.sh", "144[].pbshost"), ended)
    assert observation is not None
    assert (observation.native, observation.cause) == (Native.ended, None)
