"""Job arrays, in any dialect that has them: one question for all tasks of a job, and what its elements say as one.

    dsp_part 0 1001                  sbatch … --array=0-1000 dq3v81kx0mza.sub 0        4211
    dsp_part 1001 999                sbatch … --array=0-998 dq3v81kx0mza.sub 1001      5212

    dq3v81kx0mza.many            2000 1001      elements, and how many one array may have here
    dq3v81kx0mza.1001-999.part   5212           what the batch system said to a part
    dq3v81kx0mza.7.claim         the claim of element 7

Arrays beyond the site's limit are asked for in parts; the native id is then
`4211,5212`. When a part is refused for now, the parts before it stay, and
asking again goes on with it. All elements together are one job: it is over
when each has its exit marker.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

import msgspec

from ..core.errors import ConfigError
from ..core.model import ResourcesSpec
from ..core.ports import Claim, Native, Observation, Place, Query, SubmitRequest
from .claims import read_claim
from .command_line import PART, CommandDialect, QueueRow

_SUBMIT = r"""dsp_many={many}
dsp_limit() {{
{limit}
}}
dsp_most_elements() {{ # sets dsp_most; asked once in a call
  [ -z "$dsp_most" ] || return 0
  dsp_limits=$(dsp_limit) || return
  dsp_most=$(printf '%s\n' "$dsp_limits" | grep -x '[1-9][0-9]*' | sort -n | head -n 1)
  [ -n "$dsp_most" ] || dsp_most={most}
}}
dsp_part() {{ # ask for $2 elements from $1 on
  if [ ! -s "$dsp_nonce.$1-$2.part" ]; then
    {part} > "$dsp_nonce.part.tmp" || return
    dsp_named "$dsp_nonce.part.tmp" || {{ cat < "$dsp_nonce.part.tmp"; return 0; }}
    mv -f -- "$dsp_nonce.part.tmp" "$dsp_nonce.$1-$2.part"
  fi
  cat < "$dsp_nonce.$1-$2.part"
  echo {end}
}}
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


class ArrayDialect(CommandDialect):
    """What stands before a dialect's class to make one array of each job: `class SGEArray(Array, SGE)`."""

    #: The key of kwargs that says how many tasks an element has; "": one.
    SIZE: ClassVar[str] = ""
    #: How many elements an array may have where the site names no limit.
    MOST: ClassVar[int] = 1_000_000

    def limit_lines(self) -> str:
        """Commands that print how many elements one array may have here; numbers alone on their lines count."""
        return ":"

    def part_line(self, request: SubmitRequest) -> str:
        """The command that asks for `$2` elements, the first of which is `$1`, counted from 0."""
        raise ConfigError(f"{self.name} has no job arrays")

    def check(self, resources: ResourcesSpec) -> None:
        """Both numbers must be positive."""
        super().check(resources)
        for key in filter(None, (self.SIZE, "array_throttle")):
            value = resources.kwargs.get(key)
            if value is not None and (type(value) is not int or value < 1):
                raise ConfigError(f"resources/kwargs/{key}: {value!r} is not a positive number")

    def elements(self, resources: ResourcesSpec, tasks: int) -> int:
        """As many as it takes with one task in each, or as many as the kwargs say."""
        size = resources.kwargs.get(self.SIZE) if self.SIZE else None
        return max(1, -(-tasks // int(size or 1)))

    def submit_line(self, request: SubmitRequest, place: Place) -> str:
        """One command, or as many as the site's limit makes of it."""
        many = self.elements(request.resources, request.tasks)
        part = self.part_line(request)
        return _SUBMIT.format(many=many, limit=self.limit_lines(), most=self.MOST, part=part, end=PART)

    def marker_lines(self, queries: Sequence[Query]) -> str:
        """Thousands of claims are found by their prefix there, not listed by name from here."""
        return _MARKERS.format(nonces="\n".join(query.nonce for query in queries))

    def identified(self, text: str) -> str:
        """The ids of all parts, in their order."""
        ids = (super(ArrayDialect, self).identified(part) for part in re.split(f"^{PART}$", text, flags=re.M))
        return ",".join(dict.fromkeys(filter(None, ids)))

    def claim(self, query: Query, files: Mapping[str, list[str]]) -> Claim | None:
        """The claims of all elements as one."""
        names = (re.fullmatch(r"(\d+)\.claim", name) for name in files)
        numbers = sorted(int(name[1]) for name in names if name)
        claims = [read_claim(files[f"{n}.claim"], files.get(f"{n}.claim.fenced", [])) for n in numbers]
        return self._joined(query, [claim for claim in claims if claim], _many(files)[0])

    def _joined(self, query: Query, claims: Sequence[Claim], many: int) -> Claim | None:
        if not claims:
            return None
        owners = sorted({self.same(claim.owner, query.id) for claim in claims if claim.owner})
        known = set(owners) & set(query.id.split(","))
        codes = [claim.ended for claim in claims if claim.ended is not None]
        failed = [claim for claim in claims if any(code for _, code, _ in claim.tasks)]
        return Claim(
            owner=query.id if known else ",".join(owners),
            node=failed[0].node if failed else "",
            restarts=max(claim.restarts for claim in claims),
            lines=sum(claim.lines for claim in claims),
            tasks=tuple(task for claim in claims for task in claim.tasks),
            ended=max(codes) if many and len(codes) == many else None,
            stderr={index: text for claim in claims for index, text in claim.stderr.items()},
            fenced=tuple(copy for claim in claims for copy in claim.fenced),
            notes=tuple(dict.fromkeys(note for claim in claims for note in claim.notes)),
            log="\n".join(claim.log for claim in claims[:20] if claim.log),
        )

    def _observation(
        self, query: Query, files: Mapping[str, list[str]], rows: list[QueueRow], answered: bool
    ) -> Observation:
        observation = super()._observation(query, files, rows, answered)
        many, most = _many(files)
        if query.id or observation.how == "receipt" or many <= most:
            return observation
        # Some parts may be there, but not all were asked for: as a whole it is not in the queue, so that it is asked
        # again, under the same nonce.
        native = Native.absent if answered else Native.unknown
        claim = msgspec.structs.replace(observation.claim, owner="") if observation.claim else None
        return Observation(native, claim=claim)


def throttle(resources: ResourcesSpec, form: str) -> str:
    """How many elements may run at once, as the dialect writes it (`%{}`, `-tc {}`); "" without a limit."""
    value = resources.kwargs.get("array_throttle")
    return form.format(value) if value else ""


def _many(files: Mapping[str, list[str]]) -> tuple[int, int]:
    """How many elements were asked for, and how many one array may have."""
    words = " ".join(files.get("many", [])).split()
    return (int(words[0]), int(words[1])) if len(words) == 2 else (0, 0)
