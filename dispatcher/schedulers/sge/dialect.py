"""SGE: Grid Engine in all its branches.

    #$ -N dq3v81kx0mza-relax                  qsub -terse -N dq3v81kx0mza-relax dq3v81kx0mza.sub      4211
    #$ -pe mpi 8                              qstat -u USER -xml     one question for all; only XML has whole names
    #$ -l h_rt=129600                         qstat -j ID,… and qacct -o USER -j    of those that are given up
    #$ -q all.q                               qdel 'dq3v81kx0mza*'   by name: an id may be somebody else's by now
    #$ -j y
    #$ -o /scratch/R/.dispatcher/5f1c/jobs/dq3v81kx0mza.log

A job in error (Eqw) never starts and never leaves: it counts as over, and is
deleted when it is given up. kwargs: pe_name (mpi; also sge_pe_name), gpu_name
(no line without it), custom_gpu_line, walltime, memory (of a node, told as h_vmem of a slot),
account. What it says is read in `sge_answers`.

Sources: submit(1), qstat(1), qdel(1), qacct(1) and sge_types(5) of Son of Grid Engine 8.1.9: a job name does not
begin with a digit; names and accounts have none of / : @ \\ * ?; memory and consumables are counted for each slot,
so that a site whose `gpu` is such a consumable wants a custom_gpu_line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from ...core.errors import ConfigError
from ...core.keys import NOT_BLANK, Key, optional
from ...core.model import ResourcesSpec
from ...core.ports import Observation, Observations, Place, Query, SubmitRequest
from .. import directives, framing, limits
from ..command_line import QueueRow, plain_path
from ..framing import Heard
from ..holding import HoldingDialect
from ..restarts import RESTARTS
from ..site_check import SiteCheck
from . import answers
from .refusals import REFUSALS

#: An unknown user would look like "no jobs".
USER = 'dsp_user=$(id -un) && [ -n "$dsp_user" ] || return 90\n'
#: Against defaults in sge_request files: it is a script, not a command; nobody waits for its end, and it may wait.
QSUB = "dsp_within 90 qsub -b n -sync n -now n -terse"
#: What qstat -j says of jobs in error, which are deleted then; and of the records of ours (the file may hold years of
#: jobs) the last life of each element: those that ended badly, and one of those that did not.
_ACCOUNT = r"""dsp_names=$(cat << '@@'
{names}
@@
)
dsp_details() {{
while read -r dsp_words; do
  [ -n "$dsp_words" ] || continue
  dsp_within 60 qstat -j "$dsp_words" 2>&1 < /dev/null
done << '@@'
{ids}
@@
}}
dsp_stuck=$({{ printf '%s\n' "$dsp_names"; dsp_details; }} | awk '
  $1 == "@" {{ known[$2]; next }}
  /^job_number:/ {{ id = $2; told = 0 }}
  /^job_name:/ {{ split($2, name, "-"); ours = name[1] in known }}
  /^error reason/ && ours && !told {{ told = 1; sub(/.*error: */, ""); print "stuck", id, name[1], $0 }}')
printf '%s\n' "$dsp_stuck" | while read -r dsp_word dsp_id dsp_rest; do
  [ -n "$dsp_id" ] || continue
  echo "$dsp_word $dsp_id $dsp_rest"
  dsp_within 30 qdel "$dsp_id" > /dev/null 2>&1 < /dev/null
done
{{ printf '%s\n' "$dsp_names"
dsp_within 100 qacct -o "$dsp_user" -j 2>&1; echo "dsp_code $?"; }} | awk '
  $1 == "@" {{ known[$2]; next }}
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
  key == "jobname" {{ name = $0; split(name, parts, "-"); ours = parts[1] in known }}
  END {{
    for (life in last) {{
      split(life, parts, "|")
      if (bad[life] || !(parts[1] in good)) print "record", life "|" last[life]
      if (!bad[life]) good[parts[1]]
    }}
    exit code
  }}'"""


class SGEDialect(HoldingDialect):
    """One qsub a job; see the module."""

    name = "SGE"
    CHECK = SiteCheck(("qsub", "qstat", "qdel"), "qstat", "qconf -sq {queue}", accounting="qacct -d 1")
    native_id = "${JOB_ID:-none}"
    kwargs: ClassVar[tuple[Key, ...]] = (
        optional(
            "pe_name",
            str,
            "Parallel environment; for more than one slot mpi when none is named.",
            alias=("sge_pe_name",),
            rule=NOT_BLANK,
        ),
        optional(
            "gpu_name",
            str,
            "What the site calls a GPU, as in -l NAME=N; without it no GPU is asked for.",
            rule=NOT_BLANK,
        ),
        limits.GPU_LINE,
        *limits.USUAL,
    )
    kwargs_needed: ClassVar[bool] = True
    restarts = RESTARTS
    STATES = answers.STATES
    ID = re.compile(r"^\s*(?:Your job )?(\d+)(?: \(.*\) has been submitted)?\s*$", re.MULTILINE)
    NATIVE = re.compile(r"[0-9]{1,18}", re.ASCII)
    REFUSALS = REFUSALS
    SUBMITS = "qsub"
    REMEMBERS = "qacct"
    COMPLAINT = re.compile(
        r"^(?:error|denied|qdel|critical error): |^unable to |^There are no jobs|you do not have the necessary"
        r"| does not exist|already in deletion"
    )
    GONE = re.compile(r"does not exist|There are no jobs|already in deletion")
    MARK = "#$"
    OPTIONS = directives.QSUB_SGE

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
            f"-o {plain_path(log, '%,')}",
        ]
        return [*(f"#$ {line}" for line in lines), *self._gpus(resources)]

    def _gpus(self, resources: ResourcesSpec) -> list[str]:
        """custom_gpu_line instead of ours; none without gpu_name: sites have no name for it in common."""
        if resources.kwargs.get("custom_gpu_line") is not None:
            return self.custom_gpu_line(resources)
        kind = resources.kwargs.get("gpu_name")
        return [f"#$ -l {kind}={resources.gpu_per_node}"] if kind and resources.gpu_per_node else []

    def check(self, resources: ResourcesSpec) -> None:
        """Refuse values that would not stay one word of a directive."""
        limits.fit(resources, ("account", "pe_name", "sge_pe_name", "gpu_name"))
        account = str(resources.kwargs.get("account") or "")
        if re.search(r"[/:@*?]", account):
            raise ConfigError(f"resources/kwargs/account: {account!r}: an account of SGE has none of / : @ * ?")

    def submit_line(self, request: SubmitRequest, place: Place) -> str:
        """What is left of the attempt before (a job in error) is deleted first."""
        return f"{leftovers(request)}{QSUB} -N {request.name} {request.script}"

    # -- looking ------------------------------------------------------------------------------------------------

    def queue_lines(self, queries: Sequence[Query]) -> str:
        """One question for all jobs of this user, in whatever state: ~/.sge_qstat may ask for others by default."""
        return f'{USER}dsp_within 60 qstat -s a -u "$dsp_user" -xml'

    def rows(self, text: str, code: int) -> list[QueueRow]:
        """What qstat lists; see `answers`."""
        return answers.rows(text, code)

    def observation_of(self, rows: Sequence[QueueRow]) -> Observation:
        """The rows of one job as one; in error it is over."""
        return answers.observation_of(rows, join=False)

    # -- ending -------------------------------------------------------------------------------------------------

    def kill_lines(self, queries: Sequence[Query]) -> str:
        """qdel by the names that begin with our nonces."""
        return self._by_name(queries, "qdel")

    def hold_lines(self, queries: Sequence[Query], release: bool) -> str:
        """qhold and qrls by the same names; a job that runs already runs on."""
        return self._by_name(queries, "qrls" if release else "qhold")

    def _by_name(self, queries: Sequence[Query], command: str) -> str:
        names = "\n".join(f"{query.nonce}*" for query in queries)
        return f"cat << '@@' |\n{names}\n@@\n{framing.told(f'dsp_within 100 {command} $dsp_words')}"

    # -- accounting ---------------------------------------------------------------------------------------------

    def account_lines(self, queries: Sequence[Query]) -> str:
        """Why they are in error, and what the accounting file has under our names; read once for all."""
        names = "\n".join(f"@ {query.nonce}" for query in queries)
        ids = framing.portions([query.id for query in queries if query.id], between=",")
        return f"{USER}{_ACCOUNT.format(names=names, ids=ids)}"

    def records(self, heard: Heard, queries: Sequence[Query]) -> Observations:
        """Only what was deleted before it ran, or while its node was dead, has no record."""
        lines = heard.text.split("\n")
        known = answers.from_accounting(lines)
        trouble = f"qacct: {heard.why('qacct') if heard.path else lines[-1] or f'exit code {heard.code}'}"
        return Observations(
            {query.nonce: known[query.nonce] for query in queries if query.nonce in known},
            trouble if heard.code else "",
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
