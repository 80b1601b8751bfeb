"""The scripts of jobs, part by part, under the names that DPDispatcher gives them.

    machine.gen_script(job)         ->  "#!/bin/bash -l\n#SBATCH --nodes 1\n…"
    machine.gen_script_header(job)  ->  its first lines

Text only: nothing is written, made or sent. A script carries the nonce of the
attempt that it is for; what is shown here is for none and says "preview".
"""

from __future__ import annotations

from typing import Any, Protocol

from .. import contexts, schedulers
from ..core.model import MachineSpec, SubmissionSpec
from ..core.ports import Scheduler
from ..run.survey import template_of
from ..scripts.render import Script, job_script, render
from . import own
from .composing import composed
from .resources import Resources
from .roles import JobMember


class _Placed(Protocol):
    driven: Any

    def spec(self) -> MachineSpec: ...


class Scripts:
    """What a machine writes for the scheduler. A class of a program may give another text for each part."""

    def gen_script(self: _Placed, job: JobMember) -> str:
        """The whole script of a job. Raises ConfigError for resources that the batch system cannot express."""
        return composed(self, job, _script(self, job)).text()

    def gen_script_header(self: _Placed, job: JobMember) -> str:
        """The lines for the scheduler, or the user's template in their place."""
        return _script(self, job).header

    def gen_script_custom_flags_lines(self: _Placed, job: JobMember) -> str:
        """The user's own header lines (resources/custom_flags)."""
        return _script(self, job).custom_flags

    def gen_script_env(self: _Placed, job: JobMember) -> str:
        """Where the job runs and who may run it; then modules, sourced files, exports and prepend_script."""
        script = _script(self, job)
        return script.claim + script.env

    def gen_script_command(self: _Placed, job: JobMember) -> str:
        """The tasks, and the pool that runs para_deg of them at a time."""
        return _script(self, job).command

    def gen_script_run_command(self: _Placed, job: JobMember) -> str:
        """As gen_script_command: the part that goes into a file of its own when a script is very large."""
        return _script(self, job).command

    def gen_script_end(self: _Placed, job: JobMember) -> str:
        """append_script and the exit marker."""
        return _script(self, job).end

    def gen_script_wait(self, resources: Resources) -> str:
        """Empty: a pool starts the next task as soon as one ends, so no task waits for a whole group."""
        return ""

    def gen_command_env_cuda_devices(self, resources: Resources) -> str:
        """The export that gives the first task its GPU; empty unless strategy/if_cuda_multi_devices is set."""
        return "export CUDA_VISIBLE_DEVICES=0\n" if resources.strategy["if_cuda_multi_devices"] else ""


def _script(machine: _Placed, job: JobMember) -> Script:
    """The one that is being submitted, while a run asks a class of the program's own; else a preview."""
    if machine.driven is not None:
        found: Script = machine.driven.script(job)
        return found
    return preview(machine.spec(), job, None if own.is_ours(type(machine)) else type(machine))


def _dialect(machine: MachineSpec, job: JobMember, kind: type | None) -> Scheduler:
    if kind is None:
        return schedulers.chosen(machine.batch_type, job.resources.spec())
    from .driven.dialect import dialect

    return dialect(kind, job.resources.spec())


def preview(machine: MachineSpec, job: JobMember, kind: type | None = None) -> Script:
    """The script of a job as it would be submitted, but for its nonce; `kind` is a class of the program's own."""
    resources, tasks = job.resources.spec(), tuple(task.spec() for task in job.job_task_list)
    dialect = _dialect(machine, job, kind)
    dialect.check(resources)
    owner = job.submission
    asked = SubmissionSpec("", machine, resources, tasks) if owner is None else owner.spec()
    name = job.job_hash if owner is None else owner.submission_hash
    spec = SubmissionSpec(
        asked.work_base, machine, resources, tasks, asked.forward_common_files, asked.backward_common_files
    )
    place = contexts.load(machine.context_type).place_of(machine, name, spec.work_base)
    everyone = {index: index for index in range(len(tasks))}
    script = job_script(spec, job.job_hash, "preview", "preview", everyone, place, template_of(resources))
    return render(script, dialect)
