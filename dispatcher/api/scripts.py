"""The scripts of jobs, part by part, under the manual's names.

    machine.gen_script(job)         ->  "#!/bin/bash -l\n#SBATCH --nodes 1\n…"
    machine.gen_script_header(job)  ->  its first lines

Text only: nothing is written, opened or sent. A script carries the nonce of
the attempt it is for; here, where none is made, it is that of the job's last
attempt, or the word "preview".
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .. import schedulers
from ..model import MachineSpec
from ..ports import Place
from ..script import JobScript, Script, render

if TYPE_CHECKING:
    from .job import Job
    from .resources import Resources


class Scripts:
    """The part of a machine that makes scripts (manual, "dpdispatcher.machine module")."""

    def spec(self) -> MachineSpec:
        """Where jobs run; see Machine."""
        raise AssertionError  # pragma: no cover
