"""Several dispatchers in one simulation: one runs at a time, and says when others may.

    turns = Turns(cluster)
    turns.start(life_of_one); turns.start(life_of_another)
    turns.run(choose=lambda ready: 0)         until all are over

    turns.pause(8.0)                          inside a life: come back after eight seconds of the cluster's time

Each life has a thread of its own, which sleeps but in its turn: a run depends on `choose` and on nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Semaphore, Thread

from .cluster import Cluster
from .hosts import Killed


class Turn:
    """One life. `wake` is when it goes on, in seconds of the cluster's clock."""

    def __init__(self, wake: float) -> None:
        self.wake = wake
        self.go = Semaphore(0)
        self.over = self.doomed = False
        self.error: BaseException | None = None


class Turns:
    """The lives of a simulation. When nobody is ready, time passes."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.lives: list[Turn] = []
        self.current: Turn | None = None
        self._back = Semaphore(0)

    def start(self, live: Callable[[], None]) -> Turn:
        """Another life; it begins when it is chosen."""
        turn = Turn(self.cluster.now)
        self.lives.append(turn)
        Thread(target=self._whole, args=(turn, live), daemon=True).start()
        return turn

    def _whole(self, turn: Turn, live: Callable[[], None]) -> None:
        turn.go.acquire()
        try:
            if not turn.doomed:
                live()
        except Killed:
            pass
        except BaseException as error:
            turn.error = error
        turn.over = True
        self._back.release()

    def pause(self, seconds: float) -> None:
        """Let others go on; Killed when this life is ended meanwhile."""
        turn = self.current
        if turn is None:  # nobody else is there
            self.cluster.sleep(seconds)
            return
        turn.wake = self.cluster.now + seconds
        self._back.release()
        turn.go.acquire()
        if turn.doomed:
            raise Killed

    def run(self, choose: Callable[[int], int]) -> None:
        """Until every life is over; `choose` says which of so many goes on. Raises what a life raised."""
        try:
            while self.lives:
                ready = [turn for turn in self.lives if turn.wake <= self.cluster.now]
                if not ready:
                    self.cluster.sleep(min(turn.wake for turn in self.lives) - self.cluster.now)
                    continue
                self._resume(ready[choose(len(ready)) if len(ready) > 1 else 0])
        finally:
            for turn in list(self.lives):
                turn.doomed = True
                self._resume(turn, quiet=True)

    def _resume(self, turn: Turn, quiet: bool = False) -> None:
        self.current = turn
        turn.go.release()
        self._back.acquire()
        self.current = None
        if turn.over:
            self.lives.remove(turn)
            if turn.error is not None and not quiet:
                raise turn.error
