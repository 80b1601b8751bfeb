"""The jobs of a submission by what is due for them, kept up with every event: a round costs what is live, not all.

due = Due(history)
due.of(Todo.observe)          ->  jobs in the queue, or that may be
due.first(Todo.submit, 2)     ->  the next two to be submitted
due.busy, due.done            ->  how many jobs may run, how many tasks have ended well
due.policy = NO_RETRIES       what has ended is looked at again
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice

from ..core.history import History
from ..core.lifecycle import Policy, Progress, State, Todo, todo


class Due:
    """Follows a history. `moves` counts how often a job changed its state, its attempt, or whether it is asked for.

    `tasks`: how many there are, `done`: that ended with code 0; `busy`: jobs that the batch system has, or may have.
    """

    def __init__(self, history: History, policy: Policy) -> None:
        self._jobs, self._policy = history.jobs, policy
        #: Linked lists, for the first is taken again and again; a dict would pass over all that were taken before.
        self._by: dict[Todo, OrderedDict[str, None]] = {what: OrderedDict() for what in Todo}
        self._moved = dict.fromkeys(history.jobs)
        self.tasks = self.done = self.busy = self.moves = 0
        for job in history.jobs.values():
            self._by[todo(job, policy)][job.job] = None
            self.tasks += job.size
            self._count(job, 1)
        history.moved = self.note

    def note(self, before: Progress, after: Progress) -> None:
        """A job has moved."""
        self._count(before, -1)
        self._count(after, 1)
        self._moved[after.job] = None
        self.moves += _shape(before) != _shape(after)
        was, now = todo(before, self._policy), todo(after, self._policy)
        if was is not now:
            del self._by[was][after.job]
            self._by[now][after.job] = None

    def _count(self, job: Progress, sign: int) -> None:
        self.done += sign * job.done.bit_count()
        self.busy += sign * job.may_run

    @property
    def policy(self) -> Policy:
        """How often what ended is tried again."""
        return self._policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        if policy == self._policy:
            return
        self._policy = policy
        for name in [*self._by[Todo.retry], *self._by[Todo.nothing]]:
            for what in (Todo.retry, Todo.nothing):
                self._by[what].pop(name, None)
            self._by[todo(self._jobs[name], policy)][name] = None

    def of(self, what: Todo) -> list[Progress]:
        """The jobs for which this is due."""
        return [self._jobs[name] for name in self._by[what]]

    def first(self, what: Todo, most: int | None) -> list[Progress]:
        """So many of them at most, those that have been due for longest; None: all."""
        return [self._jobs[name] for name in islice(self._by[what], most)]

    def count(self, *whats: Todo) -> int:
        """For how many jobs one of these is due."""
        return sum(len(self._by[what]) for what in whats)

    def failed(self) -> list[Progress]:
        """Jobs that are over and terminated."""
        return [job for job in self.of(Todo.nothing) if job.state is State.terminated]

    def news(self) -> Iterator[Progress]:
        """The jobs that have moved since this was last asked; all of them at first."""
        moved, self._moved = self._moved, {}
        return (self._jobs[name] for name in moved)


def _shape(job: Progress) -> tuple[State, int, bool]:
    return job.state, job.attempt, job.submission_pending
