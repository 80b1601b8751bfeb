"""Fugaku: PJM, the job operation software of Fujitsu's machines.

    #PJM -N dq3v81kx0mza-relax                pjsub -N … dq3v81kx0mza.sub   [INFO] PJM 0000 pjsub Job 4211 submitted.
    #PJM -L "rscgrp=small"                    pjstat -v --data --choose=jid,jnam,st        ,4211,dq3v81kx0mza-relax,RUN
    #PJM -L "node=2"                          pjstat -v --data -H day=N --choose=jid,jnam,st,ec,sn,pc
    #PJM --mpi "max-proc-per-node=4"          pjdel 4211 …   of those whose names begin with our nonces
    #PJM -L "elapse=36:00:00"
    #PJM -g lab
    #PJM -j

pjstat lists the caller's own jobs. Where it cuts names (ten letters in its
narrow form), the nonce is completed over there, from the list of those asked
for. kwargs: walltime, memory (node-mem), account (the group, -g).

Sources: Supercomputer Fugaku Users Guide, pjsub command options (--name up to 63 bytes, -L, --mpi, --gname, -j);
public job scripts for -N, -g, -o, max-proc-per-node, node-mem in Mi and pjstat -H day=N --choose=jid,st. Not confirmed:
--data and the other items of --choose (jnam, ec, sn, pc).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from ..core.errors import Unreachable
from ..core.events import Cause, CauseKind
from ..core.keys import Key
from ..core.model import ResourcesSpec
from ..core.ports import Answer, Native, Observation, Observations, Place, Query, SubmitRequest
from . import directives, framing, limits
from .command_line import QueueRow, plain_path
from .framing import Heard
from .holding import HoldingDialect
from .refusals import Meaning, Refusals, row
from .restarts import RESTARTS
from .site_check import SiteCheck

_LIST = "dsp_within 60 pjstat -v --data --choose=jid,jnam,st"
_PAST = 'dsp_within 90 pjstat -v --data -H "day=$dsp_days" --choose=jid,jnam,st,ec,sn,pc'

#: The lines that are not jobs, and each of our jobs with its nonce behind it; names may be cut after ten letters.
_OURS = """\
  $1 != "" { print; next }
  { nonce = short[substr($3, 1, 10)] }
  nonce && (index($3, nonce) == 1 || index(nonce, $3) == 1) { print $0 ",=" nonce }"""
_LIVE = """awk -F , '$1 == "" && $4 !~ /^(EXT|CCL|ERR|RJT)$/ { print $2 }'"""

_ROW = re.compile(r",(\d+),([^,]*),(\w+)((?:,[^,]*)*),=(\w+)")

REFUSALS = Refusals(
    tells=re.compile(r"^(?:\[ERR\.\] PJM \d+ pjsub|pjsub:) (?P<why>\S.*)$", re.M),
    rows=(
        row(
            Meaning.open,
            r"""
            Communicat
            (?:Internal|System) error
            .*no response
            .*timed? ?out
            """,
        ),
        row(
            Meaning.deferred,
            r"""
            The number of (?:accepted |submitted |running )?jobs
            .*accept(?:ed|ance)? limit
            .*limit of the number
            Too many
            .*temporar
            .*try again
            busy
            .* (?:is|are) stopped
            .*group stop
            .*not (?:accepting|available now)
            Cannot connect
            Connection refused
            """,
        ),
        row(
            Meaning.rejected,
            r"""
            \S+ is (?:greater|less) than
            .*not (?:authorized|permitted|allowed)
            (?:Invalid|Illegal)
            Cannot open
            No (?:execute )?permission
            .*(?:does not exist|is not specified|cannot be specified|must be specified)
            Staging option error
            """,
        ),
    ),
)

#: The job manager's exit code (PJM CODE): kind of cause and reason. Code 0 says nothing; others are named by number.
_CODES: Mapping[str, tuple[CauseKind, str]] = {
    "1": (CauseKind.scheduler, "cancelled by pjdel, not by the dispatcher"),
    "2": (CauseKind.scheduler, "refused"),
    "3": (CauseKind.scheduler, "not executed: rejected by the job manager's exit function"),
    "4": (CauseKind.scheduler, "held"),
    "6": (CauseKind.scheduler, "cancelled by the dependency of a step job"),
    "7": (CauseKind.timeout, "cancelled by a deadline"),
    "8": (CauseKind.scheduler, "cancelled by the job manager's exit function"),
    "9": (CauseKind.node, "ended while the system was rebuilt, because it may not be run again"),
    "11": (CauseKind.timeout, "its elapsed time limit was exceeded"),
    "12": (CauseKind.memory, "its memory limit was exceeded"),
    "13": (CauseKind.scheduler, "its disk limit was exceeded"),
    "16": (CauseKind.scheduler, "its directory or its output file could not be reached"),
    "18": (CauseKind.preempted, "ended after its guaranteed time, because another job or a deadline came"),
    "20": (CauseKind.node, "node down"),
    "21": (CauseKind.scheduler, "its shell could not be started"),
    "22": (CauseKind.node, "interconnect error"),
    "23": (CauseKind.memory, "killed by the out-of-memory killer"),
    "25": (CauseKind.node, "hardware failure"),
    "26": (CauseKind.node, "prologue or epilogue failed"),
    "27": (CauseKind.node, "resource management failed"),
    "28": (CauseKind.node, "abnormal end of the job manager"),
}


class FugakuDialect(HoldingDialect):
    """One pjsub a job; see the module."""

    name = "Fugaku"
    CHECK = SiteCheck(("pjsub", "pjstat", "pjdel"), "pjstat", accounting="pjstat -H")
    native_id = "${PJM_JOBID:-none}"
    restarts = RESTARTS
    STATES: ClassVar[Mapping[str, Native]] = {
        "ACC": Native.waiting,
        "QUE": Native.waiting,
        "HLD": Native.waiting,
        "RNA": Native.waiting,  # its resources are being acquired
        "SPD": Native.waiting,
        "SPP": Native.waiting,
        "RNP": Native.running,
        "RUN": Native.running,
        "RSM": Native.running,
        "RNE": Native.running,  # epilogue
        "RNO": Native.completing,
        "EXT": Native.ended,
        "CCL": Native.ended,
        "ERR": Native.ended,
        "RJT": Native.ended,
    }
    ID = re.compile(r"pjsub Job (\d+) submitted", re.MULTILINE)
    NATIVE = re.compile(r"[0-9]{1,18}", re.ASCII)
    REFUSALS = REFUSALS
    SUBMITS = "pjsub"
    REMEMBERS = "pjstat -H"
    COMPLAINT = re.compile(r"^\[ERR\.\] PJM")
    GONE = re.compile(r"does not exist|already|has (?:ended|finished)|invalid state", re.I)
    MARK = "#PJM"
    OPTIONS = directives.PJSUB
    kwargs: ClassVar[tuple[Key, ...]] = limits.USUAL

    # -- submitting ---------------------------------------------------------------------------------------------

    def header(self, resources: ResourcesSpec, name: str, log: str, elements: int) -> list[str]:
        """The #PJM lines; what is not set has none."""
        limit, memory = limits.seconds(resources), limits.megabytes(resources)
        queue, cpus, account = resources.queue_name, resources.cpu_per_node, resources.kwargs.get("account")
        lines = [
            f"-N {name}",
            *([f'-L "rscgrp={queue}"'] if queue else []),
            f'-L "node={resources.number_node}"',
            *([f'--mpi "max-proc-per-node={cpus}"'] if cpus else []),
            *([f'-L "elapse={limits.clock(limit)}"'] if limit is not None else []),
            *([f'-L "node-mem={memory}Mi"'] if memory else []),
            *([f"-g {account}"] if account else []),
            "-j",
            f"-o {plain_path(log, ',:')}",
        ]
        return [f"#PJM {line}" for line in lines]

    def check(self, resources: ResourcesSpec) -> None:
        """Refuse values that would not stay one word of a directive."""
        limits.fit(resources, ("account",))

    def submit_line(self, request: SubmitRequest, place: Place) -> str:
        """The name is said here, too: a header template may lack it."""
        return f"dsp_within 90 pjsub -N {request.name} {request.script}"

    def _answer(self, code: str, out: str, err: str, path: str = "") -> Answer | None:
        # some versions refuse with exit code 0
        found = self.identified(f"{out}\n{err}")
        said = f"{out}\n{err}" if found else out
        return super()._answer("0" if found else code if code != "0" else "1", said, err, path)

    # -- looking ------------------------------------------------------------------------------------------------

    def queue_lines(self, queries: Sequence[Query]) -> str:
        """One pjstat for all, and of what it lists those that are ours."""
        return framing.ours(f"{_LIST} 2>&1", queries, _OURS, ",")

    def rows(self, text: str, code: int) -> list[QueueRow]:
        """The jobs; an answer without its header line is none."""
        if code != 0 or not re.search(r"^H,", text, re.M):
            raise Unreachable(f"pjstat: {Heard(text, code).why('pjstat')}")
        return [QueueRow(match[1], match[5], match[3]) for match in map(_ROW.fullmatch, text.split("\n")) if match]

    def observation_of(self, rows: Sequence[QueueRow]) -> Observation:
        """What the rows of one job say of it; one that is held is pointed out."""
        observation = super().observation_of(sorted(rows, key=lambda row: self.STATES.get(row.code) is Native.ended))
        if observation.code != "HLD":
            return observation
        hint = f"job {observation.id} is held (HLD): as it is, it will not start by itself"
        return Observation(
            observation.native, observation.code, observation.id, observation.how, observation.node, hint=hint
        )

    # -- ending -------------------------------------------------------------------------------------------------

    def kill_lines(self, queries: Sequence[Query]) -> str:
        """pjdel those jobs of the list that are ours."""
        live = framing.ours(f"{_LIST} 2>&1", queries, _OURS, ",")
        return f"{live} |\n{_LIVE} |\n{framing.told('dsp_within 100 pjdel $dsp_words')}"

    def hold_lines(self, queries: Sequence[Query], release: bool) -> str:
        """pjhold for what is queued, pjrls for what is held."""
        state, command = ("HLD", "pjrls") if release else ("QUE", "pjhold")
        live = framing.ours(f"{_LIST} 2>&1", queries, _OURS, ",")
        chosen = f'awk -F , \'$1 == "" && $4 == "{state}" {{ print $2 }}\''
        return f"{live} |\n{chosen} |\n{framing.told(f'dsp_within 100 {command} $dsp_words')}"

    # -- accounting ---------------------------------------------------------------------------------------------

    def account_lines(self, queries: Sequence[Query]) -> str:
        """The history from the day on which the first of them was asked for."""
        return (
            f"dsp_days=$((($(date +%s) - {int(min(query.since for query in queries))}) / 86400 + 2))\n"
            '[ "$dsp_days" -le 90 ] && [ "$dsp_days" -ge 1 ] || dsp_days=90\n'
            f"{framing.ours(f'{_PAST} 2>&1', queries, _OURS, ',')}"
        )

    def records(self, heard: Heard, queries: Sequence[Query]) -> Observations:
        """Only what the history knows has an entry."""
        if heard.code != 0:
            return Observations({}, f"pjstat -H: {heard.why('pjstat')}")
        matches = (match for match in map(_ROW.fullmatch, heard.text.split("\n")) if match)
        return Observations(
            {match[5]: self._from_accounting(match[1], match[3], match[4].split(",")[1:]) for match in matches}
        )

    def _from_accounting(self, id: str, state: str, fields: list[str]) -> Observation:
        native = self.STATES.get(state, Native.unknown)
        code, signal, manager = [*(field.strip() for field in fields), "", "", ""][:3]
        cause = accounted_cause(state, code, signal, manager) if native is Native.ended else None
        return Observation(native, state, id, "accounting", cause=cause)


def accounted_cause(state: str, code: str, signal: str, manager: str) -> Cause | None:
    """Why a job ended: its exit code and signal, and the job manager's code."""
    status = int(code) if code.isdigit() and code != "0" else None
    number = int(signal) if signal.isdigit() and signal != "0" else None
    if manager in ("", "0", "-") and state == "EXT":
        if status is None and number is None:
            return None
        kind, reason = CauseKind.scheduler, "ended by a signal" if number else "its script ended without an exit marker"
    else:
        unnamed = (CauseKind.scheduler, f"ended by the job manager ({state})")
        kind, reason = _CODES.get(manager, unnamed)
    native = f"{state} PJM code {manager}" if manager not in ("", "-") else state
    return Cause(kind, reason, code=status, signal=number, native=native, source="accounting")
