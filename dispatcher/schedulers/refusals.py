"""What a submit command means when it fails: the tool's own line decides, and no notice around it.

    sbatch: error: QOSMaxSubmitJobPerUserLimit             deferred: a number that changes by itself
    sbatch: error: Batch job submission failed: …          one row of the dialect's table
    NOTICE: the idle timeout is now 30 minutes             not the tool's own line: changes nothing
    --> You have no allocation                             nobody knows it: unclear

A table has rows (meaning, pattern); the first one that fits one of the tool's own lines counts. The texts of the
vendors, with the meaning of each, are in fixtures/transcripts/refusals.
"""

from __future__ import annotations

import re
from enum import Enum

import msgspec

from ..core.ports import Answer, Deferral, Rejection, Unclear

#: Exit codes of a command that was ended before it could say how it went.
CUT_SHORT = frozenset(("124", "129", "130", "137", "143"))


class Meaning(Enum):
    """What a line means for the job."""

    open = "it may be in the queue all the same"
    deferred = "it is not, and may be later"
    rejected = "it never will be"


class Refusals(msgspec.Struct, frozen=True):
    """`tells` finds the tool's own lines (its group `why`); the pattern of a row must fit from the start of one.

    `still`: lines with which it is certain that nothing was taken so far, even of a command that was then cut short.
    """

    tells: re.Pattern[str]
    rows: tuple[tuple[Meaning, re.Pattern[str]], ...]
    still: re.Pattern[str] = re.compile(r"(?!)")

    def judged(self, code: str, said: str) -> Answer | None:
        """None: the job may be in the queue all the same."""
        if code in ("126", "127"):
            return Rejection(said)
        lines = [found["why"].strip()[:500] for found in self.tells.finditer(said)]
        meaning = next((meaning for meaning, row in self.rows if any(map(row.match, lines))), None)
        if meaning is Meaning.open or (code in CUT_SHORT and not any(map(self.still.match, lines))):
            return None
        if meaning is None:
            return Unclear(said or f"exit code {code}, without a word")
        return Deferral(said) if meaning is Meaning.deferred else Rejection(said)


def row(meaning: Meaning, starts: str) -> tuple[Meaning, re.Pattern[str]]:
    """A row of a table: how lines with this meaning begin, a pattern a line, in whatever case."""
    return meaning, re.compile("|".join(filter(None, map(str.strip, starts.split("\n")))), re.IGNORECASE)
