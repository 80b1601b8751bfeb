"""The door: the classes of DPDispatcher's API, under its names and with its signatures.

    Task, Resources, Machine      what to run, what it needs, where
    Submission                    tasks made into jobs, and run: submission.run_submission()
    Job, JobStatus                how far they are
    Slurm, PBS, …; SSHContext, …  the batch systems and contexts as classes

The objects are mutable and hold no connection; their `spec()` is a frozen copy,
and nothing behind the door ever sees one of them.
"""

from __future__ import annotations

from .batches import (
    LSF,
    PBS,
    SGE,
    Bohrium,
    DistributedShell,
    DpCloudServer,
    Fugaku,
    JH_UniScheduler,
    Lebesgue,
    OpenAPI,
    Shell,
    Slurm,
    SlurmJobArray,
    Torque,
)
from .context import (
    BaseContext,
    BohriumContext,
    DpCloudServerContext,
    HDFSContext,
    LazyLocalContext,
    LebesgueContext,
    LocalContext,
    OpenAPIContext,
    SSHContext,
)
from .handle import CancelledError, Handle, as_completed, submit_tasks
from .job import Job
from .machine import Machine
from .outcome import Outcome
from .recorded import Recorded, replay
from .resources import Resources
from .status import JobStatus
from .submission import Submission
from .task import Task

__all__ = [
    "LSF",
    "PBS",
    "SGE",
    "BaseContext",
    "Bohrium",
    "BohriumContext",
    "CancelledError",
    "DistributedShell",
    "DpCloudServer",
    "DpCloudServerContext",
    "Fugaku",
    "HDFSContext",
    "Handle",
    "JH_UniScheduler",
    "Job",
    "JobStatus",
    "LazyLocalContext",
    "Lebesgue",
    "LebesgueContext",
    "LocalContext",
    "Machine",
    "OpenAPI",
    "OpenAPIContext",
    "Outcome",
    "Recorded",
    "Resources",
    "SSHContext",
    "Shell",
    "Slurm",
    "SlurmJobArray",
    "Submission",
    "Task",
    "Torque",
    "as_completed",
    "replay",
    "submit_tasks",
]
