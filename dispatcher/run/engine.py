"""The loop: look at each job, do what is due, journal what happened. The only place that does both.

    due    submit  ─▶ ⏎submitting ─▶ scheduler.submit ─▶ context.run ─▶ ⏎submitted | deferred | rejected
           observe ─▶ observer.observe ─▶ ⏎running | waiting | finished | terminated | …
           retry   ─▶ ⏎retried

⏎ is a commit: on disk before the next arrow. Starting and recovering are the
same thing: the history is folded before, then the loop goes round. Whatever is
unclear (a reply that was lost, a job that is not listed) is looked at again,
never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from ..core import events as ev
from ..core.errors import Purged, Unreachable
from ..core.lifecycle import IN_QUEUE, NO_RETRIES, Policy, Progress, State, Todo
from ..core.model import JobSpec, SubmissionSpec, changed
from ..core.ports import Accepted, Answer, Context, Deferral, EarlierAttempt, Scheduler, SubmitRequest, Unclear
from ..scripts.render import job_script, render
from .due import Due
from .environment import Environment
from .inputs import Inputs, edited_cause
from .observer import Observer, understood
from .recorder import Recorder

#: Causes after which a copy of the attempt may live on where nobody can see it.
_UNSEEN = (ev.CauseKind.lost, ev.CauseKind.node)


class Engine:
    """Runs the jobs of one submission to their end."""

    def __init__(
        self,
        spec: SubmissionSpec,
        jobs: Sequence[JobSpec],
        recorder: Recorder,
        scheduler: Scheduler,
        context: Context,
        environment: Environment,
        inputs: Inputs,
        template: str | None = None,
        restore: Callable[[Engine], None] = lambda engine: None,
    ) -> None:
        self.spec, self.recorder, self.scheduler, self.context = spec, recorder, scheduler, context
        self.environment, self.template, self.restore, self.inputs = environment, template, restore, inputs
        self.tasks = {job.hash: job.tasks for job in jobs}
        self.retrying = Policy(retries=spec.machine.retry_count)
        self.due = Due(recorder.history, self.retrying)
        recorder.changed = lambda: environment.show(self)
        self.observer = Observer(recorder, scheduler, context, environment, self._changed)
        self.next_query = 0.0
        self._pause = scheduler.min_poll_interval
        self._burst = scheduler.max_submit_batch

    # -- what others want to know -------------------------------------------------------------------------------

    @property
    def jobs(self) -> Mapping[str, Progress]:
        """The progress of every job, by hash."""
        return self.recorder.history.jobs

    @property
    def trouble(self) -> str:
        """Why the last look gave no good answer; "" when it did."""
        return self.observer.trouble

    @property
    def policy(self) -> Policy:
        """How often what ended is tried again: not once enough is done, or after `give_up`."""
        return NO_RETRIES if self.enough() else self.retrying

    def give_up(self) -> None:
        """From now on nothing that ended is tried again."""
        self.retrying = NO_RETRIES

    def enough(self) -> bool:
        """As many tasks are done as strategy/ratio_unfinished wants: how the others end does not matter any more."""
        ratio = self.spec.resources.strategy.ratio_unfinished
        return bool(ratio) and self.done_tasks() + self.due.tasks * ratio >= self.due.tasks

    def due_for(self, what: Todo, most: int | None = None) -> list[Progress]:
        """The jobs for which this is due now, so many at most."""
        self.due.policy = self.policy
        return self.due.first(what, most)

    def over(self) -> bool:
        """Nothing is due for any job."""
        self.due.policy = self.policy
        return self.due.count(Todo.nothing) == len(self.jobs)

    def failed(self) -> list[Progress]:
        """Jobs that are terminated for good; none where enough of the others is done."""
        ended = self.due_for(Todo.nothing)
        return [] if self.enough() else [job for job in ended if job.state is State.terminated]

    def done_tasks(self) -> int:
        """How many tasks have ended with code 0, as far as the last look showed."""
        partial = self.observer.partial
        live = (job for job in self.due.of(Todo.observe) if job.state in IN_QUEUE)
        return self.due.done + sum((partial.get(job.job, 0) & ~job.done).bit_count() for job in live)

    # -- the loop -----------------------------------------------------------------------------------------------

    def run(self, check_interval: float, exit_on_submit: bool = False, stop_on_failure: bool = False) -> None:
        """Go round until every job is over, or as the arguments say; `check_interval` is the longest pause (s)."""
        while not self.over() and not self.environment.stop():
            news = self.step()
            if (exit_on_submit and self._all_submitted()) or (stop_on_failure and self.failed()):
                return
            if not self.over():
                self._wait(news, check_interval)

    def _all_submitted(self) -> bool:
        """Every job that may be submitted now has been; those held back by max_running wait for a later run."""
        self.due.policy = self.policy
        pending = any(job.submission_pending for job in self.due.of(Todo.observe))
        return not (pending or self.due.count(Todo.submit, Todo.retry)) or self._room() == 0

    def step(self) -> bool:
        """One round; true when something changed."""
        before = self.due.moves
        if self.environment.cancelled():
            self.give_up()
            self.stop_jobs(self.jobs.values(), ev.CauseKind.cancelled)
        self._abandon()
        drop, retry = self.due_for(Todo.drop), self.due_for(Todo.retry)
        self._drop(drop)
        self._retry(retry)
        self.recorder.commit()
        self._submit()
        self.observe(self.due_for(Todo.observe))
        if self.observer.removed_for_good():
            self._restore()
        return before != self.due.moves

    def _restore(self) -> None:
        """Make the control directory again: jobs that run publish into it how they ended, others are tried again."""
        self.observer.purged = None
        try:
            self.restore(self)
        except Unreachable as error:
            self.observer.troubled(str(error))

    def _wait(self, news: bool, longest: float) -> None:
        """Short after news, longer while there is none, up to what the user allows."""
        min_poll_interval = min(self.scheduler.min_poll_interval, longest)
        self._pause = min_poll_interval if news else min(max(self._pause, min_poll_interval, 0.01) * 1.5, longest)
        self.next_query = self.environment.elapsed() + self._pause
        self.environment.show(self)
        self.environment.sleep(self._pause)

    def observe(self, jobs: Sequence[Progress]) -> None:
        """Look at these jobs, record what that shows, end what is to be ended among them.

        In this order: of a job that was listed before it was killed, absence says that it is gone.
        """
        if not jobs:
            return
        self.observer.observe(jobs)
        self._abandon()
        self.recorder.commit()
        after = (self.jobs[job.job] for job in jobs)
        self._end([job for job in after if job.stopping and job.may_run])

    # -- submitting ---------------------------------------------------------------------------------------------

    def _room(self) -> int | None:
        """How many more jobs may be queued or running; None without a limit."""
        limit = self.spec.machine.max_running
        return None if limit is None else max(limit - self.due.busy, 0)

    def _submit(self) -> None:
        """In bursts, as long as everything is accepted; after a "not now" one job feels the way."""
        due = self.due_for(Todo.submit, self._room())
        while due and not self.environment.stop():
            batch, due = due[: self._burst], due[self._burst :]
            if not self._submit_batch(batch):
                self._burst = 1
                return
            self._burst = min(self._burst * 2, self.scheduler.max_submit_batch)

    def _submit_batch(self, due: list[Progress]) -> bool:
        """Submit these jobs in one call; false when there is no use in submitting more now."""
        due = self._unedited(due)
        if not due:
            return True
        requests = {job.job: self._request(job) for job in due}
        stamps = {job.job: self.inputs.stamps(self._unfinished(job).values()) for job in due}
        self.recorder.record(
            *(
                ev.Submitting(job.job, max(job.attempt, 1), request.nonce, stamps[job.job], request.asked)
                for job in due
                for request in (requests[job.job],)
            )
        )
        self.recorder.commit()
        call = self.scheduler.submit(list(requests.values()), self.context.place)
        try:
            answers = understood(self.scheduler.submitted, self.context.run(call), list(requests.values()))
        except Purged as error:
            self.observer.unanswered(error)
            self.recorder.record(*(ev.Deferred(job.job, str(error)) for job in due))
            self.recorder.commit()
            return False
        except Unreachable as error:
            self.observer.unanswered(error)
            return False
        for name, request in requests.items():
            if answer := answers.get(request.nonce):
                self.recorder.record(_answered(name, answer))
        self.recorder.commit()
        return len(answers) == len(requests) and not any(
            isinstance(one, (Deferral, Unclear)) for one in answers.values()
        )

    def _unedited(self, due: Sequence[Progress]) -> list[Progress]:
        """Without the jobs whose inputs are not what was asked for any more: these are over."""
        edited = {job.job: self.inputs.edited(self._unfinished(job).values()) for job in due}
        for name, paths in edited.items():
            if paths:
                self.recorder.record(ev.Terminated(name, edited_cause(paths)))
        self.recorder.commit()
        return [job for job in due if not edited[job.job]]

    def _changed(self, job: Progress) -> dict[int, list[str]]:
        """By position in the job: the inputs of a task that were written to since the job was submitted."""
        tasks = zip(self._unfinished(job).items(), job.inputs, strict=False)
        found = {index: self.inputs.changed(position, stamp) for (index, position), stamp in tasks}
        return {index: paths for index, paths in found.items() if paths}

    def _request(self, job: Progress) -> SubmitRequest:
        nonce = job.nonce or self.environment.nonce()
        name = f"{nonce}{self._title(job)}"
        spec = msgspec.structs.replace(self.spec, resources=changed(self.spec.resources, job.resources))
        script = job_script(spec, job.job, nonce, name, self._unfinished(job), self.context.place, self.template)
        return SubmitRequest(
            nonce=nonce,
            name=name,
            script=f"{nonce}.sub",
            files=render(script, self.scheduler).files(nonce),
            resources=spec.resources,
            tasks=len(script.tasks),
            withdrawals=job.withdrawals,
            forward=script.forward,
            backward=script.backward,
            common=script.common,
            log=script.log,
            of=script,
            asked=job.asked + 1,
        )

    def _unfinished(self, job: Progress) -> dict[int, int]:
        """Position in the job -> position in the submission, of the tasks that have not ended with code 0."""
        return {index: self.tasks[job.job][index] for index in job.unfinished}

    def _title(self, job: Progress) -> str:
        """What people recognize a job by, behind its nonce: the task's name for one-task jobs, or kwargs' job_name."""
        title = str(self.spec.resources.kwargs.get("job_name") or "")
        if job.size == 1:
            title = self.spec.tasks[self.tasks[job.job][0]].task_name or title
        stored = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in title).strip("-")
        return f"-{stored[:40]}" if stored else ""

    # -- ending -------------------------------------------------------------------------------------------------

    def stop_jobs(self, jobs: Iterable[Progress], why: ev.CauseKind) -> None:
        """Write down that these jobs are to be killed; the rounds that follow do it until they are gone."""
        live = [job for job in jobs if not job.stopping and job.state not in (State.finished, State.terminated)]
        if live:
            self.recorder.record(*(ev.Stopping(job.job, why, self._seen_done(job)) for job in live))
            self.recorder.commit()

    def _seen_done(self, job: Progress) -> tuple[int, ...]:
        seen = self.observer.partial.get(job.job, 0)
        return tuple(index for index in range(job.size) if seen >> index & 1)

    def try_again(self) -> None:
        """What has ended and may be tried again is due again, before anything else is done."""
        self._retry(self.due_for(Todo.retry))
        self.recorder.commit()

    def _retry(self, due: Sequence[Progress]) -> None:
        """Another attempt. What was given up unseen is ended first: a copy of it may live on and be listed again."""
        if not due or not self._in_place():
            return
        unseen = [job for job in due if job.id and job.cause and job.cause.kind in _UNSEEN]
        ready = due if self._end(unseen) else [job for job in due if job not in unseen]
        self.recorder.record(*(ev.Retried(job.job) for job in ready))

    def _in_place(self) -> bool:
        """The place carries its owner's record; jobs that end after a purge make our directory again, without it."""
        try:
            if not self.scheduler.context and not self.context.own("").record:
                self.restore(self)
        except Unreachable as error:
            self.observer.unanswered(error)
            return False
        return True

    def _drop(self, due: Sequence[Progress]) -> None:
        """End jobs that were not accepted; of those that were requested a part may be in the queue all the same."""
        if self._end([job for job in due if job.nonce]):
            causes = ((job.job, ev.Cause(job.stopping, "before it was submitted")) for job in due if job.stopping)
            self.recorder.record(*(ev.Terminated(job, cause) for job, cause in causes))

    def _end(self, jobs: Sequence[Progress]) -> bool:
        """Kill these jobs, by what names them in the queue; false when there was no answer."""
        if not jobs:
            return True
        queries = [self.observer.query(job) for job in jobs]
        try:
            reply = self.context.run(self.scheduler.kill(queries, self.context.place))
            trouble = understood(self.scheduler.killed, reply, queries)
        except Unreachable as error:
            trouble = str(error)
            if isinstance(error, Purged):  # no jobs may be left that are looked at: it must be noticed here
                self.observer.unanswered(error)
        self.observer.unkilled(trouble)
        return not trouble

    def _abandon(self) -> None:
        """The stragglers are killed once enough tasks are done."""
        if self.enough():
            self.stop_jobs(self.jobs.values(), ev.CauseKind.abandoned)


def _answered(name: str, answer: Answer) -> ev.JobEvent:
    if isinstance(answer, Accepted):
        return ev.Submitted(name, answer.id)
    if isinstance(answer, Deferral):
        return ev.Deferred(name, answer.why)
    if isinstance(answer, EarlierAttempt):
        return ev.EarlierAttemptFound(name, answer.nonce)
    if isinstance(answer, Unclear):
        return ev.InDoubt(name, answer.why, answer.known)
    return ev.Rejected(name, ev.Cause(ev.CauseKind.rejected, answer.why, source="submit"))
