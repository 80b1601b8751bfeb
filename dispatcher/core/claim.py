"""What a job itself tells while it runs: the lines of its claim, as a value. See `scripts.bash` for the lines."""

from __future__ import annotations

import msgspec

from .events import TaskResult


class Claim(msgspec.Struct, frozen=True):
    """What the job itself wrote: who runs it, which tasks ended how, and whether it is over.

    `owner` is the native id of the copy that runs, `restarts` how often the site requeued it, `lines` how many whole
    lines the claim has. `ended` is None until the exit marker is there; then it is the exit code of the whole job.
    `stderr` has the last lines of failing tasks by position; `fenced` the native ids of copies that were turned away.
    `notes` is what was wrong before the first task (a missing source file, a module), `log` the last lines of what the
    script of a failed job has printed. Successes that a signal has cut short are not among `tasks`. `beat` changes
    whenever the job writes to it or touches it, which it does every 30 seconds; "": not looked at.
    """

    owner: str
    node: str = ""
    restarts: int = 0
    lines: int = 0
    tasks: tuple[TaskResult, ...] = ()
    ended: int | None = None
    stderr: dict[int, str] = {}
    fenced: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    log: str = ""
    beat: str = ""
