"""Slurm's job arrays: one sbatch for all tasks of a job, `slurm_job_size` of them in each element.

    #SBATCH --array=0-1999%50                  sbatch … --array=0-1000%50 dq3v81kx0mza.sub 0        4211
    dsp_element=$(($1 + SLURM_ARRAY_TASK_ID))  sbatch … --array=0-998%50  dq3v81kx0mza.sub 1001     5212

    dq3v81kx0mza.many            2000 1001      elements, and how many one array may have here
    dq3v81kx0mza.1001-999.part   5212           what sbatch said to a part
    dq3v81kx0mza.7.claim         the claim of element 7

Arrays beyond the site's MaxArraySize are asked for in parts, which are told
from where to count; the native id is then `4211,5212`. When a part is refused
for now, the parts before it stay, and asking again goes on with it. All
elements together are one job: it is over when each has its exit marker.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from ..errors import ConfigError
from ..model import ResourcesSpec
from ..ports import Ask, Claim, Look, Native, Place, Watch
from . import slurm_answers as answers
from .command_line import Row, read_claim
from .slurm import Slurm

_SUBMIT = r"""
dsp_most_elements() { # sets dsp_most; asked once in a call
  [ -z "$dsp_most" ] || return 0
  dsp_config=$(dsp_within 60 scontrol show config) || return
  dsp_most=$(printf '%s\n' "$dsp_config" |
    sed -n 's/^MaxArraySize *= *\([0-9]*\).*/\1/p; s/.*max_array_tasks=\([0-9]*\).*/\1/p' | sort -n | head -n 1)
  case $dsp_most in '' | 0) dsp_most=1001 ;; esac
}
dsp_part() { # ask for $2 elements from $1 on
  if [ ! -s "$dsp_nonce.$1-$2.part" ]; then
    dsp_within 90 sbatch --parsable --job-name="$dsp_name" --array="0-$(($2 - 1))$dsp_throttle" "$dsp_nonce.sub" "$1" \
      > "$dsp_nonce.part.tmp" || return
    mv -f -- "$dsp_nonce.part.tmp" "$dsp_nonce.$1-$2.part"
  fi
  cat < "$dsp_nonce.$1-$2.part"
}
dsp_most_elements || return
echo "$dsp_many $dsp_most" | dsp_put "$dsp_nonce.many"
dsp_first=0
while [ "$dsp_first" -lt "$dsp_many" ]; do
  dsp_count=$((dsp_many - dsp_first))
  [ "$dsp_count" -le "$dsp_most" ] || dsp_count=$dsp_most
  dsp_part "$dsp_first" "$dsp_count" || return
  dsp_first=$((dsp_first + dsp_count))
done"""

_MARKERS = """\
while read -r dsp_n; do
  printf '%s\\n' "$dsp_n.id" "$dsp_n.many" "$dsp_n".*.claim "$dsp_n".*.claim.fenced
done << '@@'
{nonces}
@@"""


class SlurmArray(Slurm):
    """One array a job; see the module."""

    name = "SlurmJobArray"
    native_id = "${SLURM_ARRAY_JOB_ID:-none}"
    element = "$((${1:-0} + ${SLURM_ARRAY_TASK_ID:?}))"

    def header(self, resources: ResourcesSpec, name: str, log: str, elements: int) -> list[str]:
        """As for Slurm, and the whole range of elements."""
        line = f"#SBATCH --array=0-{elements - 1}{_throttle(resources)}"
        return [*super().header(resources, name, log, elements), line]

    def check(self, resources: ResourcesSpec) -> None:
        """Both numbers must be positive."""
        super().check(resources)
        for key in ("slurm_job_size", "array_throttle"):
            value = resources.kwargs.get(key)
            if value is not None and (type(value) is not int or value < 1):
                raise ConfigError(f"resources/kwargs/{key}: {value!r} is no positive number")

    def elements(self, resources: ResourcesSpec, tasks: int) -> int:
        """As many as it takes with slurm_job_size tasks in each."""
        return max(1, -(-tasks // int(resources.kwargs.get("slurm_job_size") or 1)))

    def submit_line(self, ask: Ask, place: Place) -> str:
        """One sbatch, or as many as the site's limit makes of it."""
        many = self.elements(ask.resources, ask.tasks)
        return f"dsp_many={many} dsp_throttle={_throttle(ask.resources)} dsp_name={ask.name}\n{_SUBMIT}"

    def marker_lines(self, watches: Sequence[Watch]) -> str:
        """Thousands of claims are found by their prefix there, not listed by name from here."""
        return _MARKERS.format(nonces="\n".join(watch.nonce for watch in watches))

    def standing(self, rows: Sequence[Row]) -> Look:
        """All elements of all parts as one."""
        return answers.standing(rows, join=True)

    def identified(self, text: str) -> str:
        """The ids of all parts, in their order."""
        return ",".join(dict.fromkeys(self.ID.findall(text)))

    def claim(self, watch: Watch, files: Mapping[str, list[str]]) -> Claim | None:
        """The claims of all elements as one."""
        names = (re.fullmatch(r"(\d+)\.claim", name) for name in files)
        numbers = sorted(int(name[1]) for name in names if name)
        claims = [read_claim(files[f"{n}.claim"], files.get(f"{n}.claim.fenced", [])) for n in numbers]
        return _joined(watch, [claim for claim in claims if claim], _many(files)[0])

    def _look(self, watch: Watch, files: Mapping[str, list[str]], rows: list[Row], answered: bool) -> Look:
        look = super()._look(watch, files, rows, answered)
        many, most = _many(files)
        if watch.id or look.how == "receipt" or many <= most:
            return look
        # Some parts may be there, but not all were asked for: as a whole it is not in the queue, so that it is asked
        # again, under the same nonce.
        native = Native.absent if answered else Native.unknown
        claim = msgspec.structs.replace(look.claim, owner="") if look.claim else None
        return Look(native, claim=claim)


def _throttle(resources: ResourcesSpec) -> str:
    throttle = resources.kwargs.get("array_throttle")
    return f"%{throttle}" if throttle else ""


def _many(files: Mapping[str, list[str]]) -> tuple[int, int]:
    """How many elements were asked for, and how many one array may have."""
    words = " ".join(files.get("many", [])).split()
    return (int(words[0]), int(words[1])) if len(words) == 2 else (0, 0)


def _joined(watch: Watch, claims: Sequence[Claim], many: int) -> Claim | None:
    if not claims:
        return None
    owners = sorted({claim.owner for claim in claims if claim.owner})
    known = set(owners) & set(watch.id.split(","))
    codes = [claim.ended for claim in claims if claim.ended is not None]
    failed = [claim for claim in claims if any(code for _, code, _ in claim.tasks)]
    return Claim(
        owner=watch.id if known else ",".join(owners),
        node=failed[0].node if failed else "",
        restarts=max(claim.restarts for claim in claims),
        lines=sum(claim.lines for claim in claims),
        tasks=tuple(task for claim in claims for task in claim.tasks),
        ended=max(codes) if many and len(codes) == many else None,
        stderr={index: text for claim in claims for index, text in claim.stderr.items()},
        fenced=tuple(copy for claim in claims for copy in claim.fenced),
    )
