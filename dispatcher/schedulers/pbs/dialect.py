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

from ...core.errors import Unreachable
from ...core.keys import Key
from ...core.model import ResourcesSpec
from ...core.ports import Answer, Native, Observation, Observations, Place, Query, Reply, ShellText, SubmitRequest
from ...scripts.render import quoted
from .. import limits
from ..command_line import PREAMBLE, CommandDialect, QueueRow, framed, framed_call
from ..restarts import RESTARTS
from . import answers

#: Old servers refuse longer names; the nonce has twelve characters.
NAME = 15
#: Most ids in one question by id, and most jobs in one round of killing (one connection each).
MOST = 100
#: Seconds to wait after so many records when there are more to ask for: 500 ids in a minute use up the ports.
PAUSE = 15

#: An unknown user would look like "no jobs".
_USER = 'dsp_user=$(id -un) && [ -n "$dsp_user" ] || return 90\n'
#: -u comes first: it forgets what -s has asked for before it.
_LISTED = 'dsp_within 60 qstat -u "$dsp_user" {flags}'

_KILL = """\
dsp_list() {{
{user}{listed}
}}
{{
cat << '@@'
{nonces}
@@
dsp_list
}} | awk '$1 == "@" {{ known[$2] = $3; next }}
  {{ split($4, name, "-") }}
  name[1] in known && $10 !~ /[CF]/ {{ id = known[name[1]]; print index(id, $1) == 1 ? id : $1 }}' | head -n {most} |
  while read -r dsp_id; do dsp_within 30 qdel "$dsp_id" < /dev/null; done
"""

_BY_NAME = """\
dsp_names=$({listed}) || return
dsp_found=$(printf '%s\\n' "$dsp_names" | awk '{match} {{ print $1 }}' | head -n {most})
"""


class PBSDialect(CommandDialect):
    """One qsub a job; see the module."""

    name = "PBS"
    native_id = "${PBS_JOBID:-none}"
    STATES = answers.STATES
    ID = re.compile(r"^\s*(\d+(?:\[\])?\.[\w.-]+)\s*$", re.MULTILINE)
    restarts = RESTARTS
    #: How the queue, and the queue with what has ended, is listed, and how records are asked for.
    QUEUE: ClassVar[str] = "-s -w"
    HISTORY: ClassVar[str] = "-x -s -w"
    RECORDS: ClassVar[str] = "-x -f"
    kwargs: ClassVar[tuple[Key, ...]] = limits.USUAL
    #: Most records in one question.
    ASKED: ClassVar[int] = MOST

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
            f"-o {_output(log)}",
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

    def refusal(self, code: str, said: str) -> Answer | None:
        """Not now, never, or nobody knows; see `answers`."""
        return answers.refusal(code, said)

    # -- looking ------------------------------------------------------------------------------------------------

    def queue_lines(self, queries: Sequence[Query]) -> str:
        """One question for all jobs of this user, never the whole site."""
        return f"{_USER}{_LISTED.format(flags=self.QUEUE)}"

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
        nonces = "\n".join(f"@ {query.nonce} {query.id or '-'}" for query in queries)
        return _KILL.format(user=_USER, listed=_LISTED.format(flags=self.QUEUE), nonces=nonces, most=MOST)

    # -- accounting ---------------------------------------------------------------------------------------------

    def account(self, queries: Sequence[Query], place: Place) -> ShellText | None:
        """The records of jobs with an id; of those without, after their ids were found by name. So many at once."""
        ids, more = [query.id for query in queries if query.id][: self.ASKED], self._not_yet(queries)
        match = " || ".join(f'index($4, "{query.nonce}") == 1' for query in queries if not query.id)
        by_name = _BY_NAME.format(listed=_LISTED.format(flags=self.HISTORY), match=match, most=MOST) if match else ""
        mark = f"@@{queries[0].nonce}"
        return ShellText(
            f"{PREAMBLE.format(control=quoted(place.control))}"
            f"dsp_account() {{\n{_USER}dsp_found=\n{by_name}"
            f"set -- {' '.join(map(quoted, ids))} $dsp_found\n"
            f'[ $# -eq 0 ] || dsp_within 90 qstat {self.RECORDS} "$@"\n}}\n'
            f"{framed_call('account', mark)}{f'sleep {PAUSE}{chr(10)}' if more else ''}echo {mark} done\n",
            timeout=240,
        )

    def accounted(self, reply: Reply, queries: Sequence[Query]) -> Observations:
        """Only what the server still has a record of has an entry, and those that are asked for next time."""
        said = framed(reply.out, f"@@{queries[0].nonce}")
        if "done" not in said:
            raise Unreachable(f"qstat: the answer is not whole (exit {reply.code}): {reply.err.strip()[-300:]}")
        text = "\n".join(said.get("account", []))
        trouble = answers.complaint(text, int((said.get("account-code") or ["255"])[0]))
        known = answers.records(text)
        found = {query.nonce: answers.from_accounting(query, known) for query in queries}
        if not trouble:
            found |= {
                query.nonce: Observation(Native.completing, "asked later", query.id) for query in self._not_yet(queries)
            }
        return Observations(
            {nonce: observation for nonce, observation in found.items() if observation is not None},
            trouble and f"qstat: {trouble}",
        )

    def _not_yet(self, queries: Sequence[Query]) -> list[Query]:
        """Too many to be asked for now; the others are over then, and these come first in the next question."""
        return [query for query in queries if query.id][self.ASKED :]


def short(name: str) -> str:
    """A job name that every server takes."""
    return name[:NAME].rstrip("-")


def _output(log: str) -> str:
    """Where the job's own output goes: PBS loses it when the path has a blank, a comma or the like."""
    return log if re.fullmatch(r"[\w./+=@%-]+", log, re.ASCII) else "/dev/null"
