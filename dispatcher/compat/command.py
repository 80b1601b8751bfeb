"""The command `dpdisp`: its verbs and flags, done by the verbs of `dispatcher`.

dpdisp submit job.json --continue-on-failure   ->  dispatcher submit job.json --allow-unknown-keys
dpdisp submission 1f2e3d --clean               ->  dispatcher submission 1f2e3d --clean
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from .. import cli

_FLAGS = {
    "submit": ("dry_run", "exit_on_submit", "allow_ref", "no_clean"),
    "run": ("allow_ref",),
    "submission": ("download_terminated_log", "download_finished_task", "clean", "reset_fail_count"),
    "gui": ("bind_all",),
}


def main_parser() -> ArgumentParser:
    """The parser of `dpdisp`."""
    parser = ArgumentParser("dpdisp", description="DPDispatcher's command, done by dispatcher.")
    verbs = parser.add_subparsers(title="verbs", dest="command")
    submit = verbs.add_parser("submit", help="run a submission file; the same command resumes it")
    submit.add_argument("filename")
    submit.add_argument("--continue-on-failure", action="store_true", help="accepted: a run always goes on")
    run = verbs.add_parser("run", help="run a Python script with a PEP 723 block")
    run.add_argument("filename")
    submission = verbs.add_parser("submission", help="fetch, clean or reset after a run")
    submission.add_argument("filename", metavar="SUBMISSION_HASH")
    gui = verbs.add_parser("gui", help="serve the forms")
    gui.add_argument("-p", "--port", type=int, default=6042)
    for verb, flags in _FLAGS.items():
        for flag in flags:
            name = "--bind_all" if flag == "bind_all" else f"--{flag.replace('_', '-')}"
            verbs.choices[verb].add_argument(name, action="store_true")
    return parser


def parse_args(args: Sequence[str] | None = None) -> Namespace:
    """What was typed; the help and exit code 0 without a verb."""
    parser = main_parser()
    found = parser.parse_args(args)
    if found.command is None:
        parser.print_help()
    return found


def main(args: Sequence[str] | None = None) -> int:
    """Obey; the exit code."""
    found = parse_args(args)
    if found.command is None:
        return 0
    words = [found.command, *([found.filename] if found.command != "gui" else ["--port", str(found.port)])]
    for flag in _FLAGS[found.command]:
        if getattr(found, flag):
            words.append("--bind_all" if flag == "bind_all" else f"--{flag.replace('_', '-')}")
    if found.command in ("submit", "run"):
        words.append("--allow-unknown-keys")
    return cli.main(words)


if __name__ == "__main__":
    sys.exit(main())
