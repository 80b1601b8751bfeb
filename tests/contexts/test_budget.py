"""How often a machine may be asked in a minute: the rule, the spending that processes share, and when it is refused."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.contexts import budget as budgets
from dispatcher.contexts.budget import Budget, Limits
from dispatcher.contexts.budgeted import budgeted
from dispatcher.contexts.local.lazy_local import LazyLocalConnection
from dispatcher.core.errors import Interrupted, NotOurs
from dispatcher.core.model import MachineSpec
from dispatcher.core.ports import ShellText


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    return tmp_path


@given(st.integers(1, 5), st.lists(st.floats(0, 40), max_size=60))
def test_no_minute_has_more_than_the_limit(limit: int, pauses: list[float]) -> None:
    now, spent, times = 1e9, dict[int, int](), list[float]()
    for pause in pauses:
        now += pause
        wait = budgets.room_in(spent, limit, now)
        if wait:
            assert 0 < wait <= 61 and budgets.room_in(spent, limit, now + wait) == 0
        else:
            spent[int(now)] = spent.get(int(now), 0) + 1
            times.append(now)
    assert all(sum(start <= one < start + 60 for one in times) <= limit for start in times)


def test_processes_share_it(home: Path) -> None:
    code = (
        "from dispatcher.contexts.budget import Budget, Limits\n"
        "budget = Budget('me@login', Limits(calls=50))\n"
        "print(sum(not budget.spend('calls') for _ in range(40)))"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sum(int(one.communicate(timeout=60)[0]) for one in both) == 50
    spending = budgets.spent_of(Budget("me@login", Limits()).digest, budgets.time.time())
    assert spending is not None and (spending.name, spending.limits.calls) == ("me@login", 50)
    assert Budget("you@login", Limits(calls=1)).spend("calls") == 0  # another machine, or another user there


def test_kinds_are_counted_apart() -> None:
    budget = Budget("me@login", Limits(calls=1, logins=1), clock=lambda: 1e9)
    assert (budget.spend("calls"), budget.spend("logins")) == (0, 0)
    assert budget.spend("calls") == budget.spend("logins") == 61


def test_a_ledger_is_ours_or_refused(home: Path) -> None:
    budget = Budget("me@login", Limits(calls=5))
    assert budget.spend("calls") == 0
    (spending,) = (home / "run/dispatcher").iterdir()
    assert (spending.stat().st_mode & 0o777, spending.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    spending.write_text("no spending")
    assert budget.spend("calls") == 0 and json.loads(spending.read_text())["name"] == "me@login"
    spending.chmod(0o666)
    with pytest.raises(NotOurs):
        budget.spend("calls")
    assert budgets.spent_of(budget.digest, 1e9) is None
    spending.unlink()
    spending.symlink_to(home / "elsewhere")
    with pytest.raises(NotOurs):
        budget.spend("calls")
    assert not (home / "elsewhere").exists()
    spending.unlink()
    spending.parent.chmod(0o777)
    with pytest.raises(NotOurs):
        budget.spend("calls")


def test_where_none_can_be_kept_each_process_counts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "file").write_text("")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home / "file"))
    budget = Budget("me@login", Limits(calls=2), clock=lambda: 1e9)
    assert [budget.spend("calls") for _ in range(3)] == [0, 0, 61]


def test_a_context_waits_for_room_and_stops_when_it_is_told(home: Path) -> None:
    stopped = threading.Event()
    machine = MachineSpec("Shell", "LazyLocal", str(home), max_calls_per_minute=1)
    plain = LazyLocalConnection.open(machine, {}, "0" * 40, "w")
    context = budgeted(plain, machine, stopped.is_set)
    assert context.run(ShellText("echo once")).out == "once\n"
    errors: list[BaseException] = []

    def again() -> None:
        try:
            context.run(ShellText("echo twice >> twice"))
        except Interrupted as error:
            errors.append(error)

    waiting = threading.Thread(target=again)
    waiting.start()
    stopped.set()
    waiting.join(60)
    assert len(errors) == 1 and not list(home.rglob("twice"))
    assert budgeted(plain, MachineSpec("Shell", "LazyLocal", str(home)), stopped.is_set) is plain
