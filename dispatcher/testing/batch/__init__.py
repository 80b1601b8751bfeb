"""Batch systems to test programs with: executables that answer like the real ones, and really run what they are given.

    site = install("pbs", "/tmp/site")        /tmp/site/bin has qsub, qstat, qdel, qselect
    site.faults(down=True)                    from now on nobody can connect; site.faults() makes it well again
    site.jobs()                               every job there ever was

    eval "$(python -m dispatcher.testing.batch install pbs /tmp/site)"; qsub job.sh          1001.batchhost

    queue       the words: a job, what is asked for, and the port between the two sides below
    pbs lsf pjm slurm sge                     what the commands of each system take and print; text in, text out
    directory runner site front               jobs in a directory: their state, their processes, the executables

docs/testing-kit.md tells what can be made to go wrong.
"""

from __future__ import annotations

from .queue import DIALECTS, FAULTS, StandInJob
from .site import Site, install

__all__ = ["DIALECTS", "FAULTS", "Site", "StandInJob", "install"]
