"""SGE: Grid Engine in all its branches.

    #$ -N dq3v81kx0mza-relax                  qsub -terse -N dq3v81kx0mza-relax dq3v81kx0mza.sub      4211
    #$ -pe mpi 8                              qstat -u USER -xml     one question for all; only XML has whole names
    #$ -l h_rt=129600                         qstat -j ID,… and qacct -o USER -j    of those that are given up
    #$ -q all.q                               qdel 'dq3v81kx0mza*'   by name: an id may be somebody else's by now
    #$ -j y
    #$ -o /scratch/R/.dispatcher/5f1c/jobs/dq3v81kx0mza.log

A job in error (Eqw) never starts and never leaves: it counts as over, and is
deleted when it is given up. kwargs: pe_name (mpi; also sge_pe_name), gpu_name
(gpu), custom_gpu_line, walltime, memory (of a node, told as h_vmem of a slot),
account.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from ..errors import Unreachable
from ..events import Cause
from ..model import ResourcesSpec
from ..ports import Answer, Ask, Later, Look, Looks, Native, Never, Place, Reply, Shell, Watch
from ..script import quoted
from . import asked
from .command_line import PREAMBLE, CommandLine, Row, framed, framed_call
from .lives import RESTARTS

_WAITING = "qw hqw hRwq hRqw Rqw s ts S tS T tT Rs Rts RS RtS RT RtT"
_RUNNING = "r t Rr Rt hr ht hRr hRt"
#: In error, what it was before behind the E; over, because it stays so.
_ERROR = "Eqw Ehqw EhRqw ERqw Er Et"
_GOING = "r t Rr Rt s ts S tS T tT Rs Rts RS RtS RT RtT qw hqw Eqw Ehqw"

_JOB = re.compile(r"<job_list[^>]*>(.*?)</job_list>", re.S)
_FIELD = re.compile(r"<(\w+)>([^<]*)</\1>")
_COMPLAINT = re.compile(r"commlib error|unable to (?:send|contact)|^error:|denied", re.M)

_USER = 'dsp_user=$(id -un) && [ -n "$dsp_user" ] || return 90\n'
#: What qstat -j says of jobs in error, which are deleted then, and the records of ours.
_ACCOUNT = """\
dsp_names='{names}'
dsp_told=$([ -z '{ids}' ] || dsp_within 60 qstat -j '{ids}' 2>&1)
printf '%s\\n' "$dsp_told" | grep -E '^(job_number|job_name|error reason)' | sed 's/^/stuck /'
printf '%s\\n' "$dsp_told" | awk -v names="$dsp_names" '/^job_number:/ {{ id = $2 }}
  /^job_name:/ {{ split($2, name, "-"); ours = index(names, " " name[1] " ") }}
  /^error reason/ && ours {{ print id }}' | sort -u | while read -r dsp_id; do
  dsp_within 30 qdel "$dsp_id" > /dev/null 2>&1 < /dev/null
done
dsp_code=0
dsp_records=$(dsp_within 100 qacct -o "$dsp_user" -j 2>&1) || dsp_code=$?
[ "$dsp_code" -eq 0 ] || printf '%s\\n' "$dsp_records"
printf '%s\\n' "$dsp_records" | awk -v names="$dsp_names" '/^=====/ {{ ours = 0 }}
  $1 == "jobname" {{ split($2, name, "-"); ours = index(names, " " name[1] " ") }}
  ours && $1 ~ /^(hostname|jobname|jobnumber|failed|exit_status|ru_wallclock|ru_maxrss)$/ {{ print "record", $0 }}'
