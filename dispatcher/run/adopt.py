"""A journal made anew for jobs that are there and have none, or a damaged one: from what lies in their place.

    found = lying_there(context)     scripts, receipts and claims in the control directory, by attempt
    adopt(spec, profile)             a journal in which every job waits for the answer to its last request: the next
                                     `dispatcher submit` finds it by its receipt, its claim or in the queue

What a damaged journal tells up to the damage is kept, and the journal itself is moved aside, never removed. How
often a job had failed before cannot be known; which tasks its last script left out can: they were done.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import journal as journals

from ..core import events as ev
from ..core.errors import ConfigError, IllegalTransition, JournalDamaged, NotOurs, SubmissionBusy, Unreachable
from ..core.history import History
from ..core.lifecycle import Progress, State
from ..core.model import JobSpec, SubmissionSpec
from ..core.ports import Context, ShellText
from ..scripts.render import quoted
from .opening import first_records
from .ownership import read_owner
from .recorder import Recorder
from .reopen import context_of
from .results import received
from .retold import retold
from .store import (
    begun,
    fold,
    holder_of,
    journal_errors,
    journal_of,
    local_directory,
    open_journal,
    read_history,
    spec_of,
)
from .survey import check, survey

#: Prints, newest script first: `job NONCE HASH`, `task NONCE INDEX`, `asked NONCE NUMBER` for each request, and
#: `revoked NONCE` of what was withdrawn.
_LOOK = r"""
cd -- {control} || exit 97
LC_ALL=C ls -t | while IFS= read -r f; do
  case $f in
  *.sub | *.run) LC_ALL=C sed -n \
    -e "s/^# job \([0-9a-f]*\):.*/@@ job ${{f%%.*}} \1/p" \
    -e "s/^dsp_task[_ ]\([0-9][0-9]*\).*/@@ task ${{f%%.*}} \1/p" < "$f" ;;
  *.asked) f=${{f%.asked}}; echo "@@ asked ${{f%%.*}} ${{f##*.}}" ;;
  *.claim) IFS= read -r line < "$f"; [ "$line" != revoked ] || echo "@@ revoked ${{f%%.*}}" ;;
  esac
done
echo "@@ done"
"""
_NONCE = "([A-Za-z0-9][A-Za-z0-9_-]{0,63})"
_SAID = re.compile(rf"@@ (?:(job) {_NONCE} ([0-9a-f]{{1,40}})|(task|asked) {_NONCE} ([0-9]{{1,7}})|(revoked) {_NONCE})")


class LastAttempt(NamedTuple):
    """The last attempt of a job that was not withdrawn, the tasks its script runs, and how often it was asked for."""

    nonce: str
    tasks: frozenset[int]
    asked: int = 0


class Adopted(NamedTuple):
    """A new journal: its path, how many jobs were found in the place and how many not, where the old one went."""

    journal: Path
    found: int
    missing: int
    aside: Path | None


class Lying(NamedTuple):
    """What a place tells: who owns it ("": nobody), and the attempts that lie there: the last by job, and all."""

    owner: str
    last: Mapping[str, LastAttempt]
    nonces: tuple[str, ...]
    control: str


def adopt(spec: SubmissionSpec, profile: Mapping[str, Any]) -> Adopted:
    """Raises ConfigError when there is a whole journal already, NotOurs when the place is another work directory's."""
    asked, found = check(spec, profile, None), survey(spec)
    if asked.scheduler.context:
        raise ConfigError(f"{asked.scheduler.name} keeps nothing in a directory from which a journal could be made")
    path = journal_of(local_directory(spec), found.submission)
    history = _whole_part(path)
    lying = _look(asked.kind.open(spec.machine, profile, history.place or found.submission, spec.work_base), spec)
    if not lying.last and not lying.owner and history.opened is None:
        raise ConfigError(
            f"{lying.control} holds no scripts of this submission: there is nothing to adopt. Was it asked for "
            "with other tasks, inputs or resources? Its hash says so: look for other directories beside it"
        )
    root, owner = str(local_directory(spec)), lying.owner or secrets.token_hex(8)
    first = first_records(spec, asked.planned, found.submission, root, found.inputs, owner)
    known: Sequence[ev.Event] = [history.opened, *history.planned.values()] if history.opened else first
    return _begun_anew(path, known, asked.planned, history, lying)


def adopt_restored(path: Path, profile: Mapping[str, Any] | None) -> Adopted:
    """A journal that was put back from a backup, brought up to what lies in its place; as `adopt`."""
    history = read_history(path)
    spec = spec_of(path, history)
    planned = [JobSpec(job.job, job.positions) for job in history.planned.values()]
    assert history.opened is not None, "spec_of refuses one that is not"
    known: list[ev.Event] = [history.opened, *history.planned.values()]
    return _begun_anew(path, known, planned, history, _look(context_of(path, history, profile), spec))


