"""The names of what is ours, on both sides; each is written here and nowhere else.

runs/.dispatcher/<submission>/journal       what happened
runs/.dispatcher/<submission>/index.json    its tasks by identity, for other submissions; made again when missing
runs/.dispatcher/<submission>/inputs.json   what its forward files held, so that it is not read again; made again, too
runs/.dispatcher/<submission>/budget        where it is counted how often its machine is asked
runs/.dispatcher/<submission>/cancel        somebody asks the dispatcher at work to cancel
R/.dispatcher/<submission>/owner            whose journal it is that this place belongs to
R/.dispatcher/<submission>/jobs             scripts, receipts and claims, where the jobs run
"""

from __future__ import annotations

#: The directory that holds all of ours; whatever begins so never travels.
CONTROL = ".dispatcher"
#: The directory of a submission's journal; beside it the file that asks to cancel, where the asking of its
#: machine is counted, and two that repeat what is known: the index of its tasks, and the digests of its inputs.
JOURNAL, CANCEL, INDEX, INPUTS, BUDGET = "journal", "cancel", "index.json", "inputs.json", "budget"
#: The file on the execution side that says which journal a place belongs to.
OWNER = "owner"


def control_of(root: str, submission: str) -> str:
    """The control directory below a remote root."""
    return f"{root}/{CONTROL}/{submission}/jobs"
