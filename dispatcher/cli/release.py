"""`dispatcher release [TASK|JOB…]`: let jobs go that were held.

released 3 jobs
"""

from __future__ import annotations

from argparse import Namespace

from .hold import arguments, change

__all__ = ["EXAMPLES", "arguments", "run"]

EXAMPLES = """\
examples:
  dispatcher release                    all jobs of the submission here that are held
  dispatcher release c13 --in runs      one of them
"""


def run(args: Namespace) -> int:
    """Let them go."""
    return change(args, release=True)
