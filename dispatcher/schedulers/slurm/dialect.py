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
from collections.abc import Iterable, Sequence
from typing import ClassVar

from ...core.keys import NOT_BLANK, Key, optional
from ...core.model import ResourcesSpec
from ...core.ports import Observation, Observations, Place, Query, SubmitRequest
from .. import directives, framing, limits
from ..command_line import QueueRow
from ..framing import Heard
from ..holding import HoldingDialect
from ..site_check import SiteCheck
from . import answers
from .refusals import REFUSALS

#: Directives that are made of one key of kwargs each, in their order.
_OPTIONS = (
    ("account", "--account"),
    ("qos", "--qos"),
    ("constraint", "--constraint"),
)
#: Variables like SQUEUE_PARTITION would hide jobs, and what is hidden looks lost; the jobs of a federation are shown.
_ENV = """\
for dsp_v in $(env | sed -n 's/^\\(SQUEUE_[A-Z_]*\\)=.*/\\1/p'); do unset "$dsp_v"; done
export SQUEUE_FEDERATION=1 SACCT_FEDERATION=1
"""
#: By number: names with a domain, or unknown to this node, are no problem then.
_QUEUE = 'dsp_within 60 squeue -h -a -u "$(id -u)"'
#: Our jobs in the list, a line `cluster id` for each.
_CANCELLED = """\
  /^CLUSTER:/ { sub(/^CLUSTER: */, ""); cluster = $0; next }
  { split($2, name, "-") }
  NF > 1 && name[1] in known && !told[cluster, $1]++ { print (cluster == "" ? "-" : cluster), $1 }"""
#: So many at once, of one cluster each time; a command that hangs is the last one.
_EACH_CLUSTER = """\
sort -k 1,1 | awk '{{ if ($1 != last || n == {most}) {{ printf "%s%s", (NR > 1 ? "\\n" : ""), $1; n = 0 }}
  printf " %s", $2; n++; last = $1 }} END {{ if (NR) print "" }}' | {{
  dsp_code=0
  while read -r dsp_cluster dsp_ids; do
    if [ "$dsp_cluster" = - ]; then set -- -Q; else set -- -Q -M "$dsp_cluster"; fi
    {command} < /dev/null || {{ dsp_code=$?; [ "$dsp_code" -ne 124 ] || break; }}
  done
  exit "$dsp_code"
}}"""

_SACCT = f'dsp_within 40 sacct -n -P -D -S "$dsp_since" -o {answers.ACCOUNT_FIELDS}'
#: Our jobs among all that this user had, with their steps.
_NAMED = """\
  /^CLUSTER:/ { print; next }
  { split($8, name, "-"); split($1, id, ".") }
  name[1] in known { ours[id[1]]; print; next }
  id[1] in ours { print }"""


