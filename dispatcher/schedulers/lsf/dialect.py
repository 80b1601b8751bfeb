"""LSF.

    #BSUB -J dq3v81kx0mza-relax               bsub -J dq3v81kx0mza-relax < dq3v81kx0mza.sub    Job <4211> is submitted …
    #BSUB -n 8                                bjobs -a -u USER -o "jobid stat job_name …"      one question for all
    #BSUB -R 'span[ptile=4]'                  bhist -l ID …    of those that bjobs has forgotten
    #BSUB -W 2160                             bkill ID …       of those whose names begin with our nonces
    #BSUB -q normal
    #BSUB -o /scratch/R/.dispatcher/5f1c/jobs/dq3v81kx0mza.log

Fields are asked for without a width: a job name that does not fit loses its
beginning, where our nonce stands. kwargs: gpu_usage, gpu_new_syntax,
gpu_exclusive, custom_gpu_line, walltime, memory, account (-P).

Sources: IBM Spectrum LSF 10.1 command reference, bsub -J (4094 characters), -P (511), -W ([hours:]minutes), -M, -R,
-gpu; bjobs -o. MB is written out, because without a unit LSF_UNIT_FOR_LIMITS of the site decides; units are known
since 10.1.0.2. rusage[mem] is of each host unless the site sets RESOURCE_RESERVE_PER_TASK; -M is of each process, or
of the whole job where the site sets LSB_JOB_MEMLIMIT.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from ...core.errors import Unreachable
from ...core.events import Cause, CauseKind
from ...core.keys import Key, optional
from ...core.model import ResourcesSpec
from ...core.ports import Native, Observation, Observations, Place, Query, SubmitRequest
from .. import directives, framing, limits
from ..command_line import QueueRow, nonce_of, plain_path
from ..framing import Heard
from ..holding import HoldingDialect
from ..restarts import RESTARTS
from ..site_check import SiteCheck
from .refusals import REFUSALS

_USER = 'dsp_user=$(id -un) && [ -n "$dsp_user" ] || return 90\n'
#: The list with its fields chosen; where it is too old for that (before 9.1) the wide list, of which as much is made as
#: it tells: id, state, name, host. It begins then with a line that says so.
_LISTED = """\
dsp_list() {{
dsp_listed=$(dsp_within 60 {list} {chosen} "$1 delimiter='|'" 2>&1)
dsp_code=$?
case $dsp_listed in
*"llegal option"* | *"nvalid option"* | *"nrecognized option"* | *"nknown option"*)
  echo dsp_wide
  dsp_listed=$(dsp_within 60 {list} -w 2>&1)
  dsp_code=$?
  dsp_listed=$(printf '%s\\n' "$dsp_listed" | awk '
    $1 !~ /^[0-9]+$/ {{ print; next }} {{ print $1 "|" $3 "|" $(NF-3) "|" (NF > 9 ? $6 : "-") "|" }}')
  ;;
esac
printf '%s\\n' "$dsp_listed"
case $dsp_listed in {none}) return 0 ;; esac
return "$dsp_code"
}}
"""
#: What a list says in which there is no job.
_EMPTY = "*'o job found'* | *'o unfinished job found'* | *'o matching job found'* | *'is not found'*"
#: Ours in the list that are in some state.
_LIVE = """\
  { split($3, name, "-") }
  $2 @STATE && name[1] in known { sub(/^ */, "", $1); print $1 }"""
#: What is listed; then those asked for that are not, or that the wide list tells nothing of.
_UNLISTED = """\
  $1 == "dsp_wide" { wide = 1 }
  { print; id = $1; gsub(/ /, "", id); if (!wide) listed[id] }
  END { for (nonce in known) if (known[nonce] != "-" && !(known[nonce] in listed)) print "dsp_ask " known[nonce] }"""

_NONE = re.compile(r"No (?:\w+ )?job(?:s are)? found|is not found")
_LINE = re.compile(r" *(\d+) *\|([^|]*)\|([^|]*)\|([^|]*)(?:\|(.*))?")

#: The kinds of cause by LSF's termination reasons; others are named as they are.
_KINDS: Mapping[str, CauseKind] = {
    **dict.fromkeys(("RUNLIMIT", "CPULIMIT", "DEADLINE"), CauseKind.timeout),
    **dict.fromkeys(("MEMLIMIT", "SWAP"), CauseKind.memory),
    **dict.fromkeys(
        ("PREEMPT", "LOAD", "WINDOW", "OTHER", "REQUEUE_ADMIN", "REQUEUE_OWNER", "REQUEUE_RC", "RC", "MC_RECALL"),
        CauseKind.preempted,
    ),
    **dict.fromkeys(
        ("ZOMBIE", "REMOVE_HUNG_JOB", "RMS", "SLURM", "CSM_ALLOC", "PRE_EXEC_FAIL", "KUBE"), CauseKind.node
    ),
}
#: Most ids whose history is searched for by one command: each command reads the event files once.
HISTORIES = 200
_TERM = re.compile(r"TERM_(\w+)")
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class LSFDialect(HoldingDialect):
    """One bsub a job; see the module."""

    name = "LSF"
    CHECK = SiteCheck(
        ("bsub", "bjobs", "bkill"), "bqueues", "bqueues {queue}", queues=("bqueues", "-o", "queue_name", "-noheader")
    )
    native_id = "${LSB_JOBID:-none}"
    kwargs: ClassVar[tuple[Key, ...]] = (
        optional("gpu_usage", bool, "Ask for GPUs.", False),
        optional("gpu_new_syntax", bool, "Use -gpu, of LSF 10.1.0.3 and later.", False),
        optional("gpu_exclusive", bool, "With gpu_new_syntax: share the GPUs with no other job.", True),
        limits.GPU_LINE,
        *limits.USUAL,
    )
    kwargs_needed: ClassVar[bool] = True
    restarts = RESTARTS
    STATES: ClassVar[Mapping[str, Native]] = {
        "PEND": Native.waiting,
        "FWD_PEND": Native.waiting,
        "PROV": Native.waiting,  # its host is being set up
        "PSUSP": Native.waiting,
        "WAIT": Native.waiting,
        "RUN": Native.running,
        "SSUSP": Native.waiting,
        "USUSP": Native.waiting,
        "DONE": Native.ended,
        "EXIT": Native.ended,
        "POST_DONE": Native.ended,
        "POST_ERR": Native.ended,
        "UNKWN": Native.unknown,  # its host does not answer
        "ZOMBI": Native.ended,  # killed or run again while its host did not answer
    }
    ID = re.compile(r"^\s*Job <(\d+)> (?:is|has been) submitted", re.MULTILINE)
    NATIVE = re.compile(r"[0-9]{1,18}", re.ASCII)
    REFUSALS = REFUSALS
    COMPLAINT = re.compile(
        r"^Job <\d+>: |^(?:bkill|bjobs|jctrl|jjobs)\b|No matching job|not responding|LSF is down"
        r"|[Cc]annot connect|LSF library"
    )
    GONE = re.compile(r"already finished|No matching job found|[Jj]ob is being terminated|No (?:\w+ )?job found")
    OPTIONS = directives.BSUB
    #: Words in which relatives of LSF differ.
    MARK = "#BSUB"
    SUBMITS = "bsub"
    REMEMBERS = "bhist"
    LIST: ClassVar[str] = 'bjobs -a -u "$dsp_user"'
    CHOSEN: ClassVar[str] = "-noheader -o"
    FIELDS: ClassVar[str] = "jobid stat job_name exec_host pend_reason"
    ENDED: ClassVar[str] = "jobid stat job_name exec_host exit_code exit_reason run_time max_mem"
    HISTORY: ClassVar[str] = "bhist -n 4 -l"
    KILL: ClassVar[str] = "bkill"
    #: The commands that hold and release a job, "" where there are none.
    HOLD: ClassVar[tuple[str, str]] = ("bstop", "bresume")

    # -- submitting ---------------------------------------------------------------------------------------------

    def header(self, resources: ResourcesSpec, name: str, log: str, elements: int) -> list[str]:
        """The directive lines; what is not set has none."""
        limit, account, cpus = (
            limits.seconds(resources),
            resources.kwargs.get("account"),
            resources.cpu_per_node or 1,
        )
        lines = [
            f"-J {name}",
            f"-n {resources.number_node * cpus}",
            f"-R 'span[ptile={cpus}]'",
            *([f"-W {-(-limit // 60)}"] if limit is not None else []),
            *self.memory(resources),
            *([f"-q {resources.queue_name}"] if resources.queue_name else []),
            *([f"-P {account}"] if account else []),
            # % begins a variable, a blank ends the path; without -e the errors are there, too
            f"-o {plain_path(log, ',:')}",
        ]
        own = resources.kwargs.get("custom_gpu_line") is None
        return [
            *(f"{self.MARK} {line}" for line in lines),
            *(self.gpus(resources) if own else self.custom_gpu_line(resources)),
        ]

    def memory(self, resources: ResourcesSpec) -> list[str]:
        """A limit, and as much set aside."""
        memory = limits.megabytes(resources)
        return [f"-M {memory}MB", f"-R 'rusage[mem={memory}MB]'"] if memory else []

    def gpus(self, resources: ResourcesSpec) -> list[str]:
        """Only when gpu_usage asks for it."""
        kwargs, gpus = resources.kwargs, resources.gpu_per_node
        if not kwargs.get("gpu_usage") or not gpus:
            return []
        if kwargs.get("gpu_new_syntax"):
            alone = "yes" if kwargs.get("gpu_exclusive", True) else "no"
            return [f"#BSUB -gpu 'num={gpus}:mode=shared:j_exclusive={alone}'"]
        return [f'#BSUB -R "select[ngpus >0] rusage[ngpus_excl_p={gpus}]"']

    def check(self, resources: ResourcesSpec) -> None:
        """Refuse values that would not stay one word of a directive."""
        limits.fit(resources, ("account",))

    def submit_line(self, request: SubmitRequest, place: Place) -> str:
        """The script is read from standard input: only then its directives count."""
        return f"dsp_within 90 {self.SUBMITS} -J {request.name} < {request.script}"

    # -- looking ------------------------------------------------------------------------------------------------

    def queue_lines(self, queries: Sequence[Query]) -> str:
        """One question for all jobs of this user, also those that have just ended."""
        return f"{self._list()}dsp_list '{self.FIELDS}'"

    def _list(self) -> str:
        return _USER + _LISTED.format(list=self.LIST, chosen=self.CHOSEN, none=_EMPTY)

    def rows(self, text: str, code: int) -> list[QueueRow]:
        """The jobs listed; that there is none is told as an error."""
        found = [match for line in text.split("\n") if (match := _LINE.fullmatch(line))]
        if code != 0 and not (_NONE.search(text) and not found):
            raise Unreachable(f"{self.name}: {Heard(text, code).why(self.LIST.split()[0])}")
        return [
            QueueRow(
                match[1],
                nonce_of(match[3]),
                match[2].strip(),
                _host(match[4]),
                (match[5] or "").strip(),
            )
            for match in found
        ]

    def observation_of(self, rows: Sequence[QueueRow]) -> Observation:
        """What the rows of one job say of it; a job that somebody holds back is pointed out."""
        row = min(rows, key=lambda row: self.STATES.get(row.code) is Native.ended)
        native = self.STATES.get(row.code, Native.unknown)
        hint = (
            f"job {row.id} is held back (PSUSP): as it is, it will not start by itself" if row.code == "PSUSP" else ""
        )
        code = f"{row.code} {row.reason.strip('- ')}".strip() if native is Native.waiting else row.code
        return Observation(native, code, row.id, "queue", row.node, hint=hint)

    # -- ending -------------------------------------------------------------------------------------------------

    def kill_lines(self, queries: Sequence[Query]) -> str:
        """End those jobs whose names begin with our nonces; ids alone are not trusted."""
        return self._each(queries, "!~ /^(DONE|EXIT)$/", self.KILL)

    def hold_lines(self, queries: Sequence[Query], release: bool) -> str:
        """bstop for what is pending, bresume for what is held back."""
        held, free = self.HOLD
        state, command = ("~ /^PSUSP$/", free) if release else ("~ /^PEND$/", held)
        return self._each(queries, state, command) if command else ""

    def _each(self, queries: Sequence[Query], state: str, command: str) -> str:
        """The command for those of these jobs that are listed in such a state."""
        ours = framing.ours(f"dsp_list '{self.FIELDS}'", queries, _LIVE.replace("@STATE", state), "|")
        return f"{self._list()}{ours} |\n{framing.told(f'dsp_within 100 {command} $dsp_words')}"

    # -- accounting ---------------------------------------------------------------------------------------------

    def account_lines(self, queries: Sequence[Query]) -> str:
        """What is still listed of jobs that have ended; for those that are not, the history."""
        known = framing.ours(f"dsp_list '{self.ENDED}'", queries, _UNLISTED, "|", ids=True)
        asked = "sed -n 's/^dsp_ask //p'"
        history = framing.told(f"dsp_within 90 {self.HISTORY} $dsp_words 2>&1", HISTORIES)
        return (
            f"{self._list()}dsp_known() {{\n{known}\n}}\n"
            "dsp_told=$(dsp_known)\ndsp_code=$?\n"
            "printf '%s\\n' \"$dsp_told\" | grep -v '^dsp_ask '\n"
            '[ "$dsp_code" -eq 0 ] || return "$dsp_code"\n'
            f"printf '%s\\n' \"$dsp_told\" | {asked} |\n{history} || :"
        )

    def records(self, heard: Heard, queries: Sequence[Query]) -> Observations:
        """Only what is known has an entry; an id with another name is another job."""
        known = histories(heard.text) | self._ended(heard.text)
        observations = {query.nonce: known[query.nonce] for query in queries if query.nonce in known}
        good = heard.code == 0 or _NONE.search(heard.text)
        return Observations(observations, "" if good else f"{self.name}: {heard.why(self.REMEMBERS)}")

    def _ended(self, text: str) -> dict[str, Observation]:
        found: dict[str, Observation] = {}
        for line in text.split("\n"):
            fields = [field.strip() for field in line.split("|")]
            if len(fields) < 5 or not fields[0].isdigit():
                continue
            id, state, name, host, code, reason, elapsed, memory = [*fields, "", "", ""][:8]
            native = self.STATES.get(state, Native.unknown)
            cause = accounted_cause(code, reason, _host(host), elapsed, memory) if state in ("EXIT", "ZOMBI") else None
            found[nonce_of(name)] = Observation(native, state, id, "accounting", _host(host), cause=cause)
        return found


def accounted_cause(code: str, reason: str, node: str = "", elapsed: str = "", memory: str = "") -> Cause:
    """Why a job has exited: its exit code (128 and more: a signal) and LSF's reason."""
    term = _TERM.search(reason)
    kind = _KINDS.get(term[1], CauseKind.scheduler) if term else CauseKind.scheduler
    status = int(code) if code.isdigit() else None
    signal = status - 128 if status is not None and status > 128 else None
    why = reason.partition(":")[2].strip() if term else ""
    from_accounting = "ended by a signal" if signal else "its script ended without an exit marker"
    return Cause(
        kind,
        why or (term[0] if term else from_accounting),
        code=status if signal is None else None,
        signal=signal,
        native=term[0] if term else "EXIT",
        node=node,
        elapsed=_number(elapsed),
        maxrss=_bytes(memory),
        source="accounting",
    )


