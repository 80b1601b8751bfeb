"""No batch system: jobs are process groups on the machine itself.

    native id    node7:4242:88123456:1f2e3d4c       host, pid, start time in clock ticks, boot
    queue        dq3v81kx0mza node7:4242:… R        R runs, O its leader died but processes of it run, H on another host

The start time and the boot make a reused pid somebody else's; when the leader
is gone, processes of its group are ours when DISPATCHER_NONCE in their
environment names the attempt. Jobs run in a session of their own: they outlive
the dispatcher and its terminal, and are ended as a whole group.

On this machine they have the environment of whoever started the dispatcher (an
activated conda or venv, an allocation's variables); elsewhere, where nobody has
one, that of a login shell.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

import msgspec

from ..core.errors import Unreachable
from ..core.ports import Native, Observation, Place, Query, SubmitRequest
from .command_line import CommandDialect, QueueRow
from .preamble import FRAME
from .site_check import SiteCheck

# Field 22 of /proc/PID/stat is the start time; the name in field 2 may hold blanks, so fields count from its bracket.
_TOOLS = r"""
dsp_host=$(uname -n)
dsp_boot=
[ ! -r /proc/sys/kernel/random/boot_id ] || read -r dsp_boot < /proc/sys/kernel/random/boot_id
dsp_boot=${dsp_boot%%-*}
dsp_start() { # sets dsp_at to the start time of process $1, to nothing when it is gone
  dsp_at=
  if [ -d /proc/self ]; then
    { read -r dsp_stat < "/proc/$1/stat"; } 2> /dev/null || return 0
    set -- ${dsp_stat##*) }
    [ "$1" = Z ] || [ "$1" = X ] || dsp_at=${20}
  else
    dsp_at=$(ps -o lstart= -p "$1" 2> /dev/null | tr -cs 'A-Za-z0-9\n' '_')
  fi
}
dsp_member() { # whether a process of group $1 belongs to attempt $2; where there is no /proc, nobody can tell
  [ -d /proc/self ] || return 0
  for dsp_file in /proc/[0-9]*; do
    { read -r dsp_stat < "$dsp_file/stat"; } 2> /dev/null || continue
    set -- "$1" "$2" ${dsp_stat##*) }
    if [ "$5" = "$1" ] && [ "$3" != Z ] && [ "$3" != X ] &&
      tr '\0' '\n' 2> /dev/null < "$dsp_file/environ" | grep -a -q -x "DISPATCHER_NONCE=$2"; then return 0; fi
  done
  return 1
}
dsp_state() { # sets dsp_now to R, O, H or nothing for the job host $1, pid $2, start $3, boot $4 of attempt $5
  dsp_now=
  [ "$1" = "$dsp_host" ] || { dsp_now=H; return 0; }
  [ "$4" = "$dsp_boot" ] || return 0
  dsp_start "$2"
  if [ "$dsp_at" = "$3" ]; then dsp_now=R
  elif [ -z "$dsp_at" ] && kill -s 0 -- "-$2" 2> /dev/null && dsp_member "$2" "$5"; then dsp_now=O; fi
}
"""

# Inside the job; must print the very id that `submit_line` prints.
_SELF = r"""
dsp_boot=
if [ -r /proc/sys/kernel/random/boot_id ]; then read -r dsp_boot < /proc/sys/kernel/random/boot_id; fi
if [ -d /proc/self ]; then
  read -r dsp_stat < "/proc/$$/stat"
  read -r -a dsp_stat <<< "${dsp_stat##*) }"
  dsp_at=${dsp_stat[19]}
else
  dsp_at=$(ps -o lstart= -p $$ | tr -cs 'A-Za-z0-9\n' '_')
fi
echo "$dsp_node:$$:$dsp_at:${dsp_boot%%-*}"
"""

_KILL = r"""
dsp_end() { # signal $1 for the process group of host $2, pid $3, start $4, boot $5, attempt $6
  dsp_signal=$1; shift
  dsp_state "$@"
  case $dsp_now in R | O) kill -s "$dsp_signal" -- "-$2" 2> /dev/null; dsp_alive=yes ;; esac
}
dsp_all() { dsp_alive=; while read -r n h p s b; do dsp_end "$1" "$h" "$p" "$s" "$b" "$n"; done << '@@'
"""


class ShellDialect(CommandDialect):
    """The machine itself as a queue; how many jobs run at once is `max_running` of the machine."""

    name = "Shell"
    CHECK = SiteCheck(("bash", "setsid", "ps"))
    absence_timeout = 2.0
    min_poll_interval = 0.1
    settle: ClassVar[float] = 0  # a whole group is signalled at once
    preamble: ClassVar[str] = FRAME
    native_id = f'"$({_SELF.strip()})"'
    STATES: ClassVar = {"R": Native.running, "O": Native.completing, "H": Native.unknown}
    ID = re.compile(r"^(\S+:\d+:\w+:\w*)$", re.MULTILINE)
    REJECTED = re.compile(r"^bash is missing", re.MULTILINE)
    DEFERRED = re.compile(r".")

    def submit_line(self, request: SubmitRequest, place: Place) -> str:
        """Start the script in a session of its own, below nobody, and print its id.

        It is in that session before it claims anything; that its parent is gone at once keeps it from whoever ends
        this shell with all its children, as long as the other jobs of the call are still being started.
        """
        bash = "bash" if place.inherits else "bash -l"
        log = f"> {request.nonce}.log 2>&1 < /dev/null"
        return (
            f"{_TOOLS}"
            "command -v bash > /dev/null 2>&1 ||\n"
            "  { echo 'bash is missing there, or not in PATH: jobs need it' >&2; return 1; }\n"
            "dsp_pid=$(\n"
            f"DISPATCHER_NONCE={request.nonce}; export DISPATCHER_NONCE\n"
            f"if command -v setsid > /dev/null 2>&1; then setsid {bash} {request.script} {log} & else\n"
            f"  set -m; nohup {bash} {request.script} {log} & fi\n"
            "echo $!)\n"
            'dsp_start "$dsp_pid"; echo "$dsp_host:$dsp_pid:$dsp_at:$dsp_boot"'
        )

    def queue_lines(self, queries: Sequence[Query]) -> str:
        """Look at each leader by pid and start time."""
        jobs = "\n".join(f"{query.nonce} {query.id.replace(':', ' ')}" for query in queries if query.id)
        return (
            f"{_TOOLS}while read -r n h p s b; do\n"
            '  [ -n "$n" ] || continue\n'
            '  dsp_state "$h" "$p" "$s" "$b" "$n"\n'
            '  [ -z "$dsp_now" ] || echo "$n $h:$p:$s:$b $dsp_now"\n'
            f"done << '@@'\n{jobs}\n@@\necho end"
        )

    def rows(self, text: str, code: int) -> list[QueueRow]:
        """Lines of nonce, id and state, closed by `end`."""
        lines = text.split("\n")
        if code != 0 or "end" not in lines:
            raise Unreachable(f"the process list cannot be read (exit {code}): {text.strip()[:200]}")
        fields = (line.split() for line in lines)
        return [QueueRow(id=row[1], name=row[0], code=row[2]) for row in fields if len(row) == 3]

    def observation_of(self, rows: Sequence[QueueRow]) -> Observation:
        """A process of another host cannot be seen or ended from here: its host is named."""
        observation = super().observation_of(rows)
        if rows[0].code != "H":
            return observation
        host, number, *_ = rows[0].id.split(":")
        hint = f"process {number} was started on {host}: it can be seen only there; if that is gone: --host-gone {host}"
        return msgspec.structs.replace(observation, node=host, hint=hint)

    def kill_lines(self, queries: Sequence[Query]) -> str:
        """TERM to the whole group, three seconds later KILL to what is left of it."""
        jobs = "\n".join(f"{query.nonce} {query.id.replace(':', ' ')}" for query in queries if query.id)
        wait = 'for i in 1 2 3 4 5 6; do [ -z "$dsp_alive" ] || { sleep 0.5; dsp_all 0; }; done'
        return f'{_TOOLS}{_KILL}{jobs}\n@@\n}}\ndsp_all TERM\n{wait}\n[ -z "$dsp_alive" ] || dsp_all KILL'
