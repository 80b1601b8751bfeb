"""Classes below Machine and the contexts that a program has defined itself: a run asks their methods.

    class MyQueue(Machine):                       do_submit and check_status, as for DPDispatcher
        def do_submit(self, job): …               ->  an id; "": not now
        def check_status(self, job): …            ->  a JobStatus

dialect   the batch system that such a class stands for, as the shell text that repeats what it has said
context   the place of such a run: it calls the class, and hands on all else
         (`api.own`: which methods are the program's own; `api.composing`: the script, of the parts that it gives)

What a class answers is written down beside the jobs as the answer of a submit command is, before it is believed; the
claim in our script lets one copy of an attempt run. Both are as for every batch system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...core.model import ResourcesSpec
from ...core.ports import Context, Scheduler
from .. import own
from .context import DrivenContext
from .dialect import dialect

if TYPE_CHECKING:
    from ..job import Job
    from ..machine import Machine


class Driver:
    """A run of these jobs on a machine, or in a context, of the program's own."""

    def __init__(self, machine: Machine, submission: Any) -> None:
        self._machine, self._submission = machine, submission
        self._jobs: dict[str, Job] = {job.job_hash: job for job in submission.belonging_jobs}

    def dialect(self, resources: ResourcesSpec) -> Scheduler:
        """The batch system that the machine stands for. Unsupported when methods are missing."""
        return dialect(type(self._machine), resources)

    def over(self, context: Context) -> Context:
        """This context, and the classes asked where they have methods of their own."""
        try:
            return DrivenContext(context, self._machine, self._submission, self._jobs)
        except BaseException:
            context.close()
            raise


def driver(machine: Machine, submission: Any) -> Driver | None:
    """None where all is ours."""
    if own.is_ours(type(machine)) and (machine.context is None or own.is_ours(type(machine.context))):
        return None
    return Driver(machine, submission)
