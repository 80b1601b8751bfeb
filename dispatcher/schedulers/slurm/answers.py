"""What Slurm says: states, queue lines, accounting lines, and the causes they amount to.

    squeue   4211|R|c1|None|dq3v81kx0mza-relax                     id, state, nodes, reason, job name (it comes last:
             4212_[3-5,7%3]|PD||Resources|da9w…                    a separator in a name is not escaped)
    CLUSTER: cm4                                                   of which cluster the following lines are: its jobs
                                                                   are 4211@cm4 (sbatch --parsable says 4211;cm4)
    sacct    4211|OUT_OF_MEMORY|0:125|0:0|61||c1|dq3v81kx0mza-relax
             4211.batch|OUT_OF_MEMORY|0:125||61|2048000K|c1|batch  steps know MaxRSS

The accounting lags and revises itself, and shows every life of a requeued job
(-D): the last one counts. A record whose name is not ours is a job of
somebody else who got the id of one that a controller forgot.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from ...core.errors import Unreachable
from ...core.events import Cause, CauseKind, worst_of
from ...core.ports import Native, Observation, Query
from ..command_line import QueueRow, nonce_of

#: squeue -o; the name is last.
QUEUE_FORMAT = "%i|%t|%N|%r|%j"
#: sacct -o; the name is last.
ACCOUNT_FIELDS = "JobID,State,ExitCode,DerivedExitCode,ElapsedRaw,MaxRSS,NodeList,JobName"

_WORDS: tuple[tuple[str, str, Native, CauseKind | None], ...] = (
    # short, long, what it is to us, and the kind of cause when it is the end
    ("BF", "BOOT_FAIL", Native.ended, CauseKind.node),
    ("CA", "CANCELLED", Native.ended, CauseKind.scheduler),
    ("CD", "COMPLETED", Native.ended, None),
    ("CF", "CONFIGURING", Native.waiting, None),
    ("CG", "COMPLETING", Native.completing, None),
    ("DL", "DEADLINE", Native.ended, CauseKind.timeout),
    ("F", "FAILED", Native.ended, CauseKind.scheduler),
    ("LF", "LAUNCH_FAILED", Native.waiting, None),  # the site puts it back into the queue, or holds it there
    ("NF", "NODE_FAIL", Native.ended, CauseKind.node),
    ("OOM", "OUT_OF_MEMORY", Native.ended, CauseKind.memory),
    ("PD", "PENDING", Native.waiting, None),
    ("PO", "POWER_UP_NODE", Native.waiting, None),
    ("PR", "PREEMPTED", Native.ended, CauseKind.preempted),
    ("R", "RUNNING", Native.running, None),
    ("RD", "RESV_DEL_HOLD", Native.waiting, None),
    ("RF", "REQUEUE_FED", Native.waiting, None),
    ("RH", "REQUEUE_HOLD", Native.waiting, None),
    ("RQ", "REQUEUED", Native.waiting, None),
    ("RS", "RESIZING", Native.running, None),
    ("RV", "REVOKED", Native.unknown, None),  # another cluster of the federation has it
    ("S", "SUSPENDED", Native.waiting, None),
    ("SE", "SPECIAL_EXIT", Native.waiting, None),
    ("SI", "SIGNALING", Native.running, None),
    ("SO", "STAGE_OUT", Native.completing, None),
    ("ST", "STOPPED", Native.waiting, None),
    ("TO", "TIMEOUT", Native.ended, CauseKind.timeout),
)
#: Every state code of squeue(1) and sacct(1), short and long.
STATES: Mapping[str, Native] = {code: native for short, long, native, _ in _WORDS for code in (short, long)}
_LONG = {short: long for short, long, _, _ in _WORDS}
_KINDS = {long: kind for _, long, _, kind in _WORDS if kind}

#: While it is completing, only the reason says what it will be called.
_BY_REASON = {"OutOfMemory": "OUT_OF_MEMORY", "TimeLimit": "TIMEOUT", "NodeDown": "NODE_FAIL"}

#: Of several elements of an array, or parts of a job, the first of these says how the whole is.
_PRECEDENCE = (Native.running, Native.waiting, Native.completing, Native.unknown, Native.ended)

_CLUSTER = re.compile(r"CLUSTER: *([\w.-]+)\s*")
_QUEUE_LINE = re.compile(r"(\d{1,18})([^|]*)\|(\w+)\|([^|]*)\|([^|]*)\|(.*)")
_COMPLAINT = re.compile(r"^(?:squeue|slurm_\w+|sacct):? (?:error|fatal)|^Slurm accounting storage is disabled", re.M)
# Reasons for which a waiting job is not started until somebody does something.
_STUCK = re.compile(
    r"Partition(?:\w*Limit|Config|Down|Inactive)|BadConstraints|Invalid(?:Account|QOS)|DependencyNeverSatisfied"
    r"|JobHeld\w+|.*requeued (?:held|in held state)|(?:QOS|Assoc)(?:Max|Min)\w+PerJob\w*"
)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def complaint(text: str, code: int) -> str:
    """What Slurm complains of; "" for a good answer. Exit code 0 alone does not make one."""
    said = _COMPLAINT.search(text)
    if code == 0 and said is None:
        return ""
    if code == 124:
        return "no answer in time"
    return (text[said.start() :] if said else text).strip()[:300] or f"exit code {code}"


def rows(text: str, code: int) -> list[QueueRow]:
    """The jobs that squeue lists; Unreachable when it complains, with whatever exit code."""
    trouble = complaint(text, code)
    if trouble:
        raise Unreachable(f"squeue: {trouble}")
    return [
        QueueRow(f"{found[1]}{cluster}", nonce_of(found[6]), found[3], found[4], found[5])
        for cluster, line in by_cluster(text)
        if (found := _QUEUE_LINE.fullmatch(line))
    ]


def by_cluster(text: str) -> Iterator[tuple[str, str]]:
    """Each line, with what is behind the ids of its cluster: "@cm4" below "CLUSTER: cm4"."""
    cluster = ""
    for line in text.split("\n"):
        if head := _CLUSTER.fullmatch(line):
            cluster = f"@{head[1]}"
        else:
            yield cluster, line


def number(id: str) -> int:
    """The number of a job, whatever its cluster."""
    return int(id.partition("@")[0])


def observation_of(listed: Sequence[QueueRow], join: bool) -> Observation:
    """All rows of one job (elements, parts, several copies) as one. `join`: its id is all of their ids."""
    row = min(listed, key=lambda row: _PRECEDENCE.index(STATES.get(row.code, Native.unknown)))
    native = STATES.get(row.code, Native.unknown)
    ids = sorted({each.id for each in listed}, key=number)
    reason = "" if row.reason in ("", "None") else f" {row.reason}"
    ended = [cause_of(_LONG.get(each.code, each.code), each.reason, each.node) for each in listed]
    return Observation(
        native,
        f"{row.code}{reason}",
        ",".join(ids) if join else row.id,
        "queue",
        row.node,
        cause=worst_of(ended) if native in (Native.ended, Native.completing) else None,
        hint=_hint(row) if native is Native.waiting else "",
    )


def _hint(row: QueueRow) -> str:
    stuck = _STUCK.fullmatch(row.reason)
    return f"Slurm job {row.id} waits for {row.reason}: as it is, it will not start by itself" if stuck else ""


def cause_of(state: str, reason: str = "", node: str = "") -> Cause | None:
    """The cause that a final state of the queue amounts to; None when it says nothing."""
    state = _BY_REASON.get(reason, state)
    kind = _KINDS.get(state)
    if kind is None:
        return None
    why = reason if reason not in ("", "None") else state.lower().replace("_", " ")
    return Cause(kind, why, native=state, node=node, source="queue")


class AccountedRun(msgspec.Struct):
    """One life of a job or array element in the accounting."""

    id: str
    name: str
    state: str
    exit: str
    derived: str
    elapsed: str
    node: str
    cluster: str = ""
    maxrss: int | None = None

    @property
    def base(self) -> str:
        """The job's id without element or part, with its cluster."""
        return re.split(r"[_+.]", self.id, maxsplit=1)[0] + self.cluster

    @property
    def word(self) -> str:
        """The state without what follows it: `CANCELLED by 1001`, and `CANCELLED+` at default width."""
        return re.split(r"[ +]", self.state, maxsplit=1)[0]

    @property
    def native(self) -> Native:
        """What the state is to us."""
        return STATES.get(self.word, Native.unknown)


