"""A class of the program's own as a batch system: the shell text that repeats what the class has said.

    do_submit    prepare ─▶ the class is called ─▶ repeat: `echo '1 job: 4211'` where other dialects have `sbatch …`
    check_status             the class is called ─▶ observe: a list of its answers where others have `squeue …`

Beside receipts and claims the control directory holds, for each attempt, what only a class needs:

    dq3v81kx0mza.called      do_submit was called: whether that came to an end, only a receipt says
    dq3v81kx0mza.ours       it has asked for our script: copies of the attempt turn each other away
    dq3v81kx0mza.noted      R/<job>_job_id, where classes of DPDispatcher's kind leave the id

Without `ours` nothing turns a second copy away. Such a job is asked for once: what became of a call that never came to
its end, a person has to look up. How it ended is then up to check_status; with `ours`, up to the claim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from re import compile as pattern
from typing import Any, ClassVar
from urllib.parse import quote

import msgspec

from ... import schedulers
from ...core.errors import Unreachable, Unsupported
from ...core.model import ResourcesSpec
from ...core.ports import (
    Answer,
    Claim,
    Deferral,
    Driven,
    JobScript,
    Native,
    Observation,
    Place,
    Query,
    Rejection,
    Scheduler,
    ShellText,
    SubmitRequest,
    Unclear,
)
from ...schedulers import framing
from ...schedulers.command_line import CommandDialect, QueueRow
from ...schedulers.submitting import SUBMIT
from ...scripts.render import quoted
from .. import own

#: Exit codes of what repeats a class: not now, and never.
LATER, NEVER = 75, 76
_AS_IS = ":;@[]+-._~/"

_PREPARE = """\
{preamble}dsp_mark={mark}
{submit}{files}{revoke}case $dsp_earlier in *" {nonce} "*) echo "$dsp_mark done"; exit 0 ;; esac
if [ -s {nonce}.id ] || [ -e {nonce}.claim ]; then echo "$dsp_mark known {nonce}"
elif [ -e {nonce}.called ] && ! [ -e {nonce}.ours ]; then echo "$dsp_mark again {nonce}"
else
  echo yes | dsp_put {nonce}.called
  rm -f -- {root}/{job}_job_id {root}/{job}_job_tag_finished
  ln -sf -- {root}/{job}_job_id {nonce}.noted
  echo "$dsp_mark ask {nonce}"
