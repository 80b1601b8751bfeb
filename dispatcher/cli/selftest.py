"""`dispatcher selftest`: does it hold on your cluster: no task twice, none lost, whatever happens to the dispatcher?

accepted      12 of 12 tasks, in 6 jobs
run           12
twice         0
lost          0
lives         21, of which 20 were killed, in 2 rounds
retries       0
calls         63 of the context (41 a minute): 40 ask, 21 put, 1 tree, 1 get
commands      52 of Slurm (34 a minute): 12 submit, 39 look, 1 account
logins        21 (14 a minute); allowed in a minute: 60 calls
site lacks    nothing that was missed
verdict       passed: nothing ran twice, nothing was lost
"""

from __future__ import annotations

import secrets
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

import journal as journals

from .. import contexts, schedulers
from ..core import events as ev
from ..core.errors import ConfigError, DispatcherError
from ..core.history import History
from ..core.model import SubmissionSpec
from ..run.store import local_directory, read_history, stored_journals
from .execute import seconds
from .say import flush, paint, say, say_json, warn
from .telling import count, duration, pairs, tally

if TYPE_CHECKING:
    from ..testing.selftest import Plan, Ran

EXAMPLES = """\
examples:
  dispatcher selftest --machine machine.json --resources resources.json
  dispatcher selftest --chaos 20 --machine machine.json --resources resources.json     kill it 20 times on the way
  dispatcher selftest --chaos 20 --machine submission.json --resources submission.json --json

Small tasks are run as these files say; local_root is replaced by a new
directory in it (or in --work). It and everything on the execution side are
removed when the test has passed, and kept when it has not.

exit codes:
  0  passed   1  a task ran twice, was lost, or the run ended badly   2  not valid as asked
"""

_CALLS = ("run", "put", "tree", "get", "remove")
_COMMANDS = ("submit", "observe", "account", "kill")
#: Notes that tell of the dispatcher or of moments, not of the site.
_OURS = ("no good answer", "answers are good", "accounting", "a second copy", "interrupted")


class Found(msgspec.Struct):
    """What the tasks brought home and the journals hold, of all rounds together. `facts` are what went wrong."""

    tasks: int = 0
    accepted: int = 0
    run: int = 0
    twice: int = 0
    lost: int = 0
    jobs: int = 0
    retries: int = 0
    turned_away: int = 0
    logins: int = 0
    calls: dict[str, int] = {}
    commands: dict[str, int] = {}
    lacks: list[str] = []
    roots: list[str] = []
    facts: list[str] = []


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    parser.add_argument("--machine", metavar="FILE", required=True, help="machine file, or a submission file")
    parser.add_argument("--resources", metavar="FILE", required=True, help="resources file, or a submission file")
    parser.add_argument("--chaos", type=_number, default=0, metavar="N", help="kill the dispatcher N times (default 0)")
    parser.add_argument("--tasks", type=_some, default=12, metavar="T", help="tasks in a round (default 12)")
    parser.add_argument("--seed", type=_number, default=None, metavar="N", help="the same random moments again")
    parser.add_argument("--work", metavar="DIR", default=None, help="where to work (default: local_root)")
    parser.add_argument(
        "--check-interval", type=seconds, default=5.0, metavar="S", help="longest pause between two looks (default 5)"
    )
    parser.add_argument("--allow-ref", action="store_true", help="follow $ref in the files")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return int(text)


def _some(text: str) -> int:
    if not 1 <= (number := _number(text)) <= 10_000:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 to 10000")
    return number


def run(args: Namespace) -> int:
    """Test, count, tell; 1 when it did not hold."""
    from ..testing.selftest import put_to_the_test, requested

    seed = secrets.randbelow(1_000_000) if args.seed is None else args.seed
    plan = _plan(args)
    spec = requested(plan, 0).spec
    _check(spec)
    Path(plan.work).mkdir(mode=0o700)
    name = f"{spec.machine.batch_type} behind {spec.machine.context_type}"
    _tell(args, f"{name}, in {plan.work}, seed {seed}")
    try:
        ran = put_to_the_test(plan, args.chaos, Random(seed), lambda text: _tell(args, text))  # noqa: S311 (no secret)
        found = _found(plan, ran)
    except BaseException:
        warn(f"dispatcher: selftest: stopped; everything that was made so far is in {plan.work}\n")
        raise
    passed = not ran.problem and not found.facts
    if passed and not _removed(Path(plan.work)):
        found.facts.append(f"{plan.work} could not be removed")
    if args.json:
        say_json(_facts(plan, spec, ran, found, seed, passed))
    else:
        say("\n" + pairs(_lines(plan, spec, ran, found, passed)))
    return 0 if passed else 1


def _tell(args: Namespace, text: str) -> None:
    if not args.json:
        say(f"{text}\n")
        flush()


# -- before and after -----------------------------------------------------------------------------------------------


