"""`dispatcher metrics`: submissions as OpenMetrics text, for a collector that reads files or scrapes.

dispatcher_tasks{submission="1f2e3d4c5b6a",state="finished"} 37
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace

from ..report.metrics import metrics
from ..run.store import read_chronicle
from .find import journals_of
from .say import say
from .telling import SHORT

EXAMPLES = """\
examples:
  dispatcher metrics runs
  dispatcher metrics . > metrics.new && mv metrics.new /var/lib/node_exporter/dispatcher.prom
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument(
        "path", metavar="PATH|HASH|DIR", nargs="?", default=".", help="which submissions (default: here)"
    )


def run(args: Namespace) -> int:
    """Print every submission that is meant."""
    runs = {path.parent.name[:SHORT]: read_chronicle(path) for path in journals_of(args.path)}
    say(metrics(runs, time.time()))
    return 0
