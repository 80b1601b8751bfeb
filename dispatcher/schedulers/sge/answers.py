"""What Grid Engine says: states, the XML of the queue, accounting records, and the causes they amount to.

    qstat -xml    <job_list …><JB_job_number>4211</JB_job_number><JB_name>dq3v81kx0mza-relax</JB_name>
                  <state>r</state><queue_name>all.q@node7</queue_name>…</job_list>       one for each running element
    qstat -j      stuck 4211 dq3v81kx0mza can't open output file "/nosuch/log": No such file or directory
    qacct         record dq3v81kx0mza-relax|4211|undefined|node7|1|37  : qmaster enforced …|137 (Killed)|61s|…

The last two are lines that our own text makes (see `sge`). Every life of a
rescheduled job has a record: the last one counts. One of a job that was
deleted before it ran, or while its node was dead, does not exist.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from ...core.errors import Unreachable
from ...core.events import Cause, CauseKind, worst_of
from ...core.ports import Native, Observation
from ..command_line import QueueRow, nonce_of

_WAITING = "qw hqw hRwq hRqw Rqw s ts S tS T tT Rs Rts RS RtS RT RtT"
_RUNNING = "r t Rr Rt hr ht hRr hRt"
#: In error, what it was before behind the E; over, because it stays so.
ERROR = ("Eqw", "Ehqw", "EhRqw", "ERqw", "Er", "Et")
_GOING = "r t Rr Rt s ts S tS T tT Rs Rts RS RtS RT RtT qw hqw Eqw Ehqw"
#: Every state code of qstat(1).
STATES: Mapping[str, Native] = {
    **dict.fromkeys(_WAITING.split(), Native.waiting),
    **dict.fromkeys(_RUNNING.split(), Native.running),
    **dict.fromkeys(ERROR, Native.ended),
    **{f"d{state}": Native.completing for state in _GOING.split()},
    "z": Native.ended,
}

#: Of several elements of an array, or a job in error and its twin, the first of these says how the whole is.
_PRECEDENCE = (Native.running, Native.waiting, Native.completing, Native.unknown, Native.ended)

_JOB = re.compile(r"<job_list[^>]*>(.*?)</job_list>", re.S)
_FIELD = re.compile(r"<(\w+)>([^<]*)</\1>")
_COMPLAINT = re.compile(r"commlib error|unable to (?:send|contact)|^error:|denied", re.M)

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_ASKED = re.compile(r"\b(h_vmem|h_rt)=(\w[\w.]*)")


def rows(text: str, code: int) -> list[QueueRow]:
    """The jobs of the XML; without its end the answer is not whole."""
    if code != 0 or "</job_info>" not in text:
        found = _COMPLAINT.search(text)
        why = text[found.start() :].split("\n")[0] if found else f"exit code {code}"
        raise Unreachable(f"SGE qstat: {'no answer in time' if code == 124 else why}")
    jobs = (dict(_FIELD.findall(job)) for job in _JOB.findall(text))
    return [
        QueueRow(job["JB_job_number"], nonce_of(job["JB_name"]), job["state"], _host(job))
        for job in jobs
        if {"JB_job_number", "JB_name", "state"} <= job.keys()
    ]


def _host(job: Mapping[str, str]) -> str:
    return job.get("queue_name", "").partition("@")[2]


def observation_of(listed: Sequence[QueueRow], join: bool) -> Observation:
    """All rows of one job (elements, parts, several copies) as one. `join`: its id is all of their ids."""
    row = min(listed, key=lambda row: _PRECEDENCE.index(STATES.get(row.code, Native.unknown)))
    native = STATES.get(row.code, Native.unknown)
    ids = sorted({each.id for each in listed}, key=int) if join else [row.id]
    cause = None
    if row.code in ERROR:
        cause = Cause(CauseKind.scheduler, "it could not be started: in error", native=row.code, source="queue")
    held = native is Native.waiting and row.code.startswith("h")
    hint = f"job {row.id} is held ({row.code}): as it is, it will not start before the hold ends" if held else ""
    return Observation(native, row.code, ",".join(ids), "queue", row.node, cause=cause, hint=hint)


# -- accounting -----------------------------------------------------------------------------------------------------


class Record(msgspec.Struct, frozen=True):
    """The last life of a job or array element in the accounting, as qacct prints it."""

    name: str
    id: str
    task: str
    host: str
    slots: str
    failed: str
    status: str
    wallclock: str
    maxrss: str
    maxvmem: str
    category: str

    @property
    def step(self) -> str:
        """In which step of a job's life it failed: 0 not at all, 100 after it had begun."""
        return self.failed.partition(":")[0].strip()

    @property
    def why(self) -> str:
        """That in words."""
        return self.failed.partition(":")[2].strip()

    @property
    def code(self) -> int:
        """The exit code of the script, 128 and more for signals."""
        return int(_number(self.status) or 0)