class SlurmDialect(HoldingDialect):
    """One sbatch a job; see the module."""

    name = "Slurm"
    CHECK = SiteCheck(
        ("sbatch", "squeue", "scancel"),
        'squeue -h -u "$(id -un)"',
        "sinfo -h -o %P -p {queue} | grep -q .",
        'sacctmgr -n show assoc user="$(id -un)" account={account} format=account | grep -q .',
        "sacct -n -X -S now-1hour",
        ("sinfo", "-h", "-o", "%P"),
    )
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
    ID = re.compile(r"^\s*(?:Submitted batch job )?(\d+(?:;[\w.-]+)?)(?: on cluster [\w.-]+)?\s*$", re.MULTILINE)
    NATIVE = re.compile(r"[0-9]{1,18}(?:@[\w.-]{1,60})?", re.ASCII)
    REFUSALS = REFUSALS
    SUBMITS = "sbatch"
    REMEMBERS = "sacct"
    COMPLAINT = re.compile(r"^(?:scancel|squeue|slurm_\w+):? (?:error|fatal)")
    GONE = re.compile(r"Invalid job id specified|already completing or completed|Job has already finished")
    MARK = "#SBATCH"
    OPTIONS = directives.SBATCH

    def __init__(self) -> None:
        super().__init__()
        #: Clusters that the header names: where a job is looked for whose answer was lost.
        self.clusters: tuple[str, ...] = ()

    def configure(self, resources: ResourcesSpec) -> None:
        """The clusters of --clusters, and what all dialects take."""
        super().configure(resources)
        found = re.findall(
            r"^(?:#SBATCH)?\s*(?:--clusters?[= ]|-M ?)\s*([\w.,-]+)", "\n".join(resources.custom_flags), re.M
        )
        self.clusters = tuple(dict.fromkeys(name for text in found for name in text.split(",") if name))

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
            *self._memory(resources),
            *(f"{option} {kwargs[key]}" for key, option in _OPTIONS if kwargs.get(key)),
            *(["--exclusive"] if kwargs.get("exclusive") else []),
            f"--job-name {name}",
            f"--output {_file_name(log)}",
            "--open-mode append",  # a requeued life goes on where the one before it stopped
        ]
        marked = [f"#SBATCH {line}" for line in lines]
        return [*marked[: 2 if cpus else 1], *self._gpu_lines(resources), *marked[2 if cpus else 1 :]]

    def _memory(self, resources: ResourcesSpec) -> list[str]:
        """As it was written where sbatch reads it so, else in MB."""
        memory, written = limits.megabytes(resources), str(resources.kwargs.get("memory"))
        return [f"--mem {written if re.fullmatch('[0-9]+[KMGT]?', written) else f'{memory}M'}"] if memory else []

    def _gpu_lines(self, resources: ResourcesSpec) -> list[str]:
        """custom_gpu_line instead of ours, and none at all when it is empty."""
        if resources.kwargs.get("custom_gpu_line") is not None:
            return self.custom_gpu_line(resources)
        if not resources.gpu_per_node:
            return []
        kind = resources.kwargs.get("gres_type")
        return [f"#SBATCH --gres=gpu:{f'{kind}:' if kind else ''}{resources.gpu_per_node}"]

    def check(self, resources: ResourcesSpec) -> None:
        """Refuse values that would not stay one word of a directive."""
        limits.fit(resources, (*(key for key, _ in _OPTIONS), "gres_type"))

    def submit_line(self, request: SubmitRequest, place: Place) -> str:
        """sbatch tries again by itself for two minutes when the controller is full: that is cut short."""
        return f"{headed(request)}dsp_within 90 sbatch --parsable --job-name={request.name} {request.script}"

    # -- looking ------------------------------------------------------------------------------------------------

    def queue_lines(self, queries: Sequence[Query]) -> str:
        """One squeue for all jobs of this user, also those that have ended and those in hidden partitions."""
        listing = f"{_QUEUE} -t all -o '{answers.QUEUE_FORMAT}'"
        return f"{_ENV}{self._of_clusters(queries, listing)}"

    def _of_clusters(self, queries: Sequence[Query], command: str) -> str:
        """The command for each cluster in which one of these jobs is, or may be."""
        names = _clusters(queries)
        if not names or not all(query.id for query in queries):
            names |= dict.fromkeys(self.clusters or ("",))
        lines = [_of_cluster(name, command) if name else _of_default(command) for name in names]
        return " || return\n".join(lines)

    def rows(self, text: str, code: int) -> list[QueueRow]:
        """What squeue lists; see `answers`."""
        return answers.rows(text, code)

    def observation_of(self, rows: Sequence[QueueRow]) -> Observation:
        """The rows of one job as one."""
        return answers.observation_of(rows, join=False)

    # -- ending -------------------------------------------------------------------------------------------------

    def kill_lines(self, queries: Sequence[Query]) -> str:
        """scancel those jobs of the queue whose names begin with our nonces; ids alone are not trusted."""
        return self._each(queries, _QUEUE, 'dsp_within 100 scancel "$@" $dsp_ids')

    def hold_lines(self, queries: Sequence[Query], release: bool) -> str:
        """scontrol hold, or release, for those that are pending."""
        words = f'"$@" {"release" if release else "hold"} "$(echo $dsp_ids | tr " " ,)"'
        return self._each(queries, f"{_QUEUE} -t PD", f"dsp_within 100 scontrol {words}")

    def _each(self, queries: Sequence[Query], listing: str, command: str) -> str:
        """The command for those of these jobs that are listed, by cluster."""
        listed = self._of_clusters(queries, f"{listing} -o '%F|%j'")
        ours = framing.ours("dsp_list", queries, _CANCELLED, "|")
        return (
            f"{_ENV}dsp_list() {{\n{listed}\n}}\n{ours} |\n"
            f"{_EACH_CLUSTER.format(most=framing.PORTION, command=command)}"
        )

    # -- accounting ---------------------------------------------------------------------------------------------

    def account_lines(self, queries: Sequence[Query]) -> str:
        """sacct for the jobs with an id; for those without, one that lists what this user had since then."""
        # A day of slack, because the clocks there and here may differ, and time zones do.
        since = int(min(query.since for query in queries)) - 86400
        lines = [_ENV, f"dsp_since=$(date -d @{max(since, 0)} +%Y-%m-%dT%H:%M:%S)\n"]
        for name in _clusters(queries):
            ids = [answers.number(id) for query in queries for id in query.id.split(",") if _cluster(id) == name and id]
            portions = framing.portions([str(id) for id in ids], between=",")
            lines.append(framing.each_portion(portions, _of_cluster(name, f'{_SACCT} -j "$dsp_words"')) + "\n")
        lost = [query for query in queries if not query.id]
        if lost:
            listed = self._of_clusters(lost, f'{_SACCT} -u "$(id -u)"')
            lines.append(f"dsp_list() {{\n{listed}\n}}\n{framing.ours('dsp_list', lost, _NAMED, '|')}\n")
        return "".join(lines)

    def records(self, heard: Heard, queries: Sequence[Query]) -> Observations:
        """Only what the accounting knows has an entry; an empty answer is no answer."""
        if trouble := answers.complaint(heard.text, heard.code):
            return Observations({}, f"sacct: {heard.why('sacct') if heard.path else trouble}")
        return Observations(answers.all_from_accounting(heard.text, queries))

    def identified(self, text: str) -> str:
        """The id, with its cluster behind an @: a semicolon has a meaning in a shell."""
        return super().identified(text).replace(";", "@")

    def same(self, id: str, known: str) -> str:
        """A job does not know its cluster by the name that sbatch gave; several parts have several ids."""
        names = {each.partition("@")[0]: each for each in known.split(",")}
        return ",".join(names.get(each.partition("@")[0], each) if "@" not in each else each for each in id.split(","))


