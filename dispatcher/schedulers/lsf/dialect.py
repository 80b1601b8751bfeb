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
from ...core.ports import (
    Answer,
    Deferral,
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
from ...scripts.render import quoted
from .. import limits
from ..command_line import PREAMBLE, CommandDialect, QueueRow, framed, framed_call
from ..restarts import RESTARTS

_USER = 'dsp_user=$(id -un) && [ -n "$dsp_user" ] || return 90\n'
_KILL = """\
dsp_list() {{
{user}{queue}
}}
dsp_ids=$(dsp_list | awk -F '|' -v names=' {names} ' '{{ split($3, name, "-") }}
  $2 !~ /^(DONE|EXIT)$/ && index(names, " " name[1] " ") {{ print $1 }}')
[ -z "$dsp_ids" ] || dsp_within 100 {kill} $dsp_ids
"""
_ACCOUNT = """\
{user}dsp_code=0
dsp_listed=$({listed} 2>&1) || dsp_code=$?
printf '%s\\n' "$dsp_listed"
set --
for dsp_id in {ids}; do
  printf '%s\\n' "$dsp_listed" | grep -q "^ *$dsp_id|" || set -- "$@" "$dsp_id"
done
[ $# -eq 0 ] || dsp_within 90 {history} "$@" 2>&1
return "$dsp_code"
"""
#: Most ids whose history is searched for in one call: each means reading the event files.
MOST = 50

_NONE = re.compile(r"No (?:\w+ )?job(?:s are)? found|is not found")
_LINE = re.compile(r" *(\d+) *\|([^|]*)\|([^|]*)\|([^|]*)(?:\|(.*))?")

# What a failed bsub said. Here the job may be in the queue all the same:
_UNCERTAIN = re.compile(
    r"[Tt]imed? ?-?out|[Ff]ailed in receiving|[Cc]onnection (?:reset|closed)|[Bb]roken pipe|[Ii]nternal"
)
_DEFERRED = re.compile(
    r"threshold|limit (?:is |was |has been )?(?:reached|exceeded)|too many|try (?:it )?(?:again|later)|not responding"
    r"|is down|cannot connect|connection refused|pending job|queue (?:is )?closed|does not accept|being reconfigured",
    re.I,
)
_REJECTED = re.compile(r"[Jj]ob not submitted|^[bj]sub: |Request aborted|[Bb]ad |No such|not found", re.M)

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
_TERM = re.compile(r"TERM_(\w+)")
_UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class LSFDialect(CommandDialect):
    """One bsub a job; see the module."""

    name = "LSF"
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
    #: Words in which relatives of LSF differ.
    MARK: ClassVar[str] = "BSUB"
    SUBMIT: ClassVar[str] = "bsub"
    LIST: ClassVar[str] = 'bjobs -a -u "$dsp_user" -noheader -o'
    FIELDS: ClassVar[str] = "jobid stat job_name exec_host pend_reason"
    ENDED: ClassVar[str] = "jobid stat job_name exec_host exit_code exit_reason run_time max_mem"
    HISTORY: ClassVar[str] = "bhist -n 4 -l"
    KILL: ClassVar[str] = "bkill"

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
            f"-o {log if re.fullmatch(r'[A-Za-z0-9_./+=@,:-]+', log) else '/dev/null'}",
        ]
        return [*(f"#{self.MARK} {line}" for line in lines), *self.gpus(resources)]

    def memory(self, resources: ResourcesSpec) -> list[str]:
        """A limit, and as much set aside."""
        memory = limits.megabytes(resources)
        return [f"-M {memory}MB", f"-R 'rusage[mem={memory}MB]'"] if memory else []

    def gpus(self, resources: ResourcesSpec) -> list[str]:
        """custom_gpu_line instead of ours; ours only when gpu_usage asks for it."""
        kwargs = resources.kwargs
        custom, gpus = kwargs.get("custom_gpu_line"), resources.gpu_per_node
        if custom is not None:
            return [str(custom)] if custom else []
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
        return f"dsp_within 90 {self.SUBMIT} -J {request.name} < {request.script}"

    def refusal(self, code: str, said: str) -> Answer | None:
        """Not now, never, or nobody knows. LSF tries for ever while its master is away: that is cut short."""
        if code == "124" or _UNCERTAIN.search(said):
            return None
        if _DEFERRED.search(said):
            return Deferral(said)
        return Rejection(said) if code == "127" or _REJECTED.search(said) else None

    # -- looking ------------------------------------------------------------------------------------------------

    def queue_lines(self, queries: Sequence[Query]) -> str:
        """One question for all jobs of this user, also those that have just ended."""
        return f"{_USER}{self._listed(self.FIELDS)}"

    def _listed(self, fields: str) -> str:
        return f"dsp_within 60 {self.LIST} \"{fields} delimiter='|'\""

    def rows(self, text: str, code: int) -> list[QueueRow]:
        """The jobs listed; that there is none is told as an error."""
        found = [match for line in text.split("\n") if (match := _LINE.fullmatch(line))]
        if code != 0 and not (_NONE.search(text) and not found):
            why = "no answer in time" if code == 124 else text.strip()[-300:] or f"exit code {code}"
            raise Unreachable(f"{self.name}: {why}")
        return [
            QueueRow(
                match[1],
                match[3].strip().partition("-")[0],
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
        names = " ".join(query.nonce for query in queries)
        return _KILL.format(user=_USER, queue=self._listed(self.FIELDS), names=names, kill=self.KILL)

    # -- accounting ---------------------------------------------------------------------------------------------

    def account(self, queries: Sequence[Query], place: Place) -> ShellText | None:
        """What is still listed of jobs that have ended; for those that are not, the history."""
        ids = " ".join([query.id for query in queries if query.id][:MOST])
        mark = f"@@{queries[0].nonce}"
        lines = _ACCOUNT.format(user=_USER, listed=self._listed(self.ENDED), ids=ids, history=self.HISTORY)
        return ShellText(
            f"{PREAMBLE.format(control=quoted(place.control))}dsp_account() {{\n{lines}}}\n"
            f"{framed_call('account', mark)}echo {mark} done\n",
            timeout=240,
        )

    def accounted(self, reply: Reply, queries: Sequence[Query]) -> Observations:
        """Only what is known has an entry; an id with another name is another job."""
        said = framed(reply.out, f"@@{queries[0].nonce}")
        if "done" not in said:
            raise Unreachable(f"{self.name}: the answer is not whole (exit {reply.code}): {reply.err.strip()[-300:]}")
        text = "\n".join(said.get("account", []))
        code = int((said.get("account-code") or ["255"])[0])
        known = histories(text) | self._ended(text)
        observations = {query.nonce: known[query.nonce] for query in queries if query.nonce in known}
        good = code == 0 or _NONE.search(text)
        return Observations(observations, "" if good else f"{self.name}: {text.strip()[-300:] or f'exit code {code}'}")

    def _ended(self, text: str) -> dict[str, Observation]:
        found: dict[str, Observation] = {}
        for line in text.split("\n"):
            fields = [field.strip() for field in line.split("|")]
            if len(fields) < 5 or not fields[0].isdigit():
                continue
            id, state, name, host, code, reason, elapsed, memory = [*fields, "", "", ""][:8]
            native = self.STATES.get(state, Native.unknown)
            cause = accounted_cause(code, reason, _host(host), elapsed, memory) if state in ("EXIT", "ZOMBI") else None
            found[name.partition("-")[0]] = Observation(native, state, id, "accounting", _host(host), cause=cause)
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
        name = head[2].partition("-")[0]
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
