"""What all batch systems that are asked by commands have in common: receipts, claims, framed answers.

One text submits many jobs; each answer is kept beside its script before it is read here:

    dq3v81kx0mza.sub     the script                      (written tmp + mv, before the question)
    dq3v81kx0mza.id      the receipt: what sbatch said   (written tmp + mv, only when it said yes)
    dq3v81kx0mza.claim   who runs it and how it went     (written by the job itself, see `scripts.bash`)

and one text looks at many: the queue, the receipts and the claims (see `framing`).
A dialect is what differs: a command line and a pattern for each question.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from ..core.errors import ConfigError, Unreachable
from ..core.keys import Key
from ..core.model import ResourcesSpec
from ..core.ports import (
    Accepted,
    Answer,
    Claim,
    Deferral,
    EarlierAttempt,
    JobScript,
    Native,
    Observation,
    Observations,
    Place,
    Query,
    Rejection,
    Reply,
    ShellText,
    SubmitRequest,
    Unclear,
)
from ..scripts.shared_directory import shared_closing, shared_fence
from . import directives, framing
from .claims import beating, read_claim
from .framing import Heard, advice
from .limits import JOB_NAME, PROLOGUE
from .preamble import PREAMBLE, refuse_purged
from .refusals import CUT_SHORT, Refusals
from .site_check import SiteCheck
from .submitting import ASK, SUBMIT, unasked, withdrawing
from .together import Together

#: Stands behind what was said to each part of a job that is asked for in parts.
PART = "@part"


class QueueRow(msgspec.Struct, frozen=True, gc=False):
    """One job as the queue lists it."""

    id: str
    name: str
    code: str
    node: str = ""
    reason: str = ""


class CommandDialect(Together):
    """A batch system that is asked by commands. Dialects override what differs.

    `STATES` maps the native codes; one that nobody knew is no news. `REFUSALS` says what the submit command means when
    it fails; a dialect without them has `DEFERRED` and `REJECTED`, patterns for "not now" and "not as it is". Any other
    text leaves the outcome open, and is asked about a bounded number of times.
    """

    name = ""
    absence_timeout = 60.0
    min_poll_interval = 1.0
    max_submit_batch = 100
    native_id = ""
    restarts = "0"
    element = ""
    #: Seconds between the end of the last task and the exit marker of a success: a site that ends a job process by
    #: process reaches its task first and the script a moment later.
    settle: ClassVar[float] = 0.5
    #: What every call begins with.
    preamble: ClassVar[str] = PREAMBLE
    context = ""
    kwargs: ClassVar[tuple[Key, ...]] = (JOB_NAME, PROLOGUE)
    kwargs_needed: ClassVar[bool] = False
    #: What `dispatcher check` asks.
    CHECK: ClassVar[SiteCheck] = SiteCheck()
    STATES: ClassVar[Mapping[str, Native]] = {}
    REFUSALS: ClassVar[Refusals | None] = None
    DEFERRED: re.Pattern[str] = re.compile(r"(?!)")
    REJECTED: re.Pattern[str] = re.compile(r"(?!)")
    #: The id in what the submit command prints: the last match counts, for notices may stand before it.
    ID: re.Pattern[str] = re.compile(r"^(\S+)$", re.MULTILINE)
    #: What one native id looks like. Whoever claims a job under another one is not believed, and told to no command.
    NATIVE: re.Pattern[str] = re.compile(r"[A-Za-z0-9_][\w.:;@\[\]+-]{0,250}", re.ASCII)
    #: The commands that submit, and that tell what is remembered of jobs that have left; for messages.
    SUBMITS: ClassVar[str] = "the submit command"
    REMEMBERS: ClassVar[str] = "the accounting"
    #: What begins a directive ("#SBATCH"), "" where the batch system reads none; and the options it may hold.
    MARK: ClassVar[str] = ""
    OPTIONS: ClassVar[frozenset[str]] = frozenset()
    #: The kill command's own complaints, and those that only say that a job is gone already.
    COMPLAINT: ClassVar[re.Pattern[str]] = re.compile(r"\S")
    GONE: ClassVar[re.Pattern[str]] = re.compile(r"(?!)")

    def __init__(self) -> None:
        #: Lines of the user's that come before every question.
        self.prologue: tuple[str, ...] = ()

    def configure(self, resources: ResourcesSpec) -> None:
        """Take from the resources what concerns every question, and not only the script."""
        self.prologue = tuple(resources.kwargs.get("scheduler_prologue") or ())

    def _preamble(self, place: Place) -> str:
        return framing.preamble(self.preamble, place.control, self.prologue)

    # -- what a dialect says ------------------------------------------------------------------------------------

    def header(self, resources: ResourcesSpec, name: str, log: str, elements: int) -> list[str]:
        """Directive lines; none by default."""
        return []

    def directive(self, line: str, key: str) -> str:
        """A line of the user's as a directive, "" when it is shell; see `directives`."""
        return directives.directive(line, key, self.MARK, self.OPTIONS, self.name)

    def custom_gpu_line(self, resources: ResourcesSpec) -> list[str]:
        """The line that the user wrote for the GPUs; an empty one means none."""
        line, key = str(resources.kwargs["custom_gpu_line"]), "resources/kwargs/custom_gpu_line"
        if not line.strip():
            return []
        if found := self.directive(line, key):
            return [found]
        raise ConfigError(f"{key}: {line!r} is not a directive of {self.name}: it must begin with {self.MARK}")

    def elements(self, resources: ResourcesSpec, tasks: int) -> int:
        """No array by default."""
        return 0

    def fence(self, job: JobScript, elements: int) -> str:
        """By a file in the directory that the job shares with us."""
        return shared_fence(job, self, elements)

    def closing(self, job: JobScript) -> str:
        """In the claim that lies there."""
        return shared_closing(self.settle)

    def check(self, resources: ResourcesSpec) -> None:
        """Refuse what would break a directive line."""
        if any(ord(letter) < 32 for letter in resources.queue_name):
            raise ConfigError(f"resources/queue_name: {resources.queue_name!r} holds a control character")

    def submit_line(self, request: SubmitRequest, place: Place) -> str:
        """The command that submits one job, in the directory of its script."""
        raise ConfigError(f"{self.name} has no submit command")

    def queue_lines(self, queries: Sequence[Query]) -> str:
        """Commands that print the queue; their exit code is that of the last."""
        raise ConfigError(f"{self.name} has no queue command")

    def rows(self, text: str, code: int) -> list[QueueRow]:
        """What the queue printed; raises Unreachable when that is no good answer."""
        raise Unreachable(f"{self.name}: exit {code}: {text[:200]}")

    def kill_lines(self, queries: Sequence[Query]) -> str:
        """Commands that end these jobs; their exit code is not 0 when one could not be ended."""
        raise ConfigError(f"{self.name} has no kill command")

    def account_lines(self, queries: Sequence[Query]) -> str:
        """Commands that print what is remembered of jobs that have left the queue; "" when there are none to ask."""
        return ""

    def records(self, heard: Heard, queries: Sequence[Query]) -> Observations:
        """What they printed: only what is remembered has an entry."""
        return Observations({})

    # -- submitting ---------------------------------------------------------------------------------------------

    def submit(self, requests: Sequence[SubmitRequest], place: Place) -> ShellText:
        """Write the files, withdraw the claims of earlier attempts, ask for each job, keep every answer."""
        mark = framing.mark_of(requests)
        parts = [self._preamble(place), f"dsp_mark={mark}\n", ASK, SUBMIT]
        # what jobs have in common is written once
        files = {name: text for request in requests for name, text in request.files.items()}
        parts += [framing.heredoc(name, text, mark) for name, text in files.items()]
        for request in requests:
            parts += [f"dsp_revoke {nonce} {lines} {request.nonce}\n" for nonce, lines in request.withdrawals]
        for nth, request in enumerate(requests):
            pause = f"sleep {request.resources.wait_time:g}\n" if nth and request.resources.wait_time else ""
            parts.append(
                f"{pause}dsp_command() {{\n{self.submit_line(request, place)}\n}}\n"
                f"dsp_submit {request.nonce} {request.asked}\n"
            )
        waits = sum(request.resources.wait_time for request in requests)
        return ShellText("".join([*parts, f"echo {mark} done\n"]), timeout=120 + 10 * len(requests) + waits)

    def submitted(self, reply: Reply, requests: Sequence[SubmitRequest]) -> dict[str, Answer]:
        """By nonce; a job of which nothing was said has no entry."""
        said = framing.framed(reply.out, framing.mark_of(requests))
        refuse_purged(reply, said)
        for line in said.get("full", []):
            why = f"cannot write {line} in the jobs' directory on the execution side (disk full or quota?)"
            return {request.nonce: Deferral(why) for request in requests}
        out, err, codes, paths = (framing.by_nonce(said.get(word, [])) for word in ("out", "err", "code", "path"))
        answers: dict[str, Answer] = dict.fromkeys(
            said.get("skipped", []), Deferral("not asked for yet: the one before it was not taken")
        )
        answers |= dict.fromkeys(said.get("asked", []), Unclear("another call has asked for it", known=True))
        answers |= {nonce: EarlierAttempt(old) for nonce, old in framing.by_nonce(said.get("earlier", [])).items()}
        for nonce, code in codes.items():
            words = (out.get(nonce, ""), err.get(nonce, ""))
            answer = self._answer(code.strip(), *words, paths.get(nonce, ""))
            answers[nonce] = answer or Unclear(_said(*words) or f"exit code {code.strip()}", known=code.strip() != "0")
        requested = {request.nonce for request in requests}
        return {nonce: answer for nonce, answer in answers.items() if nonce in requested}

    def _answer(self, code: str, out: str, err: str, path: str = "") -> Answer | None:
        """None: it may have been accepted, or will be; trouble that passes."""
        said = _said(out, err)
        if code == "0":
            found = self.identified(out)
            return Accepted(found) if found else Unclear(f"{self.SUBMITS} named no job: {said}") if said else None
        if code in ("126", "127"):
            return Rejection(f"{said or f'exit code {code}'}; {advice(self.SUBMITS, path)}")
        return self.refusal(code, said)

    def refusal(self, code: str, said: str) -> Answer | None:
        """What a failed submit command means; None when the job may have been accepted all the same."""
        if self.REFUSALS is not None:
            return self.REFUSALS.judged(code, said)
        if self.REJECTED.search(said):
            return Rejection(said)
        if self.DEFERRED.search(said):
            return Deferral(said)
        return None if code in CUT_SHORT else Unclear(said or f"exit code {code}")

    # -- looking ------------------------------------------------------------------------------------------------

    def observe(self, queries: Sequence[Query], place: Place) -> ShellText:
        """The queue and the markers of all these jobs in one round trip."""
        queries, mark = self.trusted(queries), framing.mark_of(queries)
        queue = framing.question("queue", self.queue_lines(queries), mark)
        text = f"{self._preamble(place)}{queue}{self.markers(queries, place, mark)}echo {mark} done\n"
        return ShellText(text, timeout=self.patience(queries))

    def patience(self, queries: Sequence[Query]) -> float:
        """Seconds after which a look counts as unanswered."""
        return 180.0

    def markers(self, queries: Sequence[Query], place: Place, mark: str) -> str:
        """Commands, in the control directory, that print the receipts and claims there, behind the mark."""
        return (
            f"{withdrawing(queries, mark)}{beating(queries, mark)}"
            f"dsp_markers() {{\n{self.marker_lines(queries)}\n}}\n"
            f"dsp_markers | LC_ALL=C xargs grep -a -s -H '' /dev/null | sed 's/^/{mark} file /'\n"
        )

    def marker_lines(self, queries: Sequence[Query]) -> str:
        """Commands that print the names of the files that say how these jobs stand: receipts, claims, fences."""
        names = (f"{query.nonce}{end}" for query in queries for end in (".id", ".claim", ".claim.fenced"))
        return "\n".join(["cat << '@@'", *names, "@@"])

    def observed(self, reply: Reply, queries: Sequence[Query]) -> Observations:
        """Receipts and claims count even when the queue gave no good answer; then `trouble` says why."""
        said = framing.whole(reply, framing.mark_of(queries), self.name)
        files, queue = framing.files(said.get("file", [])), framing.heard(said, "queue")
        try:
            listed = self.rows(queue.text, queue.code)
            trouble = ""
        except Unreachable as error:
            listed, trouble = [], f"{self.name}: {queue.why('its command')}" if queue.path else str(error)
        rows: dict[str, list[QueueRow]] = {}
        for row in listed:
            rows.setdefault(row.name, []).append(row)
        observations = {
            query.nonce: self._observation(query, files.get(query.nonce, {}), rows.get(query.nonce, []), not trouble)
            for query in self.trusted(queries)
        }
        for nonce, number in unasked(said.get("unasked", [])).items():
            if nonce in observations:
                observations[nonce] = msgspec.structs.replace(observations[nonce], unasked=number)
        return Observations(observations, trouble)

    def _observation(
        self, query: Query, files: Mapping[str, list[str]], rows: list[QueueRow], answered: bool
    ) -> Observation:
        claim, hint = self._believed(self.claim(query, files))
        receipt = self._native(self.identified("\n".join(files.get("id", []))))
        known = query.id or receipt
        if claim and claim.owner:
            beat = "\n".join(files.get("beat", []))
            claim = msgspec.structs.replace(claim, owner=self.same(claim.owner, known), beat=beat)
        wanted = ((claim.owner if claim else "") or query.id).split(",")
        rows = [msgspec.structs.replace(row, id=self.same(row.id, known)) for row in rows]
        mine = [row for row in rows if row.id in wanted]
        missed = Observation(Native.absent if answered else Native.unknown)
        observation = self.observation_of(mine or rows) if rows else missed
        found = (
            (receipt, "receipt") if receipt
            else (claim.owner, "claim") if claim and claim.owner
            else (self._native(observation.id), observation.how)
        )  # fmt: skip
        hint = hint or observation.hint
        return msgspec.structs.replace(observation, id=found[0], how=found[1], claim=claim, hint=hint)

    def observation_of(self, rows: Sequence[QueueRow]) -> Observation:
        """What the rows of one job say of it."""
        row = rows[0]
        return Observation(self.STATES.get(row.code, Native.unknown), row.code, row.id, "queue", row.node)

    def claim(self, query: Query, files: Mapping[str, list[str]]) -> Claim | None:
        """What the job itself has written so far; `files` are its lines by what follows the nonce in their names."""
        return read_claim(files.get("claim", []), files.get("claim.fenced", []))

    def identified(self, text: str) -> str:
        """The native id in what the submit command printed, "" when there is none."""
        # line by line: what it printed may be very long
        found = [id for line in text.split("\n") for id in self.ID.findall(line)]
        return str(found[-1]) if found else ""

    def same(self, id: str, known: str) -> str:
        """`known` where both are names of one job (the job, the queue and the receipt may spell it differently)."""
        return id

    # -- whom to believe ----------------------------------------------------------------------------------------

    def _native(self, id: str) -> str:
        """The id where it looks like one of this batch system (or several of them, with commas), else ""."""
        return id if id and all(map(self.NATIVE.fullmatch, id.split(","))) else ""

    def trusted(self, queries: Sequence[Query]) -> Sequence[Query]:
        """What does not look like an id is told to no command: the job is then looked for by its name."""
        if all(not query.id or self._native(query.id) for query in queries):
            return queries
        return [msgspec.structs.replace(query, id=self._native(query.id)) for query in queries]

    def _believed(self, claim: Claim | None) -> tuple[Claim | None, str]:
        """The claim, and what to say of one that is not believed."""
        if claim is None:
            return None, ""
        fenced = tuple(filter(self._native, claim.fenced))
        if claim.owner in ("", "none") or self._native(claim.owner):
            return (claim if fenced == claim.fenced else msgspec.structs.replace(claim, fenced=fenced)), ""
        return None, f"its claim names {claim.owner[:80]!r}, which is not a job id of {self.name}: not believed"

    # -- ending and accounting ----------------------------------------------------------------------------------

    def kill(self, queries: Sequence[Query], place: Place) -> ShellText:
        """End these jobs; what is gone already is no error."""
        queries = self.trusted(queries)
        return self._question("kill", self.kill_lines(queries), queries, place)

    def killed(self, reply: Reply, queries: Sequence[Query]) -> str:
        """The kill command's own complaints, but for those that a job is gone."""
        heard = framing.heard(framing.whole(reply, framing.mark_of(queries), self.name), "kill")
        if heard.code == 0:
            return ""
        own = [line.strip() for line in heard.text.split("\n") if self.COMPLAINT.search(line)]
        bad = [line for line in own if not self.GONE.search(line)]
        if own and not bad and heard.code not in (124, 126, 127):
            return ""
        return f"{self.name}: {'; '.join(bad[:3])[:300] or heard.why('the kill command')}"

    def account(self, queries: Sequence[Query], place: Place) -> ShellText | None:
        """What is remembered of these jobs, in one call; None where nobody can be asked."""
        queries = self.trusted(queries)
        lines = self.account_lines(queries)
        return self._question("account", lines, queries, place) if lines else None

    def accounted(self, reply: Reply, queries: Sequence[Query]) -> Observations:
        """Only what is remembered has an entry; see `records`."""
        heard = framing.heard(framing.whole(reply, framing.mark_of(queries), self.REMEMBERS), "account")
        return self.records(heard, self.trusted(queries))

    def _question(self, word: str, lines: str, queries: Sequence[Query], place: Place) -> ShellText:
        mark = framing.mark_of(queries)
        text = f"{self._preamble(place)}{framing.question(word, lines, mark)}echo {mark} done\n"
        return ShellText(text, timeout=240 + 0.2 * len(queries))


def nonce_of(name: str) -> str:
    """The nonce at the head of a job name of ours."""
    return name.strip().partition("-")[0]


def plain_path(path: str, letters: str = "") -> str:
    """The path where the batch system reads it as it stands (`letters`: what it takes besides), else /dev/null."""
    return path if re.fullmatch(rf"[\w./+=@{letters}-]+", path, re.ASCII) else "/dev/null"


def _said(out: str, err: str) -> str:
    return f"{err}\n{out}".replace(f"\n{PART}", "").strip()
