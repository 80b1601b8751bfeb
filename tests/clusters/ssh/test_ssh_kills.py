"""Whole runs while sessions are ended: at random, and at moments that are held still. Nothing lost, nothing twice.

    line     the sshd of every connection dies, what runs goes on               a line that breaks
    logout   and so does everything in the sessions                             an administrator, a hang-up
    scope    and so does everything that was ever started through them          KillUserProcesses of systemd-logind

In the last case jobs of Shell die with the session. That is not for the dispatcher to prevent: it must notice, write
it down, and start them once more, as a new attempt.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dispatcher.core import events as ev
from dispatcher.core.errors import Unreachable
from dispatcher.core.model import SubmissionSpec
from dispatcher.run.session import Session, open_session
from tests.clusters.ssh.arriving import bytes_of

pytestmark = pytest.mark.cluster

MIB = 1 << 20


def test_twenty_tasks_from_end_to_end(profile: dict[str, Any], tasks: Any) -> None:
    with open_session(tasks.spec(20, "sleep 0.05", big=MIB), profile) as session:
        session.run(check_interval=1)
        assert session.context._context._link.logins == 1  # type: ignore[attr-defined]
        assert not Path(session.context.place.remote_root).exists()
    assert tasks.check(20) == 0
    journals = b"".join(path.read_bytes() for path in tasks.local.glob(".dispatcher/**/*") if path.is_file())
    assert profile["key_filename"].encode() not in journals


# at random


@contextmanager
def killing(sessions: Any, manner: str, times: int, begun: Callable[[], bool], end: Path) -> Iterator[list[float]]:
    """Ends sessions in the background, half of the times when a task has begun; then `end` is there.

    What it yields grows by one with each.
    """
    luck, over, kills = random.Random(4), threading.Event(), list[float]()

    def kill() -> None:
        while len(kills) < times and not over.wait(luck.uniform(0.2, 1.1)):
            while len(kills) >= times // 2 and not begun() and not over.wait(0.1):
                pass
            sessions.kill(manner)
            kills.append(time.monotonic())
        end.touch()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        yield kills
    finally:
        over.set()
        killer.join()


def whole_run(spec: SubmissionSpec, profile: dict[str, Any], refused: list[str]) -> bool:
    """Whether it came to its end; what it said when it was killed while it made the first connection."""
    try:
        with open_session(spec, profile) as session:
            session.run(check_interval=1)
    except Unreachable as error:
        refused.append(str(error))
        return False
    return True


@pytest.mark.parametrize("manner", ["line", "logout", "scope"])
def test_random_kills_lose_nothing_and_repeat_nothing(
    profile: dict[str, Any],
    ssh_servers: Mapping[str, str],
    sessions: Any,
    tasks: Any,
    manner: str,
    full: bool,
) -> None:
    many, times = 40 if full else 20, 20 if full else 8
    end = Path(ssh_servers["SSH_RUN"]).parent / f"end-{uuid4().hex}"
    # the last task ends after the last kill
    spec = tasks.spec(many, f"sleep 1; [ $(cat in) != {many - 1} ] || until [ -e {end} ]; do sleep 0.2; done")
    far = Path(f"~{profile['username']}").expanduser() / spec.machine.remote_root.removeprefix("~/")
    refused = list[str]()
    with killing(sessions, manner, times, lambda: any(far.rglob("*.claim")), end) as kills:
        # the pauses between logins that fail grow to a minute, and hold for whoever asks next
        while not (done := whole_run(spec, profile, refused)) and len(refused) < 300:
            time.sleep(1)
    assert done, refused
    killed = tasks.check(many)
    assert len(kills) == times
    assert (killed > 0) is (manner == "scope"), "a session's end must not touch jobs that have left it"


# at certain moments

PART = 48 * MIB


def below(session: Session, pattern: str) -> list[Path]:
    """Files on the far side; it is the same machine."""
    return list(Path(session.context.place.remote_root).glob(pattern))


def partial(paths: list[Path]) -> bool:
    return any(0 < bytes_of(path) < PART for path in paths)


def moment(name: str, session: Session) -> tuple[str, Callable[[], bool]]:
    """What must be going on, and how far it must have come."""
    local = session.local
    if name == "upload":
        return "put", lambda: partial(below(session, ".dispatcher/*/in/t0/big"))
    if name == "download":
        return "get", lambda: partial(list(local.glob("t0/.dispatcher-*.part")))
    if name == "submit":  # some jobs are started, the others are not, and the answer has not been given
        return "submit", lambda: 2 <= len(below(session, ".dispatcher/*/jobs/*.id")) < 6
    return "observe", lambda: len(below(session, ".dispatcher/*/jobs/*.claim")) > 0


@pytest.mark.parametrize("manner", ["line", "logout", "tree"])
@pytest.mark.parametrize("where", ["upload", "submit", "poll", "download"])
def test_killed_in_the_middle_of(
    profile: dict[str, Any], proxy: Any, sessions: Any, tasks: Any, aimed: Any, where: str, manner: str
) -> None:
    big = PART if where in ("upload", "download") else 0
    spec = tasks.spec(8, "sleep 0.5", big, {"max_running": 8}, wait_time=0.5)
    with open_session(spec, profile) as session:
        phase, far_enough = moment(where, session)
        shot = aimed(sessions, manner, phase, far_enough, lambda rate: proxy.tell("rate", str(rate)))
        shot.at(session)
        session.run(check_interval=1)
        assert session.context._context._link.logins == 2
    assert shot.hit
    assert tasks.check(8) == 0, "the jobs have left the sessions, and are not touched"
    if big:
        assert (tasks.local / "t0/copy").read_bytes() == (tasks.local / "t0/big").read_bytes()


@pytest.mark.parametrize("manner", ["line", "logout"])
def test_killed_in_the_middle_of_the_text_of_a_submission(
    profile: dict[str, Any], sessions: Any, tasks: Any, aimed: Any, proxy: Any, manner: str
) -> None:
    """Half a text submits nothing: the jobs of its first half neither."""
    spec = tasks.spec(24, "sleep 0.1", machine={"max_running": 24})
    seen: list[int] = []
    with open_session(spec, profile) as session:
        session.upload()

        def half() -> bool:
            begun.append(proxy.tell("stats")["to_target"])
            seen[:] = [len(below(session, ".dispatcher/*/jobs/*"))]
            if begun[-1] - begun[0] > 60_000:
                proxy.tell("freeze")
                return True
            return False

        begun: list[int] = []
        shot = aimed(sessions, manner, "submit", half)
        shot.at(session)
        proxy.tell("rate", "25000")
        patient = threading.Thread(target=lambda: (wait_for(lambda: shot.hit), proxy.tell("ok")))
        patient.start()
        session.run(check_interval=1)
        patient.join()
    assert seen == [0]
    assert [event.how for event in tasks.events() if isinstance(event, ev.Submitted)] == ["reply"] * 24
    assert tasks.check(24) == 0


def wait_for(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
