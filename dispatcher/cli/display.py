"""How a run is shown: lines for people without a terminal, lines of JSON for programs; `live` has the terminal.

04:12:05  2 of 7 tasks done; jobs: 1 waiting, 1 running, 1 finished
04:12:31  no good answer since 04:12:31 (0s): Unable to contact slurm controller; asked again in 30s, the jobs run on
04:12:41  37 jobs failed: python: command not found; first c13, attempt 1 of 4, next try in 30s
"""

from __future__ import annotations

import os
import time

import msgspec

from .monitor import STOPPING, Monitor, Snapshot
from .notices import Told, as_json
from .notices import line_of as notice_line
from .say import flush, say, say_json
from .telling import Tally, clock, count


def line_of(seen: Snapshot) -> str:
    """A run in one line."""
    return f"{seen.tally.done:,} of {seen.tally.tasks:,} tasks done; jobs: {seen.tally}"


class PlainLines:
    """A line when something changed, at most one a second."""

    every = 1.0

    def __init__(self) -> None:
        self._last = ""
        self._told = Told()
        self._out = False

    def start(self, monitor: Monitor) -> None:
        """Nothing to say yet."""

    def opened(self, submission: str, where: str, begun: Tally) -> None:
        """Which submission it is, and how far it is already."""
        before = f"; resuming: {begun}" if set(begun.jobs) - {"unsubmitted"} else ""
        self._say(
            f"submission {submission}: {count(sum(begun.jobs.values()), 'job')}, {count(begun.tasks, 'task')}{before}"
        )

    def update(self, seen: Snapshot) -> None:
        """What is new to be known, and the line, unless it is the one that was written last."""
        now, out = time.time(), any(notice.kind == "outage" for notice in seen.notices)
        if self._out and not out:
            self._say("answers are good again")
        self._out = out
        for notice in self._told.news(list(seen.notices)):
            self._say(notice_line(notice, now, seen.next_query - time.monotonic()))
            if notice.advice:
                self._say(f"  {notice.advice}")
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
    """One JSON object a line: {"event":"progress", "at":…, "jobs":{…}, "tasks":…, "done":…, "notices":[…]}."""

    every = 0.25

    def opened(self, submission: str, where: str, begun: Tally) -> None:
        """An object with the submission's hash and the directory of its journal."""
        facts = {"submission": submission, "where": where, "jobs": begun.jobs, "tasks": begun.tasks, "done": begun.done}
        say_json({"event": "start", "at": round(time.time(), 3), **facts})

    def update(self, seen: Snapshot) -> None:
        """An object, unless it says what the last one said."""
        trouble = next((notice.what for notice in seen.notices if notice.kind == "outage"), "")
        facts = {"jobs": seen.tally.jobs, "tasks": seen.tally.tasks, "done": seen.tally.done, "trouble": trouble}
        told = {**facts, "notices": [as_json(notice) for notice in seen.notices]}
        text = msgspec.json.encode(told).decode()
        if text != self._last:
            self._last = text
            at = {"at": round(time.time(), 3), "next_look": round(max(seen.next_query - time.monotonic(), 0.0), 1)}
            say_json({"event": "progress", **at, **told})
