"""What a command printed, in the shape of DPDispatcher's streams.

Output("a\nb\n").read()       ->  b"a\nb\n"
Output("a\nb\n").readlines()  ->  ["a\n", "b\n"]
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from ..core.ports import Context, Reply, ShellText

#: Seconds after which a command of the user's counts as unanswered: a day.
LONGEST = 86400.0


class Output:
    """Text that is read as bytes or as lines."""

    def __init__(self, text: str = "") -> None:
        self._text = text

    def read(self) -> bytes:
        """All of it, as bytes."""
        return self._text.encode(errors="surrogateescape")

    def readlines(self) -> list[str]:
        """All of it, as lines with their ends."""
        return self._text.splitlines(keepends=True)


class Started:
    """A command that runs while the caller goes on."""

    def __init__(self, context: Context, cmd: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1)
        self._reply: Future[Reply] = self._pool.submit(context.run, ShellText(cmd, LONGEST))
        self._pool.shutdown(wait=False)

    def done(self) -> bool:
        """True when it has ended."""
        return self._reply.done()

    def reply(self) -> Reply | None:
        """What it printed, None while it runs. Raises Unreachable when the answer was lost."""
        return self._reply.result() if self.done() else None
