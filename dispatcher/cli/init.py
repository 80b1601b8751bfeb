"""`dispatcher init`: five questions, and a submission file with comments to begin with.

Batch system [Slurm]: …      Host (empty: this machine) […]: …
wrote submission.yaml; look at it, then: dispatcher check submission.yaml, dispatcher submit submission.yaml
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path

from .. import schedulers
from ..core.errors import ConfigError
from ..schedulers.site_check import SiteCheck
from .say import flush, say

EXAMPLES = """\
examples:
  dispatcher init                        asks, and writes submission.yaml
  dispatcher init --yes -o first.yaml    takes every proposal
"""


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("-o", "--output", metavar="FILE", default="submission.yaml", help="default: submission.yaml")
    parser.add_argument("-y", "--yes", action="store_true", help="ask nothing, take what is proposed")


def run(args: Namespace) -> int:
    """Ask and write; nothing that is there is replaced."""
    path = Path(args.output)
    if path.exists():
        raise ConfigError(f"{path} is there already; name another file with -o")
    ask = (lambda question, proposal: proposal) if args.yes else _ask
    text = filled(ask)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror or error}") from error
    say(f"wrote {path}; look at it, then: dispatcher check {path}, dispatcher submit {path}\n")
    return 0


def _ask(question: str, proposal: str) -> str:
    say(f"{question} [{proposal}]: ")
    flush()
    line = sys.stdin.readline()
    if not line:
        raise ConfigError("init: no answer; --yes takes every proposal")
    return line.strip() or proposal


def hosts(config: Path) -> list[str]:
    """Names of hosts in an ssh configuration, patterns left out."""
    try:
        lines = config.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []
    words = [
        word for line in lines if line.split()[:1] and line.split()[0].lower() == "host" for word in line.split()[1:]
    ]
    return [word for word in words if not set(word) & set("*?!")]


def _queues(command: tuple[str, ...]) -> list[str]:
    """What the batch system here says its queues are."""
    if not command or not shutil.which(command[0]):
        return []
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    names = [
        line.split()[0] for line in done.stdout.splitlines() if line.split() and not line.startswith(("Queue", "-"))
    ]
    return sorted(names, key=lambda name: not name.endswith("*"))


def _check_of(name: str) -> SiteCheck:
    check: SiteCheck = getattr(schedulers.load(name), "CHECK", SiteCheck())
    return check


def _here() -> str:
    """The batch system whose submit command is on PATH here, "" when there is none."""
    first = ((name, _check_of(name).programs[:1]) for name in schedulers.BUILTIN if name != "Shell")
    return next((name for name, programs in first if programs and shutil.which(programs[0])), "")


def filled(ask: Callable[[str, str], str]) -> str:
    """The file, from five answers."""
    known = hosts(Path("~/.ssh/config").expanduser())
    here = _here()
    host = ask(
        f"Host where jobs are submitted{' (known: ' + ', '.join(known[:8]) + ')' if known else ''}; - for here", "-"
    )
    batch = schedulers.canonical(
        ask("Batch system", here if here and host == "-" else "Slurm" if host != "-" else "Shell")
    )
    queues = _queues(_check_of(here).queues) if here and host == "-" else []
    listed = f" (here: {', '.join(name.rstrip('*') for name in queues[:8])})" if queues else ""
    queue = ask(f"Queue or partition{listed}", queues[0].rstrip("*") if queues else "-")
    root = ask("Directory there in which jobs run", f"/scratch/{os.environ.get('USER', 'me')}" if host != "-" else "-")
    command = ask("Command of a task", "echo hello")
    return _text(host, batch, "" if queue == "-" else queue, root, command)


def _text(host: str, batch: str, queue: str, root: str, command: str) -> str:
    quoted = json.dumps  # a JSON text is one of YAML, too
    machine = [f"  batch_type: {batch}                # dispatcher schedulers lists them"]
    if host == "-":
        machine.append("  context_type: LazyLocalContext    # jobs run in the tasks' own directories")
    else:
        machine += [
            "  context_type: SSHContext",
            f"  remote_root: {quoted(root)}       # below it, a directory for each submission",
            "  remote_profile:                   # never journalled; keys and agent come from ~/.ssh/config",
            f"    hostname: {quoted(host)}",
        ]
    lines = [
        "# Run it with `dispatcher submit`; the same command resumes it. What a key means: `dispatcher explain KEY`.",
        "work_base: ./                       # directory of all tasks, below local_root",
        "machine:",
        "  local_root: ./",
        *machine,
        "resources:",
        "  number_node: 1",
        "  cpu_per_node: 1",
        "  gpu_per_node: 0",
        f"  queue_name: {quoted(queue)}",
        "  group_size: 1                     # tasks in a job; 0: all in one",
        "task_list:",
        f"  - command: {quoted(command)}",
        '    task_work_path: ./              # a pattern ("c*") makes a task of each directory that matches',
        "    forward_files: []",
        "    backward_files: []",
    ]
    return "\n".join(lines) + "\n"
