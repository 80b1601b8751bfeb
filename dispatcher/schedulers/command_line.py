"""What all batch systems that are asked by commands have in common: receipts, claims, framed answers.

One text submits many jobs; each answer is kept beside its script before it is read here:

    dq3v81kx0mza.sub     the script                      (written tmp + mv, before the question)
    dq3v81kx0mza.id      the receipt: what sbatch said   (written tmp + mv, only when it said yes)
    dq3v81kx0mza.claim   who runs it and how it went     (written by the job itself, see `scripts.bash`)

and one text looks at many: the queue, the receipts and the claims. Lines that
are meant for us start with a mark that no banner of a site can contain:

    @@dq3v81kx0mza out dq3v81kx0mza 4211
    @@dq3v81kx0mza queue 4211 dq3v81kx0mza-relax R node7
    @@dq3v81kx0mza file dq3v81kx0mza.claim:task 0 0 1790000123 .
    @@dq3v81kx0mza done                     without this line the answer is not whole, and counts as none

A dialect is what differs: a command line and a pattern for each question.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
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
)
from ..scripts.render import quoted
from ..scripts.shared_directory import shared_closing, shared_fence
from .limits import JOB_NAME
from .preamble import PREAMBLE as PREAMBLE
from .preamble import refuse_purged

_SUBMIT = """\
dsp_put() { cat > "$1.tmp.$$" && mv -f -- "$1.tmp.$$" "$1" || { echo "$dsp_mark full $1"; exit 91; }; }
dsp_earlier=' '
dsp_lines() {
  cat -- "$@" 2> /dev/null | LC_ALL=C grep -a -c -E '^(claim .*|(task [0-9]+|end) [0-9]+ [0-9]+ \\.)$'
}
dsp_revoke() { # the claim of attempt $1, of which $2 lines are known, before $3 is asked for: first as a whole,
  # then those of array elements that have not ended. If more is there than is known, it was found: $3 is not asked.
  echo revoked > "$1.revoked" || { echo "$dsp_mark full $1.revoked"; exit 91; }
  if ! ln -- "$1.revoked" "$1.claim" 2> /dev/null; then
    dsp_first=
    ! [ -r "$1.claim" ] || IFS= read -r dsp_first < "$1.claim"
    if [ "$dsp_first" != revoked ] && [ "$(dsp_lines "$1.claim")" -gt "$2" ]; then dsp_earlier="$dsp_earlier$3 "
    else mv -f -- "$1.revoked" "$1.claim"; fi
  elif [ "$(dsp_lines "$1".*.claim)" -gt "$2" ]; then
    rm -f -- "$1.claim"
    dsp_earlier="$dsp_earlier$3 "
  fi
  rm -f -- "$1.revoked"
  case $dsp_earlier in *" $3 "*) echo "$dsp_mark earlier $3 $1"; return 0 ;; esac
  grep -L '^end ' -- "$1".*.claim 2> /dev/null | while read -r dsp_e; do echo revoked | dsp_put "$dsp_e"; done
}
dsp_show() { [ ! -s "$2" ] || { cat < "$2"; echo; } | sed "s/^/$dsp_mark $1 $dsp_nonce /"; }
dsp_stop=
dsp_submit() {
  dsp_nonce=$1
  case $dsp_earlier in *" $1 "*) return 0 ;; esac
  if [ -n "$dsp_stop" ]; then echo "$dsp_mark skipped $dsp_nonce"; return 0; fi
  dsp_code=0
  if [ ! -s "$dsp_nonce.id" ] && [ ! -e "$dsp_nonce.claim" ]; then # asked before and answered: never ask again
    { umask "$dsp_umask"; dsp_command; } > "$dsp_nonce.id.tmp" 2> "$dsp_nonce.err.tmp" < /dev/null
    dsp_code=$?
    umask 077
    if [ "$dsp_code" -eq 0 ]; then mv -f -- "$dsp_nonce.id.tmp" "$dsp_nonce.id"; else dsp_stop=yes; fi
  fi
  dsp_show out "$dsp_nonce.id"
  dsp_show out "$dsp_nonce.id.tmp" 2> /dev/null
  dsp_show err "$dsp_nonce.err.tmp" 2> /dev/null
  echo "$dsp_mark code $dsp_nonce $dsp_code"
  rm -f -- "$dsp_nonce.id.tmp" "$dsp_nonce.err.tmp"
}
"""


_CODE = re.compile(r"[0-9]{1,3}")
# Bounded: what stands in a file may be anything, and a position becomes a bit of a number.
_TASK = re.compile(r"task ([0-9]{1,7}) ([0-9]{1,5}) ([0-9]{1,12}) \.")
_END = re.compile(r"end ([0-9]{1,5}) ([0-9]{1,12}) \.")
_ERR = re.compile(r"err ([0-9]{1,7}) (.*)")
_SIGNAL = re.compile(r"signal [A-Z0-9]{1,9} ([0-9]{1,12}) \.")
#: Seconds before a signal in which a task that ended well may have been cut short by it (`scripts.bash` has the same).
_CUT_SHORT = 5
#: Most notes of a job, and characters of each, that are taken in.
_NOTES, _NOTE = 20, 500


class QueueRow(msgspec.Struct, frozen=True, gc=False):
    """One job as the queue lists it."""

    id: str
    name: str
    code: str
    node: str = ""
    reason: str = ""


class CommandDialect:
    """A batch system that is asked by commands. Dialects override what differs.

    `STATES` maps the native codes; one that nobody knew is no news. `LATER` and `NEVER` are patterns for what the
    submit command says when it fails: "not now" and "not as it is". Anything else leaves the outcome open.
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
    kwargs: ClassVar[tuple[Key, ...]] = (JOB_NAME,)
    kwargs_needed: ClassVar[bool] = False
    STATES: ClassVar[Mapping[str, Native]] = {}
    DEFERRED: re.Pattern[str] = re.compile(r"(?!)")
    REJECTED: re.Pattern[str] = re.compile(r"(?!)")
    ID: re.Pattern[str] = re.compile(r"^(\S+)$", re.MULTILINE)

    # -- what a dialect says ------------------------------------------------------------------------------------

    def header(self, resources: ResourcesSpec, name: str, log: str, elements: int) -> list[str]:
        """Directive lines; none by default."""
        return []

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
        """Commands that end these jobs."""
        raise ConfigError(f"{self.name} has no kill command")

    def account(self, queries: Sequence[Query], place: Place) -> ShellText | None:
        """No accounting by default."""
        return None

    def accounted(self, reply: Reply, queries: Sequence[Query]) -> Observations:
        """No accounting by default: nothing is known."""
        return Observations({})

    # -- submitting ---------------------------------------------------------------------------------------------

    def submit(self, requests: Sequence[SubmitRequest], place: Place) -> ShellText:
        """Write the files, withdraw the claims of earlier attempts, ask for each job, keep every answer."""
        mark = f"@@{requests[0].nonce}"
        parts = [self.preamble.format(control=quoted(place.control)), f"dsp_mark={mark}\n", _SUBMIT]
        # what jobs have in common is written once
        files = {name: text for request in requests for name, text in request.files.items()}
        parts += [heredoc(name, text, mark) for name, text in files.items()]
        for request in requests:
            parts += [f"dsp_revoke {nonce} {lines} {request.nonce}\n" for nonce, lines in request.withdrawals]
        for nth, request in enumerate(requests):
            pause = f"sleep {request.resources.wait_time:g}\n" if nth and request.resources.wait_time else ""
            parts.append(
                f"{pause}dsp_command() {{\n{self.submit_line(request, place)}\n}}\ndsp_submit {request.nonce}\n"
            )
        waits = sum(request.resources.wait_time for request in requests)
        return ShellText("".join([*parts, f"echo {mark} done\n"]), timeout=120 + 10 * len(requests) + waits)

    def submitted(self, reply: Reply, requests: Sequence[SubmitRequest]) -> dict[str, Answer]:
        """By nonce; a job of which nothing certain was said has no entry."""
        said = framed(reply.out, f"@@{requests[0].nonce}")
        refuse_purged(reply, said)
        for line in said.get("full", []):
            why = f"cannot write {line} in the jobs' directory on the execution side (disk full or quota?)"
            return {request.nonce: Deferral(why) for request in requests}
        out, err, codes = (_by_nonce(said.get(word, [])) for word in ("out", "err", "code"))
        answers: dict[str, Answer] = dict.fromkeys(
            said.get("skipped", []), Deferral("not asked: the one before failed")
        )
        answers |= {nonce: EarlierAttempt(old) for nonce, old in _by_nonce(said.get("earlier", [])).items()}
        for nonce, code in codes.items():
            answer = self._answer(code.strip(), out.get(nonce, ""), err.get(nonce, ""))
            if answer is not None:
                answers[nonce] = answer
        requested = {request.nonce for request in requests}
        return {nonce: answer for nonce, answer in answers.items() if nonce in requested}

    def _answer(self, code: str, out: str, err: str) -> Answer | None:
        if code == "0":
            found = self.identified(out)
            return Accepted(found) if found else None
        return self.refusal(code, f"{err}\n{out}".strip())

    def refusal(self, code: str, said: str) -> Answer | None:
        """What a failed submit command means; None when the job may have been accepted all the same."""
        if self.REJECTED.search(said):
            return Rejection(said)
        return Deferral(said) if self.DEFERRED.search(said) else None

    # -- looking ------------------------------------------------------------------------------------------------

    def observe(self, queries: Sequence[Query], place: Place) -> ShellText:
        """The queue and the markers of all these jobs in one round trip."""
        mark = f"@@{queries[0].nonce}"
        text = (
            f"{self.preamble.format(control=quoted(place.control))}"
            f"dsp_queue() {{\n{self.queue_lines(queries)}\n}}\n"
            f"{framed_call('queue', mark)}"
            f"dsp_markers() {{\n{self.marker_lines(queries)}\n}}\n"
            f"dsp_markers | LC_ALL=C xargs grep -a -s -H '' /dev/null | sed 's/^/{mark} file /'\n"
            f"echo {mark} done\n"
        )
        return ShellText(text, timeout=180)

    def marker_lines(self, queries: Sequence[Query]) -> str:
        """Commands that print the names of the files that say how these jobs stand: receipts, claims, fences."""
        names = (f"{query.nonce}{end}" for query in queries for end in (".id", ".claim", ".claim.fenced"))
        return "\n".join(["cat << '@@'", *names, "@@"])

    def observed(self, reply: Reply, queries: Sequence[Query]) -> Observations:
        """Receipts and claims count even when the queue gave no good answer; then `trouble` says why."""
        said = framed(reply.out, f"@@{queries[0].nonce}")
        refuse_purged(reply, said)
        if "done" not in said:
            raise Unreachable(f"{self.name}: the answer is not whole (exit {reply.code}): {reply.err.strip()[-300:]}")
        files = _files(said.get("file", []))
        try:
            listed = self.rows("\n".join(said.get("queue", [])), int((said.get("queue-code") or ["255"])[0]))
            trouble = ""
        except Unreachable as error:
            listed, trouble = [], str(error)
        rows: dict[str, list[QueueRow]] = {}
        for row in listed:
            rows.setdefault(row.name, []).append(row)
        observations = {
            query.nonce: self._observation(query, files.get(query.nonce, {}), rows.get(query.nonce, []), not trouble)
            for query in queries
        }
        return Observations(observations, trouble)

    def _observation(
        self, query: Query, files: Mapping[str, list[str]], rows: list[QueueRow], answered: bool
    ) -> Observation:
        claim = self.claim(query, files)
        receipt = self.identified("\n".join(files.get("id", [])))
        wanted = ((claim.owner if claim else "") or query.id).split(",")
        mine = [row for row in rows if row.id in wanted]
        missed = Observation(Native.absent if answered else Native.unknown)
        observation = self.observation_of(mine or rows) if rows else missed
        found = (
            (receipt, "receipt") if receipt
            else (claim.owner, "claim") if claim and claim.owner
            else (observation.id, observation.how)
        )  # fmt: skip
        return msgspec.structs.replace(observation, id=found[0], how=found[1], claim=claim)

    def observation_of(self, rows: Sequence[QueueRow]) -> Observation:
        """What the rows of one job say of it."""
        row = rows[0]
        return Observation(self.STATES.get(row.code, Native.unknown), row.code, row.id, "queue", row.node)

    def claim(self, query: Query, files: Mapping[str, list[str]]) -> Claim | None:
        """What the job itself has written so far; `files` are its lines by what follows the nonce in their names."""
        return read_claim(files.get("claim", []), files.get("claim.fenced", []))

    def identified(self, text: str) -> str:
        """The native id in what the submit command printed, "" when there is none."""
        found = self.ID.search(text)
        return found.group(1) if found else ""

    # -- ending -------------------------------------------------------------------------------------------------

    def kill(self, queries: Sequence[Query], place: Place) -> ShellText:
        """End these jobs; what is gone already is no error."""
        return ShellText(f"{self.preamble.format(control=quoted(place.control))}{self.kill_lines(queries)}\n:\n")


