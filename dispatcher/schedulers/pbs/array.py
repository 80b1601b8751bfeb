"""Job arrays of PBS and Torque (`array: true` in kwargs): one qsub for all tasks of a job, a task in each element.

    #PBS -J 0-199%50      qsub -N dq3v81kx0mza-re -J 0-199%50 dq3v81kx0mza.sub      4211[].pbshost
    #PBS -t 0-199%50      qsub -N dq3v81kx0mza-re -t 0-199%50 dq3v81kx0mza.sub      4211[].pbshost     Torque

qstat lists an array as one job, B in PBS and R in Torque until all of it has
ended; why its elements ended is in their own records (-t). A single task is no
array: PBS refuses a range of one. An array beyond the site's limit
(max_array_size, max_job_array_size) is refused, and qsub says so: a smaller
group_size makes smaller arrays.

Sources: qsub(1B) of OpenPBS (-J X-Y; ids N[].server); %N is not in that page, OpenPBS 23.06 takes it (transcripts) and
older servers may call it an illegal -J value; Torque Administrator Guide, Submitting multiple jobs (-t 0-4:
1098[].hostname, 1098[0].hostname, PBS_ARRAYID; qstat -t lists elements), and README.array_changes of 2.5 (%N).
"""

from __future__ import annotations

from typing import ClassVar

from ...core.model import ResourcesSpec
from ...core.ports import SubmitRequest
from ..arrays import ArrayDialect, throttle
from .dialect import PBSDialect, short
from .torque import TorqueDialect


class PBSArrayDialect(ArrayDialect, PBSDialect):
    """One array a job; see the module."""

    #: Every element has an id of its own, 4211[7].pbshost; the claim is held under that of the array.
    native_id = "$(printf '%s\\n' \"${PBS_JOBID:-none}\" | sed 's/\\[[0-9]*\\]/[]/')"
    element = "${PBS_ARRAY_INDEX:-0}"
    RANGE: ClassVar[str] = "-J"
    RECORDS: ClassVar[str] = "-x -t -f"
    #: How the index is written into the path of an element's output.
    INDEX: ClassVar[str] = ".^array_index^"

    def header(self, resources: ResourcesSpec, name: str, log: str, elements: int) -> list[str]:
        """As for PBS, and the whole range of elements."""
        lines = super().header(resources, name, log, elements)
        if elements < 2:
            return lines
        lines = [f"{line[:-4]}{self.INDEX}.log" if line == f"#PBS -o {log}" else line for line in lines]
        return [*lines, f"#PBS {self.range(resources, elements)}"]

    def range(self, resources: ResourcesSpec, elements: int) -> str:
        """The option that makes an array."""
        return f"{self.RANGE} 0-{elements - 1}{throttle(resources, '%{}')}"

    def part_line(self, request: SubmitRequest) -> str:
        """One qsub; said here, too, because a header template may lack the range."""
        many = self.elements(request.resources, request.tasks)
        options = f"{self.range(request.resources, many)} " if many > 1 else ""
        return f'dsp_within 90 qsub -N {short(request.name)} {options}"$dsp_nonce.sub"'


class TorqueArrayDialect(PBSArrayDialect, TorqueDialect):
    """One array a job; see the module."""

    element = "${PBS_ARRAYID:-0}"
    RANGE: ClassVar[str] = "-t"
    RECORDS: ClassVar[str] = "-t -f"
    INDEX: ClassVar[str] = ""  # Torque puts -7 behind the path by itself