def _plan(args: Namespace) -> Plan:
    """A new directory in `--work`, or in the machine's local_root, where the jobs can reach it."""
    from ..testing.selftest import Plan, part

    top = args.work if args.work is not None else part(args.machine, "machine", args.allow_ref).get("local_root", ".")
    where = Path(str(top)).expanduser().absolute()
    if not where.is_dir():
        raise ConfigError(f"{where}: no such directory; name one with --work, or correct machine/local_root")
    work = where / f"dispatcher-selftest-{secrets.token_hex(4)}"
    return Plan(args.machine, args.resources, str(work), args.tasks, args.check_interval, args.allow_ref)


def _check(spec: SubmissionSpec) -> None:
    schedulers.chosen(spec.machine.batch_type, spec.resources).check(spec.resources)
    contexts.load(spec.machine.context_type)


def _removed(work: Path) -> bool:
    from ..contexts.local.this_machine import remove_tree

    remove_tree(work)
    return not work.exists()


# -- counting -------------------------------------------------------------------------------------------------------


def _found(plan: Plan, ran: Ran) -> Found:
    found = Found()
    for nth in range(ran.rounds):
        wrong: list[str] = []
        _read_round(plan, nth, found, wrong)
        found.facts += [f"round {nth + 1}: {problem}" for problem in wrong]
    return found


def _read_round(plan: Plan, nth: int, found: Found, wrong: list[str]) -> None:
    """Count what one round left behind; `wrong` gets what is wrong with it."""
    from ..testing.selftest import requested

    spec = requested(plan, nth).spec
    local = local_directory(spec)
    found.tasks += plan.tasks
    journal = _read_journal(local, found, wrong)
    accepted = _accepted(journal)
    found.accepted += accepted
    if accepted < plan.tasks:
        wrong.append(f"only {accepted} of {plan.tasks} tasks were ever accepted")
    ids = {id for move in journal.moves for id in move.id.split(",")}
    ids.add(schedulers.load(spec.machine.batch_type).native_id)  # a container may not know its id: it says a fixed word
    known = ids | {request.nonce for request in journal.requests}
    for number in range(plan.tasks):
        _read_task(f"t{number}", local / f"t{number}" / "ran", known, found, wrong)
    _read_calls(plan, nth, found, cleaned=journal.history.cleaned)


class _Told(NamedTuple):
    """What the journal of a round tells: the state at the end, what was asked for, and which native ids were given."""

    history: History
    requests: list[ev.Submitting]
    moves: list[ev.Submitted | ev.OwnerChanged]


def _accepted(journal: _Told) -> int:
    jobs = {move.job for move in journal.moves}
    return sum(len(journal.history.planned[job].positions) for job in jobs)


def _read_journal(local: Path, found: Found, wrong: list[str]) -> _Told:
    """Whole, legal, and only one."""
    stored = stored_journals(local)
    if len(stored) != 1:
        wrong.append(f"{len(stored)} journals in {local}")
        return _Told(History(), [], [])
    whole = journals.verify(stored[0])
    if whole.status != "clean":
        wrong.append(f"the journal is {whole.status}: {whole.problem}")
    try:
        history = read_history(stored[0])
    except DispatcherError as error:
        wrong.append(f"the journal: {error}")
        return _Told(History(), [], [])
    numbers = tally(history.jobs.values())
    found.jobs += sum(numbers.jobs.values())
    found.retries += numbers.retries
    records = [record for frame in journals.frames(stored[0], ev.Event) for record in frame.records]
    _read_notes([record.text for record in records if isinstance(record, ev.Note)], found)
    requests = [record for record in records if isinstance(record, ev.Submitting)]
    return _Told(
        history, requests, [record for record in records if isinstance(record, (ev.Submitted, ev.OwnerChanged))]
    )


def _read_notes(texts: list[str], found: Found) -> None:
    """Hints of the batch system and trouble with the accounting are of the site; outages of our own making are not."""
    for text in texts:
        found.turned_away += text.startswith("a second copy")
        reported = text.startswith("accounting gave no answer") or not text.startswith(_OURS)
        found.lacks += [text] if reported and text not in found.lacks else []


def _read_task(name: str, path: Path, known: set[str], found: Found, wrong: list[str]) -> None:
    """What a task says of itself: begin and end, each with its name, native id, restarts, attempt."""
    from ..testing.selftest import lines

    said = [line.split() for line in lines(path)]
    whole = [words for words in said if len(words) == 5 and words[1] == name]
    begun = Counter((words[4].partition(".")[0], words[2], words[3]) for words in whole if words[0] == "begin")
    copies = Counter(attempt for attempt, _ in {(attempt, native) for attempt, native, _ in begun})
    ended = sum(words[0] == "end" for words in whole)
    found.run += bool(ended)
    if not ended:
        found.lost += 1
        wrong.append(f"{name} is lost: {f'it says {said}' if said else 'nothing of it came home'}")
    if ended > 1 or any(number > 1 for number in (*begun.values(), *copies.values())):
        found.twice += 1
        wrong.append(f"{name} ran twice: " + "; ".join(" ".join(words) for words in said))
    if strangers := {one for nonce, native, _ in begun for one in (nonce, native)} - known:
        wrong.append(f"{name} was run by {', '.join(sorted(strangers))}, which the journal does not know")


