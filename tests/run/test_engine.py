"""The loop on a simulated cluster: whole runs, failures, and death at every point where the world is touched.

All of it once in the cluster's own words, and once in those of every batch system, whose shell text is really run.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from dispatcher.core import events as ev
from dispatcher.core.errors import Interrupted, JobsFailed, ResultMissing
from dispatcher.core.history import History
from dispatcher.core.lifecycle import State
from dispatcher.core.model import Strategy
from tests.simulation.cluster import Conditions
from tests.simulation.dialects import KITS

#: Asked by HTTP; the real contexts run, see fixtures/clusters/bohrium/simulated.py.
CLOUDS = ("Bohrium", "OpenAPI")
#: No retries, and four fifths of the tasks are enough.
ONCE, ENOUGH = {"retry_count": 0}, {"strategy": Strategy(ratio_unfinished=0.2)}


@pytest.fixture(params=["", *(pytest.param(name, marks=pytest.mark.slow) for name in (*KITS, *CLOUDS))])
def dialect(request: pytest.FixtureRequest) -> str:
    """Overrides the fixture of all tests."""
    name: str = request.param
    return name


def once_each(simulated: Any) -> bool:
    counts = Counter((run.job, run.task) for run in simulated.cluster.runs)
    return set(counts.values()) == {1} and sum(counts.values()) == len(simulated.spec.tasks)


def states(history: History) -> set[State]:
    return {job.state for job in history.jobs.values()}


def test_a_clean_run(simulate: Callable[..., Any]) -> None:
    simulated = simulate()
    history = simulated.run()
    assert states(history) == {State.finished}
    assert once_each(simulated)
    assert history.concluded == ev.Concluded("finished")
    assert history.cleaned
    kinds = [type(record).__name__ for record in simulated.records()]
    assert kinds[:5] == ["Open", "Opened", "Planned", "Planned", "Planned"]
    assert kinds[-4:] == ["Delivered", "Concluded", "Cleaned", "Close"]


def test_running_again_after_the_end_does_nothing(simulate: Callable[..., Any]) -> None:
    simulated = simulate()
    simulated.run()
    calls = list(simulated.cluster.calls)
    history = simulated.run()
    assert simulated.cluster.calls == calls
    assert states(history) == {State.finished}


def test_live_state_is_what_replay_shows(simulate: Callable[..., Any]) -> None:
    simulated = simulate()
    history = simulated.run()
    assert simulated.replayed().jobs == history.jobs


class FailsAtFirst(Conditions):
    """Task 1 of every job fails at its first start."""

    def exit_code(self, job: str, task: int, attempt: int) -> int:
        return int(task == 1 and attempt == 1)


def test_a_retry_runs_only_what_is_unfinished(simulate: Callable[..., Any]) -> None:
    simulated = simulate(FailsAtFirst())
    simulated.run()
    counts = Counter((run.job, run.task) for run in simulated.cluster.runs)
    assert {task: {n for (_, t), n in counts.items() if t == task} for task in (0, 1)} == {0: {1}, 1: {2}}


class Hopeless(Conditions):
    """One job fails whatever is tried."""

    def __init__(self) -> None:
        self.bad = ""

    def exit_code(self, job: str, task: int, attempt: int) -> int:
        self.bad = self.bad or job
        return 3 if job == self.bad else 0


def test_one_exhausted_job_does_not_stop_the_others(simulate: Callable[..., Any]) -> None:
    simulated = simulate(Hopeless())
    with pytest.raises(JobsFailed, match="1 of 3 jobs failed") as failure:
        simulated.run()
    assert failure.value.jobs[0].attempts == 3
    assert failure.value.jobs[0].cause.code == 3
    history = simulated.replayed()
    assert sorted(job.state.value for job in history.jobs.values()) == ["finished", "finished", "terminated"]
    assert history.concluded == ev.Concluded("failed", 1)
    assert not history.cleaned, "nothing is removed after a failure"


def test_running_again_gives_failed_jobs_a_new_round(simulate: Callable[..., Any]) -> None:
    conditions = Hopeless()
    simulated = simulate(conditions)
    with pytest.raises(JobsFailed):
        simulated.run()
    conditions.exit_code = lambda job, task, attempt: 0  # type: ignore[method-assign]
    assert states(simulated.run()) == {State.finished}


def test_stop_on_failure_leaves_the_others_running(simulate: Callable[..., Any], make_submission: Any) -> None:
    conditions = Hopeless()
    conditions.runs_for = lambda: 3.0 if not conditions.bad and len(simulated.cluster.runs) < 2 else 300.0  # type: ignore[method-assign]
    simulated = simulate(conditions, make_submission(machine={"retry_count": 0}))
    with pytest.raises(JobsFailed, match="left running"):
        simulated.run(stop_on_failure=True)


def test_max_running_is_never_exceeded(simulate: Callable[..., Any], make_submission: Any) -> None:
    spec = make_submission(tasks=9, group_size=1, machine={"max_running": 2})
    simulated = simulate(None, spec)
    simulated.run()
    live, most = 0, 0
    for record in simulated.records():
        live += isinstance(record, ev.Submitted)
        live -= isinstance(record, (ev.Finished, ev.Terminated))
        most = max(most, live)
    assert most == 2
    assert once_each(simulated)


class Full(Conditions):
    """The queue is full now and then."""

    def __init__(self) -> None:
        self.requested = 0

    def refuses(self) -> bool:
        self.requested += 1
        return self.requested % 3 != 0


def test_a_full_queue_means_later_and_costs_no_attempt(simulate: Callable[..., Any]) -> None:
    simulated = simulate(Full())
    history = simulated.run()
    assert {job.attempt for job in history.jobs.values()} == {1}
    assert any(isinstance(record, ev.Deferred) for record in simulated.records())
    assert once_each(simulated)


class LosesReplies(Conditions):
    """Half of the answers are lost after their effect, a fifth of the calls before it; at no regular distance."""

    def __init__(self) -> None:
        self.dice = random.Random(1)

    def reply_lost(self, what: str) -> bool:
        return self.dice.random() < 0.5

    def call_lost(self, what: str) -> bool:
        return self.dice.random() < 0.2


def test_lost_replies_neither_fail_nor_double_anything(simulate: Callable[..., Any]) -> None:
    simulated = simulate(LosesReplies())
    assert states(simulated.run()) == {State.finished}
    assert once_each(simulated)
    assert all(job.fails == 0 for job in simulated.replayed().jobs.values())


class NodeFailures(Conditions):
    """The first three starts of jobs end with their node."""

    def __init__(self) -> None:
        self.left = 3

    def fate(self) -> str:
        self.left -= 1
        return "killed" if self.left >= 0 else "ends"


def test_node_failures_use_up_no_retry(simulate: Callable[..., Any], make_submission: Any, dialect: str) -> None:
    reported = dialect not in ("JH_UniScheduler", *CLOUDS)  # which say that a job ended badly, and never why
    simulated = simulate(NodeFailures(), make_submission(machine={"retry_count": 0 if reported else 1}))
    history = simulated.run()
    assert states(history) == {State.finished}
    assert sum(job.site for job in history.jobs.values()) == (3 if reported else 0)


class Requeues(NodeFailures):
    """The site puts jobs back into the queue under the same id."""

    def fate(self) -> str:
        self.left -= 1
        return "requeued" if self.left >= 0 else "ends"


def test_a_requeued_job_is_waited_for(simulate: Callable[..., Any]) -> None:
    simulated = simulate(Requeues())
    history = simulated.run()
    assert states(history) == {State.finished}
    assert {job.attempt for job in history.jobs.values()} == {1}


def test_ratio_unfinished_kills_the_stragglers(simulate: Callable[..., Any], make_submission: Any) -> None:
    class OneHangs(Conditions):
        first = True

        def runs_for(self) -> float:
            hangs, self.first = self.first, False
            return 1e9 if hangs else 3.0

    spec = make_submission(tasks=8, group_size=1, resources={"strategy": {"ratio_unfinished": 0.2}})
    spec = msgspec.structs.replace(
        spec, resources=msgspec.convert(msgspec.to_builtins(spec.resources), type(spec.resources))
    )
    simulated = simulate(OneHangs(), spec)
    history = simulated.run()
    abandoned = [job for job in history.jobs.values() if job.state is State.terminated]
    assert len(abandoned) == 1
    assert abandoned[0].cause is not None
    assert abandoned[0].cause.kind == "abandoned"
    assert history.concluded == ev.Concluded("finished")
    assert "kill" in simulated.cluster.calls


@pytest.mark.parametrize("seconds", [0.5, 60.0], ids=["fails first", "fails last"])
def test_the_outcome_of_ratio_unfinished_does_not_depend_on_who_fails_first(
    simulate: Callable[..., Any], make_submission: Any, seconds: float
) -> None:
    class OneFails(Conditions):
        starts = 0

        def runs_for(self) -> float:
            self.starts += 1
            return seconds if self.starts == 1 else 3.0

        def exit_code(self, job: str, task: int, attempt: int) -> int:
            self.bad = getattr(self, "bad", job)
            return 5 if job == self.bad else 0

    spec = make_submission(tasks=5, group_size=1, machine=ONCE, resources=ENOUGH)
    history = simulate(OneFails(), spec).run()
    assert history.concluded == ev.Concluded("finished")
    assert Counter(job.state for job in history.jobs.values()) == {State.finished: 4, State.terminated: 1}


def test_too_few_tasks_are_a_failure_whatever_ratio_unfinished_allows(
    simulate: Callable[..., Any], make_submission: Any
) -> None:
    spec = make_submission(tasks=6, group_size=2, machine=ONCE, resources=ENOUGH)
    with pytest.raises(JobsFailed, match="1 of 3 jobs failed"):
        simulate(Hopeless(), spec).run()


def test_what_was_killed_and_is_gone_needs_one_more_look(simulate: Callable[..., Any], make_submission: Any) -> None:
    class Long(Conditions):
        def runs_for(self) -> float:
            return 1e9

        def keeps_history(self) -> bool:
            return False  # nor does the queue say that it has ended

    simulated = simulate(Long(), make_submission(tasks=1))
    began = simulated.cluster.now
    with pytest.raises(JobsFailed, match="killed by the dispatcher"):
        simulated.run(environment={"cancelled": lambda: simulated.cluster.now > began + 5})
    killed = simulated.cluster.calls.index("kill")
    assert 1 <= simulated.cluster.calls[killed:].count("observe") <= 2


def test_a_missing_result_is_an_error_and_nothing_is_removed(
    simulate: Callable[..., Any], make_submission: Any
) -> None:
    simulated = simulate(None, make_submission(backward=["nothing"]))
    with pytest.raises(ResultMissing, match="did not write 6 of their backward_files"):
        simulated.run()
    assert "remove" not in simulated.cluster.calls


def test_exit_on_submit_leaves_and_the_next_run_goes_on(simulate: Callable[..., Any]) -> None:
    simulated = simulate()
    history = simulated.run(exit_on_submit=True)
    assert not states(history) & {State.unsubmitted, State.finished}
    assert states(simulated.run()) == {State.finished}
    assert once_each(simulated)


def test_a_signal_is_recorded_and_says_how_to_resume(simulate: Callable[..., Any]) -> None:
    simulated = simulate()
    with pytest.raises(Interrupted, match="Run the same command again"):
        simulated.run(environment={"stop": lambda: len(simulated.cluster.runs) > 0})
    assert any(isinstance(r, ev.Note) and r.text.startswith("interrupted") for r in simulated.records())
    assert states(simulated.run()) == {State.finished}
    assert once_each(simulated)


def test_cancelling_ends_every_job_for_that_reason(simulate: Callable[..., Any]) -> None:
    simulated = simulate(type("Long", (Conditions,), {"runs_for": lambda self: 1e9})())
    with pytest.raises(JobsFailed, match="cancelled"):
        simulated.run(environment={"cancelled": lambda: len(simulated.cluster.runs) > 0})
    causes = {job.cause.kind for job in simulated.replayed().jobs.values() if job.cause}
    assert causes == {"cancelled"}


# -- death at every step ----------------------------------------------------------------------------------------


#: Where the world outside the journal is touched: what a dialect has a part in.
_OUTSIDE = re.compile(r"(?:before|after) (?:submit|observe|account|kill|remove|note|[A-Z]+ /)|put|tree|get")


class DiesAt(Conditions):
    """Counts the points where the world is touched (`only` those of these names) and dies at one of them."""

    def __init__(self, step: int, killed: type[BaseException], fails: bool, only: str = "") -> None:
        self.left, self.killed, self.fails, self.steps, self.only = step, killed, fails, 0, only

    def step(self, point: str) -> None:
        if re.match(self.only, point):
            self.steps += 1
            self.left -= 1
            if self.left == 0:
                raise self.killed

    def exit_code(self, job: str, task: int, attempt: int) -> int:
        return int(self.fails and task == 1 and attempt == 1)


def reported(records: list[Any]) -> dict[str, list[Any]]:
    """Every job's records without what may differ between lives: nonces, ids, times, and a question asked again."""
    story: dict[str, list[Any]] = {}
    for record in records:
        if not isinstance(record, ev.JOB_EVENTS) or isinstance(record, (ev.NotFound, ev.InDoubt)):
            continue
        plain = msgspec.to_builtins(record)
        for varying in ("nonce", "id", "how", "why", "node", "asked"):
            plain.pop(varying, None)
        plain["tasks"] = [task[:2] for task in plain.get("tasks", [])]
        lines = story.setdefault(plain.pop("job"), [])
        if plain["k"] in ("running", "completing") or (lines and lines[-1] == plain):
            continue  # what was seen depends on when somebody looked
        lines.append(plain)
    return story


