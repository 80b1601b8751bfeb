"""A place on the execution side has one owner: the journal whose id it carries. Whoever finds another touches nothing.

    verdict(record(ours), found, known)   ->  Verdict.ours       go on
                                              Verdict.taken      another work directory's: go to a place of our own
                                              NotOurs            a copy, a lost journal, or one that knows too little

Pure, but for a look whether the journal that a record speaks of is still where it says.
"""

from __future__ import annotations

from collections.abc import Set
from enum import Enum
from pathlib import Path

import msgspec

from ..core.errors import NotOurs
from ..core.names import CONTROL, JOURNAL
from ..core.possession import Possession


class Owner(msgspec.Struct, frozen=True):
    """A journal: its id, and where it lies (`root`: the real work directory on `host`)."""

    owner: str
    host: str
    root: str


class Verdict(Enum):
    """Whose a place is."""

    ours = "ours"
    nobodys = "nobody's"
    taken = "taken"


def record(owner: Owner) -> str:
    """As it stands in the place, one line."""
    return msgspec.json.encode(owner).decode()


def verdict(ours: Owner, found: Possession, known: Set[str], journal: Path, where: str, in_place: bool) -> Verdict:
    """Whose the place `where` is; `known` are the nonces of our journal, at `journal`.

    `in_place`: it lies in the work directory itself. Raises NotOurs, which says what to do.
    """
    if not found.record:
        return Verdict.nobodys
    theirs = read_owner(found.record, where)
    if theirs.owner != ours.owner:
        if theirs.root == ours.root or in_place:
            raise NotOurs(
                f"{where} belongs to an earlier journal of this work directory, which is not here any more; jobs of it "
                "may run or have results there. `dispatcher adopt SUBMISSION.json` makes a journal of what lies there; "
                "remove that directory only if none of its jobs runs"
            )
        return Verdict.taken
    if theirs.root != ours.root and theirs.host == ours.host and _is_there(theirs, journal):
        raise NotOurs(
            f"{journal.parent} is a copy: its original is in {theirs.root}, and {where} belongs to that one. Go on "
            f"there, or remove {journal.parent} to run everything anew here"
        )
    if unknown := sorted(found.attempts - known):
        raise NotOurs(
            f"{where} holds {len(unknown)} attempt(s) that this journal does not know ({', '.join(unknown[:5])}): the "
            f"journal was put back from a backup, or replaced. Nothing was submitted. `dispatcher adopt "
            f"{journal.parent}` brings it up to what lies there"
        )
    return Verdict.ours


def read_owner(text: str, where: str) -> Owner:
    """The record that a place carries; NotOurs when it is not one."""
    try:
        return msgspec.json.decode(text, type=Owner)
    except (ValueError, RecursionError):
        raise NotOurs(
            f"{where} carries an owner's record that cannot be read ({text[:100]!r}); look who made it"
        ) from None


def _is_there(theirs: Owner, journal: Path) -> bool:
    original = Path(theirs.root, CONTROL, journal.parent.name, JOURNAL)
    try:
        return original.is_dir() and not original.samefile(journal)
    except OSError:
        return False