def _read_calls(plan: Plan, nth: int, found: Found, cleaned: bool) -> None:
    from ..testing.selftest import lines

    for line in dict.fromkeys(lines(plan.calls(nth))):
        word, _, rest = line.partition(" ")
        if word == "root" and not cleaned:
            found.roots.append(rest)
        elif word == "lacks" and rest not in found.lacks:
            found.lacks.append(rest)
    for line in lines(plan.calls(nth)):
        word, _, rest = line.partition(" ")
        found.logins += int(rest) if word == "login" and rest.isdigit() else 0
        kind = found.calls if word in _CALLS else found.commands
        if word in (*_CALLS, *_COMMANDS) and rest.isdigit():
            kind[word] = kind.get(word, 0) + int(rest)


# -- telling --------------------------------------------------------------------------------------------------------


def _verdict(found: Found, passed: bool) -> str:
    if passed:
        return "passed: nothing ran twice, nothing was lost"
    if found.twice or found.lost:
        return f"failed: {count(found.twice, 'task')} ran twice, {found.lost} lost"
    return "failed: it did not end as it should"


def _traffic(numbers: dict[str, int], order: tuple[str, ...], ran: Ran, whose: str) -> str:
    kinds = ", ".join(f"{numbers[word]:,} {word}" for word in order if numbers.get(word))
    total = sum(numbers.values())
    return f"{total:,} of {whose} ({_rate(numbers, ran):,.0f} a minute): {kinds or 'none'}"


def _logins(spec: SubmissionSpec, ran: Ran, found: Found) -> str:
    """How many there were; and what the machine's budget allows, when it has one."""
    limits = {"calls": spec.machine.max_calls_per_minute, "logins": spec.machine.max_logins_per_minute}
    allowed = ", ".join(f"{limit} {kind}" for kind, limit in limits.items() if limit)
    rate = _rate({"login": found.logins}, ran)
    return f"{found.logins:,} ({rate:,.0f} a minute){f'; allowed in a minute: {allowed}' if allowed else ''}"


def _rate(numbers: dict[str, int], ran: Ran) -> float:
    return round(sum(numbers.values()) / max(ran.seconds, 1.0) * 60, 1)


def _where(plan: Plan, found: Found) -> dict[str, Any]:
    return {"local": plan.work, "far": found.roots}


def _lines(plan: Plan, spec: SubmissionSpec, ran: Ran, found: Found, passed: bool) -> list[tuple[str, str]]:
    lives = (
        f"{ran.lives}, of which {ran.kills} were killed, in {count(ran.rounds, 'round')} and {duration(ran.seconds)}"
    )
    away = f" ({found.turned_away} second copies were turned away by the claim)" if found.turned_away else ""
    lines = [
        ("accepted", f"{found.accepted:,} of {count(found.tasks, 'task')}, in {count(found.jobs, 'job')}"),
        ("run", f"{found.run:,}"),
        ("twice", f"{found.twice:,}{away}"),
        ("lost", f"{found.lost:,}"),
        ("lives", lives),
        ("retries", f"{found.retries:,}"),
        ("calls", _traffic(found.calls, _CALLS, ran, "the context")),
        ("commands", _traffic(found.commands, _COMMANDS, ran, spec.machine.batch_type)),
        ("logins", _logins(spec, ran, found)),
        ("site lacks", "\n".join(found.lacks) or "nothing that was missed"),
    ]
    lines += [("problem", ran.problem)] if ran.problem else []
    lines += [("found", "\n".join(found.facts[:20]))] if found.facts else []
    lines += [] if passed else [("where", "\n".join([f"{plan.work} (kept)", *found.roots]))]
    return [*lines, ("verdict", paint(_verdict(found, passed), "finished" if passed else "terminated"))]


def _facts(plan: Plan, spec: SubmissionSpec, ran: Ran, found: Found, seed: int, passed: bool) -> dict[str, Any]:
    counted = msgspec.to_builtins(found)
    counted.pop("roots")
    return {
        "verdict": "passed" if passed else "failed",
        "batch_type": spec.machine.batch_type,
        "context_type": spec.machine.context_type,
        "seed": seed,
        **counted,
        "lives": ran.lives,
        "kills": ran.kills,
        "rounds": ran.rounds,
        "seconds": round(ran.seconds, 1),
        "calls_per_minute": _rate(found.calls, ran),
        "commands_per_minute": _rate(found.commands, ran),
        "problem": ran.problem,
        "where": None if passed else _where(plan, found),
    }