def dies_at_each(
    simulate: Callable[..., Any], killed: type[BaseException], fails: bool, only: str, least: int, each: slice
) -> None:
    clean = simulate(DiesAt(0, killed, fails, only), name="clean")
    undisturbed = clean.run()
    steps = clean.conditions.steps
    assert steps >= least
    for step in range(1, steps + 1)[each]:
        simulated = simulate(DiesAt(step, killed, fails, only), name=f"dies{step}")
        with pytest.raises(killed):
            simulated.run()
        history = simulated.run()
        assert Counter((r.job, r.task) for r in simulated.cluster.runs) == Counter(
            (r.job, r.task) for r in clean.cluster.runs
        ), f"killed at step {step}"
        assert reported(simulated.records()) == reported(clean.records()), f"killed at step {step}"
        assert simulated.replayed().jobs == history.jobs
        for name, job in history.jobs.items():
            assert (job.state, job.fails, job.done) == (
                undisturbed.jobs[name].state,
                undisturbed.jobs[name].fails,
                undisturbed.jobs[name].done,
            )
        simulated.close()


@pytest.mark.slow
@pytest.mark.parametrize("dialect", [""])
@pytest.mark.parametrize("fails", [False, True])
def test_death_at_every_step_then_again_is_as_if_nothing_had_happened(
    simulate: Callable[..., Any], killed: type[BaseException], fails: bool, dialect: str
) -> None:
    dies_at_each(simulate, killed, fails, "", 60, slice(None))


