"""JH_UniScheduler: commands and words like LSF's.

    #JSUB -J dq3v81kx0mza-relax               jsub -J dq3v81kx0mza-relax < dq3v81kx0mza.sub    Job <4211> has been …
    #JSUB -n 8                                jjobs -a -u USER -o "jobid stat job_name …"
    #JSUB -R 'span[ptile=4]'                  jhist -l ID …
    #JSUB -gpgpu 2                            jctrl kill ID …
    #JSUB -q normal
    #JSUB -o /scratch/R/.dispatcher/5f1c/jobs/dq3v81kx0mza.log

By its command reference, versions 6.0 to 6.6; memory is in MB, run time in
minutes. kwargs: custom_gpu_line, walltime, memory, account (-P).
Public job scripts confirm -J -n -q -o -W -gpgpu and -R span[ptile=N]; -M, -P, rusage[mem=N/host] and the options of
jjobs, jctrl and jhist could not be confirmed by a second source.
"""

from __future__ import annotations

from typing import ClassVar

from ...core.keys import Key
from ...core.model import ResourcesSpec
from .. import limits
from ..site_check import SiteCheck
from .dialect import LSFDialect


class JHUniSchedulerDialect(LSFDialect):
    """One jsub a job; see the module."""

    name = "JH_UniScheduler"
    CHECK = SiteCheck(("jsub", "jjobs", "jctrl"), "jqueues", "jqueues {queue}")
    native_id = "${JH_JOBID:-none}"
    kwargs: ClassVar[tuple[Key, ...]] = (limits.GPU_LINE, *limits.USUAL)
    MARK = "#JSUB"
    SUBMITS = "jsub"
    REMEMBERS = "jhist"
    LIST: ClassVar[str] = 'jjobs -a -u "$dsp_user"'
    CHOSEN: ClassVar[str] = "-o"
    FIELDS: ClassVar[str] = "jobid stat job_name exec_host"
    ENDED: ClassVar[str] = "jobid stat job_name exec_host exit_code"
    HISTORY: ClassVar[str] = "jhist -n 0 -l"
    KILL: ClassVar[str] = "jctrl kill"
    HOLD: ClassVar[tuple[str, str]] = ("", "")

    def memory(self, resources: ResourcesSpec) -> list[str]:
        """A limit, and as much set aside on each host."""
        memory = limits.megabytes(resources)
        return [f"-M {memory}", f"-R 'rusage[mem={memory}/host]'"] if memory else []

    def gpus(self, resources: ResourcesSpec) -> list[str]:
        """GPUs of each node."""
        return [f"#JSUB -gpgpu {resources.gpu_per_node}"] if resources.gpu_per_node else []
