"""What the executables of a site do: one command, answered by its dialect over the jobs of its directory.

/tmp/site/bin/qsub job.sh   ->   python -I … dispatcher.testing.batch.front pbs /tmp/site qsub job.sh
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from .directory import Directory
from .queue import Call, Said, load

BANNER = "*** Welcome to batchhost ***\nmaintenance on 24.12. at 8, job 17 of the list\n"
NOISE = "warning: setlocale: LC_ALL: cannot change locale (de_DE.UTF-8)\n"


def answered(name: str, queue: Directory, call: Call) -> Said:
    """What the command says, with everything that is wrong with the site."""
    dialect = load(name, queue)
    time.sleep(queue.wrong("slow"))
    if queue.wrong("down"):
        return dialect.down(call.command)
    queue.start()
    said = dialect.answer(call)
    banner, noise = BANNER if queue.wrong("banner") else "", NOISE if queue.wrong("noise") else ""
    return Said(said.code, banner + said.out, noise + said.err)


def main(name: str, top: str, command: str, args: list[str]) -> int:
    """One command; its exit code."""
    said = answered(name, Directory(Path(top)), Call(command, args, str(Path.cwd()), sys.stdin.read))
    sys.stderr.write(said.err)
    sys.stdout.write(said.out)
    return said.code


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
