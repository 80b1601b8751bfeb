"""The batch systems of DPDispatcher's API as classes; all that sets them apart is in `schedulers`.

Machine(batch_type="slurm", …)  ->  Slurm(…)
"""

from __future__ import annotations

from typing import Any

from .machine import Machine


class Shell(Machine):
    """No batch system: jobs are processes."""


class Slurm(Machine):
    """Slurm."""


class SlurmJobArray(Slurm):
    """Slurm with job arrays: a job is an array, its tasks are the elements."""


class PBS(Machine):
    """OpenPBS and PBS Professional."""


class Torque(PBS):
    """TORQUE."""


class LSF(Machine):
    """IBM Spectrum LSF."""


class SGE(PBS):
    """Grid Engine."""


class Fugaku(Machine):
    """The job system of Fugaku."""


class JH_UniScheduler(Machine):  # noqa: N801 (DPDispatcher's name)
    """JH UniScheduler."""


class DistributedShell(Machine):
    """YARN's distributed shell."""


class Bohrium(Machine):
    """The Bohrium cloud."""

    alias = ("Lebesgue", "DpCloudServer")

    @property
    def input_data(self) -> dict[str, Any]:
        """Settings of the cloud job (remote_profile/input_data); what is changed in it holds for later runs."""
        profile = {} if self.context is None else self.context.remote_profile
        found: dict[str, Any] = profile.setdefault("input_data", {})
        return found


class OpenAPI(Machine):
    """Bohrium through its open API."""

    @property
    def input_data(self) -> dict[str, Any]:
        """Settings of the cloud job: the remote_profile itself."""
        return {} if self.context is None else self.context.remote_profile


DpCloudServer = Lebesgue = Bohrium
