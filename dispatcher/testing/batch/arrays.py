"""Arrays of PBS and Torque: one process runs the elements, so many at once, each with an index and a log of its own.

1028.sc           the text below, which runs 1028.sc.element (the user's script) once for each index
1028.sc.codes     "7 0": element 7 has ended with code 0
"""

from __future__ import annotations

import shlex
from dataclasses import replace

from .qsub import Request
from .queue import StandInJob

#: How many run at once without a limit of the user's.
_SLOTS = 4
_ARRAY = """\
#!/bin/bash
cat > "$0.element" << '@@element'
{script}
@@element
job=$PBS_JOBID log={log}
element() {{
  export {index}=$1 PBS_JOBID="${{job/\\[\\]/[$1]}}"
  case $log in *'^array_index^'*) log="${{log/'^array_index^'/$1}}" ;; ?*) log="$log-$1" ;; *) log=/dev/null ;; esac
  bash "$2" >> "$log" 2>&1
  printf '%s %s\\n' "$1" "$?" >> "${{2%.element}}.codes"
}}
for each in {elements}; do
  while [ "$(jobs -rp | wc -l)" -ge {most} ]; do wait -n; done
  element "$each" "$0.element" &
done
wait
! grep -qv ' 0$' "$0.codes"
"""


def script(text: str, requested: Request, index: str, log: str) -> str:
    """What runs all elements of an array; its exit code is 0 when all of theirs are."""
    elements = " ".join(map(str, requested.elements))
    return _ARRAY.format(
        script=text, log=shlex.quote(log), index=index, elements=elements, most=requested.at_once or _SLOTS
    )


def element(job: StandInJob, index: str, code: int) -> tuple[str, StandInJob]:
    """One element of an array that has ended, as a job."""
    return index, replace(job, code=code, why="" if code == 0 else job.why, elements=1)