@pytest.mark.slow
@pytest.mark.parametrize("dialect", [*KITS, *CLOUDS])
def test_death_at_every_outside_call_then_again_is_as_if_nothing_had_happened(
    simulate: Callable[..., Any], killed: type[BaseException], dialect: str, full: bool
) -> None:
    """Every eighth call, other ones with the next dialect; every call of each dialect with --full."""
    eighth = slice([*KITS, *CLOUDS].index(dialect) % 8, None, 8)
    dies_at_each(simulate, killed, True, _OUTSIDE.pattern, 25, slice(None) if full else eighth)


class CallsOfLongAgo(Conditions):
    """The first attempt is listed long after it was given up, the call for the second arrives when all is over.

    Until the first has begun, nobody can look what became of the second.
    """

    def __init__(self) -> None:
        self.submits = self.starts = self.outage = 0

    def call_lost(self, what: str) -> bool:
        self.outage += what == "observe" and self.submits == 2
        return what == "observe" and 0 < self.outage < 15

    def accounting(self) -> bool:
        return False

    def call_late(self, what: str) -> float:
        self.submits += 1
        return 600.0 if self.submits == 2 else 0.0

    def visible_after(self) -> float:
        self.starts += 1
        return 70.0 if self.starts == 1 else 0.0

    def starts_after(self) -> float:
        return 70.0 if self.starts == 1 else 1.0

    def runs_for(self) -> float:
        return 60.0 if self.starts == 1 else 3.0

    def fate(self) -> str:
        return "killed" if self.starts == 1 else "ends"


def test_a_call_for_a_nonce_that_was_not_needed_starts_nothing_when_it_arrives(
    simulate: Callable[..., Any], make_submission: Any, dialect: str
) -> None:
    """Asked for (late), asked again: an earlier attempt was found; this nonce is dropped, and still under way."""
    simulated = simulate(CallsOfLongAgo(), make_submission(tasks=1))
    simulated.run()
    assert any(isinstance(record, ev.EarlierAttemptFound) for record in simulated.records())
    assert len(simulated.cluster.runs) == 2, "the first life was lost with its node, the second succeeded"
    assert simulated.cluster.late
    simulated.cluster.sleep(1000)
    assert not simulated.cluster.late
    # Bohrium has neither a claim that jobs share nor a record that could be removed before (docs/cloud.md)
    assert len(simulated.cluster.runs) == (3 if dialect == "Bohrium" else 2)
