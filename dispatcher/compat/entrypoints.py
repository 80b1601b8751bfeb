"""The functions of `dpdispatcher.entrypoints`, `.run` and `.arginfo`.

submit(filename="submission.json")                                 runs it, as `dispatcher submit` does
handle_submission(submission_hash="1f2e…", clean=True)             as `dispatcher submission`
load_submission_from_json("submission.json").run_submission()
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Mapping
from hashlib import sha1
from pathlib import Path
from typing import Any

from ..api.machine import Machine
from ..api.resources import Resources
from ..api.submission import Submission
from ..api.task import Task
from ..cli import run as scripts
from ..cli import submission as after
from ..core.errors import ConfigError
from ..schema import Argument, machine_arginfo, resources_arginfo, submission_arginfo, task_arginfo
from ..schema.documents import load, resolve_refs
from .record import record


def machine_dargs() -> Argument:
    """The keys of a machine, as a dargs Argument."""
    return machine_arginfo()


def resources_dargs(detail_kwargs: bool = True) -> Argument:
    """The keys of resources, as a dargs Argument."""
    return resources_arginfo(detail_kwargs)


def task_dargs() -> Argument:
    """The keys of a task, as a dargs Argument."""
    return task_arginfo()


def submission_args() -> Argument:
    """The keys of a submission file, as a dargs Argument."""
    return submission_arginfo()


def load_submission_from_json(json_path: str, allow_ref: bool = False) -> Submission:
    """The submission in a JSON or YAML file. Raises ConfigError that names the file and the key."""
    return _described(resolve_refs(load(json_path), allow_ref, Path(json_path).parent))


def submit(
    *,
    filename: str,
    dry_run: bool = False,
    exit_on_submit: bool = False,
    allow_ref: bool = False,
    clean: bool | str = True,
    continue_on_failure: bool | None = None,
) -> dict[str, Any]:
    """Run what a submission file asks for; the same call again resumes it. Returns and raises as run_submission."""
    submission = load_submission_from_json(filename, allow_ref)
    return submission.run_submission(
        dry_run=dry_run, exit_on_submit=exit_on_submit, clean=clean, continue_on_failure=continue_on_failure
    )


def handle_submission(
    *,
    submission_hash: str,
    download_terminated_log: bool = False,
    download_finished_task: bool = False,
    clean: bool = False,
    reset_fail_count: bool = False,
) -> None:
    """After a run: fetch logs and results, clean, reset the count of failures. ValueError without an action.

    The submission is looked for below the current directory, or where `record.write` has noted it.
    """
    after.run(
        Namespace(
            path=_place_of(submission_hash),
            download_terminated_log=download_terminated_log,
            download_finished_task=download_finished_task,
            clean=clean,
            reset_fail_count=reset_fail_count,
            machine=None,
            allow_ref=False,
        )
    )


def _place_of(submission_hash: str) -> str:
    noted = record.get_submission(submission_hash, not_exist_ok=True)
    if not noted.is_file():
        return submission_hash
    found = load(noted)
    root = Path(found["machine"].get("local_root") or ".").expanduser()
    return str(root / found["work_base"] / ".dispatcher" / submission_hash)


def read_pep723(script: str) -> dict[str, Any] | None:
    """The table of the block `# /// script` in the text of a script, None without one. ValueError for several."""
    if "\n# /// script" not in f"\n{script}":
        return None
    return {"tool": {"dpdispatcher": dict(scripts.metadata(script, "the script"))}}


def pep723_args() -> Argument:
    """The keys of that table, as a dargs Argument."""
    found = submission_arginfo()
    found.sub_fields["work_base"].optional = True
    return found


def create_submission(metadata: Mapping[str, Any], script_hash: str, allow_ref: bool = False) -> Submission:
    """The submission that a script asks for; `metadata` is what read_pep723 has found."""
    table = dict(resolve_refs(metadata["tool"]["dpdispatcher"], allow_ref))
    machine = table.get("machine")
    root = machine.get("local_root") if isinstance(machine, Mapping) else None
    local = Path(str(root or ".")).expanduser().absolute() / str(table.get("work_base", "./"))
    return _described(scripts.completed(table, f"script_{script_hash}.py", local))


def run_pep723(script: str, allow_ref: bool = False) -> dict[str, Any]:
    """Run the text of a script as its block asks for. Raises ConfigError without one."""
    from ..files.incoming import write_atomic

    metadata = read_pep723(script)
    if metadata is None:
        raise ConfigError("the script has no block '# /// script' … '# ///' (PEP 723)")
    digest = sha1(script.encode(), usedforsecurity=False).hexdigest()
    submission = create_submission(metadata, digest, allow_ref)
    assert submission.machine is not None
    assert submission.machine.context is not None
    write_atomic(Path(submission.machine.context.local_root, f"script_{digest}.py"), script.encode(), 0o644)
    return submission.run_submission()


def run(*, filename: str, allow_ref: bool = False) -> dict[str, Any]:
    """Run a script file as its block asks for."""
    return run_pep723(Path(filename).read_text(encoding="utf-8"), allow_ref)


def start_dpgui(*, port: int, bind_all: bool) -> None:
    """Serve the forms (`dispatcher gui`)."""
    from ..cli import gui

    gui.run(Namespace(port=port, bind_all=bind_all))


def info() -> None:
    """Print which package answers to `import dpdispatcher`."""
    from .modules import VERSION

    sys.stdout.write(f"dpdispatcher {VERSION}, from {Path(__file__).parent}\n")


def _described(data: Mapping[str, Any]) -> Submission:
    for key in ("work_base", "machine", "resources", "task_list"):
        if key not in data:
            raise ConfigError(f"submission/{key}: missing, and it must be given")
    return Submission(
        data["work_base"],
        Machine.load_from_dict(data["machine"]),
        Resources.load_from_dict(data["resources"]),
        data.get("forward_common_files", []),
        data.get("backward_common_files", []),
        task_list=[Task.load_from_dict(task) for task in data["task_list"]],
        previous_submission_hash=data.get("previous_submission_hash"),
    )