return "$dsp_code"
"""

# What a failed qsub said. Here qmaster may have taken the job all the same:
_OPEN = re.compile(r"read error|receiv|[Tt]ime-?d?-? ?out|unpack|endpoint", re.I)
_LATER = re.compile(
    r"commlib error|unable to (?:send|contact)|got send error|Only \d+ jobs are allowed|[Mm]aximum number"
)
_FAILED = re.compile(r"^Unable to (?:run job|read script)|^qsub: |denied", re.M)

_UNITS = {"": 1 << 10, "B": 1 << 10, "K": 1 << 20, "M": 1 << 30, "G": 1 << 40, "T": 1 << 50}


class SGE(CommandLine):
    """One qsub a job; see the module."""

    name = "SGE"
    native_id = "${JOB_ID:-none}"
    restarts = RESTARTS
    STATES: ClassVar[Mapping[str, Native]] = {
        **dict.fromkeys(_WAITING.split(), Native.waiting),
        **dict.fromkeys(_RUNNING.split(), Native.running),
        **dict.fromkeys(_ERROR.split(), Native.ended),
        **{f"d{state}": Native.completing for state in _GOING.split()},
        "z": Native.ended,
    }
    ID = re.compile(r"^\s*(?:Your job )?(\d+)(?: \(.*\) has been submitted)?\s*$", re.MULTILINE)

    # -- submitting ---------------------------------------------------------------------------------------------

    def header(self, resources: ResourcesSpec, name: str, log: str, elements: int) -> list[str]:
        """The #$ lines; what is not set has none."""
        kwargs, queue = resources.kwargs, resources.queue_name
        limit = asked.seconds(resources)
        lines = [
            f"-N {name}",
            "-S /bin/bash",
            "-cwd",
            *_slots(resources),
            *([f"-l h_rt={limit}"] if limit is not None else []),
            *_memory(resources),
            *([f"-q {queue}"] if queue else []),
            *([f"-A {kwargs['account']}"] if kwargs.get("account") else []),
            "-j y",
            # elsewhere a blank ends the path, $ begins a variable and : ends a host
            f"-o {log if re.fullmatch(r'[A-Za-z0-9_./+=@%,-]+', log) else '/dev/null'}",
        ]
        return [*(f"#$ {line}" for line in lines), *_gpus(resources)]

    def check(self, resources: ResourcesSpec) -> None:
        """Refuse values that would not stay one word of a directive."""
        asked.fit(resources, ("account", "pe_name", "sge_pe_name", "gpu_name"))

    def submit_line(self, ask: Ask, place: Place) -> str:
        """What is left of the attempt before (a job in error) is deleted first."""
        before = [f"dsp_within 30 qdel '{nonce}*' > /dev/null 2>&1 || :" for nonce, _ in ask.revoke]
        return "\n".join([*before, f"dsp_within 90 qsub -terse -N {ask.name} {ask.script}"])

    def refusal(self, code: str, said: str) -> Answer | None:
        """Not now, never, or nobody knows."""
        if code == "124" or _OPEN.search(said):
            return None
        if _LATER.search(said):
            return Later(said)
        return Never(said) if code == "127" or _FAILED.search(said) else None

    # -- looking ------------------------------------------------------------------------------------------------

    def queue_lines(self, watches: Sequence[Watch]) -> str:
        """One question for all jobs of this user."""
        return f'{_USER}dsp_within 60 qstat -u "$dsp_user" -xml'

    def rows(self, text: str, code: int) -> list[Row]:
        """The jobs of the XML; without its end the answer is not whole."""
        if code != 0 or "</job_info>" not in text:
            found = _COMPLAINT.search(text)
            why = text[found.start() :].split("\n")[0] if found else f"exit code {code}"
            raise Unreachable(f"SGE qstat: {'no answer in time' if code == 124 else why}")
        jobs = (dict(_FIELD.findall(job)) for job in _JOB.findall(text))
        return [
            Row(job["JB_job_number"], job["JB_name"].partition("-")[0], job["state"], _host(job))
            for job in jobs
            if {"JB_job_number", "JB_name", "state"} <= job.keys()
        ]

    def standing(self, rows: Sequence[Row]) -> Look:
        """What the rows of one job say; in error it is over."""
        look = super().standing(sorted(rows, key=lambda row: row.code in _ERROR.split()))
        if look.code not in _ERROR.split():
            return look
        cause = Cause("scheduler", "it could not be started: in error", native=look.code, source="queue")
        return Look(Native.ended, look.code, look.id, "queue", look.node, cause=cause)

    # -- ending -------------------------------------------------------------------------------------------------

    def kill_lines(self, watches: Sequence[Watch]) -> str:
        """One qdel, by the names that begin with our nonces."""
        return f"dsp_within 100 qdel {' '.join(quoted(f'{watch.nonce}*') for watch in watches)}"

    # -- accounting ---------------------------------------------------------------------------------------------

    def account(self, watches: Sequence[Watch], place: Place) -> Shell | None:
        """Why they are in error, and what the accounting file has under our names; read once for all."""
        names = f" {' '.join(watch.nonce for watch in watches)} "
        lines = _ACCOUNT.format(names=names, ids=",".join(watch.id for watch in watches if watch.id))
        mark = f"@@{watches[0].nonce}"
        return Shell(
            f"{PREAMBLE.format(home=quoted(place.home))}dsp_account() {{\n{_USER}{lines}}}\n"
            f"{framed_call('account', mark)}echo {mark} done\n",
            timeout=240,
        )

    def accounted(self, reply: Reply, watches: Sequence[Watch]) -> Looks:
        """Only what was deleted before it ran, or while its node was dead, has no record."""
        said = framed(reply.out, f"@@{watches[0].nonce}")
        if "done" not in said:
            raise Unreachable(f"qacct: the answer is not whole (exit {reply.code}): {reply.err.strip()[-300:]}")
        lines = said.get("account", [])
        stuck, records = _stuck(lines), _records(lines)
        looks: dict[str, Look] = {}
        for watch in watches:
            if watch.nonce in stuck:
                looks[watch.nonce] = stuck[watch.nonce]
            elif watch.nonce in records:
                looks[watch.nonce] = _told(records[watch.nonce])
        code = int((said.get("account-code") or ["255"])[0])
        return Looks(looks, "" if code == 0 else f"qacct: {(lines or [f'exit code {code}'])[-1]}")


