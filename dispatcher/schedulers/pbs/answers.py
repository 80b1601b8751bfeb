"""What PBS and Torque say: states, queue lines, records of jobs, and the causes they amount to.

    qstat -u USER -s -w   4211.pbshost  jane  workq  dq3v81kx0mza-re  --  1  4  --  --  Q  --
                             Can Never Run: Insufficient amount of resource: ncpus (R: 64 A: 4 T: 4)
    qstat -x -f ID …      Job Id: 4211.pbshost
                              Job_Name = dq3v81kx0mza-re
                              comment = Job run at Sun Nov 22 at 10:26 on (pbshost:ncpus=1) and exceeded
                          <tab>resource walltime                  long values go on behind a tab
                              Exit_status = -29

The text is read and not the JSON: asked for several ids, `qstat -f -F json`
of OpenPBS 23.06 prints the first one only, and Torque's `-x` prints one XML
document after another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from ...core.errors import Unreachable
from ...core.events import Cause, CauseKind, worst_of
from ...core.ports import Native, Observation, Query
from ..command_line import QueueRow, nonce_of
from ..framing import last_lines

#: Job states of qstat(1B), OpenPBS and Torque together.
STATES: Mapping[str, Native] = {
    "B": Native.running,  # an array of which elements have begun
    "C": Native.ended,  # Torque: completed, listed for keep_completed seconds
    "E": Native.completing,  # exiting; half a minute and more when its output cannot be delivered
    "F": Native.ended,
    "H": Native.waiting,
    "M": Native.unknown,  # moved to another server
    "Q": Native.waiting,
    "R": Native.running,
    "S": Native.waiting,
    "T": Native.waiting,
    "U": Native.waiting,  # suspended because the workstation is in use
    "W": Native.waiting,
    "X": Native.ended,  # an array element that has ended
}

_PRECEDENCE = (Native.running, Native.waiting, Native.completing, Native.unknown, Native.ended)
_QUEUE_LINE = re.compile(r"(\d\S*)\s+\S+\s+\S+\s+(\S+)(?:\s+\S+){5}\s+([A-Z])\s+\S+.*")
_HEAD = re.compile(r"Job Id: (\S+)")
_ATTRIBUTE = re.compile(r"    (\S+) = (.*)")
_NEVER_STARTS = re.compile(r"Can Never Run|job held, too many failed attempts|Not Running: Queue not started")
#: Lines of records and lists, among which a complaint may stand.
_ROWS = re.compile(r"\s|Job Id: |Job ID|-----|\d+(?:\[|\.)")
#: What PBS writes into a job's own log when it ends it.
_KILLED = re.compile(r"^=>> PBS: job killed: (.*)", re.M)

#: Exit codes of qstat with ids: all known; unknown ones among them; finished ones among them.
_GOOD = (0, 35, 153)
NO_HISTORY = "PBS is not configured to maintain job history"

#: Exit codes that are PBS's own: OpenPBS has -24 to -29, Torque -10 to -12.
_OWN: Mapping[int, tuple[CauseKind, str]] = {
    -10: (CauseKind.memory, "its memory limit was exceeded"),
    -11: (CauseKind.timeout, "its wall time limit was exceeded"),
    -12: (CauseKind.timeout, "its cpu time limit was exceeded"),
    -24: (CauseKind.scheduler, "it used more cpus than it asked for"),
    -25: (CauseKind.scheduler, "it used more cpus than it asked for"),
    -26: (CauseKind.memory, "its virtual memory limit was exceeded"),
    -27: (CauseKind.memory, "its memory limit was exceeded"),
    -28: (CauseKind.timeout, "its cpu time limit was exceeded"),
    -29: (CauseKind.timeout, "its wall time limit was exceeded"),
}
_EXCEEDED = re.compile(r"exceeded\s+(?:resource )?(walltime|cput|mem|pmem|vmem|pvmem)")
_BY = re.compile(r"terminated by (\S+)")
_UNITS = {"b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40}


def rows(text: str, code: int, name: str) -> list[QueueRow]:
    """The jobs that `qstat -s -u` lists; Unreachable with whatever exit code but 0. No job: no line at all."""
    if code != 0:
        raise Unreachable(f"{name} qstat: {complaint(text, code)}")
    found: list[QueueRow] = []
    for line in text.split("\n"):
        if match := _QUEUE_LINE.fullmatch(line):
            found.append(QueueRow(_whole(match[1]), nonce_of(match[2]), match[3]))
        elif found and line.startswith("   ") and line.strip():
            found[-1] = msgspec.structs.replace(found[-1], reason=line.strip())
    return found


def _whole(id: str) -> str:
    """An id that was cut (`-w` shows 30 characters and puts a * in the last place) by its number alone."""
    return id.partition(".")[0] if id.endswith("*") else id


def observation_of(listed: Sequence[QueueRow]) -> Observation:
    """All rows of one nonce (a ghost and its twin) as one."""
    row = min(listed, key=lambda row: _PRECEDENCE.index(STATES.get(row.code, Native.unknown)))
    native = STATES.get(row.code, Native.unknown)
    stuck = native is Native.waiting and (row.code == "H" or _NEVER_STARTS.match(row.reason))
    why = row.reason or "it is held"
    hint = f"job {row.id} ({row.code}): {why}: as it is, it will not start by itself" if stuck else ""
    code = f"{row.code} {row.reason}".strip() if native is Native.waiting else row.code
    return Observation(native, code, row.id, "queue", row.node, hint=hint)


def complaint(text: str, code: int) -> str:
    """What is wrong with an answer about jobs by id; "" for a good one. History may be off although it exits 0."""
    if NO_HISTORY in text:
        return NO_HISTORY
    if code in _GOOD:
        return ""
    return "no answer in time" if code == 124 else last_lines(text, _ROWS) or f"exit code {code}"


Record = dict[str, str]


def from_logs(files: Mapping[str, Mapping[str, list[str]]]) -> dict[str, Observation]:
    """Why PBS has ended jobs, by their own logs (nonce -> log): for a server that keeps no history."""
    found = {}
    for nonce, logs in files.items():
        killed = _KILLED.search("\n".join(line for lines in logs.values() for line in lines))
        if killed:
            limit = CauseKind.memory if "mem" in killed[1] else CauseKind.timeout
            kind = limit if "exceeded" in killed[1] else CauseKind.scheduler
            cause = Cause(kind, killed[1].strip()[:200], native="job killed", source="log")
            found[nonce] = Observation(Native.ended, "job killed", "", "log", cause=cause)
    return found


def records(text: str) -> dict[str, Record]:
    """The attributes of each job that `qstat -f` prints, by native id; lines behind a tab go on the one before."""
    found: dict[str, Record] = {}
    current: Record = {}
    last = ""
    for line in text.split("\n"):
        if head := _HEAD.fullmatch(line):
            current = found[head[1]] = {}
        elif attribute := _ATTRIBUTE.fullmatch(line):
            last = attribute[1].lower()
            current[last] = attribute[2]
        elif line.startswith("\t") and last in current:
            current[last] += line[1:]
    return found


def all_from_accounting(text: str, queries: Sequence[Query]) -> dict[str, Observation]:
    """What the records tell of these jobs, by nonce; one that is not recorded has no entry."""
    mine: dict[str, dict[str, Record]] = {}
    for id, job in records(text).items():
        mine.setdefault(nonce_of(job.get("job_name", "")), {})[id] = job
    found = {query.nonce: from_accounting(query, mine.get(query.nonce, {})) for query in queries}
    return {nonce: observation for nonce, observation in found.items() if observation is not None}


def from_accounting(query: Query, known: Mapping[str, Record]) -> Observation | None:
    """What the records tell of one job; None when they have nothing on it. An id with another name is another job."""
    mine = {id: job for id, job in known.items() if nonce_of(job.get("job_name", "")) == query.nonce}
    if not mine:
        return None
    id, job = next(((id, job) for id, job in mine.items() if id == query.id), next(iter(mine.items())))
    state = job.get("job_state", "")
    native, node = STATES.get(state, Native.unknown), _node(job)
    if native is not Native.ended:
        return Observation(native, state, id, "accounting", node)
    elements = [each for known_id, each in mine.items() if "[" in id and "[]" not in known_id]
    cause = worst_of(map(accounted_cause, elements)) if elements else accounted_cause(job)
    return Observation(native, cause.native if cause else state, id, "accounting", node, cause=cause)


def accounted_cause(job: Record) -> Cause | None:
    """Why a job ended; None when as far as PBS knows it went well. Exit_status alone is not enough."""
    status = _number(job.get("exit_status"))
    kind, reason = _verdict(job, status)
    if kind is None:
        return None
    signal = None if status is None or status <= 128 else status - (256 if status > 256 else 128)
    return Cause(
        kind,
        reason,
        code=status if status and signal is None else None,
        signal=signal,
        native=_native(job),
        node=_node(job),
        elapsed=_seconds(job.get("resources_used.walltime", "")),
        maxrss=_bytes(job.get("resources_used.mem", "")),
        source="accounting",
    )


def _verdict(job: Record, status: int | None) -> tuple[CauseKind | None, str]:
    comment = job.get("comment", "")
    if exceeded := _EXCEEDED.search(comment):
        what = exceeded[1]
        return (CauseKind.memory if "mem" in what else CauseKind.timeout), f"its {what} limit was exceeded"
    if job.get("substate") == "91":  # set by qdel, whatever the exit status is: 271, 143, 265, even 0
        by = _BY.search(comment)
        return CauseKind.scheduler, f"deleted{f' by {by[1]}' if by else ''}, not by the dispatcher"
    if status is None:
        return CauseKind.scheduler, "it never ran: deleted before its start, or a job it depends on failed"
    if status < 0:
        unnamed = CauseKind.node, "it could not be started (prologue, staging or the node itself failed)"
        return _OWN.get(status, unnamed)
    accounted_runs = _number(job.get("run_count") or job.get("start_count")) or 1
    if status == 0:
        return (CauseKind.node, f"run again by the site ({accounted_runs} times)") if accounted_runs > 1 else (None, "")
    return CauseKind.scheduler, _ended(status)


def _ended(status: int) -> str:
    if status == 271:
        return "ended by signal 15: deleted, not by the dispatcher"
    return "ended by a signal" if status > 128 else "its script ended without an exit marker"


def _native(job: Record) -> str:
    facts = (("exit", job.get("exit_status")), ("substate", job.get("substate")))
    return " ".join([job.get("job_state", ""), *(f"{name} {value}" for name, value in facts if value)])


def _node(job: Record) -> str:
    return re.split(r"[/+:]", job.get("exec_host", ""), maxsplit=1)[0]


def _number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"-?[0-9]{1,9}", text) else None


def _seconds(text: str) -> float | None:
    if not re.fullmatch(r"[0-9]{1,9}(?::[0-9]{1,9}){0,3}", text):
        return None
    total = 0
    for part in text.split(":"):
        total = total * 60 + int(part)
    return float(total)


def _bytes(text: str) -> int | None:
    found = re.fullmatch(r"([0-9]{1,15})([kmgt]?b)", text)
    return int(found[1]) * _UNITS[found[2]] if found else None
