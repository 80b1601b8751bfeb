"""`dispatcher submit FILE`: run what a submission file asks for; the same command again resumes it.

04:12:01  submission 1f2e3d4c5b6a79880011223344556677aabbccdd: 3 jobs, 7 tasks
04:12:05  2 of 7 tasks done; jobs: 1 waiting, 1 running, 1 finished
finished      3 jobs; 7 of 7 tasks done, in 12s
"""

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
    from .execute import arguments as common
    from .execute import file_arguments

    parser.add_argument("file", metavar="FILE", help="submission.json, .yaml or .yml")
    file_arguments(parser)
    common(parser)


def run(args: Namespace) -> int:
    """Carry it out."""
    from ..schema.reading import read_file
    from .execute import execute, tolerance

    return execute(read_file(args.file, args.allow_ref, tolerance(args)), args)