def _slots(resources: ResourcesSpec) -> list[str]:
    """A parallel environment for more than one slot, or when one is named."""
    kwargs = resources.kwargs
    named = kwargs.get("pe_name") or kwargs.get("sge_pe_name")
    slots = resources.number_node * resources.cpu_per_node
    return [f"-pe {named or 'mpi'} {max(slots, 1)}"] if named or slots > 1 else []


def _memory(resources: ResourcesSpec) -> list[str]:
    memory = asked.megabytes(resources)
    return [f"-l h_vmem={-(-memory // max(resources.cpu_per_node, 1))}M"] if memory else []


def _gpus(resources: ResourcesSpec) -> list[str]:
    """custom_gpu_line instead of ours, and none at all when it is empty."""
    custom = resources.kwargs.get("custom_gpu_line")
    if custom is not None:
        return [str(custom)] if custom else []
    kind = resources.kwargs.get("gpu_name") or "gpu"
    return [f"#$ -l {kind}={resources.gpu_per_node}"] if resources.gpu_per_node else []


def _host(job: Mapping[str, str]) -> str:
    return job.get("queue_name", "").partition("@")[2]


def _stuck(lines: Sequence[str]) -> dict[str, Look]:
    """What qstat -j says of jobs in error, by nonce."""
    found: dict[str, Look] = {}
    id = name = ""
    for line in lines:
        rest = line.partition(":")[2]
        if line.startswith("stuck job_number"):
            id = rest.strip()
        elif line.startswith("stuck job_name"):
            name = rest.strip().partition("-")[0]
        elif line.startswith("stuck error reason"):
            reason = rest.strip().partition("error: ")[2] or rest.strip()
            cause = Cause("scheduler", f"it could not be started: {reason}", native="Eqw", source="queue")
            found[name] = Look(Native.ended, "Eqw", id, "accounting", cause=cause)
    return found


def _records(lines: Sequence[str]) -> dict[str, dict[str, str]]:
    """The last record of each job, by nonce: a rescheduled job has one for each life."""
    found: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    host = ""
    for line in lines:
        if not line.startswith("record "):
            continue
        _, key, value = [*line.split(None, 2), ""][:3]
        if key == "hostname":
            host = value.strip()
        elif key == "jobname":
            current = found[value.strip().partition("-")[0]] = {"hostname": host}
        current[key] = value.strip()
    return found


def _told(record: Mapping[str, str]) -> Look:
    id, node = record.get("jobnumber", ""), record.get("hostname", "")
    failed, _, why = record.get("failed", "0").partition(":")
    failed, why = failed.strip(), why.strip()
    status = int((record.get("exit_status") or "0").split()[0])
    kind, reason = _verdict(failed, why, status)
    native = f"failed {failed}, exit {status}"
    if not kind:
        return Look(Native.ended, native, id, "accounting", node)
    cause = Cause(
        kind,
        reason,
        code=status if 0 < status <= 128 else None,
        signal=status - 128 if status > 128 else None,
        native=native,
        node=node,
        elapsed=_number(record.get("ru_wallclock", "")),
        maxrss=_bytes(record.get("ru_maxrss", "")),
        source="accounting",
    )
    return Look(Native.ended, native, id, "accounting", node, cause=cause)


def _verdict(failed: str, why: str, status: int) -> tuple[str, str]:
    """The kind of cause; `failed` counts steps of a job's life, 100 is after it has begun."""
    if failed == "0":
        if status > 128:
            return "scheduler", "ended by a signal"
        return ("scheduler", "its script ended without an exit marker") if status else ("", "")
    if failed in ("37", "44"):
        return "timeout", why
    if failed == "100":
        return "scheduler", "killed: deleted, or by its node"
    if failed in ("26", "27", "28"):
        return "scheduler", f"it could not be started: {why}"
    return "node", why


def _number(text: str) -> float | None:
    found = re.match(r"[\d.]+", text)
    return float(found[0]) if found else None


def _bytes(text: str) -> int | None:
    """ru_maxrss is in kB; SGE 8.1 takes it for bytes and says `4.551KB` of 4.6 MB."""
    found = re.fullmatch(r"([\d.]+)([BKMGT]?)B?", text)
    return int(float(found[1]) * _UNITS[found[2]]) if found else None