fi
echo "$dsp_mark done"
"""


class Repeated(msgspec.Struct, frozen=True):
    """What a class has said of a job. `code` is a word of STATES, or the exit code of what repeats it."""

    code: str
    id: str = ""
    words: str = ""
    size: int = 0
    exit: int | None = None


class Repeats(CommandDialect):
    """Stands before the dialect of the class of ours that the program's own is derived from.

    `asks` are the verbs that the class has methods of its own for; for others the dialect behind answers.
    """

    who = ""
    asks: frozenset[str] = frozenset()
    tags = False
    #: Whether there is a dialect behind, or only this.
    behind = False
    said: Mapping[str, Repeated] = {}
    NAMED: ClassVar = pattern(r"(?m)^1 job: (\S+)$")
    NATIVE = pattern(r"[^\s,]{1,300}")
    SAID: ClassVar[Mapping[str, Native]] = {
        "waiting": Native.waiting,
        "running": Native.running,
        "completing": Native.completing,
        **dict.fromkeys(("terminated", "finished", "failed"), Native.ended),
    }

    def telling(self, said: Mapping[str, Repeated]) -> Repeats:
        """The same, with what the class has said."""
        told = copy(self)
        told.said = said
        return told

    # -- scripts ----------------------------------------------------------------------------------------------------

    def closing(self, job: JobScript) -> str:
        """Also leaves the tag that check_finish_tag of such classes looks for."""
        tag = f'[ "$dsp_failed" -ne 0 ] || : > "$REMOTE_ROOT/{job.job}_job_tag_finished"\n' if self.tags else ""
        return tag + super().closing(job)

    # -- submitting -------------------------------------------------------------------------------------------------

    def submit(self, requests: Sequence[SubmitRequest], place: Place) -> Any:
        """The context calls the class: for the script, or for all of it."""
        return Driven("do_submit", tuple(requests))

    def prepare(self, request: SubmitRequest, place: Place) -> ShellText:
        """Write files and withdraw earlier attempts; tells whether the class may be asked: ask, again, known."""
        mark = f"@@{request.nonce}"
        revoke = [f"dsp_revoke {nonce} {lines} {request.nonce}\n" for nonce, lines in request.withdrawals]
        text = _PREPARE.format(
            preamble=self._preamble(place),
            mark=mark,
            submit=SUBMIT,
            files="".join(framing.heredoc(name, text, mark) for name, text in request.files.items()),
            revoke="".join(revoke),
            nonce=request.nonce,
            root=quoted(place.remote_root),
            job=request.of.job if request.of else request.nonce,
        )
        return ShellText(text)

    def submitting(self, requests: Sequence[SubmitRequest], place: Place) -> ShellText:
        """As a batch system is asked, with what the class has said in the place of its command."""
        return super().submit(requests, place)

    def submit_line(self, request: SubmitRequest, place: Place) -> str:
        """What do_submit has said; what its own dialect says, when only the script is the program's."""
        said = self.said.get(request.nonce)
        if said is None:
            return super().submit_line(request, place)
        if said.id:
            return f"echo {quoted(receipt(said.id))}"
        forget = f"rm -f -- {request.nonce}.called\n" if said.code == str(LATER) else ""
        return f"{forget}printf '%s\\n' {quoted(said.words)} >&2\nreturn {said.code}"

    def refusal(self, code: str, said: str) -> Answer | None:
        """Not now, never, or nobody knows."""
        if "do_submit" not in self.asks:
            return super().refusal(code, said)
        why = said or f"exit code {code}"
        return Deferral(why) if code == str(LATER) else Rejection(why) if code == str(NEVER) else Unclear(why)

    def identified(self, text: str) -> str:
        """As it was repeated, or noted, or as the dialect behind reads it."""
        found = self.NAMED.findall(text)
        return str(found[-1]) if found else super().identified(text)

    # -- looking ----------------------------------------------------------------------------------------------------

    def observe(self, queries: Sequence[Query], place: Place) -> Any:
        """The context calls check_status first, if there is one."""
        return Driven("check_status", tuple(queries)) if "check_status" in self.asks else self.observing(queries, place)

    def observing(self, queries: Sequence[Query], place: Place) -> ShellText:
        """As a batch system is asked, with what the class has said in the place of its queue.

        A class that submits by itself has done so before the mark of a request is made: nothing is withdrawn.
        """
        if "do_submit" in self.asks:
            queries = [msgspec.structs.replace(query, asked=0) for query in queries]
        return super().observe(queries, place)

    def queue_lines(self, queries: Sequence[Query]) -> str:
        """A row for each job that the class was asked about; its complaints, when one could not be answered."""
        if "check_status" not in self.asks:
            return super().queue_lines(queries)
        wrong = next((said.words for said in self.said.values() if said.code == "raised"), "")
        if wrong:
            return f"printf '%s\\n' {quoted(wrong)}\nreturn 1"
        rows = (
            f"{nonce} {spelt(said.id)} {said.code} {said.size} {'-' if said.exit is None else said.exit} {_line(said)}"
            for nonce, said in self.said.items()
        )
        return f"cat << '@@'\n{chr(10).join(rows)}\nend\n@@"

    def rows(self, text: str, code: int) -> list[QueueRow]:
        """What was listed."""
        if "check_status" not in self.asks:
            return super().rows(text, code)
        lines = text.split("\n")
        if code != 0 or "end" not in lines:
            raise Unreachable(f"{self.who}: {framing.last_lines(text)}")
        fields = (line.split(" ", 5) for line in lines if line != "end")
        return [
            QueueRow(id=row[1], name=row[0], code=row[2], reason=" ".join(row[3:])) for row in fields if len(row) == 6
        ]

    def observation_of(self, rows: Sequence[QueueRow]) -> Observation:
        """The JobStatus that the class gave; `unsubmitted` is not in the queue, `unknown` no news."""
        if "check_status" not in self.asks:
            return super().observation_of(rows)
        row = rows[0]
        if row.code == "unsubmitted":
            return Observation(Native.absent, row.code)
        hint = (
            f"{self.who} never named its id: only its exit marker will tell how it ended" if row.id == row.name else ""
        )
        return Observation(self.SAID.get(row.code, Native.unknown), row.code, row.id, "check_status", hint=hint)

    def marker_lines(self, queries: Sequence[Query]) -> str:
        """Those of every job, and what only a class needs."""
        names = (f"{query.nonce}{end}" for query in queries for end in (".ours", ".noted"))
        return "\n".join([super().marker_lines(queries), "cat << '@@'", *names, "@@"])

    def claim(self, query: Query, files: Mapping[str, list[str]]) -> Claim | None:
        """A job of the program's batch system does not know its id: it has the one that is known, or its nonce."""
        found = super().claim(query, files)
        if found is None or found.owner != "none":
            return found
        known = query.id or self.identified("\n".join(files.get("id", []))) or query.nonce
        return msgspec.structs.replace(found, owner=known)

    def _observation(
        self, query: Query, files: Mapping[str, list[str]], rows: list[QueueRow], answered: bool
    ) -> Observation:
        if "id" not in files and (noted := "".join(files.get("noted", [])).strip()):
            files = {**files, "id": [f"1 job: {spelt(noted)}"]}
        seen = super()._observation(query, files, rows, answered)
        row = next((row for row in rows if row.id == query.id), None)
        if "check_status" not in self.asks or row is None or "ours" in files or seen.native is not Native.ended:
            return seen
        return msgspec.structs.replace(seen, claim=_ended(row))

    # -- ending -----------------------------------------------------------------------------------------------------

    def kill(self, queries: Sequence[Query], place: Place) -> Any:
        """The context calls kill of the class, if there is one."""
        return Driven("kill", tuple(queries)) if "kill" in self.asks else super().kill(queries, place)

    def killing(self, queries: Sequence[Query], place: Place) -> ShellText:
        """As a batch system is asked, with what the class has complained of."""
        return super().kill(queries, place)

    def kill_lines(self, queries: Sequence[Query]) -> str:
        """What kill has complained of."""
        if "kill" in self.asks:
            wrong = "; ".join(said.words for said in self.said.values() if said.words)
        elif self.behind:
            return super().kill_lines(queries)
        else:
            wrong = f"{self.who} has no kill(job): end {', '.join(query.id for query in queries if query.id)} by hand"
        return f"printf '%s\\n' {quoted(wrong)} >&2\nreturn 1" if wrong else ":"