def headed(request: SubmitRequest) -> str:
    """Clears the user's defaults where the header has its own: sbatch would believe its environment first."""
    kwargs = request.resources.kwargs
    keys = [key for key in ("account", "qos", "constraint") if kwargs.get(key)]
    names = [f"SBATCH_{key.upper()}" for key in ["partition"] * bool(request.resources.queue_name) + keys]
    return f"unset {' '.join(names)}\n" if names else ""


def _cluster(id: str) -> str:
    return id.partition("@")[2]


def _clusters(queries: Iterable[Query]) -> dict[str, None]:
    """The clusters of the ids, "" for the one that needs no name."""
    return dict.fromkeys(_cluster(id) for query in queries if query.id for id in query.id.split(","))


def _of_default(command: str) -> str:
    """The command asked of the cluster that needs no name; also of those that sbatch is told by its environment."""
    each = _of_cluster("$dsp_c", command).replace("'CLUSTER: $dsp_c'", '"CLUSTER: $dsp_c"')
    return (
        f"{command} || return\n"
        f"for dsp_c in $(echo \"${{SBATCH_CLUSTERS-}}\" | tr -c 'A-Za-z0-9_.\\n-' ' '); do\n{each} || return\ndone"
    )


def _of_cluster(name: str, command: str) -> str:
    """The command asked of that cluster, whose name stands before what it says."""
    tool, _, rest = command.partition(" -")
    return f"echo 'CLUSTER: {name}'\n{tool} -M {name} -{rest}" if name else command


def _file_name(path: str) -> str:
    """A path in which sbatch expands nothing: it reads quotes, and %j and the like in file names."""
    plain = re.sub(r'(["\\])', r"\\\1", path.replace("%", "%%"))
    return f'"{plain}"'
