"""The numbers of the states, as DPDispatcher has them.

JobStatus.running  ->  3
"""

from __future__ import annotations

from enum import IntEnum


class JobStatus(IntEnum):
    """State of a job or a task."""

    unsubmitted = 1
    waiting = 2
    running = 3
    terminated = 4
    finished = 5
    completing = 6
    failed = 7  # of DPDispatcher 1.1, for programs that compare with it; a job that failed for good is `terminated`
    unknown = 100
