"""The promises hold on thousands of seeds, and every fault put into our own protocol breaks one of them."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from dispatcher.core import events, lifecycle
from dispatcher.core.ports import Claim, Native, Observation, Observations
from dispatcher.run import again, due, engine, observer, recorder, session
from dispatcher.run import opening as beginning
from journal import errors, segment, takeover, writer
from tests.simulation import cluster, faults, hosts, ports, shrink, simulated, simulation
from tests.simulation.dialects import KITS
from tests.simulation.faults import Faulty

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("part", range(20))
def test_no_seed_breaks_a_promise(part: int, full: bool) -> None:
    """Each part has seeds of its own, which are the first of those of the full size."""
    for seed in range(part * 100, part * 100 + (100 if full else 20)):
        try:
            simulation.simulate(seed)
        except BaseException as error:
            raise AssertionError(f"python -m tests.simulation.simulation --seed {seed}: {error!r}") from error


@pytest.mark.parametrize("dialect", KITS)
def test_no_seed_breaks_a_promise_in_the_words_of_a_batch_system(dialect: str, full: bool) -> None:
    """A second each, because a real `sh` runs what the dialect says: many more with make soak."""
    for seed in range(10 if full else 3):
        try:
            simulation.simulate(seed, dialect=dialect)
        except BaseException as error:
            how = f"--dialect {dialect} --seed {seed}"
            raise AssertionError(f"python -m tests.simulation.simulation {how}: {error!r}") from error


def test_a_seed_is_the_same_run_every_time() -> None:
    first, second = (simulation.simulate(7) for _ in range(2))
    assert first[1].faults == second[1].faults
    assert first[0].cluster.runs == second[0].cluster.runs


def test_the_worlds_are_bad_ones() -> None:
    """Every kind of fault happens, or the seeds prove little."""
    kinds = {name.partition(":")[0] for seed in range(60) for _, name in simulation.simulate(seed)[1].faults}
    assert kinds == set(Faulty(0).rates)


# -- faults in our own protocol ---------------------------------------------------------------------------------

Break = Callable[[pytest.MonkeyPatch], None]
MUTANTS: dict[str, Break] = {}


def mutant(function: Break) -> Break:
    MUTANTS[function.__name__] = function
    return function


def often(patch: pytest.MonkeyPatch, **rates: float) -> None:
    """Faults that must come together for this one to matter: no need to wait for them through thousands of seeds."""
    for kind, rate in rates.items():
        patch.setitem(faults.RATES, kind.replace("_", " "), rate)


@mutant
def intent_after_the_submission(patch: pytest.MonkeyPatch) -> None:
    def submit(self: Any, due: list[Any]) -> bool:
        requests = {job.job: self._request(job) for job in due}
        reply = self.context.run(self.scheduler.submit(list(requests.values()), self.context.place))
        answers = self.scheduler.submitted(reply, list(requests.values()))
        for job in due:
            self.recorder.record(events.Submitting(job.job, max(job.attempt, 1), requests[job.job].nonce))
            self.recorder.record(engine._answered(job.job, answers[requests[job.job].nonce]))
        self.recorder.commit()
        return True

    patch.setattr(engine.Engine, "_submit_batch", submit)


@mutant
def intent_not_durable(patch: pytest.MonkeyPatch) -> None:
    commit = recorder.Recorder.commit

    def lazy(self: Any) -> None:
        if not any(job.submission_pending for job in self.history.jobs.values()):
            commit(self)

    patch.setattr(recorder.Recorder, "commit", lazy)


@mutant
def a_lost_answer_is_asked_again_under_a_new_nonce(patch: pytest.MonkeyPatch) -> None:
    """What was never asked for is withdrawn by its mark: only an accepted job that nobody can find yet is at risk."""
    often(patch, reply_lost=0.4, receipt_lost=0.5, listed_late=0.5)
    request = engine.Engine._request
    patch.setattr(engine.Engine, "_request", lambda self, job: request(self, msgspec.structs.replace(job, nonce="")))
    patch.setitem(lifecycle._FITS, events.Submitting, lambda job, event: True)


@mutant
def receipts_ignored(patch: pytest.MonkeyPatch) -> None:
    submit = cluster.Cluster.submit

    def forgetful(self: Any, requests: Any) -> Any:
        self.receipts.clear()
        return submit(self, requests)

    patch.setattr(cluster.Cluster, "submit", forgetful)
    patch.setattr(cluster.Cluster, "_claims", lambda self, copy: self.write(copy.nonce, Claim(copy.id)) or True)


@mutant
def a_request_is_made_without_a_mark(patch: pytest.MonkeyPatch) -> None:
    submit = cluster.Cluster.submit

    def unmarked(self: Any, requests: Any) -> Any:
        rows = submit(self, requests)
        self.requests.clear()
        return rows

    patch.setattr(cluster.Cluster, "submit", unmarked)


@mutant
def what_was_not_asked_is_not_withdrawn(patch: pytest.MonkeyPatch) -> None:
    """So that a call that comes late asks all the same."""
    patch.setattr(cluster.Cluster, "withdraws", lambda self, nonce, asked: asked and (nonce, asked) not in self.made)


@mutant
def the_claim_is_skipped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cluster.Cluster, "_claims", lambda self, copy: self.write(copy.nonce, Claim(copy.id)) or True)


@mutant
def earlier_attempts_are_not_withdrawn(patch: pytest.MonkeyPatch) -> None:
    request = engine.Engine._request
    patch.setattr(
        engine.Engine, "_request", lambda self, job: msgspec.structs.replace(request(self, job), withdrawals=())
    )


@mutant
def absent_taken_for_finished(patch: pytest.MonkeyPatch) -> None:
    decide = lifecycle.decide

    def hasty(progress: Any, seen: Observation, gone: bool) -> Any:
        live = progress.state in (lifecycle.State.waiting, lifecycle.State.running)
        return events.Finished(progress.job) if live and seen.native is Native.absent else decide(progress, seen, gone)

    patch.setattr(observer, "decide", hasty)


@mutant
def no_grace(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(ports.SimulatedQueue, "absence_timeout", 0.0)


@mutant
def no_answer_taken_for_absence(patch: pytest.MonkeyPatch) -> None:
    run = ports.SimulatedPlace.run

    def deaf(self: Any, call: Any) -> Any:
        request = msgspec.json.decode(call.text)
        try:
            return run(self, call)
        except observer.Unreachable:
            if request["op"] != "observe":
                raise
            empty = {nonce: Observation(Native.absent) for nonce in request["nonces"]}
            return ports.Reply(0, msgspec.json.encode(empty).decode())

    patch.setattr(ports.SimulatedPlace, "run", deaf)
    patch.setattr(ports.SimulatedQueue, "absence_timeout", 1.0)


@mutant
def a_retry_runs_everything_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lifecycle.Progress, "unfinished", property(lambda self: list(range(self.size))))


@mutant
def failing_tasks_count_as_done(patch: pytest.MonkeyPatch) -> None:
    every = lambda tasks, size: sum(1 << index for index, _, _ in tasks)  # noqa: E731
    patch.setattr(lifecycle, "bits", every)


@mutant
def ended_states_are_derived_again(patch: pytest.MonkeyPatch) -> None:
    legal = {**lifecycle.moves(), (lifecycle.State.finished, "retried"): lifecycle.State.unsubmitted}
    patch.setattr(lifecycle, "moves", lambda: legal)
    patch.setattr(lifecycle, "_rules", functools.cache(lifecycle._rules.__wrapped__))
    todo = lifecycle.todo

    def once_more(job: Any, policy: Any) -> Any:
        once = job.state is lifecycle.State.finished and job.attempt == 1
        return lifecycle.Todo.retry if once else todo(job, policy)

    patch.setattr(due, "todo", once_more)
    real = lifecycle.Progress.unfinished
    rest: Callable[[Any], list[int]] = lambda job: real.fget(job) or list(range(job.size))  # noqa: E731
    patch.setattr(lifecycle.Progress, "unfinished", property(rest))


@mutant
def believed_without_being_written(patch: pytest.MonkeyPatch) -> None:
    def record(self: Any, *what: Any) -> None:
        for event in what:
            step = self.history.check(event)
            if not isinstance(event, events.Running):
                self.log.append(event)
            step()

    patch.setattr(recorder.Recorder, "record", record)


@mutant
def the_lock_does_not_hold(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hosts.HostLock, "acquire", lambda self, timeout, session: None)


@mutant
def the_lock_is_released_early(patch: pytest.MonkeyPatch) -> None:
    recover = writer.Journal._recover

    def hasty(self: Any, replay: Any) -> None:
        recover(self, replay)
        self._lock.release()

    patch.setattr(writer.Journal, "_recover", hasty)


@mutant
def the_lock_of_a_dead_host_is_everybodys(patch: pytest.MonkeyPatch) -> None:
    """Broken by age, as leases are: its owner may be suspended, not dead."""
    acquire = hosts.HostLock.acquire

    def by_age(self: Any, timeout: float, session: str) -> None:
        other, _ = self.server.holders.get(self.key, (self.process, 0.0))
        if other.suspended:
            self.server.holders.pop(self.key)
        acquire(self, timeout, session)

    patch.setattr(hosts.HostLock, "acquire", by_age)


@mutant
def nothing_is_synced(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(segment.Segment, "sync", lambda self: None)


@mutant
def a_failed_sync_is_tried_again(patch: pytest.MonkeyPatch) -> None:
    often(patch, disk=0.05)

    def stubborn(self: Any) -> None:
        while True:
            try:
                return self._files.datasync(self._fd)
            except OSError:
                continue

    patch.setattr(segment.Segment, "sync", stubborn)
    patch.setattr(segment.Segment, "_expect", lambda self, size, why: None)


@mutant
def a_torn_tail_is_cut_off(patch: pytest.MonkeyPatch) -> None:
    harden = takeover.harden

    def tidy(reader: Any) -> None:
        harden(reader)
        fd = reader.files.update(reader.name(reader.end[0]))
        reader.files.truncate(fd, reader.end[1])
        reader.files.close(fd)
        reader.torn = 0

    patch.setattr(takeover, "harden", tidy)


@mutant
def the_last_segment_is_not_frozen(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(hosts.HostFiles, "touch", lambda self, path: None)


@mutant
def nobody_looks_whether_it_is_frozen(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(segment.Segment, "check_frozen", lambda self: None)


@mutant
def a_segment_is_read_that_was_not_frozen(patch: pytest.MonkeyPatch) -> None:
    often(patch, second_started=0.05, stale_listing=0.5)

    def trusting(reader: Any, codec: Any, replay: Any) -> None:
        before = reader.segments()
        if before:
            reader.files.touch(f"{reader.path}/{before[-1]:08d}.frozen")
        for frame in takeover.decoded(reader, codec):
            replay(frame)
        if before:
            takeover.harden(reader)

    patch.setattr(takeover, "take_over", trusting)


@mutant
def a_rivals_segment_is_replaced(patch: pytest.MonkeyPatch) -> None:
    often(patch, second_started=0.05, suspended=0.02)
    link = hosts.HostFiles.link

    def over(self: Any, old: str, new: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)
        link(self, old, new)

    patch.setattr(hosts.HostFiles, "link", over)


@mutant
def a_writer_that_was_taken_over_goes_on(patch: pytest.MonkeyPatch) -> None:
    commit = writer.Journal.commit

    def deaf(self: Any) -> Any:
        try:
            return commit(self)
        except errors.JournalFenced:
            self._dead = None
            return self.position

    patch.setattr(writer.Journal, "commit", deaf)
    patch.setattr(writer.Journal, "confirm", lambda self: None)


@mutant
def one_that_was_taken_over_still_asks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(writer.Journal, "confirm", lambda self: None)


@mutant
def a_secret_is_kept(patch: pytest.MonkeyPatch) -> None:
    as_json = beginning._as_json
    patch.setattr(beginning, "_as_json", lambda value: {**as_json(value), "password": simulated.SECRETS[0]})


@mutant
def half_an_upload_is_taken_for_one(patch: pytest.MonkeyPatch) -> None:
    often(patch, upload_cut=0.5)
    upload = session.Session.upload

    def hasty(self: Any) -> None:
        try:
            upload(self)
        except observer.Unreachable:
            self.record(events.Staged(1, 1))

    patch.setattr(session.Session, "upload", hasty)


@mutant
def half_a_download_is_taken_for_one(patch: pytest.MonkeyPatch) -> None:
    """Nor does anybody look, before what is there is removed, whether all of it is here."""
    get = ports.SimulatedPlace.get

    def hasty(self: Any, items: Any) -> Any:
        try:
            return get(self, items)
        except observer.Unreachable:
            return [msgspec.structs.replace(item, digest="0" * 64) for item in items]  # and says that it has looked

    patch.setattr(ports.SimulatedPlace, "get", hasty)
    patch.setattr(again.Again, "refuse_gone", lambda self: None)


@mutant
def the_clock_on_the_wall_measures_the_grace(patch: pytest.MonkeyPatch) -> None:
    often(patch, clock_jumps=0.2)
    init = observer.Observer.__init__

    def wall(self: Any, recorder: Any, scheduler: Any, context: Any, environment: Any) -> None:
        init(self, recorder, scheduler, context, msgspec.structs.replace(environment, elapsed=environment.now))

    patch.setattr(observer.Observer, "__init__", wall)


@mutant
def a_failure_is_not_reported(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(session.Session, "_conclude", lambda self: self.record(events.Concluded("finished", 0)))


@mutant
def removed_before_it_is_fetched(patch: pytest.MonkeyPatch) -> None:
    download = session.Session.download

    def tidy(self: Any) -> None:
        self.context.remove()
        download(self)

    patch.setattr(session.Session, "download", tidy)


@mutant
def a_marker_of_another_attempt_counts(patch: pytest.MonkeyPatch) -> None:
    one = ports.SimulatedPlace._one

    def confused(self: Any, nonce: str) -> Observation:
        seen = one(self, nonce)
        ended = [claim for claim in self.cluster.claims.values() if claim.ended == 0]
        return msgspec.structs.replace(seen, claim=msgspec.structs.replace(ended[0], owner=seen.id)) if ended else seen

    patch.setattr(ports.SimulatedPlace, "_one", confused)


@mutant
def an_empty_look_is_believed_whole(patch: pytest.MonkeyPatch) -> None:
    observed = ports.SimulatedQueue.observed

    def partial(self: Any, reply: Any, queries: Any) -> Observations:
        seen = observed(self, reply, queries)
        blind = {
            nonce: Observation(Native.ended, id=observation.id, how=observation.how)
            for nonce, observation in seen.jobs.items()
        }
        return Observations(blind)

    patch.setattr(ports.SimulatedQueue, "observed", partial)


@pytest.mark.parametrize("name", MUTANTS)
def test_every_fault_in_our_own_protocol_is_caught(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[name](monkeypatch)
    for seed in range(400):
        try:
            simulation.simulate(seed)
        except Exception:
            return
    raise AssertionError(f"{name}: 400 seeds and no promise was broken")


def test_there_are_enough_of_them() -> None:
    assert len(MUTANTS) >= 33


def test_a_failing_seed_becomes_a_short_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """It breaks the same promise, with few faults and few tasks; each fault it names is needed."""
    MUTANTS["no_grace"](monkeypatch)
    seed = next(seed for seed in range(400) if shrink._broken(simulation.simulate, seed, None, None))
    script = shrink.shortest(seed, simulation.simulate)
    first, call, said, *faults = script.splitlines()
    assert first == "from tests.simulation.simulation import simulate"
    with pytest.raises(hosts.BrokenPromise) as broken:
        exec(script, {})
    assert said == f"# {broken.value}"
    assert len(faults) < len(shrink_faults(seed)), call
    assert all(line.startswith("# fault ") for line in faults)


def shrink_faults(seed: int) -> list[Any]:
    with pytest.raises(hosts.BrokenPromise) as broken:
        simulation.simulate(seed)
    return broken.value.faults
