"""Head and foot of a script that runs where the dispatcher can look into its directory.

    REMOTE_ROOT=/scratch/R dsp_control=/scratch/R/.dispatcher/5f1c/jobs
    dsp_claim="$dsp_control/dq3v81kx0mza.claim"       the claim: one copy of this attempt goes on, the others exit
    …                                              environment and tasks
    end 0 1790000200 .                             the exit marker, in the same file

A batch system that runs its jobs elsewhere (a container with a file system of
its own) has another head and foot: `Scheduler.fence` and `Scheduler.closing`.
"""

from __future__ import annotations

from ..core.ports import JobScript, Scheduler
from . import bash
from .render import quoted


def shared_fence(job: JobScript, dialect: Scheduler, elements: int) -> str:
    """Claims the attempt, or the element of an array, by a file in the shared directory."""
    element, suffix, withdrawn = "", "", ""
    if elements:
        element, suffix = f"dsp_element={dialect.element}\n", ".$dsp_element"
        # An array is withdrawn as a whole; looked for after the element has its claim, so that it cannot slip through.
        withdrawn = f'[ ! -e "$dsp_control/{job.nonce}.claim" ] || exit 0\n'
    return (
        f"REMOTE_ROOT=$(readlink -f -- {quoted(job.place.remote_root)}) || exit 93\n"
        f"dsp_control={quoted(job.place.control)}\n"
        f"{element}"
        f'dsp_claim="$dsp_control/{job.nonce}{suffix}.claim"\n'
        "dsp_node=$(uname -n)\n"
        f"dsp_native={dialect.native_id}\n"
        f"dsp_restarts={dialect.restarts}\n"
        f"{bash.CLAIM}"
        f"{withdrawn}"
        'cd -- "$REMOTE_ROOT" || exit 93\n'
    )


def shared_closing() -> str:
    """Publishes the exit marker by a rename in the shared directory."""
    return bash.END
