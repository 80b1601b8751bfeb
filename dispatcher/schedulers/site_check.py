"""What `dispatcher check` asks where jobs are to run, of a batch system that is asked by commands.

    SiteCheck(("sbatch", "squeue"), answers='squeue -h -u "$(id -un)"', queue="sinfo -h -p {queue} | grep -q .")

Programs must be on PATH; each question is a shell text that ends with code 0 when all is well, "" where there is none.
"""

from __future__ import annotations

import msgspec


class SiteCheck(msgspec.Struct, frozen=True):
    """What one dialect asks.

    `answers`: the batch system answers at all; `queue` and `account`: it knows {queue} and {account}, which are quoted
    for a shell; `accounting`: what is remembered of jobs that have left can be asked; `queues`: a
    command whose lines begin with the names of the queues, for `dispatcher init`.
    """

    programs: tuple[str, ...] = ()
    answers: str = ""
    queue: str = ""
    account: str = ""
    accounting: str = ""
    queues: tuple[str, ...] = ()
