"""Whose a place is: a record that the first journal leaves there, once, and that every later one finds.

R/.dispatcher/<submission>/owner      {"owner":"dq3v81kx0mza","host":"login1","root":"/proj/runs"}

text(control, record)   ->  a shell text: leaves the record unless there is one, tells it, and lists what lies there
told(reply)             ->  Possession(record='{"owner":…}', names=("dq3v81kx0mza.sub", …))
"""

from __future__ import annotations

from posixpath import dirname
from shlex import quote

from ..core.errors import Purged, Unreachable
from ..core.names import OWNER
from ..core.ports import PURGED, Reply, ShellText
from ..core.possession import Possession

_MARK = "@@owner"


def text(control: str, record: str) -> ShellText:
    """Atomic: of several that come at once, one leaves its record, and all are told that one. "" leaves none."""
    leave = f"""\
if [ ! -s {OWNER} ]; then
  printf '%s\\n' {quote(record)} > {OWNER}.$$.tmp || exit 91
  ln -- {OWNER}.$$.tmp {OWNER} 2> /dev/null || [ -s {OWNER} ] || mv -f -- {OWNER}.$$.tmp {OWNER}
  rm -f -- {OWNER}.$$.tmp
fi
"""
    home = dirname(control)
    return ShellText(
        f"cd -- {quote(home)} || {{ [ -e {quote(home)} ] && exit 90; exit {PURGED}; }}\n"
        "umask 077\n"
        f"{leave if record else ''}"
        f"[ ! -s {OWNER} ] || sed 's/^/{_MARK} is /' < {OWNER}\n"
        f"ls -A -- {quote(control)} | sed 's/^/{_MARK} has /'\n"
        f"echo '{_MARK} done'\n"
    )


def told(reply: Reply) -> Possession:
    """Raises Unreachable when the answer is not whole, Purged when there is no such directory any more."""
    said: dict[str, list[str]] = {"is": [], "has": []}
    for line in reply.out.split("\n"):
        # a banner without a line end may stand before the mark
        word, _, value = line.partition(f"{_MARK} ")[2].partition(" ")
        said.setdefault(word, []).append(value)
    if "done" not in said and reply.code == PURGED:
        raise Purged("our directory is not there any more: it was removed on the execution side")
    if "done" not in said:
        said_instead = reply.err.strip()[-200:]
        raise Unreachable(f"who owns the control directory over there was not told (exit {reply.code}): {said_instead}")
    return Possession("\n".join(said["is"][:1]), tuple(said["has"]))
