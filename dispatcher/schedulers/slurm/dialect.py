"""Slurm.

    #SBATCH --nodes 1                                 sbatch --parsable --job-name=dq3v81kx0mza-relax dq3v81kx0mza.sub
    #SBATCH --ntasks-per-node 4                       squeue -h -a -t all -u UID -o '%i|%t|%N|%r|%j'
    #SBATCH --gres=gpu:a100:2                         sacct -n -P -D -S START -o … -j 4211,4212
    #SBATCH --partition gpu                           scancel of those ids whose name begins with the nonce
    #SBATCH --time 24:00:00

squeue lists what has ended, too, until the controller forgets it (MinJobAge);
then the accounting is asked, once for all that left. A job is known by the
nonce at the head of its name, never by its id alone: a controller that lost
its state gives an acknowledged id to the next job.

Sources: sbatch(1), squeue(1), sacct(1) and scancel(1) of Slurm 22.05.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from ...core.errors import Unreachable
from ...core.keys import NOT_BLANK, Key, optional
from ...core.model import ResourcesSpec
from ...core.ports import Answer, Observation, Observations, Place, Query, Reply, ShellText, SubmitRequest
from ...scripts.render import quoted
from .. import limits
from ..command_line import PREAMBLE, CommandDialect, QueueRow, framed, framed_call
from . import answers

#: Directives that are made of one key of kwargs each, in their order.
_OPTIONS = (
    ("memory", "--mem"),
    ("account", "--account"),
    ("qos", "--qos"),
    ("constraint", "--constraint"),
)
#: Variables like SQUEUE_PARTITION would hide jobs, and what is hidden looks lost.
_ENV = "for dsp_v in $(env | sed -n 's/^\\(SQUEUE_[A-Z_]*\\)=.*/\\1/p'); do unset \"$dsp_v\"; done\n"
#: By number: names with a domain, or unknown to this node, are no problem then.
_QUEUE = f'{_ENV}dsp_within 60 squeue -h -a -u "$(id -u)"'

_KILL = """\
dsp_ids=$({queue} -o '%F|%j' | grep -F -e '{names}' | cut -d '|' -f 1 | sort -u)
[ -z "$dsp_ids" ] || dsp_within 60 scancel -Q $dsp_ids
"""

_SACCT = f'dsp_within 40 sacct -n -P -D -S "$dsp_since" -o {answers.ACCOUNT_FIELDS}'
_BY_NAME = f"""\
dsp_list=$({_SACCT} -u "$(id -u)") || return
printf '%s\\n' "$dsp_list" | grep -F -e '{{names}}' || :"""


class SlurmDialect(CommandDialect):
    """One sbatch a job; see the module."""

    name = "Slurm"
    native_id = "${SLURM_JOB_ID:-none}"
    restarts = "${SLURM_RESTART_COUNT:-0}"
    kwargs: ClassVar[tuple[Key, ...]] = (
        limits.GPU_LINE,
        *limits.USUAL,
        optional("qos", str, "Quality of service.", rule=NOT_BLANK),
        optional("constraint", str, "Features that the nodes must have.", rule=NOT_BLANK),
        optional("exclusive", bool, "Share the nodes with no other job."),
        optional("gres_type", str, "Type of GPU, as in --gres=gpu:TYPE:N.", rule=NOT_BLANK),
    )
    STATES = answers.STATES
    ID = re.compile(r"^\s*(?:Submitted batch job )?(\d+)(?:;[\w.-]+)?\s*$", re.MULTILINE)

    # -- submitting ---------------------------------------------------------------------------------------------

    def header(self, resources: ResourcesSpec, name: str, log: str, elements: int) -> list[str]:
        """The #SBATCH lines; what is not set has none."""
        kwargs = resources.kwargs
        cpus, queue, limit = resources.cpu_per_node, resources.queue_name, limits.seconds(resources)
        lines = [
            f"--nodes {resources.number_node}",
            *([f"--ntasks-per-node {cpus}"] if cpus else []),
            *([f"--partition {queue}"] if queue else []),
            *([f"--time {limits.clock(limit)}"] if limit is not None else []),
            *(f"{option} {kwargs[key]}" for key, option in _OPTIONS if kwargs.get(key)),
            *(["--exclusive"] if kwargs.get("exclusive") else []),
            f"--job-name {name}",
            f"--output {_file_name(log)}",
            "--open-mode append",  # a requeued life goes on where the one before it stopped
        ]
        directives = [f"#SBATCH {line}" for line in lines]
        return [*directives[: 2 if cpus else 1], *_gpu_lines(resources), *directives[2 if cpus else 1 :]]

    def check(self, resources: ResourcesSpec) -> None:
        """Refuse values that would not stay one word of a directive."""
        limits.fit(resources, (*(key for key, _ in _OPTIONS), "gres_type"))

    def submit_line(self, request: SubmitRequest, place: Place) -> str:
        """sbatch tries again by itself for two minutes when the controller is full: that is cut short."""
        return f"{headed(request)}dsp_within 90 sbatch --parsable --job-name={request.name} {request.script}"

    def refusal(self, code: str, said: str) -> Answer | None:
        """Not now, never, or nobody knows; see `answers`."""
        return answers.refusal(code, said)

    # -- looking ------------------------------------------------------------------------------------------------

    def queue_lines(self, queries: Sequence[Query]) -> str:
        """One squeue for all jobs of this user, also those that have ended and those in hidden partitions."""
        return f"{_QUEUE} -t all -o '{answers.QUEUE_FORMAT}'"

    def rows(self, text: str, code: int) -> list[QueueRow]:
        """What squeue lists; see `answers`."""
        return answers.rows(text, code)

    def observation_of(self, rows: Sequence[QueueRow]) -> Observation:
        """The rows of one job as one."""
        return answers.observation_of(rows, join=False)

    # -- ending -------------------------------------------------------------------------------------------------

    def kill_lines(self, queries: Sequence[Query]) -> str:
        """scancel those jobs of the queue whose names begin with our nonces; ids alone are not trusted."""
        return _KILL.format(queue=_QUEUE, names="\n".join(f"|{query.nonce}" for query in queries))

    # -- accounting ---------------------------------------------------------------------------------------------

    def account(self, queries: Sequence[Query], place: Place) -> ShellText | None:
        """One sacct for the jobs with an id; for those without, one that lists what this user had since then."""
        ids = ",".join(query.id for query in queries if query.id)
        mark = f"@@{queries[0].nonce}"
        names = "\n".join(f"|{query.nonce}" for query in queries if not query.id)
        requested = [f"{_SACCT} -j {ids} || return"] if ids else []
        requested += [_BY_NAME.format(names=names)] if names else []
        lines = "\n".join(requested)
        # A day of slack, because the clocks there and here may differ, and time zones do.
        since = int(min(query.since for query in queries)) - 86400
        return ShellText(
            f"{PREAMBLE.format(control=quoted(place.control))}"
            f"dsp_since=$(date -d @{max(since, 0)} +%Y-%m-%dT%H:%M:%S)\n"
            f"dsp_account() {{\n{lines}\n}}\n"
            f"{framed_call('account', mark)}echo {mark} done\n"
        )

    def accounted(self, reply: Reply, queries: Sequence[Query]) -> Observations:
        """Only what the accounting knows has an entry; an empty answer is no answer."""
        said = framed(reply.out, f"@@{queries[0].nonce}")
        if "done" not in said:
            raise Unreachable(f"sacct: the answer is not whole (exit {reply.code}): {reply.err.strip()[-300:]}")
        text = "\n".join(said.get("account", []))
        trouble = answers.complaint(text, int((said.get("account-code") or ["255"])[0]))
        if trouble:
            return Observations({}, f"sacct: {trouble}")
        known = answers.accounted_runs(text)
        found = {query.nonce: answers.from_accounting(query, known) for query in queries}
        return Observations({nonce: observation for nonce, observation in found.items() if observation is not None})


def headed(request: SubmitRequest) -> str:
    """Clears the user's defaults where the header has its own: sbatch would believe its environment first."""
    kwargs = request.resources.kwargs
    keys = [key for key in ("account", "qos", "constraint") if kwargs.get(key)]
    names = [f"SBATCH_{key.upper()}" for key in ["partition"] * bool(request.resources.queue_name) + keys]
    return f"unset {' '.join(names)}\n" if names else ""


def _gpu_lines(resources: ResourcesSpec) -> list[str]:
    """custom_gpu_line instead of ours, and none at all when it is empty."""
    custom = resources.kwargs.get("custom_gpu_line")
    if custom is not None:
        return [str(custom)] if custom else []
    if not resources.gpu_per_node:
        return []
    kind = resources.kwargs.get("gres_type")
    return [f"#SBATCH --gres=gpu:{f'{kind}:' if kind else ''}{resources.gpu_per_node}"]


def _file_name(path: str) -> str:
    """A path in which sbatch expands nothing: it reads quotes, and %j and the like in file names."""
    plain = re.sub(r'(["\\])', r"\\\1", path.replace("%", "%%"))
    return f'"{plain}"'
