"""`dispatcher submit FILE`: run what a submission file asks for; the same command again resumes it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

EXAMPLES = """\
examples:
  dispatcher submit submission.json              run it to its end; type it again to resume
  dispatcher submit submission.yaml --dry-run    write the job scripts and look at them first
  dispatcher submit job.json --exit-on-submit    submit, and come back later with the same command

A submission file has work_base, machine, resources and task_list. A relative
local_root starts from the current directory. Ctrl-C leaves the jobs running.
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    from .carry_out import arguments as common

    parser.add_argument("file", metavar="FILE", help="submission.json, .yaml or .yml")
    common(parser)


def run(args: Namespace) -> int:
    """Carry it out."""
    from .asked import read_submission
    from .carry_out import carry_out

    return carry_out(read_submission(args.file, args.allow_ref), args)
