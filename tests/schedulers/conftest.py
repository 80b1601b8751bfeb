"""Transcripts: what batch systems really printed, one question a file (fixtures/transcripts)."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

TRANSCRIPTS = Path(__file__).parents[2] / "fixtures" / "transcripts"


class Said(NamedTuple):
    """One answer, and the whole file with its header."""

    code: int
    out: str
    err: str
    text: str

    @property
    def all(self) -> str:
        """What a reader of both outputs sees."""
        return self.out + self.err


def said(name: str) -> Said:
    """`slurm/version` -> fixtures/transcripts/slurm/version.txt"""
    text = (TRANSCRIPTS / f"{name}.txt").read_text()
    code = re.search(r"^# exit: (\d+)$", text, re.MULTILINE)
    _, _, rest = text.partition("# stdout:\n")
    out, _, err = rest.partition("# stderr:\n")
    return Said(int(code[1]) if code else 0, out, err, text)


@pytest.fixture
def slurm() -> Callable[[str], Said]:
    """Reads a transcript of Slurm by its name."""
    return lambda name: said(f"slurm/{name}")
