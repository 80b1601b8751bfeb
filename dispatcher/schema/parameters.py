"""The parameters of machine, resources, task and submission.

    RESOURCES[0]    ->  Key("number_node", (int,), "Number of nodes of each job.", 1, …)

The kwargs of each batch system stand beside the dialect that reads them (`schedulers.kwargs_of`).
One row a key, in DPDispatcher's order; what it does not have is at the end.
"""

from __future__ import annotations

import re
from typing import Any

from ..core.keys import HASH, NOT_BLANK, Rule, at_least, optional, required
from ..schedulers import limits

_TEXTS: Any = list[str]
_ENDS = "; 0 puts all tasks in one job"
#: Taken as it stands it would be a directory of that very name, here or there.
_PATH = Rule(
    lambda value: value is None or not re.search(r"\$[A-Za-z_{]|\A[A-Za-z]:[\\/]", value),
    "must be a path as it is there: variables such as $HOME are not expanded (write the path, or run envsubst over "
    "the file), and C: is a drive of Windows",
)

MACHINE = (
    required("batch_type", str, "Batch system: Shell, Slurm, SlurmJobArray, PBS, Torque, LSF, SGE, …"),
    required("local_root", (str, None), "Directory of the project on this side; work_base is below it.", rule=_PATH),
    optional("remote_root", (str, None), "Directory in which jobs run; not needed by LazyLocal.", rule=_PATH),
    optional("clean_asynchronously", bool, "Remove the remote files in the background.", False),
    optional("retry_count", int, "How often a job is tried again after its first attempt.", 3, rule=at_least(0)),
    optional("max_running", (int, None), "How many jobs may be queued or running at once; null: all.", None,
             rule=at_least(1, "null for no limit")),
    optional("create_remote_root", bool, "Make the parents of remote_root when they are missing.", False),
    optional("max_calls_per_minute", (int, None), "How often this machine may be asked in any minute, by all processes "
             "of a user on a host; null: as often as needed.", None, rule=at_least(1, "null for no limit")),
    optional("max_logins_per_minute", (int, None), "How often it may be logged in to by SSH in any minute, counted in "
             "the same way; null: as often as needed.", None, rule=at_least(1, "null for no limit")),
)  # fmt: skip

RESOURCES = (
    optional("number_node", int, "Number of nodes of each job.", 1, rule=at_least(1)),
    optional("cpu_per_node", int, "CPU cores on each node.", 1, rule=at_least(0)),
    optional("gpu_per_node", int, "GPUs on each node.", 0, rule=at_least(0)),
    optional("queue_name", str, "Queue (or partition) to submit to; empty: the default of the site.", ""),
    required("group_size", int, "Number of tasks in a job; 0 puts all tasks in one.", rule=at_least(0, _ENDS[2:])),
    optional(
        "custom_flags",
        _TEXTS,
        "Further lines for the head of the script: directives go into the header, lines of shell below it.",
    ),
    optional("para_deg", int, "Number of tasks of a job that run at the same time.", 1, rule=at_least(1)),
    optional("source_list", _TEXTS, "Files to source before the tasks.", []),
    optional("module_purge", bool, "Unload all modules first.", False),
    optional("module_unload_list", _TEXTS, "Modules to unload before the tasks.", []),
    optional("module_list", _TEXTS, "Modules to load before the tasks.", []),
    optional("envs", dict, "Environment variables to export: a value, or a list of values, for each name.", {}),
    optional("prepend_script", _TEXTS, "Lines to run before the tasks.", []),
    optional("append_script", _TEXTS, "Lines to run after the tasks.", []),
    optional("wait_time", (int, float), "Seconds to wait after each submission.", 0, rule=at_least(0)),
)

STRATEGY = (
    optional("if_cuda_multi_devices", bool, "Give each task one GPU, by CUDA_VISIBLE_DEVICES.", False),
    optional("ratio_unfinished", float, "Part of the tasks that may be left unfinished.", 0.0,
             rule=Rule(lambda value: 0 <= value < 1, "must be at least 0 and below 1")),
    optional("customized_script_header_template_file", str, "File whose text replaces the header of the script."),
)  # fmt: skip

TASK = (
    required("command", str, "Command to run; a task whose command ends with code 0 is finished.", rule=NOT_BLANK),
    required("task_work_path", str, "Directory of the task, below work_base."),
    optional("forward_files", _TEXTS, "Files to bring there before the task runs.", []),
    optional("backward_files", _TEXTS, "Files to bring back after it has run.", []),
    optional("outlog", (str, None), "File for its standard output; null: not kept.", "log"),
    optional("errlog", (str, None), "File for its standard error; null: not kept.", "err"),
    optional("task_name", (str, None), "Name for people; jobs of one task are called so by the scheduler."),
)

#: Keys of kwargs that mean the same on every batch system, as `schedulers.limits` reads them.
_ACCOUNT = (limits.WALLTIME, limits.MEMORY, limits.ACCOUNT)

SUBMISSION = (
    required("work_base", str, "Directory of all tasks, below local_root.", rule=_PATH),
    optional("forward_common_files", _TEXTS, "Files below work_base that all tasks need.", []),
    optional("backward_common_files", _TEXTS, "Files below work_base to bring back once.", []),
    optional(
        "previous_submission_hash",
        (str, None),
        "An earlier submission of the same tasks with other resources: what it has finished is not run again.",
        rule=HASH,
    ),
    optional("on_end", (str, _TEXTS), "Command (no shell) or https address to be called when a run has ended."),
    optional("on_failure", (str, _TEXTS), "The same, only when jobs have failed."),
    optional("continue_on_failure", bool, "Accepted; a run always goes on with its other jobs.", True),
)

#: Keys of a submission that name what is called when a run has ended.
HOOKS = ("on_end", "on_failure")
#: Keys that a version of DPDispatcher writes or has read, and that mean nothing here.
EARLIER = {
    "machine": ("clean_asynchronously", "create_remote_root", "retry_count"),
    "submission": ("_abs_work_base", "belonging_jobs", "continue_on_failure", "previous_submission_hash"),
}
