"""The shortest history that leads to where a job is, for a journal that has to be written anew.

retold(progress)  ->  [Submitting(job, 1, nonce), Submitted(job, "4211"), Running(job)]

How often a job failed before, and why, is not told again; which tasks are done and which attempts must still be
withdrawn is.
"""

from __future__ import annotations

import time

from ..core import events as ev
from ..core.lifecycle import IN_QUEUE, Progress, State

_EARLIER = ev.Cause(ev.CauseKind.lost, "an earlier attempt, of which no more is known: the journal was written anew")


def retold(job: Progress) -> list[ev.JobEvent]:
    """Events for a job that was only planned."""
    name, told = job.job, _done_before(job)
    attempt = 1 if any(isinstance(event, ev.Retried) for event in told) else 0
    for withdrawal in job.withdrawals:
        if withdrawal.nonce != job.nonce:
            told += [ev.Submitting(name, max(attempt, 1), withdrawal.nonce), ev.Deferred(name, _EARLIER.reason)]
            told += [ev.Terminated(name, _EARLIER, lines=withdrawal.lines), ev.Retried(name, fresh=True)]
            attempt = max(attempt, 1) + 1
    if not job.nonce:
        return [*told, ev.Finished(name)] if job.state is State.finished else told
    told.append(ev.Submitting(name, max(attempt, 1), job.nonce, job.inputs, asked=job.asked))
    if job.state in (*IN_QUEUE, State.finished, State.terminated) and job.id:
        told += [ev.Submitted(name, job.id, "journal written anew"), *_reached(job)]
    elif not job.submission_pending and job.state is not State.finished and job.state not in IN_QUEUE:
        told.append(ev.Deferred(name, "the journal was written anew"))
    if job.stopping and job.state is not State.terminated:
        told.append(ev.Stopping(name, job.stopping))
    if job.state is State.terminated:
        told.append(ev.Terminated(name, job.cause or ev.LOST, lines=dict(job.withdrawals).get(job.nonce, 0)))
    return told


def _done_before(job: Progress) -> list[ev.JobEvent]:
    """What is done but for this attempt: by other submissions, and by earlier attempts."""
    told: list[ev.JobEvent] = []
    if reused := tuple(index for index in range(job.size) if job.reused >> index & 1):
        told.append(ev.Reused(job.job, reused, "unknown"))
    done = [index for index in range(job.size) if job.done & ~job.reused & 1 << index]
    if done and job.state is not State.finished:
        results = tuple((index, 0, float(int(time.time()))) for index in done)
        told += [ev.Terminated(job.job, _EARLIER, results), ev.Retried(job.job, fresh=True)]
    return told


def _reached(job: Progress) -> list[ev.JobEvent]:
    if job.state is State.finished:
        return [ev.Finished(job.job)]
    if job.state is State.running:
        return [ev.Running(job.job)]
    return [ev.Completing(job.job)] if job.state is State.completing else []
