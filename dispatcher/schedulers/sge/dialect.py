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
account. What it says is read in `sge_answers`.

Sources: submit(1), qstat(1), qdel(1), qacct(1) and sge_types(5) of Son of Grid Engine 8.1.9: a job name does not
begin with a digit; names and accounts have none of / : @ \\ * ?; memory and consumables are counted for each slot,
so that a site whose `gpu` is such a consumable wants a custom_gpu_line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from ...core.errors import ConfigError, Unreachable
from ...core.keys import NOT_BLANK, Key, optional
from ...core.model import ResourcesSpec
from ...core.ports import Answer, Observation, Observations, Place, Query, Reply, ShellText, SubmitRequest
from ...scripts.render import quoted
from .. import limits
from ..command_line import PREAMBLE, CommandDialect, QueueRow, framed, framed_call
from ..restarts import RESTARTS
from . import answers

_USER = 'dsp_user=$(id -un) && [ -n "$dsp_user" ] || return 90\n'
#: What qstat -j says of jobs in error, which are deleted then; and of the records of ours (the file may hold years of
#: jobs) the last life of each element: those that ended badly, and one of those that did not.
_ACCOUNT = r"""dsp_names='{names}'
dsp_stuck=$([ -z '{ids}' ] || dsp_within 60 qstat -j '{ids}' 2>&1 | awk -v names="$dsp_names" '
  /^job_number:/ {{ id = $2; told = 0 }}
  /^job_name:/ {{ split($2, name, "-"); ours = index(names, " " name[1] " ") }}
  /^error reason/ && ours && !told {{ told = 1; sub(/.*error: */, ""); print "stuck", id, name[1], $0 }}')
printf '%s\n' "$dsp_stuck" | while read -r dsp_word dsp_id dsp_rest; do
  [ -n "$dsp_id" ] || continue
  echo "$dsp_word $dsp_id $dsp_rest"
  dsp_within 30 qdel "$dsp_id" > /dev/null 2>&1 < /dev/null
done
{{ dsp_within 100 qacct -o "$dsp_user" -j 2>&1; echo "dsp_code $?"; }} | awk -v names="$dsp_names" '
  function keep() {{
    if (!ours) return
    life = name "|" f["jobnumber"] "|" f["taskid"]
    last[life] = f["hostname"] "|" f["slots"] "|" f["failed"] "|" f["exit_status"] "|" f["ru_wallclock"] \
      "|" f["ru_maxrss"] "|" f["maxvmem"] "|" f["category"]
    bad[life] = f["failed"] + 0 || f["exit_status"] + 0
  }}
  /^=====/ {{ keep(); split("", f); ours = 0; begun = 1; next }}
  $1 == "dsp_code" {{ keep(); code = $2; next }}
  !begun {{ print }}
  {{ key = $1; sub(/^[^ ]+ +/, ""); sub(/ +$/, ""); f[key] = $0 }}
  key == "jobname" {{ name = $0; split(name, parts, "-"); ours = index(names, " " parts[1] " ") }}
  END {{
    for (life in last) {{
      split(life, parts, "|")
      if (bad[life] || !(parts[1] in good)) print "record", life "|" last[life]
      if (!bad[life]) good[parts[1]]
    }}
    exit code
  }}'
"""