def _look(context: Context, spec: SubmissionSpec) -> Lying:
    try:
        found = context.own("")
        owner = _owner(context, local_directory(spec))
        return Lying(owner, lying_there(context), tuple(sorted(found.attempts)), context.place.control)
    finally:
        context.close()


def _begun_anew(
    path: Path, first: Sequence[ev.Event], planned: Sequence[JobSpec], history: History, lying: Lying
) -> Adopted:
    if holder := holder_of(path):
        raise SubmissionBusy(f"{path} is being written by {holder}; stop it first")
    aside = _set_aside(path)
    note = ev.Note(f"adopted {len(lying.last)} jobs from {lying.control}: how often they had failed is not known")
    placed = [ev.Placed(history.place)] if history.place else []
    fresh = History()
    with journal_errors(path), open_journal(path, lambda frame: fold(fresh, frame)) as log:
        recorder = Recorder(fresh, log)
        recorder.record(*first, *placed, note, ev.Recalled(tuple(sorted({*lying.nonces, *history.nonces}))))
        recorder.record(*received(history.results), *_records(planned, history, lying.last))
        recorder.commit()
    return Adopted(path, len(lying.last), len(planned) - len(lying.last), aside)


def lying_there(context: Context) -> dict[str, LastAttempt]:
    """By job (the start of its hash, as its script has it): its last attempt that was not withdrawn.

    Raises Unreachable for an answer that broke off: a job that it does not name would be run a second time.
    """
    reply = context.run(ShellText(_LOOK.format(control=quoted(context.place.control)), timeout=180))
    lines = reply.out.splitlines()
    if "@@ done" not in lines:
        raise Unreachable(
            f"what lies in {context.place.control} was not told to its end (exit {reply.code}): "
            f"{reply.err.strip()[-200:]}; nothing was adopted"
        )
    said = [(*filter(None, match.groups()), "")[:3] for match in map(_SAID.fullmatch, lines) if match]
    revoked = {nonce for word, nonce, _ in said if word == "revoked"}
    tasks: dict[str, set[int]] = {}
    asked: dict[str, int] = {}
    for word, nonce, value in said:
        if word == "task":
            tasks.setdefault(nonce, set()).add(int(value))
        if word == "asked":
            asked[nonce] = max(asked.get(nonce, 0), int(value))
    found: dict[str, LastAttempt] = {}
    for word, nonce, job in said:  # the newest comes first
        if word == "job" and nonce not in revoked:
            found.setdefault(job, LastAttempt(nonce, frozenset(tasks.get(nonce, ())), asked.get(nonce, 0)))
    return found


def _whole_part(path: Path) -> History:
    """What the journal tells up to its damage; nothing when there is none, or when it was begun and refused its place.

    ConfigError when it is whole.
    """
    history = History()
    if not begun(path):
        return history
    try:
        with journal_errors(path):
            for frame in journals.frames(path, ev.Event):
                fold(history, frame)
    except (JournalDamaged, IllegalTransition):
        return history
    if history.nonces:
        raise ConfigError(
            f"{path} is whole: run the command that started it to resume it. If it was put back from a backup, "
            f"`dispatcher adopt {path.parent}` brings it up to what lies where its jobs run"
        )
    return History()


def _owner(context: Context, local: Path) -> str:
    """The id by which the place is owned; "" when it carries none."""
    record = context.own("").record
    if not record:
        return ""
    theirs = read_owner(record, context.place.remote_root)
    if theirs.root != os.path.realpath(local) and context.place.remote_root != context.place.local:
        raise NotOurs(f"{context.place.remote_root} belongs to the work directory {theirs.root}: adopt it there")
    return theirs.owner


def _set_aside(path: Path) -> Path | None:
    """Out of the way of a new journal, and kept."""
    if not path.is_dir():
        return None
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.rename(aside)
    return aside


def _records(planned: Sequence[JobSpec], history: History, attempts: Mapping[str, LastAttempt]) -> list[ev.JobEvent]:
    records: list[ev.JobEvent] = []
    for job in planned:
        known = history.jobs.get(job.hash) or Progress(job.hash, len(job.tasks))
        attempt = attempts.get(job.hash)
        if attempt and attempt.nonce != known.nonce:
            left_out = sum(1 << index for index in range(known.size) if index not in attempt.tasks)
            known = Progress(
                job.hash, known.size, State.unsubmitted, 1, attempt.nonce, "", True,
                done=known.done | (left_out if attempt.tasks else 0), reused=known.reused,
                asked=attempt.asked,
            )  # fmt: skip
        records += retold(known)
    return records
