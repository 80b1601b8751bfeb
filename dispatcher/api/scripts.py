"""The scripts of jobs, part by part, under the manual's names.

    machine.gen_script(job)         ->  "#!/bin/bash -l\n#SBATCH --nodes 1\n…"
    machine.gen_script_header(job)  ->  its first lines

Text only: nothing is written, made or sent. A script carries the nonce of the
attempt that it is for; what is shown here is for none and says "preview".
"""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from .. import schedulers
from ..core.model import MachineSpec
from ..core.names import control_of
from ..core.ports import JobScript, Place
from ..run.survey import template_of
from ..scripts.render import Script, render

if TYPE_CHECKING:
    from .job import Job
    from .resources import Resources


class _Placed(Protocol):
    def spec(self) -> MachineSpec: ...


class Scripts:
    """What a machine writes for the scheduler (manual, "dpdispatcher.machine module")."""

    def gen_script(self: _Placed, job: Job) -> str:
        """The whole script of a job. Raises ConfigError for resources that the batch system cannot express."""
        return preview(self.spec(), job).text()

    def gen_script_header(self: _Placed, job: Job) -> str:
        """The lines for the scheduler, or the user's template in their place."""
        return preview(self.spec(), job).header

    def gen_script_custom_flags_lines(self: _Placed, job: Job) -> str:
        """The user's own header lines (resources/custom_flags)."""
        return preview(self.spec(), job).custom_flags

    def gen_script_env(self: _Placed, job: Job) -> str:
        """Where the job runs and who may run it; then modules, sourced files, exports and prepend_script."""
        script = preview(self.spec(), job)
        return script.claim + script.env

    def gen_script_command(self: _Placed, job: Job) -> str:
        """The tasks, and the pool that runs para_deg of them at a time."""
        return preview(self.spec(), job).command

    def gen_script_run_command(self: _Placed, job: Job) -> str:
        """As gen_script_command: the part that goes into a file of its own when a script is very large."""
        return preview(self.spec(), job).command

    def gen_script_end(self: _Placed, job: Job) -> str:
        """append_script and the exit marker."""
        return preview(self.spec(), job).end

    def gen_script_wait(self, resources: Resources) -> str:
        """Empty: a pool starts the next task as soon as one ends, so no task waits for a whole group."""
        return ""

    def gen_command_env_cuda_devices(self, resources: Resources) -> str:
        """The export that gives the first task its GPU; empty unless strategy/if_cuda_multi_devices is set."""
        return "export CUDA_VISIBLE_DEVICES=0\n" if resources.strategy["if_cuda_multi_devices"] else ""


def preview(machine: MachineSpec, job: Job) -> Script:
    """The script of a job as it would be submitted, but for its nonce."""
    resources = job.resources.spec()
    dialect = schedulers.chosen(machine.batch_type, resources)
    dialect.check(resources)
    tasks = tuple((index, task.spec()) for index, task in enumerate(job.job_task_list))
    script = JobScript(
        job.job_hash, "preview", "preview", _place(machine, job), resources, tasks, template_of(resources)
    )
    return render(script, dialect)


def _place(machine: MachineSpec, job: Job) -> Place:
    """Where the job would run, without making it."""
    submission = job.submission
    local = Path(machine.local_root) / (submission.work_base if submission else "")
    name = submission.submission_hash if submission else job.job_hash
    root = str(local)
    if machine.context_type != "LazyLocalContext":
        root = posixpath.join(machine.remote_root or "", name)
    if machine.context_type == "LocalContext":
        root = str(Path(root).expanduser().absolute())
    return Place(str(local), root, control_of(root, name))
