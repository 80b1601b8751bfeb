"""What is called when a run has ended: a command, or an address that is sent JSON.

    "on_end": "notify-send done"      "on_failure": ["./page-me.sh", "--who", "me"]      --on-end https://…/hook

    ⏎hooked ─▶ the command gets DISPATCHER_EVENT, DISPATCHER_OUTCOME, … and the JSON on stdin, no shell reads it
            └▶ POST of the same JSON; plain http to this machine only, no redirect is followed

That it is about to be called is written first: for each end of a run it is called at most once, whoever is killed when.
It has 30 seconds, and however it ends, the run is over and its exit code is its own.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import tempfile
import threading
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

from ..core import events as ev
from ..core.errors import ConfigError, DispatcherError, JobsFailed
from ..run.session import Session
from ..run.store import journal_errors
from ..schema.parameters import HOOKS

#: Seconds that it may take.
TIMEOUT = 30.0
_URL = ("http://", "https://")


def arguments(parser: ArgumentParser) -> None:
    """The options of verbs that carry a submission to its end."""
    about = "COMMAND (no shell) or https://… to be called when the run has ended"
    parser.add_argument("--on-end", metavar="HOOK", help=about)
    parser.add_argument("--on-failure", metavar="HOOK", help="the same, only when jobs have failed")


def wanted(args: Namespace, given: Mapping[str, Any]) -> dict[str, list[str]]:
    """By name of the hook, the words of its command, or its address alone; options go before keys of the file.

    Raises ConfigError before anything runs.
    """
    found: dict[str, list[str]] = {}
    for name in HOOKS:
        hook = getattr(args, name, None) or given.get(name)
        words = _words(hook, name) if hook else []
        if words and words[0].startswith(_URL):
            _refuse_plain(words[0], name)
        if words:
            found[name] = words
    return found


def _words(hook: str | list[str], name: str) -> list[str]:
    if not isinstance(hook, str):
        return [*hook]
    try:
        return [hook] if hook.startswith(_URL) else shlex.split(hook)
    except ValueError as error:
        raise ConfigError(f"{name}: {error} (or write it as a list of words)") from None


def _refuse_plain(url: str, name: str) -> None:
    from ..contexts.cloud.http import Forbidden, Http

    try:
        Http().must_be_safe(url)
    except Forbidden:
        raise ConfigError(f"{name}: plain http goes to this machine only, for anybody could read it: https") from None


@contextmanager
def at_end(session: Session, hooks: Mapping[str, list[str]]) -> Iterator[None]:
    """Around a run: what is due when it has ended, with failed jobs or without."""
    try:
        yield
    except JobsFailed:
        _call(session, hooks)
        raise
    _call(session, hooks)


def _call(session: Session, hooks: Mapping[str, list[str]]) -> None:
    end = session.history.concluded
    for name, words in hooks.items():
        due = end is not None and (name == "on_end" or end.outcome == "failed")
        if not due or name in session.history.hooked:
            continue
        try:
            with journal_errors(session.journal.path):
                session.record(ev.Hooked(name))
                if trouble := carried_out(name, words, body(session, name)):
                    session.tell(f"{name}: {trouble}")
                    session.record(ev.Note(f"{name}: {trouble}"))
        except DispatcherError as error:
            session.tell(f"{name}: not called: {error}")


def body(session: Session, name: str) -> dict[str, Any]:
    """What is told: the object of `dispatcher status --json`, and which hook it is."""
    from .status import facts
    from .wanted import folded

    path = session.journal.path
    return {"event": name, **msgspec.to_builtins(facts(path, folded(path), ""))}


def carried_out(name: str, words: list[str], told: Mapping[str, Any]) -> str:
    """Call it; what went wrong, "" when nothing did. Raises nothing, and takes no longer than it may."""
    found = ["not ended in time"]
    act = _posted if words[0].startswith(_URL) else _run
    thread = threading.Thread(target=lambda: found.insert(0, act(words, told)), daemon=True, name=name)
    thread.start()
    thread.join(TIMEOUT + 5)
    return found[0]


def _posted(words: list[str], told: Mapping[str, Any]) -> str:
    from ..contexts.cloud.http import Http

    try:
        data, kind = msgspec.json.encode(told), {"Content-Type": "application/json"}
        status = Http(read=TIMEOUT).send("POST", words[0], again=False, tries=1, data=data, headers=kind).status
    except DispatcherError as error:
        return str(error).removesuffix("; asked again later")
    return "" if 200 <= status < 300 else f"the answer was {status}"


def _run(words: list[str], told: Mapping[str, Any]) -> str:
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(msgspec.json.encode(told))
        given.seek(0)
        try:
            process = subprocess.Popen(
                words, stdin=given, stdout=said, stderr=said, env=environment(told), start_new_session=True
            )
        except (OSError, ValueError) as error:
            return f"{words[0]}: {getattr(error, 'strerror', None) or error}"
        try:
            code = process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return f"not ended after {TIMEOUT:g} s, and killed"
        if code == 0:
            return ""
        said.seek(0)
        last = said.read(4096).decode(errors="replace").strip().splitlines()[-1:]
        return ": ".join([f"exit code {code}", *last])


def environment(told: Mapping[str, Any]) -> dict[str, str]:
    """That of the dispatcher, and what a short script needs to know."""
    names = {"event": "EVENT", "outcome": "OUTCOME", "submission": "SUBMISSION", "where": "WHERE", "journal": "JOURNAL"}
    own = {f"DISPATCHER_{name}": str(told[key]) for key, name in names.items()}
    return {**os.environ, **own, "DISPATCHER_FAILED": str(len(told["failed"])), "DISPATCHER_TASKS": str(told["tasks"])}
