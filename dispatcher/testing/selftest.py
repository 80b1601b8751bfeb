"""A user's own cluster put to the test: small tasks, a dispatcher that is killed and started again, and the count.

    WORK/round-0/t3/in       t3                            goes up; its text is the name that comes back
    WORK/round-0/t3/ran      begin t3 4211 0 dq3v81kx0mza.claim       written by the task, brought home:
                             end t3 4211 0 dq3v81kx0mza.claim         native id, restarts, attempt
    WORK/round-0.calls       submit 8                      written by the dispatcher before each question

`python -m dispatcher.testing.selftest PLAN ROUND` is one life of a dispatcher,
the only process that is ever killed. A round that is over before it was killed
often enough is followed by another one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from ..cli.say import complain
from ..core.errors import DispatcherError, Unreachable
from ..run.observer import understood
from ..run.session import Session, open_session
from ..run.store import local_directory
from ..schema.documents import load, resolve_refs
from ..schema.reading import Requested, read

_COMMAND = (
    'dsp_line="$(cat in) ${{dsp_native:-none}} ${{dsp_restarts:-0}} ${{dsp_claim##*/}}"; '
    'echo "begin $dsp_line" >> ran; sleep {nap}; echo "end $dsp_line" >> ran'
)
#: A life is ended during one of its first questions; in the part of a second that follows it, at random.
_QUESTIONS, _FRACTION = 8, 0.5
_TICK = 0.01


class Plan(msgspec.Struct, frozen=True):
    """What is tested. `machine` and `resources` are files; what is secret in them is read by whoever needs it."""

    machine: str
    resources: str
    work: str
    tasks: int
    interval: float
    allow_ref: bool = False

    def calls(self, nth: int) -> Path:
        """Where the questions of a round are counted."""
        return Path(self.work) / f"round-{nth}.calls"

    def errors(self, nth: int) -> Path:
        """What the lives of a round had to say."""
        return Path(self.work) / f"round-{nth}.errors"


class Ran(msgspec.Struct):
    """How it went: lives, kills, finished rounds, the seconds that a dispatcher was alive, and what stopped it."""

    lives: int = 0
    kills: int = 0
    rounds: int = 0
    seconds: float = 0.0
    problem: str = ""


# -- what is asked --------------------------------------------------------------------------------------------------


def part(path: str, key: str, allow_ref: bool) -> dict[str, Any]:
    """The machine or the resources in a file of their own, or in a submission file."""
    found: dict[str, Any] = resolve_refs(load(path), allow_ref, Path(path).parent)
    inner = found.get(key)
    return dict(inner) if isinstance(inner, Mapping) else found


def requested(plan: Plan, nth: int) -> Requested:
    """The submission of a round: the user's machine and resources, our tasks, and none of them may be abandoned."""
    machine = part(plan.machine, "machine", plan.allow_ref) | {"local_root": plan.work}
    resources = part(plan.resources, "resources", plan.allow_ref)
    if isinstance(strategy := resources.get("strategy"), Mapping):
        resources["strategy"] = {**strategy, "ratio_unfinished": 0.0}
    tasks = [
        {
            "command": _COMMAND.format(nap=number % 3),
            "task_work_path": f"t{number}",
            "forward_files": ["in"],
            "backward_files": ["ran"],
        }
        for number in range(plan.tasks)
    ]
    data = {"work_base": f"round-{nth}", "machine": machine, "resources": resources, "task_list": tasks}
    return read(data, f"{plan.machine}, {plan.resources}: submission")


def lay_out(plan: Plan, nth: int) -> None:
    """The directories of a round's tasks, each with its input."""
    local = local_directory(requested(plan, nth).spec)
    for number in range(plan.tasks):
        (local / f"t{number}").mkdir(parents=True)
        (local / f"t{number}" / "in").write_text(f"t{number}\n")


# -- a dispatcher's life --------------------------------------------------------------------------------------------


class Counted:
    """A port of the engine that writes down each of these calls before it is made."""

    def __init__(self, port: Any, calls: Path, sizes: Mapping[str, Callable[[Any, Any], int]]) -> None:
        self._port, self._calls, self._sizes = port, calls, sizes

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name not in self._sizes:
            return found

        def counted(*given: Any, **named: Any) -> Any:
            # a scheduler's answer is the question to be asked: known before anything leaves
            done = found(*given, **named) if name in _TEXT else None
            if count := self._sizes[name](given, done):
                note(self._calls, f"{name} {count}")
            return done if name in _TEXT else found(*given, **named)

        return counted


def _one(given: Any, done: Any) -> int:
    return 1


