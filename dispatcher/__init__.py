"""Tasks in, results back: jobs on any batch system, journalled so that nothing runs twice and nothing is lost.

    from dispatcher import Machine, Resources, Submission, Task

    submission = Submission("runs", machine, resources, task_list=[Task("lmp -i in", "t0", ["in"], ["log"])])
    submission.run_submission()

Importing this has no side effect, and the names below are loaded when they are
first used: `python -m dispatcher replay` starts fast and needs no transport.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import *  # noqa: F403 (the names of api.__all__)
    from .core.errors import *  # noqa: F403

__version__ = "0.1.0"

_ERRORS = (
    "ConfigError",
    "DispatcherError",
    "FailedJob",
    "IllegalTransition",
    "InputMissing",
    "InputsChanged",
    "Interrupted",
    "JobsFailed",
    "JournalDamaged",
    "ResultMissing",
    "SubmissionBusy",
    "TransferFailed",
    "Unreachable",
    "Unsupported",
)


_FUNCTIONS = ("as_completed", "replay", "submit_tasks")


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for (PEP 562)."""
    if name == "__all__":
        return [*import_module(".api", __name__).__all__, *_ERRORS, "__version__"]
    if name in _ERRORS:
        return getattr(import_module(".core.errors", __name__), name)
    if (name[:1].isupper() or name in _FUNCTIONS) and name in import_module(".api", __name__).__all__:
        return getattr(import_module(".api", __name__), name)
    raise AttributeError(f"module 'dispatcher' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__getattr__("__all__"))
