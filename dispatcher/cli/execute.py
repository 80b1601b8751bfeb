"""A submission carried out in front of somebody: opened, run, and accounted for at the end.

finished      3 jobs, 7 tasks done of 7, 1 retry, in 12s
submission    1f2e3d4c5b6a79880011223344556677aabbccdd
results       /proj/runs
journal       /proj/runs/.dispatcher/1f2e3d4c…/journal
position      31:9f86d081884c7d659a2feaa0c55ad015
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Any

import msgspec

from ..core.errors import DispatcherError, Interrupted, JobsFailed
from ..run.environment import Environment
from ..run.session import Session, open_session
from ..schema.reading import Requested, Tell
from . import hooks
from .display import JsonLines, PlainLines
from .monitor import Display, Monitor
from .say import on_terminal, paint, say, say_json, warn
from .telling import Tally, count, duration, pairs, tally


def file_arguments(parser: ArgumentParser) -> None:
    """The options of every verb that reads what is to be carried out from a file."""
    parser.add_argument("--allow-ref", action="store_true", help="follow $ref to other files")
    parser.add_argument("--allow-unknown-keys", action="store_true", help="warn of keys that nothing reads, and go on")


def arguments(parser: ArgumentParser) -> None:
    """The options of every verb that carries out a submission."""
    parser.add_argument("--dry-run", action="store_true", help="stage the files, write the job scripts, submit nothing")
    parser.add_argument("--exit-on-submit", action="store_true", help="stop watching once every job is submitted")
    parser.add_argument("--no-clean", action="store_true", help="keep what was made on the execution side")
    parser.add_argument("--stop-on-failure", action="store_true", help="stop at the first job that fails for good")
    parser.add_argument("--rerun", action="store_true", help="run every task, also those that are finished")
    parser.add_argument(
        "--rerun-missing", action="store_true", help="run finished tasks again whose results were deleted since"
    )
    parser.add_argument(
        "--retry-unrunnable", action="store_true", help="try again, too, what ends with exit code 126 or 127"
    )
    parser.add_argument(
        "--host-gone", action="append", default=[], metavar="HOST", help="what runs on this host is lost (Shell)"
    )
    parser.add_argument(
        "--check-interval", type=seconds, default=30.0, metavar="S", help="longest pause between two looks (default 30)"
    )
    hooks.arguments(parser)
    parser.add_argument("--json", action="store_true", help="print lines of JSON, for programs")


def tolerance(args: Namespace) -> Tell | None:
    """What is done with a key that nothing reads: told, when that is allowed; else it is a mistake."""
    return (lambda message: warn(f"dispatcher: warning: {message}\n")) if args.allow_unknown_keys else None


def seconds(text: str) -> float:
    """A number of seconds above 0, as an argument."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ArgumentTypeError(f"{text!r} is not a number of seconds above 0")
    return number


def chosen(json: bool) -> Display:
    """The display that suits: rich on a terminal, otherwise lines."""
    if json:
        return JsonLines()
    if on_terminal():
        from .live import Live  # rich takes its time to load

        return Live()
    return PlainLines()


def execute(requested: Requested, args: Namespace) -> int:
    """Run what was asked for to its end, or as far as the options say."""

    def opened(environment: Environment) -> AbstractContextManager[Session]:
        return open_session(
            requested.spec,
            requested.profile,
            environment=environment,
            previous=requested.previous,
            rerun=args.rerun,
        )

    return perform(opened, args, given=requested.hooks)


def perform(
    opened: Callable[[Environment], AbstractContextManager[Session]],
    args: Namespace,
    begin: Callable[[Session], None] = lambda session: None,
    given: Mapping[str, Any] = MappingProxyType({}),
) -> int:
    """Run a session in front of somebody; raises what went wrong after the account was given.

    `begin` is called when the session is open, before anything is done; `given` are hooks that a file names.
    """
    called = hooks.wanted(args, given)
    monitor = Monitor(chosen(args.json))
    session: Session | None = None
    try:
        with monitor, opened(monitor.environment()) as session:
            for warning in [*session.journal.warnings, *session.notices]:
                warn(f"dispatcher: warning: {warning}\n")
            session.tell = lambda text: warn(f"dispatcher: {text}\n")
            begin(session)
            monitor.follow(session)
            _prepare(session, args)
            with hooks.at_end(session, called):
                session.run(
                    check_interval=args.check_interval,
                    exit_on_submit=args.exit_on_submit,
                    dry_run=args.dry_run,
                    clean=not args.no_clean,
                    stop_on_failure=args.stop_on_failure,
                )
    except DispatcherError as error:
        if isinstance(error, Interrupted):
            error.exit_code = 128 + monitor.signum
        if session is not None:
            _account(session, _outcome_of(error), time.time() - monitor.began, args, error)
        raise
    _account(session, _outcome(session, args), time.time() - monitor.began, args)
    return 0


def _prepare(session: Session, args: Namespace) -> None:
    """What the options say of attempts, hosts and results of before."""
    if args.retry_unrunnable:
        engine = session.connect()
        engine.retrying = msgspec.structs.replace(engine.retrying, hopeless=frozenset())
    if args.host_gone:
        session.connect().observer.gone_hosts.update(args.host_gone)
    if args.rerun or args.rerun_missing:
        session.rerun(everything=args.rerun)


def _outcome(session: Session, args: Namespace) -> str:
    if session.history.concluded is not None:
        return session.history.concluded.outcome
    return "dry run" if args.dry_run else "submitted"


def _outcome_of(error: DispatcherError) -> str:
    if isinstance(error, JobsFailed):
        return "failed"
    return "interrupted" if isinstance(error, Interrupted) else "stopped"


def _account(
    session: Session, outcome: str, seconds: float, args: Namespace, error: DispatcherError | None = None
) -> None:
    """The summary, for people or for programs."""
    seen = tally(session.progress.values())
    stored = session.journal.path.parent
    facts = {
        "submission": session.submission,
        "results": str(session.local),
        "journal": str(session.journal.path),
        "position": str(session.journal.position),
    }
    if args.dry_run and outcome == "dry run":
        facts["scripts"] = str(stored / "dry-run")
    if args.json:
        numbers = {"jobs": seen.jobs, "tasks": seen.tasks, "done": seen.done, "retries": seen.retries}
        end = {"event": "end", "outcome": outcome, "seconds": round(seconds, 3), **numbers, **facts}
        if error is not None:
            end["error"] = {"type": type(error).__name__, "message": str(error), "exit_code": error.exit_code}
            error.told = True
        say_json(end)
        return
    word = {"finished": "finished", "failed": "terminated"}.get(outcome, "strong")
    account = pairs([(outcome, _numbers(seen, seconds)), *facts.items()], wide=12)
    say(account.replace(outcome, paint(outcome, word), 1))


def _numbers(seen: Tally, seconds: float) -> str:
    jobs = count(sum(seen.jobs.values()), "job") if len(seen.jobs) == 1 else str(seen)
    retries = f", {count(seen.retries, 'retry')}" if seen.retries else ""
    return f"{jobs}; {seen.done:,} of {count(seen.tasks, 'task')} done{retries}, in {duration(seconds)}"
