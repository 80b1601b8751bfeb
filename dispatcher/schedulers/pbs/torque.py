"""Torque: PBS with other words.

    #PBS -N dq3v81kx0mza-re                   qsub -N dq3v81kx0mza-re dq3v81kx0mza.sub           4211.pbshost
    #PBS -l nodes=2:ppn=4:gpus=1              qstat -u USER -s       names whole up to 16; C: completed
    #PBS -l mem=32000mb                       qstat -f ID …          records, as long as keep_completed lets them stay
    #PBS -l walltime=36:00:00                 qdel ID

What has ended is listed as C for keep_completed seconds; at 0 a short job goes
straight from Q to unknown. `select=` would be taken without a word and without
effect. The exit code of a job is written `exit_status` here.

Sources: qsub(1B) of Torque; Administrator Guide, Requesting resources (nodes=N:ppn=P:gpus=G; mem is of the whole job,
and on Linux is no limit when there are several nodes); get_correct_jobname in its source (with the server's
display_job_server_suffix off an id is 4211 alone); transcripts of Torque 6.1.
"""

from __future__ import annotations

import re
from typing import ClassVar

from ...core.model import ResourcesSpec
from .. import directives, limits
from ..site_check import SiteCheck
from .dialect import PBSDialect


class TorqueDialect(PBSDialect):
    """One qsub a job; see the module."""

    name = "Torque"
    CHECK = SiteCheck(("qsub", "qstat", "qdel"), "qstat -Q", "qstat -Q {queue}")
    QUEUE: ClassVar[str] = "-s"
    HISTORY: ClassVar[str] = ""
    RECORDS: ClassVar[str] = "-f"
    ID = re.compile(r"^\s*(\d+(?:\[\])?(?:\.[A-Za-z][\w.-]*)?)\s*$", re.MULTILINE)
    OPTIONS = directives.QSUB_TORQUE
    ASKED: ClassVar[int] = 1000  # it takes no harm from ids by the hundred
    WIDTH: ClassVar[int] = 23

    def chunks(self, resources: ResourcesSpec) -> list[str]:
        """Nodes with their cores and GPUs; memory stands beside them, for the whole job."""
        memory = limits.megabytes(resources)
        parts = [
            f"nodes={resources.number_node}",
            *([f"ppn={resources.cpu_per_node}"] if resources.cpu_per_node else []),
            *([f"gpus={resources.gpu_per_node}"] if resources.gpu_per_node else []),
        ]
        return [f"-l {':'.join(parts)}", *([f"-l mem={memory * resources.number_node}mb"] if memory else [])]