def dialect(kind: type, resources: ResourcesSpec) -> Scheduler:
    """The batch system that a machine's class stands for. Unsupported for what cannot be driven."""
    above: type = own.nearest(kind)
    behind = None if above.__name__ == "Machine" else schedulers.chosen(above.__name__, resources)
    asks, parts = own.own(kind, own.VERBS), own.own(kind, own.PARTS)
    own.refuse_incomplete(kind, ("do_submit", "check_status") if behind is None else ())
    if behind is not None and not asks and not parts:
        return behind
    if behind is not None and (not isinstance(behind, CommandDialect) or behind.context):
        raise Unsupported(f"{own.described(kind)}: methods of a class of your own are not asked for {above.__name__}")
    if behind is not None and asks and behind.elements(resources, 2):
        raise Unsupported(
            f"{own.described(kind)}: {above.__name__} makes job arrays; of a class of your own its script is used, "
            f"not {', '.join(sorted(asks))}"
        )
    found: Repeats = type("Driven", (Repeats, type(behind or CommandDialect())), {"name": kind.__name__})()
    found.who, found.asks, found.behind = own.described(kind), asks, behind is not None
    found.tags = bool(own.own(kind, ("check_finish_tag",)))
    found.native_id = found.native_id or "none"
    if "do_submit" in asks:
        found.max_submit_batch = 1  # the answer of one is written down before the next is asked for
    found.configure(resources)
    return found


def receipt(id: str) -> str:
    """What stands in the receipt of a job that a class has named."""
    return f"1 job: {spelt(id)}"


def spelt(id: str) -> str:
    """An id as one word."""
    return quote(str(id).strip(), safe=_AS_IS)


def _line(said: Repeated) -> str:
    return " ".join(said.words.split())[:300] or "-"


def _ended(row: QueueRow) -> Claim:
    """How a job ended of which only check_status tells."""
    size, code, words = row.reason.split(" ", 2)
    if row.code == "finished":
        return Claim(owner=row.id, tasks=tuple((index, 0, 0.0) for index in range(int(size))), ended=0)
    said = "" if words == "-" else f": {words}"
    ended = 1 if code in ("-", "0") else int(code)
    return Claim(owner=row.id, ended=ended, notes=(f"check_status says {row.code}{said}",))
