"""A site: a directory with the executables of a batch system, its jobs, and what is wrong with it.

/tmp/site/bin/qsub      to be put on PATH
/tmp/site/faults.json   {"late": 2}
/tmp/site/state.json    what `directory` knows
"""

from __future__ import annotations

import json
import os
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .directory import Directory, isolated
from .queue import DIALECTS, FAULTS, StandInJob

_EXECUTABLE = """\
#!/bin/sh
# A stand-in for {command} of {dialect}: see dispatcher.testing.batch
exec {words} {dialect} {top} {command} "$@"
"""


class Site:
    """A batch system in a directory; made by `install`, or opened again by its directory."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.top = Path(directory).absolute()
        self.queue = Directory(self.top)

    @property
    def bin(self) -> Path:
        """The directory of its executables."""
        return self.top / "bin"

    def path(self) -> str:
        """A value of PATH with its executables in front."""
        return f"{self.bin}{os.pathsep}{os.environ.get('PATH', os.defpath)}"

    def faults(self, **wrong: Any) -> None:
        """What is wrong from now on, and nothing else; see FAULTS. ValueError for an unknown fault."""
        if unknown := sorted(wrong.keys() - FAULTS.keys()):
            raise ValueError(f"no such fault: {', '.join(unknown)}; known are {', '.join(FAULTS)}")
        made = self.top / "faults.tmp"
        made.write_text(json.dumps(wrong))
        made.rename(self.top / "faults.json")

    def wrong(self) -> Mapping[str, Any]:
        """What is wrong just now."""
        return {fault: value for fault in FAULTS if (value := self.queue.wrong(fault))}

    @property
    def crashed(self) -> str:
        """What the server died of; "" when it did not."""
        reported = self.top / "crashed"
        return reported.read_text().strip() if reported.exists() else ""

    def jobs(self) -> list[StandInJob]:
        """Every job there ever was, by number."""
        return self.queue.every()

    def hold(self, number: int) -> None:
        """Hold a job that waits."""
        self.queue.hold(number)

    def release(self, number: int) -> None:
        """Let a held job go."""
        self.queue.hold(number, held=False)

    def lose_node(self, number: int) -> None:
        """The node of a running job dies, and everything on it; the server goes on showing it as running."""
        self.queue.lose(number)

    def rerun(self, number: int) -> None:
        """The node is back: the job runs again under the same id."""
        self.queue.rerun(number)

    def end(self, patience: float = 30.0) -> None:
        """Delete every job that is not over, and wait until all are; RuntimeError when one does not go."""
        self.faults()
        for job in self.jobs():
            if job.ended is None and not self.queue.end(job.number):
                self.queue.rerun(job.number)
                self.queue.end(job.number)
        until = time.monotonic() + patience
        while left := [job.number for job in self.jobs() if job.ended is None]:
            if time.monotonic() > until:
                raise RuntimeError(f"jobs {left} of {self.top} do not end")
            time.sleep(0.05)


def install(dialect: str, directory: str | os.PathLike[str]) -> Site:
    """Put the executables of a batch system into `directory`/bin; what is known of jobs there stays.

    `dialect` is one of DIALECTS: pbs, torque, sge, slurm, lsf, jh, pjm; ValueError for another one.
    """
    if dialect not in DIALECTS:
        raise ValueError(f"no such batch system: {dialect!r}; known are {', '.join(DIALECTS)}")
    site = Site(directory)
    site.bin.mkdir(parents=True, exist_ok=True)
    words = " ".join(map(shlex.quote, isolated("dispatcher.testing.batch.front")))
    for command in DIALECTS[dialect][1]:
        text = _EXECUTABLE.format(command=command, dialect=dialect, words=words, top=shlex.quote(str(site.top)))
        made = site.bin / f".{command}.tmp"
        made.write_text(text)
        made.chmod(0o755)
        made.rename(site.bin / command)
    return site
