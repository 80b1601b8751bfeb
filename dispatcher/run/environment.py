"""What the loop takes from the world besides its two ports: clock, sleep, chance, and the user's wishes."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from ..core.ports import Context, Query, Reply, Scheduler


def alone(scheduler: Scheduler, context: Context, queries: Sequence[Query]) -> Reply | None:
    """A look at these jobs, and at no others."""
    return context.run(scheduler.observe(queries, context.place))


class Environment(msgspec.Struct, frozen=True):
    """Handed in, so that tests and simulations can give their own.

    `now` in seconds since the epoch, `elapsed` in seconds of a clock that never steps,
    `sleep(seconds)` may return early, `nonce()` is new at every call,
    `stop()` is true when the run is to be stopped, `cancelled()` when the user has asked to cancel,
    `look(scheduler, context, queries)` is the answer to a question about these jobs, which may be asked together with
    others'; None when the run is to be stopped before there is one,
    `exists(path)` is true while a result is on the local side, `show(engine)` is called with the Engine whenever
    something changed.
    """

    now: Callable[[], float]
    elapsed: Callable[[], float]
    sleep: Callable[[float], None]
    nonce: Callable[[], str]
    stop: Callable[[], bool] = lambda: False
    cancelled: Callable[[], bool] = lambda: False
    show: Callable[[Any], None] = lambda engine: None
    exists: Callable[[Path], bool] = os.path.lexists
    look: Callable[[Scheduler, Context, Sequence[Query]], Reply | None] = alone


def real_environment(**extra: Any) -> Environment:
    """The real clock, the real sleep, random nonces."""
    return Environment(
        **{"now": time.time, "elapsed": time.monotonic, "sleep": time.sleep, "nonce": new_nonce, **extra}
    )


def new_nonce() -> str:
    """Twelve characters that are safe in every scheduler's job name, new for every attempt."""
    return "d" + "".join(secrets.choice(_ALPHABET) for _ in range(11))


_ALPHABET = "abcdefghijkmnpqrstuvwxyz23456789"