def accounted_runs(text: str) -> list[AccountedRun]:
    """The last life of every job and element that sacct lists, with the largest MaxRSS of its steps."""
    found: dict[tuple[str, str], AccountedRun] = {}
    for cluster, line in by_cluster(text):
        fields = line.split("|", 7)
        if len(fields) != 8 or not re.match("[0-9]", fields[0]):
            continue
        job, dot, _ = fields[0].partition(".")
        if not dot:
            found[job, cluster] = AccountedRun(
                job, fields[7], fields[1], fields[2], fields[3], fields[4], fields[6], cluster
            )
        elif (job, cluster) in found and fields[5]:
            run = found[job, cluster]
            run.maxrss = max(run.maxrss or 0, _bytes(fields[5]))
    return list(found.values())


def all_from_accounting(text: str, queries: Sequence[Query]) -> dict[str, Observation]:
    """What sacct tells of each of these jobs, by nonce; a job it knows nothing of (yet) has no entry."""
    by_id: dict[str, list[AccountedRun]] = {}
    by_nonce: dict[str, list[AccountedRun]] = {}
    for run in accounted_runs(text):
        by_id.setdefault(run.base, []).append(run)
        by_nonce.setdefault(nonce_of(run.name), []).append(run)
    found = {}
    for query in queries:
        known = (
            [run for id in query.id.split(",") for run in by_id.get(id, ())] if query.id else by_nonce.get(query.nonce)
        )
        found[query.nonce] = from_accounting(query, known or ())
    return {nonce: observation for nonce, observation in found.items() if observation is not None}


