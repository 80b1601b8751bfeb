"""The process of one job: waits until the job may start, runs its script, notes how it ended.

`python -m dispatcher.testing.batch.runner DIR 1001` is started by the commands of the site, never by hand. SIGTERM
means that the job was deleted.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from .directory import Directory

#: Seconds between two signals of one job.
_BETWEEN = 0.05
_WOKEN = {signal.SIGTERM, signal.SIGCHLD}


def run(queue: Directory, number: int) -> None:
    """The life of a job."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _WOKEN)
    while isinstance(how := queue.begin(number), float):
        time.sleep(how)
    if how is None:
        return
    began, process = time.monotonic(), _script(queue.top / f"{number}.sc", how)
    queue.running(number, process.pid)
    limit = how["walltime"] / (queue.wrong("speed") or 1) if how["walltime"] else None
    why = _wait(process, began + limit if limit else None)
    if why == "walltime":
        _tell_log(how, time.monotonic() - began, limit or 0)
    if why == "deleted":
        time.sleep(queue.wrong("lingers"))
    if why and how["told"]:
        _told(process, queue.wrong("kill_delay") or 2.0)
    if process.poll() is None or _of_session(process.pid):
        os.killpg(process.pid, signal.SIGKILL)
    queue.over(number, process.wait(), why)


def _tell_log(how: dict[str, Any], ran: float, limit: float) -> None:
    """What PBS writes into a job's own log when it ends it."""
    if how["killed"] and how["log"] and Path(how["log"]).parent.is_dir():
        with Path(how["log"]).open("a") as log:
            log.write(how["killed"].format(ran=int(ran), limit=int(limit)))


def _of_session(leader: int) -> list[int]:
    """The processes of a session, the youngest first: a shell comes after what it waits for."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader and fields[0] != "Z":
                found.append(int(stat.parent.name))
    return sorted(found, reverse=True)


def _told(process: subprocess.Popen[bytes], delay: float) -> None:
    """TERM to one process after the other, as a mom does, and a while to end; `a; b` goes on to b when a has died."""
    for pid in _of_session(process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        time.sleep(_BETWEEN)
    end = time.monotonic() + delay
    while process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)


def _script(script: Path, how: dict[str, Any]) -> subprocess.Popen[bytes]:
    """The script in a session of its own; its output is lost where it cannot be delivered."""
    log = Path(how["log"] or os.devnull)
    lost = not os.access(log if log.exists() else log.parent, os.W_OK)
    with (Path(os.devnull) if lost else log).open("ab") as reported:
        return subprocess.Popen(
            ["bash", script], cwd=how["cwd"], env={**os.environ, **how["env"]},
            stdin=subprocess.DEVNULL, stdout=reported, stderr=subprocess.STDOUT, start_new_session=True,
            preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_UNBLOCK, _WOKEN) and None,
        )  # fmt: skip


def _wait(process: subprocess.Popen[bytes], end: float | None) -> str:
    """What ends it: "" itself, "deleted" somebody, "walltime" its limit."""
    while process.poll() is None:
        left = 3600.0 if end is None else end - time.monotonic()
        if left <= 0:
            return "walltime"
        woken = signal.sigtimedwait(_WOKEN, left)
        if woken and woken.si_signo == signal.SIGTERM:
            return "deleted"
    return ""


if __name__ == "__main__":
    run(Directory(Path(sys.argv[1])), int(sys.argv[2]))
