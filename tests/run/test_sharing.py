"""Looks of several submissions of one process become one question; nobody waits for another for long."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dispatcher import schedulers
from dispatcher.contexts.local.local import LocalConnection
from dispatcher.core.errors import Purged
from dispatcher.core.model import MachineSpec
from dispatcher.core.ports import Call, Query, Reply
from dispatcher.run import sharing

SHELL: Any = schedulers.load("Shell")


class Gate(LocalConnection):
    """This machine, which answers only while the gate is open."""

    open_: threading.Event
    asked: int

    def run(self, call: Call) -> Reply:
        Gate.asked += 1
        assert Gate.open_.wait(60)
        return super().run(call)


class Watch:
    """A submission that looks when it is told to."""

    def __init__(self, top: Path, nth: int) -> None:
        self.nonce, self.stopped = f"d{nth:011}", threading.Event()
        machine = MachineSpec("Shell", "Local", str(top), str(top / "far"), create_remote_root=True)
        self.context = Gate.open(machine, {}, f"{nth:040}", f"w{nth}")
        woken = threading.Event()
        self.partner = sharing.Partner(lambda seconds: void(woken.wait(seconds)), woken.set, self.stopped.is_set)
        self.queries = [Query(self.nonce)]

    def look(self) -> Any:
        with self.partner:
            return self.seen()

    def seen(self) -> Any:
        reply = self.partner.look(SHELL, self.context, self.queries)
        return reply and SHELL.observed(reply, self.queries).jobs[self.nonce].native.value


def void(value: object) -> None:
    return None


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    Gate.open_, Gate.asked = threading.Event(), 0
    yield Gate.open_
    Gate.open_.set()


@pytest.fixture
def threads() -> Iterator[Callable[..., Future[Any]]]:
    with ThreadPoolExecutor(32) as pool:
        yield pool.submit


def party() -> sharing.Party:
    (found,) = sharing._parties.values()
    return found


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_all_who_wait_are_answered_by_one_question(tmp_path: Path, gate: Any, threads: Any) -> None:
    watches = [Watch(tmp_path, nth) for nth in range(20)]
    first = threads(watches[0].look)
    until(lambda: Gate.asked)
    others = [threads(watch.look) for watch in watches[1:]]
    until(lambda: len(party()._waiting) == 19)
    asked = party()
    gate.set()
    assert [look.result(60) for look in (first, *others)] == ["absent"] * 20
    assert (Gate.asked, asked.questions, asked.looks) == (2, 2, 20)
    assert sharing._parties == {}


def test_who_is_to_stop_leaves_at_once(tmp_path: Path, gate: Any, threads: Any) -> None:
    stops, stays = Watch(tmp_path, 0), Watch(tmp_path, 1)
    stopping = threads(stops.look)
    until(lambda: Gate.asked)
    staying = threads(stays.look)
    until(lambda: len(party()._waiting) == 1)
    stops.stopped.set()
    stops.partner.wake()
    assert stopping.result(60) is None and not gate.is_set()
    assert stops.look() is None
    gate.set()
    assert staying.result(60) == "absent"


def test_who_is_busy_is_not_waited_for(tmp_path: Path, gate: Any) -> None:
    gate.set()
    busy, other = Watch(tmp_path, 0), Watch(tmp_path, 1)
    with busy.partner, other.partner:
        assert busy.seen() == "absent"  # and from here on it uploads, and does not come back
        assert [other.seen(), other.seen()] == ["absent", "absent"]


def test_who_would_look_soon_looks_with_the_others(tmp_path: Path, gate: Any, threads: Any) -> None:
    gate.set()
    sleeper, other = Watch(tmp_path, 0), Watch(tmp_path, 1)

    def twice() -> list[Any]:
        with sleeper.partner:
            first = sleeper.seen()
            sleeper.partner.rest(3600)
            return [first, sleeper.seen()]

    looks = threads(twice)
    until(lambda: sleeper.partner.due)
    together = party()
    sleeper.partner.due = time.monotonic() + 60
    assert other.look() == "absent"
    assert looks.result(60) == ["absent", "absent"]
    assert together.looks == 3


def test_a_directory_that_is_gone_is_its_owners_trouble(tmp_path: Path, gate: Any, threads: Any) -> None:
    first, gone, third = (Watch(tmp_path, nth) for nth in range(3))
    leading = threads(first.look)
    until(lambda: Gate.asked)
    looks = [threads(gone.look)]
    until(lambda: len(party()._waiting) == 1)
    looks.append(threads(third.look))
    until(lambda: len(party()._waiting) == 2)
    shutil.rmtree(gone.context.place.remote_root)
    gate.set()
    assert leading.result(60) == looks[1].result(60) == "absent"
    with pytest.raises(Purged):
        looks[0].result(60)


def test_a_forked_child_begins_with_nothing(tmp_path: Path, gate: Any, threads: Any) -> None:
    watch = Watch(tmp_path, 0)
    look = threads(watch.look)
    until(lambda: Gate.asked)
    with sharing._guard:
        child = os.fork()
        if child == 0:
            os._exit(len(sharing._parties) + sharing._guard.locked())
    assert os.waitpid(child, 0)[1] == 0
    gate.set()
    assert look.result(60) == "absent"