_HISTORY = re.compile(r"Job <(\d+)>, Job Name <([^>]*)>")
_EXITED = re.compile(r"Exited(?: with exit code (\d+)| by signal (\d+))?")
_DONE = re.compile(r"Done successfully")
_WHY = re.compile(r"TERM_\w+: [^.;]*")


def histories(text: str) -> dict[str, Observation]:
    """What bhist -l tells, by nonce: long lines are broken and go on behind blanks. The last end counts."""
    whole = re.sub(r"\n {10,}", "", text)
    found: dict[str, Observation] = {}
    for part in re.split(r"^(?=Job <\d+>)", whole, flags=re.M):
        head = _HISTORY.match(part)
        ends = list(_EXITED.finditer(part))
        if head is None or not (ends or _DONE.search(part)):
            continue
        cause = None
        if ends and not _DONE.search(part, ends[-1].end()):
            why = _WHY.search(part, ends[-1].start())
            status = ends[-1][1] or (str(128 + int(ends[-1][2])) if ends[-1][2] else "")
            cause = accounted_cause(status, why[0] if why else "")
        name = nonce_of(head[2])
        found[name] = Observation(Native.ended, "EXIT" if cause else "DONE", head[1], "accounting", cause=cause)
    return found


def _host(text: str) -> str:
    return text.strip().partition(":")[0].rpartition("*")[2].strip("-")


def _number(text: str) -> float | None:
    found = re.match(r"\d+(?:\.\d+)?", text)
    return float(found[0]) if found else None


def _bytes(text: str) -> int | None:
    found = re.match(r"([\d.]+) *([KMGT])", text, re.IGNORECASE)
    return int(float(found[1]) * _UNITS[found[2].lower()]) if found else None
