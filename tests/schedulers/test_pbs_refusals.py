"""What the qsub of a real OpenPBS and a real Torque printed, accepted and refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dispatcher.core.ports import Accepted, Answer, Deferral, Rejection, Unclear
from dispatcher.schedulers.pbs.dialect import PBSDialect
from dispatcher.schedulers.pbs.refusals import REFUSALS

TRANSCRIPTS = Path(__file__).parents[2] / "fixtures" / "transcripts"


def answered(name: str, command: str, nth: int = 0) -> Answer | None:
    """What the nth answer to a command in a transcript is to us."""
    text = (TRANSCRIPTS / f"{name}.txt").read_text()
    blocks = [block for block in re.split(r"^\$ ", text, flags=re.M)[1:] if block.split("\n")[0] == command]
    found = re.match(r".*\n\[exit (\d+).*?\]\n--- stdout\n(.*?)--- stderr\n(.*)", blocks[nth], re.S)
    assert found, (name, command)
    return PBSDialect()._answer(found[1], found[2], re.split(r"^## ", found[3], flags=re.M)[0])


def test_accepted() -> None:
    assert answered("openpbs/01-qsub-good", "qsub true.sh") == Accepted("67.pbshost")
    assert answered("torque/01-qsub-good", "qsub true.sh") == Accepted("4.pbshost")
    assert answered("openpbs/01-qsub-good", "qsub -z true.sh") is None  # no id: it is looked for


def test_a_banner_before_the_id() -> None:
    out = "*** Welcome to host.example ***\nmaintenance on 24.12. at 8\n\n4211.pbs01.example.org\n"
    assert PBSDialect()._answer("0", out, "") == Accepted("4211.pbs01.example.org")


@pytest.mark.parametrize(
    ("name", "command", "nth"),
    [
        ("openpbs/02-qsub-bad", "qsub -q smallq -h -l walltime=60 true.sh", 3),
        ("torque/02-qsub-bad", "qsub -q smallq -h -l walltime=60 true.sh", 3),
        ("openpbs/02-qsub-bad", "qsub -q disabledq true.sh", 0),
        ("torque/02-qsub-bad", "qsub -q disabledq true.sh", 0),
        ("openpbs/42-server-down", "qsub true.sh", 0),
        ("torque/42-server-down", "qsub true.sh", 0),
        ("openpbs/03-qsub-noauth", "qsub true.sh", 0),
        ("openpbs/02-qsub-bad", "PBS_SERVER=nosuchhost qsub true.sh", 0),
    ],
)
def test_not_now(name: str, command: str, nth: int) -> None:
    """Server down: 162 (qsub). Torque: server down 111."""
    assert isinstance(answered(name, command, nth), Deferral)


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("openpbs/02-qsub-bad", "qsub -q nosuchq true.sh"), ("openpbs/02-qsub-bad", "qsub -l foo=1 true.sh"),
        ("openpbs/02-qsub-bad", "qsub -l walltime=abc true.sh"), ("openpbs/02-qsub-bad", "qsub -l select=0 true.sh"),
        ("openpbs/02-qsub-bad", "qsub -q smallq -l walltime=99:00:00 true.sh"),
        ("openpbs/02-qsub-bad", "qsub -N 'has space' true.sh"), ("openpbs/02-qsub-bad", "qsub -W nosuch=1 true.sh"),
        ("openpbs/01-qsub-good", "qsub emptyq.sh"),
        ("torque/02-qsub-bad", "qsub -q nosuchq true.sh"), ("torque/02-qsub-bad", "qsub -l nodes=1:ppn=64 true.sh"),
        ("torque/02-qsub-bad", "qsub -l nodes=1:gpus=1 true.sh"),
        ("torque/02-qsub-bad", "qsub -W depend=afterok:999999 true.sh"), ("torque/02-qsub-bad", "qsub nosuch.sh"),
        ("torque/02-qsub-bad", "qsub -N 'has space' true.sh"),
    ],
)  # fmt: skip
def test_never(name: str, command: str) -> None:
    """An empty `#PBS -q ` line fails qsub. Torque: Bad nodes, resources, dependencies are refused at qsub."""
    assert isinstance(answered(name, command), Rejection)


@pytest.mark.parametrize("code", ["124", "137", "1"])
@pytest.mark.parametrize("text", ["", "qsub: Premature end of message", "qsub: Connection reset by peer"])
def test_the_outcome_is_open(code: str, text: str) -> None:
    known = text or code != "1"  # a qsub that fails without a word has said nothing that anybody knows
    assert REFUSALS.judged(code, text) == (None if known else Unclear("exit code 1, without a word"))


@pytest.mark.parametrize(
    ("code", "text"),
    [("127", "sh: 1: qsub: not found"), ("174", "qsub: Bad UID for job execution MSG=root user not allowed")],
)
def test_qsub_is_not_there_or_refuses_root(code: str, text: str) -> None:
    """Torque: qsub refuses root."""
    assert isinstance(REFUSALS.judged(code, text), Rejection)