def read_claim(lines: Sequence[str], fenced: Sequence[str] = ()) -> Claim | None:
    """A claim file as a value; None when there is none yet. Lines that were torn do not count."""
    if not lines:
        return None
    first = lines[0].split()
    if len(first) != 6 or first[0] != "claim":
        return Claim(owner="")
    results = [_TASK.fullmatch(line) for line in lines[1:]]
    ended = [_END.fullmatch(line) for line in lines[1:]]
    stderr: dict[int, list[str]] = {}
    for tail in filter(None, map(_ERR.fullmatch, lines[1:])):
        stderr.setdefault(int(tail[1]), []).append(tail[2])
    known = [result for result in (*results, *ended) if result]
    signals = [int(signal[1]) for signal in map(_SIGNAL.fullmatch, lines[1:]) if signal]
    before = min(signals, default=10**12) - _CUT_SHORT
    notes = [line[5:][:_NOTE] for line in lines[1:] if line.startswith("note ")]
    return Claim(
        owner=first[1],
        lines=1 + len(known),
        restarts=int(first[2]) if re.fullmatch("[0-9]{1,9}", first[2]) else 0,
        node=first[3],
        tasks=tuple(
            (int(task[1]), int(task[2]), float(task[3]))
            for task in results
            if task and (int(task[2]) or int(task[3]) < before)
        ),
        ended=next((int(end[1]) for end in ended if end), None),
        stderr={index: "\n".join(text) for index, text in stderr.items()},
        fenced=tuple(line.split()[1] for line in fenced if line.startswith("fenced ") and len(line.split()) == 2),
        notes=tuple(notes[:_NOTES]),
        log="\n".join(line[4:] for line in lines[1:] if line.startswith("log ")),
    )