def _bytes(text: str) -> int:
    match = re.fullmatch(r"([\d.]+)([KMGT]?)", text)
    return int(float(match[1]) * _UNITS[match[2]]) if match else 0


def from_accounting(query: Query, known: Sequence[AccountedRun]) -> Observation | None:
    """What the accounting tells of one job by what it has under its ids; None when it has no record of it (yet)."""
    mine = [run for run in known if nonce_of(run.name) == query.nonce]
    if not mine:
        # For some seconds a job that is known by id may be called `allocation`.
        early = bool(query.id) and any(run.name == "allocation" for run in known)
        return Observation(Native.completing, "allocation") if early else None
    first = min(mine, key=lambda run: _PRECEDENCE.index(run.native))
    found = ",".join(sorted({run.base for run in mine}, key=number))
    if first.native is not Native.ended:
        return Observation(first.native, first.state, found, "accounting")
    worst = worst_of(map(accounted_cause, mine))
    if worst is not None and len(mine) > 1:
        worst = msgspec.structs.replace(worst, reason=_summary(mine))
    node = worst.node if worst else first.node
    return Observation(Native.ended, worst.native if worst else first.state, found, "accounting", node, cause=worst)


def accounted_cause(run: AccountedRun) -> Cause | None:
    """The cause that one life of a job ended for; None when it completed or goes on."""
    kind = _KINDS.get(run.word)
    if kind is None:
        return None
    code, _, signal = run.exit.partition(":")
    return Cause(
        kind,
        _reason(run),
        code=int(code) if code.isdigit() and code != "0" else None,
        signal=int(signal) if signal.isdigit() and signal != "0" else None,
        native=run.state,
        node=run.node if run.node != "None assigned" else "",
        elapsed=float(run.elapsed) if run.elapsed.isdigit() else None,
        maxrss=run.maxrss,
        source="accounting",
    )


def _reason(run: AccountedRun) -> str:
    if run.word == "CANCELLED":
        by = run.state.partition(" by ")[2]
        return f"cancelled by uid {by}, not by the dispatcher" if by else "cancelled, not by the dispatcher"
    if run.exit == "0:53":
        return "it could not be started: its directory or its log cannot be opened"
    if run.word == "FAILED":
        return "its script ended without an exit marker"
    return run.word.lower().replace("_", " ")


def _summary(ended: Sequence[AccountedRun]) -> str:
    states: dict[str, list[str]] = {}
    for run in ended:
        if run.word != "COMPLETED":
            states.setdefault(run.state, []).append(run.id)
    parts = (f"{state}: {', '.join(ids[:8])}{' …' if len(ids) > 8 else ''}" for state, ids in states.items())
    return "; ".join(parts)
