"""SGE's job arrays (`array: true` in kwargs): one qsub for all tasks of a job, a task in each element.

    #$ -t 1-200                                qsub -terse -N … -t 1-200 -tc 50 dq3v81kx0mza.sub     4211.1-200:1
    #$ -tc 50                                  qdel 4211 -t 7      by somebody else: that task is run again

Elements are counted from 1 there. max_aj_tasks bounds how many an array has,
not how they are numbered. In error, an element waits for the others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...core.model import ResourcesSpec
from ...core.ports import Observation, Place, SubmitRequest
from ..arrays import ArrayDialect, throttle
from ..command_line import QueueRow
from . import answers
from .dialect import QSUB, SGEDialect, leftovers

_LIMIT = r"""dsp_config=$(dsp_within 60 qconf -sconf 2>&1) || { printf '%s\n' "$dsp_config" >&2; return 1; }
printf '%s\n' "$dsp_config" | awk '$1 == "max_aj_tasks" { print $2 }'"""


class SGEArrayDialect(ArrayDialect, SGEDialect):
    """One array a job; see the module."""

    element = "$((${SGE_TASK_ID:?} - 1))"
    ID = re.compile(r"^\s*(?:Your job-array )?(\d+)\.\d+-\d+:\d+(?: \(.*\) has been submitted)?\s*$", re.MULTILINE)

    def header(self, resources: ResourcesSpec, name: str, log: str, elements: int) -> list[str]:
        """As for SGE, and the whole range of elements."""
        limit = throttle(resources, "#$ -tc {}")
        return [*super().header(resources, name, log, elements), f"#$ -t 1-{elements}", *([limit] if limit else [])]

    def submit_line(self, request: SubmitRequest, place: Place) -> str:
        """What is left of the attempt before is deleted first."""
        return leftovers(request) + super().submit_line(request, place)

    def limit_lines(self) -> str:
        """What qmaster is configured to take; 0 is no limit."""
        return _LIMIT

    def part_line(self, request: SubmitRequest) -> str:
        """One qsub."""
        options = f'-t "$(($1 + 1))-$(($1 + $2))"{throttle(request.resources, " -tc {}")}'
        return f'{QSUB} -N {request.name} {options} "$dsp_nonce.sub"'

    def observation_of(self, rows: Sequence[QueueRow]) -> Observation:
        """All elements of all parts as one."""
        return answers.observation_of(rows, join=True)