#: What counts as how many commands of the scheduler, and as a call of the context.
_TEXT: Mapping[str, Callable[[Any, Any], int]] = {
    "submit": lambda given, done: len(given[0]),
    "observe": _one,
    "account": lambda given, done: int(done is not None),
    "kill": _one,
}
_PLACE: Mapping[str, Callable[[Any, Any], int]] = dict.fromkeys(("run", "put", "tree", "get", "remove"), _one)


def note(path: Path, line: str) -> None:
    """Append a line in one write: it is whole, or not there."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(fd, f"{line}\n".encode())
    finally:
        os.close(fd)


def live(plan: Plan, nth: int) -> None:
    """Run a round to its end, from wherever the lives before this one came."""
    spec, profile, *_ = requested(plan, nth)
    with open_session(spec, profile) as session:
        if session.history.cleaned:
            return
        engine, calls = session.connect(), plan.calls(nth)
        note(calls, f"root {engine.context.place.remote_root}")
        note(calls, f"login {_logins(engine.context)}")
        engine.context = engine.observer.context = Counted(engine.context, calls, _PLACE)
        engine.scheduler = engine.observer.scheduler = Counted(engine.scheduler, calls, _TEXT)
        session.run(check_interval=plan.interval, clean=False)
        _try_accounting(session, calls)
        session.clean()


def _logins(context: Any) -> int:
    """How many it took to get there; 0 for a machine that needs none."""
    return int(getattr(getattr(context.reached(), "site", None), "logins", 0))


def _try_accounting(session: Session, calls: Path) -> None:
    """When all goes well the accounting is never asked: here it is, about jobs that have just run."""
    queries = [session.engine.observer.query(job) for job in session.progress.values()]
    call = session.engine.scheduler.account(queries, session.context.place)
    if call is None:
        note(calls, "lacks accounting: this batch system has none; markers and the queue decide alone")
        return
    try:
        reported = understood(session.engine.scheduler.accounted, session.context.run(call), queries)
    except Unreachable as error:
        note(calls, f"lacks accounting: {_flat(str(error))}")
        return
    missing = sum(query.nonce not in reported.jobs for query in queries)
    if reported.trouble or missing:
        why = reported.trouble or f"it does not know {missing} of {len(queries)} jobs that have just run (it may lag)"
        note(calls, f"lacks accounting: {_flat(why)}")


def _flat(text: str) -> str:
    return " ".join(text.split())


# -- killing it -----------------------------------------------------------------------------------------------------


def put_to_the_test(plan: Plan, kills: int, rng: Random, tell: Callable[[str], None]) -> Ran:
    """Rounds of lives until so many of them were killed and the last round is over, or one ended badly."""
    ran = Ran()
    while not ran.problem and (ran.kills < kills or not ran.rounds):
        lay_out(plan, ran.rounds)
        before = ran.kills
        while (code := _life(plan, ran, rng if ran.kills < kills else None)) is None:
            ran.kills += 1
        if code:
            ran.problem = _last_words(plan.errors(ran.rounds), code)
        tell(f"round {ran.rounds + 1}: {plan.tasks} tasks, the dispatcher was killed {ran.kills - before} times")
        ran.rounds += 1
    return ran


def _life(plan: Plan, ran: Ran, rng: Random | None) -> int | None:
    """The exit code of a dispatcher; None when it was killed, which happens only with `rng`."""
    command = [sys.executable, "-m", __name__, msgspec.json.encode(plan).decode(), str(ran.rounds)]
    began = time.monotonic()
    ran.lives += 1
    with plan.errors(ran.rounds).open("ab") as errors:
        # in a session of its own: Ctrl-C is for this process to judge
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, start_new_session=True
        )
    try:
        if rng is None:
            return process.wait()
        return _killed(process, plan.calls(ran.rounds), rng.randrange(_QUESTIONS), rng.uniform(0, _FRACTION))
    finally:
        process.kill()
        process.wait()
        ran.seconds += time.monotonic() - began


def _killed(process: subprocess.Popen[bytes], calls: Path, questions: int, later: float) -> int | None:
    """Kill it that much later than so many questions; its exit code when it was over before that."""
    wanted = len(lines(calls)) + questions
    while process.poll() is None and len(lines(calls)) < wanted:
        time.sleep(_TICK)
    try:
        return process.wait(later)
    except subprocess.TimeoutExpired:
        process.kill()
    return code if (code := process.wait()) != -9 else None


def lines(path: Path) -> list[str]:
    """The lines of a file that may not be there yet."""
    return path.read_text(errors="replace").splitlines() if path.exists() else []


def _last_words(errors: Path, code: int) -> str:
    said = "\n".join(lines(errors)[-30:]).strip()
    return said or f"the dispatcher ended with exit code {code} and said nothing"


def main(argv: Sequence[str]) -> int:
    """One life; the exit code."""
    try:
        live(msgspec.json.decode(argv[0], type=Plan), int(argv[1]))
    except DispatcherError as error:
        complain(str(error))
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
