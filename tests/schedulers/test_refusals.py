"""What the vendors' submit commands say when they fail, and what each text means (fixtures/transcripts/refusals)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dispatcher.core.ports import Answer, Deferral, Rejection, Unclear
from dispatcher.schedulers import load

from .conftest import TRANSCRIPTS

DIALECTS = {"slurm": ("Slurm",), "slurm-whole": ("Slurm",), "pbs": ("PBS", "Torque"), "sge": ("SGE",),
            "lsf": ("LSF", "JH_UniScheduler"), "pjm": ("Fugaku",)}  # fmt: skip
ALL = ("Slurm", "SlurmJobArray", "PBS", "Torque", "SGE", "LSF", "JH_UniScheduler", "Fugaku")
MEANT = {"rejected": Rejection, "deferred": Deferral, "open": type(None), "unclear": Unclear}


def rows() -> Iterator[tuple[str, str, str]]:
    for file, dialects in DIALECTS.items():
        for line in (TRANSCRIPTS / "refusals" / f"{file}.txt").read_text().splitlines():
            verdict, tab, text = line.partition("\t")
            if tab:
                text = text.replace("\\n", "\n")
                text = f"sbatch: error: Batch job submission failed: {text}" if file == "slurm" else text
                yield from ((dialect, verdict, text) for dialect in dialects)


def answered(dialect: str, code: str, text: str, path: str = "") -> Answer | None:
    return load(dialect)._answer(code, "", text, path)  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(("dialect", "verdict", "text"), list(rows()))
def test_every_text_means_what_its_vendor_says(dialect: str, verdict: str, text: str) -> None:
    said = answered(dialect, "1", text)
    assert isinstance(said, MEANT[verdict])
    if said is not None:
        assert text.strip() in said.why  # type: ignore[union-attr]


@pytest.mark.parametrize(("dialect", "verdict", "text"), list(rows()))
def test_a_notice_before_or_behind_changes_nothing(dialect: str, verdict: str, text: str) -> None:
    notice = "*** NOTICE: idle sessions time out; too many connections are refused; 17 jobs of yours wait"
    for around in (f"{notice}\n{text}", f"{text}\n{notice}\n", f"{notice}\n{notice}\n{text}\n1234.50"):
        assert isinstance(answered(dialect, "1", around), MEANT[verdict])


@pytest.mark.parametrize(
    "dialect", ["Slurm", "SlurmJobArray", "PBS", "Torque", "SGE", "LSF", "JH_UniScheduler", "Fugaku"]
)
@pytest.mark.parametrize(("code", "text"), [("127", "sh: 1: qsub: not found"), ("126", "timeout: Permission denied")])
def test_a_command_that_cannot_be_run_is_final_and_says_what_to_do(dialect: str, code: str, text: str) -> None:
    said = answered(dialect, code, text, "/usr/bin:/bin")
    assert isinstance(said, Rejection)
    assert text in said.why
    assert "PATH is /usr/bin:/bin" in said.why
    assert "scheduler_prologue" in said.why


@pytest.mark.parametrize("dialect", ALL)
def test_a_command_that_was_ended_has_said_nothing(dialect: str) -> None:
    for code in ("124", "137", "143"):
        assert answered(dialect, code, "ERROR: You have no allocation on this system") is None


@pytest.mark.parametrize(
    ("dialect", "said", "id"),
    [
        ("PBS", "Balance of project lab (kSU):\n 1234.50\n4211.pbs01\n", "4211.pbs01"),
        ("Torque", "hours left\n 12\n4211\n", "4211"),
        ("Torque", " 1234.50\n4211.pbs01\n", "4211.pbs01"),
        ("Slurm", "hours left:\n17\n4211\n", "4211"),
        ("SGE", "jobs in front of yours:\n12\n4211\n", "4211"),
        ("LSF", "17\nJob <4211> is submitted to queue <normal>.\n", "4211"),
        ("Fugaku", "17\n[INFO] PJM 0000 pjsub Job 4211 submitted.\n", "4211"),
    ],
)
def test_a_number_alone_on_a_line_before_the_id_is_not_the_id(dialect: str, said: str, id: str) -> None:
    assert load(dialect).identified(said) == id  # type: ignore[attr-defined]
