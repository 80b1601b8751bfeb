"""What surrounds the simulated cluster and its dispatchers. The default is a good world; override to make it worse.

class Full(World):
    def refuses(self) -> bool:          asked at one point of the simulation: "not now"?
        return True
"""

from __future__ import annotations


class Conditions:
    """What the surroundings do. Every method is asked at one point of the simulation."""

    #: Seconds that the clock on every wall is ahead.
    skew = 0.0

    def step(self, point: str) -> None:
        """Called before and after every effect; may raise to kill the dispatcher there."""

    # -- the way there and back ---------------------------------------------------------------------------------

    def reply_lost(self, what: str) -> bool:
        """The effect happened, its answer does not arrive."""
        return False

    def call_lost(self, what: str) -> bool:
        """The call never arrives: no effect, no answer."""
        return False

    def call_late(self, what: str) -> float:
        """Seconds after which a call, whose answer is lost, has its effect; 0: at once."""
        return 0.0

    def call_doubled(self, what: str) -> bool:
        """The call has its effect twice."""
        return False

    def answer_old(self, what: str) -> bool:
        """The answer to the question before, of a moment ago, comes once more."""
        return False

    def answer_shuffled(self, what: str) -> bool:
        """The lines of the answer come in another order, and one of them twice."""
        return False

    def upload_cut(self) -> bool:
        """The connection breaks in the middle of a file that goes up."""
        return False

    def download_cut(self) -> bool:
        """The connection breaks before this file comes down."""
        return False

    # -- the queue ----------------------------------------------------------------------------------------------

    def refuses(self) -> bool:
        """The queue says "not now"."""
        return False

    def forgets(self) -> bool:
        """The controller loses a job that it has just accepted, and gives its id to the next one."""
        return False

    def restarts(self) -> bool:
        """The controller comes back without its jobs: those that wait are gone, those that run are listed no more."""
        return False

    def keeps_receipt(self) -> bool:
        """Whether the far side lives long enough to write down what the queue answered."""
        return True

    def visible_after(self) -> float:
        """Seconds until an accepted job is listed."""
        return 0.0

    def starts_after(self) -> float:
        """Seconds until a job starts, from when it is accepted."""
        return 1.0

    def runs_for(self) -> float:
        """Seconds that a job runs."""
        return 3.0

    def exit_code(self, job: str, task: int, attempt: int) -> int:
        """How the nth start (from 1) of a task ends."""
        return 0

    def fate(self) -> str:
        """What becomes of a running job: "ends", "killed" (no marker), "requeued" (starts again under the same id).

        "cut off": its node is out of the scheduler's reach; it is started again elsewhere, and goes on there as well.
        """
        return "ends"

    def accounting(self) -> bool:
        """Whether the accounting answers."""
        return True

    def keeps_history(self) -> bool:
        """Whether a batch system goes on listing what has ended."""
        return True

    # -- files --------------------------------------------------------------------------------------------------

    def stale(self) -> bool:
        """A claim is shown as it was before its last change."""
        return False

    def stale_listing(self) -> bool:
        """A directory is listed without the names that another host has just made."""
        return False

    def torn(self) -> bool:
        """Of what a dead writer had not synced only a part is ever written."""
        return False

    def disk(self) -> str:
        """What the journal's disk does: "", "full", "error", "short", "unsynced" or "dropped": fsync fails."""
        return ""
