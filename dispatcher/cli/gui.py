"""`dispatcher gui`: a form in the browser for machine, resources, task and submission files.

serving the forms at http://127.0.0.1:6042/ until Ctrl-C

The page is that of DP-GUI (extra `dispatcher-hpc[gui]`), which asks every installed
package for its schemas: entry-point group `dpgui`.
"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace

from ..core.errors import Unsupported
from .say import flush, say

EXAMPLES = """\
examples:
  dispatcher gui                  forms at http://127.0.0.1:6042/
  dispatcher gui --port 8080 --bind_all      reachable from other machines, too
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("-p", "--port", type=_port, default=6042, help="port to serve on (default 6042)")
    parser.add_argument("--bind_all", action="store_true", help="serve on every address, not only to this machine")


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ArgumentTypeError(f"{text!r} is not a port; it must be 1 to 65535")
    return int(text)


def run(args: Namespace) -> int:
    """Serve until interrupted."""
    try:
        from dpgui import start_dpgui
    except ModuleNotFoundError as missing:
        raise Unsupported(f"gui: the package {missing.name} is missing; pip install 'dispatcher-hpc[gui]'") from None
    say(f"serving the forms at http://127.0.0.1:{args.port}/ until Ctrl-C\n")
    flush()
    start_dpgui(port=args.port, bind_all=args.bind_all)
    return 0
