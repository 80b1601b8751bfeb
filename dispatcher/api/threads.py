"""Work that takes long, in a thread of its own: for event loops that must go on, however many runs there are.

    result = await in_a_thread(work, stop)      cancelled: stop() is called, and the thread is over before this returns

Threads of the loop's own pool are few (processors and four): a run that waits for days must not take one of them.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")
#: Seconds after which a run that has not ended is told again.
_AGAIN = 0.2


async def in_a_thread(work: Callable[[], T], stop: Callable[[], object]) -> T:
    """What `work` returns or raises. `stop` must make it end soon; it may be called from any thread."""
    loop = asyncio.get_running_loop()
    over: asyncio.Future[T] = loop.create_future()

    def tell(put: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
            loop.call_soon_threadsafe(put)

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            failed = error
            tell(lambda: over.set_exception(failed))
        else:
            tell(lambda: over.set_result(result))

    threading.Thread(target=run, name="dispatcher run").start()
    try:
        return await asyncio.shield(over)
    except asyncio.CancelledError:
        while not over.done():  # it may not have begun yet when it is first told
            stop()
            await asyncio.wait([over], timeout=_AGAIN)
        over.exception()  # asked for, so that nobody is told of it at the end
        raise
