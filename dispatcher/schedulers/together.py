"""One look for several submissions of one machine: the queue is asked once, each one's markers are in its directory.

    @@dq3v81kx0mza-all queue 4211|R|node7|None|dq3v81kx0mza-relax        told to every one of them
    @@dq3v81kx0mza file dq3v81kx0mza.claim:claim 4211 0 node7 …          told to the one whose mark it has
    @@dq3v81kx0mza done
    @@da9w0c7eflpr left 97 ls: cannot access …                           its control directory is not there
    @@dq3v81kx0mza-all done                 without this line the answer is broken, for all

Whose a line is says the first mark in it: what a job has printed can not speak for another submission.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import ClassVar, Protocol

from ..core.ports import Place, Query, Reply, ShellText
from ..core.sharing import Asking
from ..scripts.render import quoted
from . import framing
from .preamble import ENTER, refuse_purged

_MARK = re.compile(r"@@([\w-]+) ")
#: Runs dsp_look apart, for it may leave at once; its complaints are told only then.
_APART = """\
dsp_apart() { # $1: the mark
  { dsp_said=$(dsp_look 2>&1 >&3); dsp_code=$?; } 3>&1
  [ "$dsp_code" -eq 0 ] || echo "$1 left $dsp_code $(printf '%s\\n' "$dsp_said" | tail -n 2 | tr '\\n' ' ')"
}
"""


class _Dialect(Protocol):
    """What a dialect has for it; see CommandDialect."""

    preamble: ClassVar[str]
    prologue: tuple[str, ...]

    def queue_lines(self, queries: Sequence[Query]) -> str:
        """Commands that print the queue."""

    def markers(self, queries: Sequence[Query], place: Place, mark: str) -> str:
        """Commands, in the control directory, that print the receipts and claims there, behind the mark."""

    def patience(self, queries: Sequence[Query]) -> float:
        """Seconds after which a look counts as unanswered."""

    def trusted(self, queries: Sequence[Query]) -> Sequence[Query]:
        """The same, without ids that are none."""


class Together:
    """For dialects that are asked by commands."""

    def settings(self) -> Hashable:
        """The dialect, and what the resources have told it."""
        return type(self), repr(sorted(vars(self).items()))

    def observe_all(self: _Dialect, asked: Sequence[Asking]) -> ShellText:
        """One question about the queue, then the markers of each."""
        groups = [(self.trusted(queries), place) for queries, place in asked]
        everything, whole = [query for queries, _ in groups for query in queries], _shared(asked)
        parts = [
            framing.preamble(self.preamble, ".", self.prologue),
            framing.question("queue", self.queue_lines(everything), whole),
            _APART,
        ]
        for queries, place in groups:
            mark = f"@@{queries[0].nonce}"
            enter = ENTER.format(control=quoted(place.control))
            parts.append(f"dsp_look() {{\n{enter}{self.markers(queries, place, mark)}echo {mark} done\n}}\n")
            parts.append(f"dsp_apart {mark}\n")
        return ShellText("".join([*parts, f"echo {whole} done\n"]), timeout=self.patience(everything))

    def apart(self, reply: Reply, asked: Sequence[Asking]) -> list[Reply]:
        """To each what was said of the queue, and what stands behind its own mark."""
        marks, whole = [f"@@{queries[0].nonce}" for queries, _ in asked], _shared(asked)
        lines = _lines(reply.out, {*marks, whole})
        refuse_purged(reply, lines[whole])
        if "done" not in lines[whole]:
            return [Reply(reply.code, "", reply.err) for _ in asked]
        queue = [line for line in lines[whole] if line.startswith("queue")]
        return [_own(reply, mark, lines[mark], queue) for mark in marks]


def _shared(asked: Sequence[Asking]) -> str:
    return f"@@{asked[0].queries[0].nonce}-all"


def _lines(text: str, marks: set[str]) -> dict[str, list[str]]:
    """What stands behind each mark; a banner without a line end may stand before it."""
    found: dict[str, list[str]] = {mark: [] for mark in marks}
    for line in text.split("\n"):
        first = next((one for one in _MARK.finditer(line) if one[0][:-1] in marks), None)
        if first:
            found[first[0][:-1]].append(line[first.end() :])
    return found


def _own(reply: Reply, mark: str, own: Sequence[str], queue: Sequence[str]) -> Reply:
    left = next((line.split(" ", 2) for line in own if line.startswith("left ")), None)
    if left and "done" not in own:
        code = int(left[1]) if re.fullmatch("[0-9]{1,3}", left[1]) else 255
        return Reply(code, "", " ".join(left[2:]))
    return Reply(reply.code, "".join(f"{mark} {line}\n" for line in (*queue, *own)), reply.err)
