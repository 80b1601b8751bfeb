"""Head and foot of a script that runs where the dispatcher can look into its directory.

    REMOTE_ROOT=/scratch/R dsp_control=/scratch/R/.dispatcher/5f1c/jobs
    . "$dsp_control/pool-5f1c0a2b.bash"             what all scripts use
    dsp_begin                                       the claim: one copy of this attempt goes on, the others exit
    …                                              environment and tasks
    end 0 1790000200 .                             the exit marker, in the same file

The directories above them are made, or known to be ours, by OWN (see `files.ours`,
which says the same in Python for this machine).

A batch system that runs its jobs elsewhere (a container with a file system of
its own) has another head and foot: `Scheduler.fence` and `Scheduler.closing`.
"""

from __future__ import annotations

from ..core.ports import JobScript, Scheduler
from . import bash
from .environment import word

#: What `dsp_own` ends with when a directory is not ours.
NOT_OURS = 96
#: Shell functions: `dsp_own DIR` makes a directory for us alone, or sees that it is ours; else it says why, and fails.
#: Where the file system shows another owner than us for what we make, ours is what has that owner.
OWN = rf"""
dsp_owner() {{ set -- $(LC_ALL=C ls -ldn -- "$1" 2> /dev/null); echo "$3"; }}
dsp_is_mine() {{ # directory $1, whose owner is $2
  [ "$2" != "$(id -u)" ] || return 0
  dsp_probe=$1/.dispatcher-$$.tmp dsp_made=none
  ! mkdir -- "$dsp_probe" 2> /dev/null || dsp_made=$(dsp_owner "$dsp_probe")
  rmdir -- "$dsp_probe" 2> /dev/null
  [ "$2" = "$dsp_made" ]
}}
dsp_own() {{
  if dsp_why=$( (umask 077; mkdir -- "$1") 2>&1); then chmod 700 "$1"; return; fi
  case $(LC_ALL=C ls -ldn -- "$1" 2> /dev/null) in
    '') echo "$dsp_why" >&2; return 1 ;;
    l*) dsp_why='it is a link, and whoever made it chooses where we write: remove it' ;;
    d????-??-*)
      dsp_by=$(dsp_owner "$1")
      ! dsp_is_mine "$1" "$dsp_by" || return 0
      dsp_why="it belongs to user $dsp_by, not to you: have it removed, or use another directory" ;;
    d*) dsp_why="others may write there, and may have: look at what it holds, then chmod 700 $1" ;;
    *) dsp_why='it is not a directory: move it away' ;;
  esac
  echo "$1 is not used: $dsp_why" >&2
  return {NOT_OURS}
}}
"""

#: Before anything there is read: whoever moved the directory away and made another in its place made one of his own.
#: A file system that shows another owner for all that is ours shows it for a new file, too.
_OURS = """\
if ! [ -O "$dsp_control" ] && ! { : > "$dsp_claim.$$" && [ ! -O "$dsp_claim.$$" ]; } 2> /dev/null; then
  echo "$dsp_control is not ours: nothing is run" >&2
  exit 93
fi
"""


def shared_fence(job: JobScript, dialect: Scheduler, elements: int) -> str:
    """Claims the attempt, or the element of an array, by a file in the shared directory."""
    element, suffix, withdrawn = "", "", ""
    if elements:
        element, suffix = f"dsp_element={dialect.element}\n", ".$dsp_element"
        # An array is withdrawn as a whole; looked for after the element has its claim, so that it cannot slip through.
        withdrawn = f'dsp_over=yes\n[ ! -e "$dsp_control/{job.nonce}.claim" ] || exit 0\ndsp_over=\n'
    return (
        f"REMOTE_ROOT=$(readlink -f -- {word(job.place.remote_root)}) || exit 93\n"
        f"dsp_control={word(job.place.control)}\n"
        f"{element}"
        f'dsp_claim="$dsp_control/{job.nonce}{suffix}.claim"\n'
        "dsp_node=$(uname -n)\n"
        f"dsp_native={dialect.native_id}\n"
        f"dsp_restarts={dialect.restarts}\n"
        f"{_OURS}"
        "# shellcheck disable=SC1091\n"
        f'. "$dsp_control/{bash.NAME}" || exit 93\n'
        "dsp_begin\n"
        f"{withdrawn}"
        'builtin cd -- "$REMOTE_ROOT" || exit 93\n'
    )


def shared_closing(settle: float) -> str:
    """Publishes the exit marker, success only when no signal has come for so many seconds."""
    return (f"dsp_settle {settle:g}\n" if settle else "") + "dsp_finish\n"
