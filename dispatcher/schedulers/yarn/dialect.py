"""YARN's DistributedShell: an application for each job, its script in one container.

    hadoop jar …/hadoop-yarn-applications-distributedshell-3.4.2.jar …distributedshell.Client
        -jar … -appname dq3v81kx0mza-relax -queue lab -num_containers 1
        -container_resources memory-mb=4096,vcores=8 -shell_script dq3v81kx0mza.sub
    … YarnClientImpl: Submitted application application_1795579057306_0001        the receipt; then the client is ended

    {"apps":{"app":[{"id":"application_…","name":"dq3v…","state":"FINISHED","finalStatus":"FAILED", …}]}}
    application_1795579057306_0001 <tab> dq3v81kx0mza-relax <tab> YARN <tab> root <tab> lab <tab> RUNNING …

The client would watch the application and kill it after its time-out; YARN
does not need it once the application is submitted, so it is ended there. All
applications are asked for in one question: to the ResourceManager's REST where
its address is known (remote_profile/resourcemanager), else by `yarn application
-list`; all markers in another one, to HDFS. What the container does is in
`container`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from ...core.errors import ConfigError, Unreachable
from ...core.events import Cause, CauseKind
from ...core.keys import Key, at_least, optional
from ...core.model import ResourcesSpec
from ...core.ports import (
    Answer,
    Claim,
    Deferral,
    JobScript,
    Observation,
    Observations,
    Place,
    Query,
    Rejection,
    Reply,
    ShellText,
    SubmitRequest,
)
from ...scripts.render import quoted
from .. import framing
from ..claims import read_claim
from ..command_line import CommandDialect, QueueRow
from ..limits import JOB_NAME, PROLOGUE
from ..site_check import SiteCheck
from ..submitting import ASK, withdrawing
from . import answers, container

#: How many clients (each a Java machine) start at the same time.
CLIENTS = 3
_CLASS = "org.apache.hadoop.yarn.applications.distributedshell.Client"
_WORD = re.compile(r"[A-Za-z0-9._:/@-]+")

_SUBMIT = r"""
dsp_put() { cat > "$1.tmp" && mv -f -- "$1.tmp" "$1" || { echo "$dsp_mark full $1"; exit 91; }; }
dsp_show() { [ ! -s "$2" ] || { cat < "$2"; echo; } | sed "s/^/$dsp_mark $1 $3 /"; }
dsp_later() { # HDFS does not take this now: nothing is asked for
  for dsp_nonce in $dsp_asks; do
    tail -n 3 hdfs.err | sed "s/^/$dsp_mark err $dsp_nonce HDFS: /"
    echo "$dsp_mark code $dsp_nonce 75"
  done
  echo "$dsp_mark done"
  exit 0
}
"""

# A client that has told the id is ended: it would kill its application at a time-out. One that is silent for
# two minutes is ended too; whether YARN has the application is then to be seen by its name.
_CLIENT = r"""
dsp_start() { # the client of attempt $1, request number $2, with these options
  n=$1
  [ ! -s "$n.id" ] || { echo 0 > "$n.code"; return; }
  dsp_ask "$1" "$2" || return
  shift 2
  setsid hadoop jar "$dsp_jar" @CLASS@ -jar "$dsp_jar" "$@" > "$n.client" 2>&1 < /dev/null &
  pid=$! tries=0
  while :; do
    alive=yes
    kill -s 0 "$pid" 2> /dev/null || alive=
    id=$(sed -n 's/.*Submitted application \(application_[0-9]*_[0-9]*\).*/\1/p' "$n.client" | head -n 1)
    [ -z "$id" ] && [ -n "$alive" ] && [ "$tries" -lt 480 ] || break
    sleep 0.25
    tries=$((tries + 1))
  done
  if [ -n "$id" ]; then
    echo "$id" > "$n.id.tmp" && mv -f -- "$n.id.tmp" "$n.id" && echo 0 > "$n.code"
    [ -z "$alive" ] || kill -s KILL -- "-$pid" 2> /dev/null
  elif [ -n "$alive" ]; then
    kill -s KILL -- "-$pid" 2> /dev/null
  else
    wait "$pid"
    echo "$?" > "$n.code"
  fi
}
dsp_tell() { # what came of attempt $1
  dsp_show out "$1.id" "$1" 2> /dev/null
  [ -s "$1.code" ] || return 0
  if [ "$(cat "$1.code")" != 0 ]; then
    grep -E 'Submitting application to ASM|Exception|ERROR|FATAL|rror:|ailed|not found' "$1.client" |
      grep -v '^[[:space:]]*at ' | tail -n 12 | cut -c 1-600 > "$1.err.tmp"
    dsp_show err "$1.err.tmp" "$1"
  fi
  echo "$dsp_mark code $1 $(cat "$1.code")"
  rm -f -- "$1.code" "$1.err.tmp"
}
"""

# The claim of an attempt looks for the withdrawal after it is written, we look for the claim after the withdrawal is:
# one of both sees the other.
_REVOKE = r"""
for n in $dsp_old; do echo "$n.withdrawn:withdrawn" | dsp_put "$n.withdrawn"; done
hadoop fs -put -f @FILES@ "$dsp_far/jobs/" > /dev/null 2> hdfs.err < /dev/null || dsp_later
hadoop fs -cat @SEEN@ > seen.tmp 2> hdfs.err < /dev/null || dsp_later
grep -q '^ready:' seen.tmp || dsp_later
dsp_revoke() { # attempt $1, of which $2 lines are known, before $3 is asked for
  have=$(grep -c -E "^$1\.end-[0-9]*:(task [0-9]+|end) [0-9]+ [0-9]+ \.\$" seen.tmp)
  ! grep -q "^$1\.claim:claim " seen.tmp || have=$((have + 1))
  [ "$have" -gt "$2" ] || return 0
  hadoop fs -rm -f "$dsp_far/jobs/$1.withdrawn" > /dev/null 2> hdfs.err < /dev/null || dsp_later
  dsp_earlier="$dsp_earlier$3 "
  echo "$dsp_mark earlier $3 $1"
}
"""

_JAR = r"""
dsp_jar=
dsp_bin=$(command -v hadoop)
for dsp_dir in @DIR@ "${HADOOP_YARN_HOME:-/}/share/hadoop/yarn" "${HADOOP_HOME:-/}/share/hadoop/yarn" \
  "$(dirname "$(dirname "$(readlink -f "${dsp_bin:-/}")")")/share/hadoop/yarn"; do
  for dsp_file in "$dsp_dir"/hadoop-yarn-applications-distributedshell-[0-9]*.jar; do
    [ ! -e "$dsp_file" ] || dsp_jar=$dsp_file
  done
  [ -z "$dsp_jar" ] || break
