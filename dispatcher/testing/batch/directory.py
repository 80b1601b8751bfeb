"""A queue in a directory: what is known of its jobs, and the processes that run them.

    DIR/state.json     every job, the next number, how often a fault has happened     (under DIR/lock)
    DIR/faults.json    {"down": true}    what is wrong just now
    DIR/1001.json      how job 1001 is run: cwd, log, environment; DIR/1001.sc its script

A job has a process of its own (`runner`), which asks under the lock whether
its job may start: first come, first served, and only so many at once. Every
command starts what is due, so a starter that was killed is made up for.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .queue import JobOrder, StandInJob, Taken

#: Seconds after which a process that should have started a job is given up.
_PATIENCE = 2.0
#: How long a ghost takes to appear.
_GHOST = 1.0
_MINUTE = 60.0


class Directory:
    """The queue of one site."""

    def __init__(self, top: Path) -> None:
        self.top = top

    @property
    def host(self) -> str:
        """The name of the server."""
        return str(self.wrong("server") or "batchhost")

    def wrong(self, fault: str) -> Any:
        """What is in faults.json, which whoever tests may change at any time."""
        try:
            return json.loads((self.top / "faults.json").read_text()).get(fault, 0)
        except FileNotFoundError:
            return 0

    @contextmanager
    def _known(self) -> Iterator[dict[str, Any]]:
        """All that is known, to be read and changed; written back at the end."""
        with (self.top / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            file = self.top / "state.json"
            before = file.read_text() if file.exists() else '{"next": 1001, "used": {}, "jobs": {}, "process": {}}'
            known = json.loads(before)
            yield known
            after = json.dumps(known)
            if after != before:
                (self.top / "state.tmp").write_text(after)
                (self.top / "state.tmp").rename(file)

    @contextmanager
    def _changing(self, number: int) -> Iterator[StandInJob]:
        with self._known() as known:
            job = StandInJob(**known["jobs"][str(number)])
            yield job
            known["jobs"][str(number)] = asdict(job)

    # -- what the commands ask for ------------------------------------------------------------------------------

    def every(self) -> list[StandInJob]:
        """All jobs there ever were, by number."""
        with self._known() as known:
            return [StandInJob(**job) for job in known["jobs"].values()]

    def jobs(self) -> list[StandInJob]:
        """Those that are listed by now."""
        late = self.wrong("late")
        return [job for job in self.every() if time.time() - job.submitted >= late]

    def submit(self, order: JobOrder) -> Taken | None:
        """Take a job, or lose it in one of the ways that are switched on."""
        if self._happens("lost_call"):
            return Taken(0, answered=False)
        limit, ghost = self.wrong("limit"), self._happens("ghost")
        with self._known() as known:
            if limit and sum(job["ended"] is None for job in known["jobs"].values()) >= limit:
                return None
            number = known["next"]
            known["next"] += 1
            (self.top / f"{number}.sc").write_text(order.script)
            env = {key: value.replace("{id}", str(number)) for key, value in order.env.items()}
            how = {"cwd": order.cwd, "log": order.log, "env": env, "told": order.told, "killed": order.killed}
            (self.top / f"{number}.json").write_text(json.dumps(how))
            began = time.time() + _GHOST * ghost
            job = StandInJob(number, order.name, getpass.getuser(), order.queue, began, order.walltime, order.held)
            job.elements = order.elements
            known["jobs"][str(number)] = asdict(job)
        if self._happens("forgets"):
            with self._known() as known:
                del known["jobs"][str(number)]
                known["next"] = number
        self.start()
        return Taken(number, answered=not ghost and not self._happens("lost_reply"))

    def end(self, number: int) -> bool:
        """Delete a job: out of the queue at once, or by the process that runs it."""
        with self._known() as known:
            job, runner = StandInJob(**known["jobs"][str(number)]), known["process"].get(str(number), {}).get("runner")
            if job.lost:
                return False
            job.why = job.why or "deleted"
            if job.started is None:
                job.ended = time.time()
            known["jobs"][str(number)] = asdict(job)
        if job.ended is None and runner:
            with suppress(ProcessLookupError):
                os.kill(runner, signal.SIGTERM)
        return True

    def spent(self, what: str, many: int) -> int:
        """Note it, with the time."""
        with self._known() as known:
            now = time.time()
            spent = [one for one in known["used"].get(f"spent {what}", []) if now - one[0] < _MINUTE]
            known["used"][f"spent {what}"] = [*spent, [now, many]]
            return int(sum(one[1] for one in spent)) + many

    def crash(self, why: str) -> None:
        """Down until somebody makes it well again, and the reason is kept."""
        (self.top / "crashed").write_text(f"{why}\n")
        (self.top / "faults.json").write_text(json.dumps({"down": True}))

    def _happens(self, fault: str) -> bool:
        """Whether a fault that counts has still to happen; it has then happened once more."""
        most = self.wrong(fault)
        with self._known() as known:
            used = known["used"].get(fault, 0)
            known["used"][fault] = used + (used < most)
            return bool(used < most)

    # -- what the processes of the jobs do ----------------------------------------------------------------------

    def start(self) -> None:
        """Start a process for each job that may run and has none."""
        now, chosen = time.time(), []
        with self._known() as known:
            free = self._free(known)
            waiting = [job for job in known["jobs"].values() if job["started"] is None and job["ended"] is None]
            for job in [job for job in waiting if not job["held"]][: max(free, 0)]:
                process = known["process"].setdefault(str(job["number"]), {"asked": 0.0})
                if now - max(process["asked"], job["submitted"]) > _PATIENCE or not process["asked"]:
                    process["asked"] = now
                    chosen.append(job["number"])
        for number in chosen:
            command = [*isolated(f"{__package__}.runner"), str(self.top), str(number)]
            subprocess.Popen(
                command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip

    def _free(self, known: dict[str, Any]) -> int:
        going = [job for job in known["jobs"].values() if job["started"] is not None and job["ended"] is None]
        return 0 if self.wrong("stopped") else int(self.wrong("slots") or 4) - len(going)

    def begin(self, number: int) -> dict[str, Any] | float | None:
        """How to run the job; seconds to wait before it is there; None when it shall not start now."""
        with self._known() as known:
            if str(number) not in known["jobs"]:
                return None
            job = StandInJob(**known["jobs"][str(number)])
            if job.started is not None or job.ended is not None or job.held:
                return None
            if job.submitted > time.time():
                return job.submitted - time.time()
            if self._free(known) <= 0:
                return None
            job.started, job.runs = time.time(), job.runs + 1
            known["jobs"][str(number)] = asdict(job)
            known["process"][str(number)] = {"asked": time.time(), "runner": os.getpid()}
        how: dict[str, Any] = json.loads((self.top / f"{number}.json").read_text())
        return how | {"walltime": job.walltime}

    def running(self, number: int, group: int) -> None:
        """The script has begun, in this process group."""
        with self._known() as known:
            known["process"][str(number)]["group"] = group

    def over(self, number: int, code: int, why: str) -> None:
        """The script has ended; a negative code is a signal. What is due next is started."""
        codes = self.top / f"{number}.sc.codes"
        with self._changing(number) as job:
            if codes.exists():
                ended = sorted(
                    (int(index), int(code)) for index, code in map(str.split, codes.read_text().splitlines())
                )
                job.codes = {str(index): code for index, code in ended}
            job.why, job.code, job.signal = job.why or why, max(code, 0), max(-code, 0)
            job.exiting = time.time()
        time.sleep(self.wrong("exits"))
        with self._changing(number) as job:
            job.ended = time.time()
        self.start()

    # -- what a tester does -------------------------------------------------------------------------------------

    def lose(self, number: int) -> None:
        """The node of a running job dies with everything on it; the server does not notice."""
        with self._known() as known:
            processes = known["process"].get(str(number), {})
            known["jobs"][str(number)]["lost"] = True
        for kill, name in ((os.kill, "runner"), (os.killpg, "group")):
            with suppress(ProcessLookupError):
                if name in processes:
                    kill(processes[name], signal.SIGKILL)

    def rerun(self, number: int) -> None:
        """A job whose node was lost is run again under its id."""
        with self._known() as known:
            known["jobs"][str(number)] |= {"lost": False, "started": None, "exiting": None, "ended": None}
            known["process"].pop(str(number), None)
        self.start()

    def hold(self, number: int, held: bool = True) -> None:
        """Hold a waiting job, or let it go."""
        with self._changing(number) as job:
            job.held = held
        self.start()


#: Python without what the user's directory, environment and site could put in the way; then the module by name.
_FIND = f"import sys, runpy; sys.path.append({str(Path(__file__).parents[3])!r}); sys.argv = sys.argv[1:]; "
_ISOLATED = ("-I", "-c", _FIND + "runpy.run_module(sys.argv[0], run_name='__main__')")


def isolated(module: str) -> tuple[str, ...]:
    """A command that runs a module of this package wherever it is called."""
    return (sys.executable, *_ISOLATED, module)
