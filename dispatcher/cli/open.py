"""`dispatcher open TASK`: a shell in the directory where a task ran; over SSH with the system's own ssh."""

from __future__ import annotations

import os
import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any, NoReturn

from ..core.errors import ConfigError
from . import wanted
from .elsewhere import Elsewhere, context_type, profile_of
from .elsewhere import arguments as profile_arguments
from .say import flush, say, say_json

EXAMPLES = """\
examples:
  dispatcher open c13
  dispatcher open c13 --machine machine.json     over SSH: how to get there
  dispatcher open c13 --json                     only say which command that is
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    wanted.arguments(parser, "+")
    parser.add_argument("--json", action="store_true", help="print the command and its directory, run nothing")
    profile_arguments(parser)


def run(args: Namespace) -> int:
    """Become that shell."""
    found = wanted.chosen(args.names, args.where)
    folders = sorted({task.path for task in found.tasks})
    if len(folders) != 1:
        raise ConfigError(f"{' '.join(args.names)}: {len(folders)} directories are meant; name one task")
    profile = profile_of(args)
    with Elsewhere(found, profile) as there:
        directory = f"{there.context.place.remote_root}/{folders[0]}"
    command = command_for(context_type(found), profile or {}, directory)
    if args.json:
        say_json({"command": command, "directory": directory})
        return 0
    say(f"{directory} (exit ends this shell)\n")
    flush()
    if command[0] != "ssh":
        os.chdir(directory)
    return _become(command)


def _become(command: list[str]) -> NoReturn:
    os.execvp(command[0], command)


def command_for(context: str, profile: Mapping[str, Any], directory: str) -> list[str]:
    """The shell of this user here, or ssh with one there. ConfigError for a place that has no shell."""
    if context in ("LocalContext", "LazyLocalContext"):
        return [os.environ.get("SHELL") or "/bin/sh"]
    if context != "SSHContext":
        raise ConfigError(f"{context} has no shell to be opened; see `dispatcher files` and `dispatcher logs`")
    user, port = profile.get("username"), profile.get("port")
    host = f"{user}@{profile['hostname']}" if user else str(profile["hostname"])
    options = ["-p", str(port)] if port else []
    return ["ssh", "-t", *options, "--", host, f"cd {shlex.quote(directory)} && exec ${{SHELL:-sh}} -l"]