def heredoc(name: str, text: str, mark: str) -> str:
    """Shell text that writes a file, by dsp_put."""
    return f"dsp_put {name} << '{mark}'\n{text.rstrip(chr(10))}\n{mark}\n"


def framed_call(word: str, mark: str) -> str:
    """Shell text: call dsp_WORD, tell its exit code and each line of what it said, complaints included."""
    return (
        f"dsp_said=$(dsp_{word} 2>&1 < /dev/null)\n"
        f'echo "{mark} {word}-code $?"\n'
        f"printf '%s\\n' \"$dsp_said\" | sed 's/^/{mark} {word} /'\n"
    )


def framed(text: str, mark: str) -> dict[str, list[str]]:
    """Our lines of an answer by their first word, in order; banners and noise are passed over."""
    said: dict[str, list[str]] = {}
    for line in text.split("\n"):
        # A banner without a line end may stand before the mark on the same line.
        _, found, rest = line.partition(f"{mark} ")
        word, _, value = rest.partition(" ")
        # an exit code that is no number was not told by us, and counts as not told
        if found and (not word.endswith("-code") or _CODE.fullmatch(value)):
            said.setdefault(word, []).append(value)
    return said


def _by_nonce(lines: Iterable[str]) -> dict[str, str]:
    texts: dict[str, list[str]] = {}
    for line in lines:
        nonce, _, text = line.partition(" ")
        texts.setdefault(nonce, []).append(text)
    return {nonce: "\n".join(part for part in parts if part) for nonce, parts in texts.items()}


def _files(lines: Iterable[str]) -> dict[str, dict[str, list[str]]]:
    """The lines of each file, by nonce and by what follows it in the file's name."""
    files: dict[str, dict[str, list[str]]] = {}
    for line in lines:
        name, _, text = line.partition(":")
        nonce, _, rest = name.partition(".")
        files.setdefault(nonce, {}).setdefault(rest, []).append(text)
    return files
