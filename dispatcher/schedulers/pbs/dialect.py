"""PBS: OpenPBS and PBS Professional.

    #PBS -N dq3v81kx0mza-re                   qsub -N dq3v81kx0mza-re dq3v81kx0mza.sub           4211.pbshost
    #PBS -l select=2:ncpus=4:mem=16000mb      qstat -u USER -s -w    one question for all jobs; names whole up to 15
    #PBS -l walltime=36:00:00                 qstat -x -f ID …       only of those that left without an exit marker
    #PBS -q workq                             qdel ID                one id at a time
    #PBS -j oe
    #PBS -o /scratch/R/.dispatcher/5f1c/jobs/dq3v81kx0mza.log

Never by ids what can be asked by user: qstat takes a privileged port for each
id, and after about 500 of them in a minute it stalls. Never several ids to one
qdel: a queued and an unknown one together crashed pbs_server. A qsub that was
killed may have left its question with a background qsub: the job can turn up
later, and is then known by the nonce in its name.

Sources: qsub(1B) and qstat(1B) of OpenPBS: select and old-style -l requests do not go together; names have up to 236
characters, of which qstat -w shows 15; -A takes any string. What the pages do not say (-u with -x, qdel, ports) is
from transcripts of OpenPBS 23.06.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from ...core.keys import Key
from ...core.model import ResourcesSpec
from ...core.ports import Native, Observation, Observations, Place, Query, ShellText, SubmitRequest
from ...scripts.render import quoted
from .. import directives, framing, limits
from ..command_line import QueueRow, plain_path
from ..framing import Heard
from ..holding import HoldingDialect
from ..restarts import RESTARTS
from ..site_check import SiteCheck
from . import answers
from .refusals import REFUSALS

#: Old servers refuse longer names; the nonce has twelve characters.
NAME = 15
#: Most ids in one question by id, and most jobs in one round of killing (one connection each).
MOST = 100
#: Seconds to wait after so many records when there are more to ask for: 500 ids in a minute use up the ports.
PAUSE = 15

#: A server as it may be written behind a queue.
_SERVER = re.compile(r"[A-Za-z0-9][\w.-]*(?::\d{1,5})?", re.ASCII)
#: An unknown user would look like "no jobs".
USER = 'dsp_user=$(id -un) && [ -n "$dsp_user" ] || return 90\n'
#: -u comes first: it forgets what -s has asked for before it.
_LISTED = 'dsp_within 60 qstat -u "$dsp_user" {flags}'

#: Our jobs in the list in some state, by the id that we know, or that is listed: where the list cuts it ({width}
#: characters, or a * in the last place), by its number alone, at the server that was asked.
_LIVE = """\
  {{ split($4, name, "-") }}
  name[1] in known && $10 {state} {{
    id = known[name[1]]; cut = sub(/[*]$/, "", $1) || length($1) == {width}
    if (index(id, $1) == 1) print id; else {{ if (cut) sub(/[.].*/, "{at}", $1); print $1 }} }}"""
_EACH = """\
head -n {most} | {{
  dsp_code=0
  while read -r dsp_id; do
    dsp_within 30 {command} "$dsp_id" < /dev/null || {{ dsp_code=$?; [ "$dsp_code" -ne 124 ] || break; }}
  done
  exit "$dsp_code"
}}"""


class PBSDialect(HoldingDialect):
    """One qsub a job; see the module."""

    name = "PBS"
    CHECK = SiteCheck(
        ("qsub", "qstat", "qdel"), "qstat -Q", "qstat -Q {queue}", accounting="qstat -x", queues=("qstat", "-Q")
    )
    native_id = "${PBS_JOBID:-none}"
    STATES = answers.STATES
    # a server has a name: a number with a point is the balance of an account
    ID = re.compile(r"^\s*(\d+(?:\[\])?\.[A-Za-z][\w.-]*)\s*$", re.MULTILINE)
    NATIVE = re.compile(r"[0-9]{1,18}(?:\[[0-9]{0,9}\])?(?:\.[\w.-]{1,250})?", re.ASCII)
    REFUSALS = REFUSALS
    SUBMITS = "qsub"
    REMEMBERS = "qstat"
    COMPLAINT = re.compile(r"^(?:qdel|qstat|pbs_iff|auth): |^Connection refused|^Couldn't connect")
    GONE = re.compile(r"Unknown Job Id|nonexistent job id|Job has finished|Request invalid for state of job")
    MARK = "#PBS"
    OPTIONS = directives.QSUB_PBS
    restarts = RESTARTS
    #: How the queue, and the queue with what has ended, is listed, and how records are asked for.
    QUEUE: ClassVar[str] = "-s -w"
    HISTORY: ClassVar[str] = "-x -s -w"
    RECORDS: ClassVar[str] = "-x -f"
    kwargs: ClassVar[tuple[Key, ...]] = limits.USUAL
    #: Most records in one question.
    ASKED: ClassVar[int] = MOST
    #: At so many characters the list cuts ids without a sign; 0: never.
    WIDTH: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        #: The server behind `queue@server`, which is asked instead of the default one.
        self.server = ""

    def configure(self, resources: ResourcesSpec) -> None:
        """The server of the queue, which a line of the user's may name, and what all dialects take."""
        super().configure(resources)
        named = re.findall(r"^(?:#PBS)?[ \t]*-q[ \t]*(\S+)", "\n".join(resources.custom_flags), re.M)
        servers = (queue.partition("@")[2] for queue in (resources.queue_name, *named))
        self.server = next((server for server in servers if _SERVER.fullmatch(server)), "")

    def _at(self) -> str:
        """What follows the number of a job that the default server does not know."""
        return f"@{self.server}" if self.server else ""

    # -- submitting ---------------------------------------------------------------------------------------------

    def header(self, resources: ResourcesSpec, name: str, log: str, elements: int) -> list[str]:
        """The #PBS lines; what is not set has none, because an empty -q is refused."""
        limit = limits.seconds(resources)
        account, queue = resources.kwargs.get("account"), resources.queue_name
        lines = [
            f"-N {short(name)}",
            *self.chunks(resources),
            *([f"-l walltime={limits.clock(limit)}"] if limit is not None else []),
            *([f"-q {queue}"] if queue else []),
            *([f"-A {account}"] if account else []),
            "-S /bin/bash",
            "-j oe",
            # PBS loses it when the path has a blank, a comma or the like
            f"-o {plain_path(log, '%')}",
        ]
        return [f"#PBS {line}" for line in lines]

    def chunks(self, resources: ResourcesSpec) -> list[str]:
        """Nodes, cores, GPUs and memory of each node: all in one select, beside which no other -l may stand."""
        memory = limits.megabytes(resources)
        parts = [
            f"select={resources.number_node}",
            *([f"ncpus={resources.cpu_per_node}"] if resources.cpu_per_node else []),
            *([f"ngpus={resources.gpu_per_node}"] if resources.gpu_per_node else []),
            *([f"mem={memory}mb"] if memory else []),
        ]
        return [f"-l {':'.join(parts)}"]

    def check(self, resources: ResourcesSpec) -> None:
        """Refuse values that would not stay one word of a directive."""
        limits.fit(resources, ("account",))

    def submit_line(self, request: SubmitRequest, place: Place) -> str:
        """The name is said here, too: a header template may lack it, and it is what a lost job is found by."""
        return f"dsp_within 90 qsub -N {short(request.name)} {request.script}"

    # -- looking ------------------------------------------------------------------------------------------------

    def queue_lines(self, queries: Sequence[Query]) -> str:
        """One question for all jobs of this user, never the whole site."""
        return f"{USER}{self._listed(self.QUEUE)}"

    def _listed(self, flags: str) -> str:
        words = [flags, *([quoted(self._at())] if self.server else [])]
        return _LISTED.format(flags=" ".join(filter(None, words))).rstrip()

    def rows(self, text: str, code: int) -> list[QueueRow]:
        """What qstat lists; see `answers`."""
        return answers.rows(text, code, self.name)

    def observation_of(self, rows: Sequence[QueueRow]) -> Observation:
        """The rows of one job as one."""
        return answers.observation_of(rows)

    # -- ending -------------------------------------------------------------------------------------------------

    def kill(self, queries: Sequence[Query], place: Place) -> ShellText:
        """As many as one round can end; those that are left are asked to be ended again."""
        call = super().kill(queries, place)
        return ShellText(call.text, timeout=120 + 3 * min(len(queries), MOST))

    def kill_lines(self, queries: Sequence[Query]) -> str:
        """qdel those jobs of the queue whose names begin with our nonces, one by one."""
        return self._each(queries, "!~ /[CF]/", "qdel", MOST)

    def hold_lines(self, queries: Sequence[Query], release: bool) -> str:
        """qhold for what is queued, or qrls for what is held."""
        state, command = ("~ /H/", "qrls") if release else ("~ /[QWT]/", "qhold")
        return self._each(queries, state, command, len(queries))

    def _each(self, queries: Sequence[Query], state: str, command: str, most: int) -> str:
        """The command for each of these jobs that is listed in such a state."""
        program = _LIVE.format(width=self.WIDTH, at=self._at(), state=state)
        ours = framing.ours(self._listed(self.QUEUE), queries, program, ids=True)
        return f"{USER}{ours} |\n{_EACH.format(most=most, command=command)}"

    # -- accounting ---------------------------------------------------------------------------------------------

    def account_lines(self, queries: Sequence[Query]) -> str:
        """The records of jobs with an id; of those without, after their ids were found by name. So many at once."""
        asked, more = [query for query in queries if query.id][: self.ASKED], self._not_yet(queries)
        ids = "\n".join(query.id for query in asked)
        lost = [query for query in queries if not query.id]
        by_name = ""
        if lost:
            found = '  { split($4, name, "-") } name[1] in known { print $1 }'
            whole = f"sed 's/[.].*[*]$/{self._at()}/' | head -n {MOST}"
            ours = framing.ours(self._listed(self.HISTORY), lost, found)
            by_name = f"dsp_lost() {{\n{ours} | {whole}\n}}\ndsp_found=$(dsp_lost) || return\n"
        logs = "\n".join(f"{query.nonce}.log" for query in asked)
        return (
            f"{USER}dsp_found=\n{by_name}"
            f"dsp_found=\"$dsp_found $(cat << '@@'\n{ids}\n@@\n)\"\n"
            "set -f\nset -- $dsp_found\n[ $# -gt 0 ] || return 0\n"
            f'dsp_said=$(dsp_within 90 qstat {self.RECORDS} "$@" 2>&1)\ndsp_code=$?\nprintf \'%s\\n\' "$dsp_said"\n'
            f"case $dsp_said in *'{answers.NO_HISTORY}'*)\n"
            f"  xargs grep -a -s -H '^=>> PBS: job killed' /dev/null << '@@' | sed 's/^/file /' ;;\n{logs}\n@@\nesac\n"
            f"{f'sleep {PAUSE}{chr(10)}' if more else ''}"
            'return "$dsp_code"'
        )

    def records(self, heard: Heard, queries: Sequence[Query]) -> Observations:
        """Only what the server still has a record of has an entry, and those that are asked for next time."""
        lines = heard.text.split("\n")
        logs = framing.files(line.removeprefix("file ") for line in lines if line.startswith("file "))
        if heard.path:
            return Observations({}, f"qstat: {heard.why('qstat')}")
        trouble = answers.complaint(heard.text, heard.code)
        found = answers.from_logs(logs) | answers.all_from_accounting(heard.text, queries)
        if not trouble:
            found |= {
                query.nonce: Observation(Native.completing, "asked later", query.id) for query in self._not_yet(queries)
            }
        return Observations(found, trouble and f"qstat: {trouble}")

    def _not_yet(self, queries: Sequence[Query]) -> list[Query]:
        """Too many to be asked for now; the others are over then, and these come first in the next question."""
        return [query for query in queries if query.id][self.ASKED :]

    def same(self, id: str, known: str) -> str:
        """A list cuts long ids, and a job found there is first known by its number."""
        number, point, server = id.partition(".")
        theirs = known.partition(".")
        return known if number == theirs[0] and (not point or theirs[2].startswith(server)) else id


def short(name: str) -> str:
    """A job name that every server takes."""
    return name[:NAME].rstrip("-")
