"""Slurm's job arrays: one sbatch for all tasks of a job, `slurm_job_size` of them in each element.

    #SBATCH --array=0-1999%50                  sbatch … --array=0-1000%50 dq3v81kx0mza.sub 0        4211
    dsp_element=$(($1 + SLURM_ARRAY_TASK_ID))  sbatch … --array=0-998%50  dq3v81kx0mza.sub 1001     5212

MaxArraySize bounds the index, so each part counts from 0 and is told by its
first argument where it begins (see `arrays`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from ...core.keys import Key, at_least, optional
from ...core.model import ResourcesSpec
from ...core.ports import Observation, SubmitRequest
from ..arrays import ArrayDialect, throttle
from ..command_line import QueueRow
from ..limits import THROTTLE
from . import answers
from .dialect import SlurmDialect, headed

_LIMIT = r"""dsp_config=$(dsp_within 60 scontrol show config) || return
printf '%s\n' "$dsp_config" |
  sed -n 's/^MaxArraySize *= *\([0-9]*\).*/\1/p; s/.*max_array_tasks=\([0-9]*\).*/\1/p'"""


class SlurmArrayDialect(ArrayDialect, SlurmDialect):
    """One array a job; see the module."""

    name = "SlurmJobArray"
    native_id = "${SLURM_ARRAY_JOB_ID:-none}"
    element = "$((${1:-0} + ${SLURM_ARRAY_TASK_ID:?}))"
    SIZE: ClassVar[str] = "slurm_job_size"
    MOST: ClassVar[int] = 1001
    kwargs: ClassVar[tuple[Key, ...]] = (
        *SlurmDialect.kwargs,
        optional("slurm_job_size", int, "Number of tasks in an element of the array.", 1, rule=at_least(1)),
        THROTTLE,
    )

    def header(self, resources: ResourcesSpec, name: str, log: str, elements: int) -> list[str]:
        """As for Slurm, and the whole range of elements."""
        line = f"#SBATCH --array=0-{elements - 1}{throttle(resources, '%{}')}"
        return [*super().header(resources, name, log, elements), line]

    def limit_lines(self) -> str:
        """What the controller is configured to take."""
        return _LIMIT

    def part_line(self, request: SubmitRequest) -> str:
        """One sbatch, told where to count from."""
        indices = f'"0-$(($2 - 1)){throttle(request.resources, "%{}")}"'
        options = f"--parsable --job-name={request.name} --array={indices}"
        return f'{headed(request)}dsp_within 90 sbatch {options} "$dsp_nonce.sub" "$1"'

    def observation_of(self, rows: Sequence[QueueRow]) -> Observation:
        """All elements of all parts as one."""
        return answers.observation_of(rows, join=True)
