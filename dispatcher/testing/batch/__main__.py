"""The stand-ins from a shell.

python -m dispatcher.testing.batch install pbs DIR      puts qsub, qstat, … into DIR/bin; prints what sets PATH
python -m dispatcher.testing.batch faults DIR down=true slots=2      what is wrong from now on; nothing: all is well
python -m dispatcher.testing.batch jobs DIR             every job there ever was
python -m dispatcher.testing.batch end DIR              deletes what is not over
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from . import DIALECTS, FAULTS, Site, install


def main(argv: Sequence[str]) -> int:
    """One verb; the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m dispatcher.testing.batch", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="install|faults|jobs|end")
    made = verbs.add_parser("install", help="make a site")
    made.add_argument("dialect", choices=list(DIALECTS))
    known = "\n".join(f"{name:12} {means}" for name, means in FAULTS.items())
    wrong = verbs.add_parser(
        "faults", help="what is wrong", epilog=known, formatter_class=argparse.RawTextHelpFormatter
    )
    for verb in (made, wrong, verbs.add_parser("jobs", help="list"), verbs.add_parser("end", help="delete")):
        verb.add_argument("directory", type=Path)
    wrong.add_argument("fault", nargs="*", help="name=value")
    order = parser.parse_args(argv)
    if order.verb != "install" and not (order.directory / "bin").is_dir():
        parser.error(f"{order.directory} is not a site: make one with install")
    try:
        sys.stdout.write(_done(order))
    except ValueError as error:
        parser.error(str(error))
    return 0


def _done(order: argparse.Namespace) -> str:
    if order.verb == "install":
        return f"export PATH={shlex.quote(str(install(order.dialect, order.directory).bin))}:$PATH\n"
    site = Site(order.directory)
    if order.verb == "jobs":
        return "".join(f"{job.number} {job.state} {job.name} {job.why or job.code}\n" for job in site.jobs())
    if order.verb == "end":
        site.end()
        return ""
    site.faults(
        **{name: json.loads(value or "true") for name, _, value in (word.partition("=") for word in order.fault)}
    )
    return "".join(f"{name}={json.dumps(value)}\n" for name, value in site.wrong().items())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