class SGEDialect(CommandDialect):
    """One qsub a job; see the module."""

    name = "SGE"
    native_id = "${JOB_ID:-none}"
    kwargs: ClassVar[tuple[Key, ...]] = (
        optional(
            "pe_name",
            str,
            "Parallel environment; for more than one slot mpi when none is named.",
            alias=("sge_pe_name",),
            rule=NOT_BLANK,
        ),
        optional("gpu_name", str, "What the site calls a GPU, as in -l NAME=N.", "gpu", rule=NOT_BLANK),
        limits.GPU_LINE,
        *limits.USUAL,
    )
    kwargs_needed: ClassVar[bool] = True
    restarts = RESTARTS
    STATES = answers.STATES
    ID = re.compile(r"^\s*(?:Your job )?(\d+)(?: \(.*\) has been submitted)?\s*$", re.MULTILINE)

    # -- submitting ---------------------------------------------------------------------------------------------

    def header(self, resources: ResourcesSpec, name: str, log: str, elements: int) -> list[str]:
        """The #$ lines; what is not set has none."""
        kwargs, queue = resources.kwargs, resources.queue_name
        limit = limits.seconds(resources)
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
        limits.fit(resources, ("account", "pe_name", "sge_pe_name", "gpu_name"))
        account = str(resources.kwargs.get("account") or "")
        if re.search(r"[/:@*?]", account):
            raise ConfigError(f"resources/kwargs/account: {account!r}: an account of SGE has none of / : @ * ?")

    def submit_line(self, request: SubmitRequest, place: Place) -> str:
        """What is left of the attempt before (a job in error) is deleted first."""
        return f"{leftovers(request)}dsp_within 90 qsub -terse -N {request.name} {request.script}"

    def refusal(self, code: str, said: str) -> Answer | None:
        """Not now, never, or nobody knows; see `answers`."""
        return answers.refusal(code, said)

    # -- looking ------------------------------------------------------------------------------------------------

    def queue_lines(self, queries: Sequence[Query]) -> str:
        """One question for all jobs of this user."""
        return f'{_USER}dsp_within 60 qstat -u "$dsp_user" -xml'

    def rows(self, text: str, code: int) -> list[QueueRow]:
        """What qstat lists; see `answers`."""
        return answers.rows(text, code)

    def observation_of(self, rows: Sequence[QueueRow]) -> Observation:
        """The rows of one job as one; in error it is over."""
        return answers.observation_of(rows, join=False)

    # -- ending -------------------------------------------------------------------------------------------------

    def kill_lines(self, queries: Sequence[Query]) -> str:
        """One qdel, by the names that begin with our nonces."""
        return f"dsp_within 100 qdel {' '.join(quoted(f'{query.nonce}*') for query in queries)}"

    # -- accounting ---------------------------------------------------------------------------------------------

    def account(self, queries: Sequence[Query], place: Place) -> ShellText | None:
        """Why they are in error, and what the accounting file has under our names; read once for all."""
        names = f" {' '.join(query.nonce for query in queries)} "
        lines = _ACCOUNT.format(names=names, ids=",".join(query.id for query in queries if query.id))
        mark = f"@@{queries[0].nonce}"
        return ShellText(
            f"{PREAMBLE.format(control=quoted(place.control))}dsp_account() {{\n{_USER}{lines}}}\n"
            f"{framed_call('account', mark)}echo {mark} done\n",
            timeout=240,
        )

    def accounted(self, reply: Reply, queries: Sequence[Query]) -> Observations:
        """Only what was deleted before it ran, or while its node was dead, has no record."""
        said = framed(reply.out, f"@@{queries[0].nonce}")
        if "done" not in said:
            raise Unreachable(f"qacct: the answer is not whole (exit {reply.code}): {reply.err.strip()[-300:]}")
        lines = said.get("account", [])
        known = answers.from_accounting(lines)
        code = int((said.get("account-code") or ["255"])[0])
        return Observations(
            {query.nonce: known[query.nonce] for query in queries if query.nonce in known},
            "" if code == 0 else f"qacct: {(lines or [f'exit code {code}'])[-1]}",
        )


def leftovers(request: SubmitRequest) -> str:
    """Commands that delete what is left of earlier attempts."""
    return "".join(f"dsp_within 30 qdel '{nonce}*' > /dev/null 2>&1 || :\n" for nonce, _ in request.withdrawals)


def _slots(resources: ResourcesSpec) -> list[str]:
    """A parallel environment for more than one slot, or when one is named."""
    kwargs = resources.kwargs
    named = kwargs.get("pe_name") or kwargs.get("sge_pe_name")
    slots = resources.number_node * resources.cpu_per_node
    return [f"-pe {named or 'mpi'} {max(slots, 1)}"] if named or slots > 1 else []


def _memory(resources: ResourcesSpec) -> list[str]:
    memory = limits.megabytes(resources)
    return [f"-l h_vmem={-(-memory // max(resources.cpu_per_node, 1))}M"] if memory else []


def _gpus(resources: ResourcesSpec) -> list[str]:
    """custom_gpu_line instead of ours, and none at all when it is empty."""
    custom = resources.kwargs.get("custom_gpu_line")
    if custom is not None:
        return [str(custom)] if custom else []
    kind = resources.kwargs.get("gpu_name") or "gpu"
    return [f"#$ -l {kind}={resources.gpu_per_node}"] if resources.gpu_per_node else []