def from_accounting(lines: Iterable[str]) -> dict[str, Observation]:
    """What is known of each job, by nonce: why it is stuck, or how its last life ended."""
    lines = list(lines)
    ended: dict[str, list[Record]] = {}
    for line in lines:
        if line.startswith("record ") and line.count("|") >= 10:
            record = Record(*(field.strip() for field in line[7:].split("|", 10)))
            if record.id.isdecimal():
                ended.setdefault(nonce_of(record.name), []).append(record)
    return {nonce: _ended(records) for nonce, records in ended.items()} | _stuck(lines)


def _stuck(lines: Iterable[str]) -> dict[str, Observation]:
    """Why jobs are in error."""
    found: dict[str, Observation] = {}
    for line in lines:
        if line.startswith("stuck ") and line.count(" ") >= 3:
            _, id, nonce, reason = line.split(" ", 3)
            cause = Cause(CauseKind.scheduler, f"it could not be started: {reason}", native="Eqw", source="queue")
            found[nonce] = Observation(Native.ended, "Eqw", id, "accounting", cause=cause)
    return found


def _ended(records: Sequence[Record]) -> Observation:
    """The records of one job as one: the worst cause of its elements."""
    ids = ",".join(sorted({record.id for record in records}, key=int))
    worst = worst_of(map(accounted_cause, records))
    if worst is None:
        return Observation(Native.ended, "failed 0, exit 0", ids, "accounting", records[0].host)
    if records[0].task != "undefined":
        worst = msgspec.structs.replace(worst, reason=f"{worst.reason} ({_elements(records)})")
    return Observation(Native.ended, worst.native, ids, "accounting", worst.node, cause=worst)


def _elements(records: Sequence[Record]) -> str:
    bad = sorted(int(record.task) - 1 for record in records if record.task.isdecimal() and accounted_cause(record))
    return f"element{'s' if len(bad) > 1 else ''} {', '.join(map(str, bad[:8]))}{' …' if len(bad) > 8 else ''}"


def accounted_cause(record: Record) -> Cause | None:
    """Why a life ended; None when it went well."""
    kind, reason = _verdict(record)
    if kind is None:
        return None
    code = record.code
    return Cause(
        kind,
        reason,
        code=code if 0 < code <= 128 else None,
        signal=code - 128 if code > 128 else None,
        native=f"failed {record.step}, exit {code}",
        node=record.host,
        elapsed=_number(record.wallclock),
        maxrss=_resident(record.maxrss),
        source="accounting",
    )


def _verdict(record: Record) -> tuple[CauseKind | None, str]:
    """The kind of cause, and the reason; the numbers are those of sge_status(5)."""
    step = record.step
    if step == "0":
        if record.code > 128:
            return CauseKind.scheduler, "ended by a signal"
        return (CauseKind.scheduler, "its script ended without an exit marker") if record.code else (None, "")
    if step in ("37", "44"):
        return _limit(record)
    if step == "100":
        return CauseKind.scheduler, "killed: deleted, or by its node"
    if step in ("26", "27", "28"):
        return CauseKind.scheduler, f"it could not be started: {record.why}"
    return CauseKind.node, record.why


def _limit(record: Record) -> tuple[CauseKind | None, str]:
    """Which of three limits it was is not said: memory when it used what it had asked for, or had time left."""
    requested = {name: _bytes(value) for name, value in _ASKED.findall(record.category)}
    memory, seconds = requested.get("h_vmem"), requested.get("h_rt")
    used, slots, elapsed = _bytes(record.maxvmem) or 0, _number(record.slots) or 1, _number(record.wallclock)
    early = seconds is not None and elapsed is not None and elapsed < seconds
    if memory and (used >= memory * slots or early):
        return CauseKind.memory, f"its h_vmem limit was exceeded: it used {record.maxvmem}"
    return CauseKind.timeout, record.why


def _number(text: str) -> float | None:
    found = re.match(r"[0-9]{1,15}(?:\.[0-9]{1,6})?", text)
    return float(found[0]) if found else None


def _bytes(text: str) -> float | None:
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)([KMGT]?)B?", text, re.I)
    return float(found[1]) * _UNITS[found[2].upper()] if found else None


def _resident(text: str) -> int | None:
    """ru_maxrss is in kB; SGE 8.1 takes it for bytes and says `4.551KB` of 4.6 MB."""
    found = _bytes(text)
    return None if found is None else int(found * 1024)
