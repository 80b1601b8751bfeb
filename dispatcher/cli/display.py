"""How a run is shown: lines for people without a terminal, lines of JSON for programs; `live` has the terminal.

04:12:05  2 of 7 tasks done; jobs: 1 waiting, 1 running, 1 finished
04:12:31  no good answer: squeue: error: Unable to contact slurm controller; asking again
"""

from __future__ import annotations

import os
import time

import msgspec

from .monitor import STOPPING, Monitor, Snapshot
from .report import Tally, clock, count
from .say import flush, say, say_json


def line_of(seen: Snapshot) -> str:
    """A run in one line."""
    return f"{seen.tally.done:,} of {seen.tally.tasks:,} tasks done; jobs: {seen.tally}"


class PlainLines:
    """A line when something changed, at most one a second."""

    every = 1.0

    def __init__(self) -> None:
        self._last = ""
        self._trouble = ""

    def start(self, monitor: Monitor) -> None:
        """Nothing to say yet."""

    def opened(self, submission: str, where: str, begun: Tally) -> None:
        """Which submission it is, and how far it is already."""
        before = f"; resuming: {begun}" if set(begun.jobs) - {"unsubmitted"} else ""
        self._say(
            f"submission {submission}: {count(sum(begun.jobs.values()), 'job')}, {count(begun.tasks, 'task')}{before}"
        )

    def update(self, seen: Snapshot) -> None:
        """The line, unless it is the one that was written last."""
        if seen.trouble != self._trouble:
            self._trouble = seen.trouble
            self._say(f"no good answer: {seen.trouble}; asking again" if seen.trouble else "answers are good again")
        if line_of(seen) != self._last:
            self._last = line_of(seen)
            self._say(self._last)

    def interrupted(self, signum: int) -> None:
        """Past every buffer: this is called from a signal handler."""
        os.write(2, f"dispatcher: {STOPPING}\n".encode())

    def stop(self) -> None:
        """Nothing is open."""

    def _say(self, text: str) -> None:
        say(f"{clock(time.time())}  {text}".replace("\n", " ") + "\n")
        flush()


class JsonLines(PlainLines):
    """One JSON object a line: {"event":"progress", "at":…, "jobs":{…}, "tasks":…, "done":…, "trouble":…}."""

    every = 0.25

    def opened(self, submission: str, where: str, begun: Tally) -> None:
        """An object with the submission's hash and the directory of its journal."""
        facts = {"submission": submission, "where": where, "jobs": begun.jobs, "tasks": begun.tasks, "done": begun.done}
        say_json({"event": "start", "at": round(time.time(), 3), **facts})

    def update(self, seen: Snapshot) -> None:
        """An object, unless it says what the last one said."""
        facts = {"jobs": seen.tally.jobs, "tasks": seen.tally.tasks, "done": seen.tally.done, "trouble": seen.trouble}
        text = msgspec.json.encode(facts).decode()
        if text != self._last:
            self._last = text
            say_json({"event": "progress", "at": round(time.time(), 3), **facts})