done
if [ -z "$dsp_bin" ] || [ -z "$dsp_jar" ]; then
  for dsp_nonce in $dsp_asks; do
    if [ -z "$dsp_bin" ]; then
      echo "$dsp_mark err $dsp_nonce no hadoop command here: say in remote_profile/hadoop_home where it is"
    else
      echo "$dsp_mark err $dsp_nonce no distributed-shell jar: say in kwargs/yarn_path in which directory it is"
    fi
    echo "$dsp_mark code $dsp_nonce 127"
  done
  echo "$dsp_mark done"
  exit 0
fi
"""


#: Applications that have not ended, by the nonce at the head of their names.
_NAMED = """\
  { gsub(/ /, "", $1); sub(/^ */, "", $2); split($2, name, "-") }
  name[1] in known { print $1 }"""


class DistributedShellDialect(CommandDialect):
    """An application of YARN for each job; its files are on HDFS."""

    name = "DistributedShell"
    CHECK = SiteCheck(("yarn", "hadoop"), "yarn node -list")
    context = "HDFSContext"
    absence_timeout = 30.0
    min_poll_interval = 2.0
    max_submit_batch = 12
    kwargs: ClassVar[tuple[Key, ...]] = (
        optional("img_name", str, "Docker image in which the script runs; empty: none.", ""),
        optional("mem_limit", int, "Memory of the container in GB.", 1, rule=at_least(1)),
        optional("yarn_path", str, "Directory of the distributed-shell jar; empty: that of the hadoop command.", ""),
        optional("hadoop_home", str, "Directory of Hadoop in the container; empty: by its environment and PATH.", ""),
        optional("master_memory", int, "Memory of the application master in MB.", 512, rule=at_least(64)),
        JOB_NAME,
        PROLOGUE,
    )
    NATIVE = re.compile(r"application_[0-9]{1,20}_[0-9]{1,10}", re.ASCII)
    SUBMITS = "hadoop"
    GONE = re.compile(r"has already finished|doesn't exist in RM")
    COMPLAINT = re.compile(r"xception|rror|has already finished|not found")
    ID = re.compile(r"^(application_\d+_\d+)$", re.MULTILINE)
    STATES: ClassVar = answers.STATES

    # -- the script ---------------------------------------------------------------------------------------------

    def fence(self, job: JobScript, elements: int) -> str:
        """Claims on HDFS and fetches from there."""
        return container.head(job)

    def closing(self, job: JobScript) -> str:
        """Hands over to HDFS."""
        return container.foot(job)

    def check(self, resources: ResourcesSpec) -> None:
        """Refuse what a container is not: more than one node; and what would not stay one word for YARN."""
        if resources.number_node != 1:
            raise ConfigError("resources/number_node: DistributedShell gives a job one container on one node; write 1")
        words: dict[str, Any] = {
            "queue_name": resources.queue_name,
            "kwargs/img_name": resources.kwargs.get("img_name"),
        }
        for key, value in words.items():
            if value and not _WORD.fullmatch(str(value)):
                raise ConfigError(f"resources/{key}: {value!r} must be one word of letters, digits and ._:/@-")
        for key in ("yarn_path", "hadoop_home"):
            if any(ord(letter) < 32 for letter in str(resources.kwargs.get(key) or "")):
                raise ConfigError(f"resources/kwargs/{key}: holds a control character")

    # -- submitting ---------------------------------------------------------------------------------------------

    def submit(self, requests: Sequence[SubmitRequest], place: Place) -> ShellText:
        """Write the files, withdraw earlier attempts on HDFS, start the clients, keep each id that one tells."""
        mark = f"@@{requests[0].nonce}"
        path = str(requests[0].resources.kwargs.get("yarn_path") or "")
        parts = [
            self._preamble(place),
            f"dsp_mark={mark} dsp_earlier=' ' dsp_far={quoted(container.far(place.remote_root))}\n",
            f"dsp_asks='{' '.join(request.nonce for request in requests)}'\n",
            ASK,
            _SUBMIT,
            *(framing.heredoc(name, text, mark) for request in requests for name, text in request.files.items()),
            _JAR.replace("@DIR@", quoted(path) if path else ""),
            self._sent(requests),
            _CLIENT.replace("@CLASS@", _CLASS),
        ]
        for nth, request in enumerate(requests):
            parts.append(
                f"case $dsp_earlier in *' {request.nonce} '*) ;; "
                f"*) dsp_start {request.nonce} {request.asked} {_options(request)} & ;; esac\n"
            )
            parts += ["wait\n"] if (nth + 1) % CLIENTS == 0 else []
        parts += ["wait\n", *(f"dsp_tell {request.nonce}\n" for request in requests)]
        return ShellText("".join([*parts, f"echo {mark} done\n"]), timeout=240 + 130 * -(-len(requests) // CLIENTS))

    def _sent(self, requests: Sequence[SubmitRequest]) -> str:
        """What HDFS must have before an application is asked for: parts of large scripts, and withdrawals."""
        runs = [name for request in requests for name in request.files if name != request.script]
        revoked = [(nonce, lines, request.nonce) for request in requests for nonce, lines in request.withdrawals]
        if not revoked:
            return _uploaded(runs) if runs else ""
        names = " ".join(nonce for nonce, _, _ in revoked)
        seen = ",".join(["ready", *(f"{nonce}.*[!_]" for nonce, _, _ in revoked)])
        text = _REVOKE.replace("@FILES@", " ".join([*runs, *(f"{nonce}.withdrawn" for nonce, _, _ in revoked)]))
        calls = "".join(f"dsp_revoke {nonce} {lines} {new}\n" for nonce, lines, new in revoked)
        seen = f'"$dsp_far/jobs/{{{seen}}}"'
        return f"dsp_old='{names}'\n{text.replace('@SEEN@', seen)}{calls}"

    def _answer(self, code: str, out: str, err: str, path: str = "") -> Answer | None:
        found = self.identified(out)
        if code == "75" and not found:
            return Deferral(err)
        if code == "127" and not found:
            return Rejection(err)  # our own words, see _JAR
        return super()._answer("0" if found else code, out, err, path)

    def refusal(self, code: str, said: str) -> Answer | None:
        """What the client's complaint means; once it has begun to submit only YARN's own word settles it."""
        return answers.refusal(said)

    # -- looking ------------------------------------------------------------------------------------------------

    def patience(self, queries: Sequence[Query]) -> float:
        """Clients of Hadoop take their time."""
        return 300 + 0.2 * len(queries)

    def markers(self, queries: Sequence[Query], place: Place, mark: str) -> str:
        """The receipts here and the markers on HDFS."""
        receipts = "\n".join(f"{query.nonce}.id" for query in queries)
        # a clearer word stands before each portion, so that a portion of which nothing is there is no error
        files = framing.portions([f"{query.nonce}.[clefw]*[!_]" for query in queries], between=",")
        return (
            f"{withdrawing(queries, mark)}"
            f"LC_ALL=C xargs grep -a -s -H '' /dev/null << '@@' | sed 's/^/{mark} file /'\n{receipts}\n@@\n"
            f"dsp_far={quoted(container.far(place.remote_root))} dsp_code=0\n"
            "{ while read -r dsp_words; do\n"
            '  dsp_within 120 hadoop fs -cat "$dsp_far/jobs/{ready,$dsp_words}" 2> hdfs.err < /dev/null ||\n'
            "    { dsp_code=$?; break; }\n"
            f"done << '@@'\n{files}\n@@\n"
            f"printf '\nread:%s\n' \"$dsp_code\"; }} | sed 's/^/{mark} file /'\n"
            f"tail -n 5 hdfs.err | sed 's/^/{mark} hdfs /'\n"
        )

    def queue_lines(self, queries: Sequence[Query]) -> str:
        """One question for all applications of this kind; those that began long before are left out by REST."""
        since = max(0, int(min(query.since for query in queries) - 86400) * 1000)
        query = f"applicationTypes=YARN&startedTimeBegin={since}&deSelects=resourceRequests,timeouts"
        return (
            'if [ -n "${DSP_RESOURCEMANAGER:-}" ] && command -v curl > /dev/null 2>&1; then\n'
            f'  curl -sS -f -L --max-time 60 "$DSP_RESOURCEMANAGER/ws/v1/cluster/apps?{query}"\n'
            "else dsp_within 120 yarn application -list -appTypes YARN -appStates ALL; fi"
        )

    def rows(self, text: str, code: int) -> list[QueueRow]:
        """The applications that YARN lists."""
        return answers.rows(text, code)

    def observed(self, reply: Reply, queries: Sequence[Query]) -> Observations:
        """As all dialects; but unless HDFS gave every marker there is no answer, for one may be there unseen."""
        said = framing.framed(reply.out, f"@@{queries[0].nonce}")
        if "done" in said and not {"ready:", "read:0"} <= set(said.get("file", [])):
            raise Unreachable(f"HDFS: {answers.short(said.get('hdfs', []))}")
        return super().observed(reply, queries)

    def observation_of(self, rows: Sequence[QueueRow]) -> Observation:
        """What YARN says of an application, with its diagnostics where it failed."""
        return answers.observation_of(rows)

    def claim(self, query: Query, files: Mapping[str, list[str]]) -> Claim | None:
        """The claim of the life that counts, with the exit marker of that life."""
        accounted_runs = {int(kind[5:]): kind for kind in files if re.fullmatch("life-[0-9]{1,9}", kind)}
        newest = max(accounted_runs, default=None)
        first = files.get("claim" if newest is None else accounted_runs[newest], [])[:1]
        if not first:
            return None
        run = read_claim(first)
        ended = files.get(f"end-{run.restarts}", []) if run else []
        fenced = [line for kind in sorted(files) if kind.startswith("fenced-") for line in files[kind]]
        return read_claim([*first, *ended], fenced)

    def _observation(
        self, query: Query, files: Mapping[str, list[str]], rows: list[QueueRow], answered: bool
    ) -> Observation:
        observation = super()._observation(query, files, rows, answered)
        if (
            observation.claim is None
            and observation.cause is not None
            and observation.cause.kind is CauseKind.scheduler
        ):
            advice = f"its script did not begin; see yarn logs -applicationId {observation.id}, and kwargs/hadoop_home"
            cause: Cause = msgspec.structs.replace(observation.cause, reason=f"{observation.cause.reason}; {advice}")
            return msgspec.structs.replace(observation, cause=cause)
        return observation

    # -- ending -------------------------------------------------------------------------------------------------

    def kill_lines(self, queries: Sequence[Query]) -> str:
        """By id; where none is known, by name among those that have not ended."""
        ids = "\n".join(query.id for query in queries if query.id)
        lost = [query for query in queries if not query.id]
        found = ""
        if lost:
            listing = framing.ours("dsp_within 120 yarn application -list -appTypes YARN", lost, _NAMED, "\\t")
            found = f"dsp_lost() {{\n{listing}\n}}\ndsp_found=$(dsp_lost) || return\n"
        kill = framing.told("dsp_within 300 yarn application -kill $dsp_words", 100)
        return f"dsp_found=\n{found}{{ printf '%s\\n' \"$dsp_found\"; cat << '@@'; }} | grep . |\n{ids}\n@@\n{kill}"


def _uploaded(names: Sequence[str]) -> str:
    return f'hadoop fs -put -f {" ".join(names)} "$dsp_far/jobs/" > /dev/null 2> hdfs.err < /dev/null || dsp_later\n'


def _options(request: SubmitRequest) -> str:
    """The words that a client gets, each quoted."""
    requested, kwargs = request.resources, request.resources.kwargs
    amounts = [f"memory-mb={int(kwargs.get('mem_limit') or 1) * 1024}", f"vcores={max(requested.cpu_per_node, 1)}"]
    amounts += [f"yarn.io/gpu={requested.gpu_per_node}"] if requested.gpu_per_node else []
    words = ["-appname", request.name, "-num_containers", "1", "-timeout", "2147483647"]
    words += ["-queue", requested.queue_name] if requested.queue_name else []
    words += ["-master_memory", str(int(kwargs.get("master_memory") or 512)), "-master_vcores", "1"]
    words += ["-container_resources", ",".join(amounts), "-shell_script", request.script]
    if image := str(kwargs.get("img_name") or ""):
        words += ["-shell_env", "YARN_CONTAINER_RUNTIME_TYPE=docker"]
        words += ["-shell_env", f"YARN_CONTAINER_RUNTIME_DOCKER_IMAGE={image}"]
    return " ".join(quoted(word) for word in words)
