"""What a caller sees that is different from DPDispatcher, each with the test that shows it.

python -m tests.compat.table        writes both tables of docs/compatibility.md
"""

from __future__ import annotations

from typing import NamedTuple


class Difference(NamedTuple):
    """A row of the page. `test` is what shows `here`: a file below tests/ and a function in it."""

    what: str
    there: str
    here: str
    why: str
    test: str


DIFFERENCES = (
    Difference(
        "one job fails for good",
        "ends the monitoring of all others",
        "the others go on; `JobsFailed` (a RuntimeError) at the end",
        "nothing is lost; `stop_on_failure=True` is as there",
        "api/test_submission.py::test_failures_are_told_at_the_end",
    ),
    Difference(
        "attempts",
        "`retry_count` + 1",
        "the same; lost nodes and preemption count apart",
        "what the site did is not the user's failure",
        "core/test_lifecycle.py::test_the_sites_doing_does_not_use_up_the_users_retries",
    ),
    Difference(
        "exit codes 126 and 127",
        "tried again",
        "final at once, unless the same command is run again",
        "a command that is not there is not there a minute later",
        "core/test_lifecycle.py::test_a_command_that_cannot_be_run_is_not_tried_again_unless_asked",
    ),
    Difference(
        "append_script",
        "only after success, when results may be fetched already",
        "always, before the job counts as over",
        "it may still be needed, and its files are fetched",
        "scripts/test_render.py::test_append_script_runs_after_failures_and_before_the_marker",
    ),
    Difference(
        "tasks in parallel (`para_deg`)",
        "in groups, with a wait after each",
        "the next one begins when one ends; `gen_script_wait` gives nothing",
        "no straggler idles the others",
        "scripts/test_render.py::test_no_barrier_holds_back_the_next_task",
    ),
    Difference(
        "two equal tasks",
        "run once",
        "both are run",
        "whoever asks twice wants two",
        "scripts/test_render.py::test_identical_tasks_are_each_run",
    ),
    Difference(
        "the same submission, changed inputs",
        "old results",
        "run again, and only the tasks that read them",
        "the bytes of the forward files are part of its identity",
        "run/test_once.py::test_correcting_one_input_costs_one_task",
    ),
    Difference(
        "the same submission, finished",
        "Local runs it again",
        "told as finished, from the journal",
        "`--rerun` runs all again",
        "api/test_submission.py::test_a_finished_run_is_not_run_again",
    ),
    Difference(
        "results that were deleted since",
        "Local runs it again",
        "fetched again, or `ResultMissing` with what is lost",
        "`--rerun-missing` runs those tasks",
        "run/test_once.py::test_results_that_were_deleted_are_fetched_again_or_the_task_is_run_again",
    ),
    Difference(
        "identity",
        "password, key path, working directory, order of keys",
        "none of these",
        "a new password does not lose running jobs",
        "api/test_submission.py::test_the_hash_covers_inputs_and_neither_secrets_nor_directory",
    ),
    Difference(
        "a second run of the same tasks",
        "runs them twice",
        "refused while a task is live in another submission",
        "a task is run once: let it end, or cancel it",
        "run/test_once.py::test_what_is_live_is_refused_however_it_is_spelt",
    ),
    Difference(
        "a run of DPDispatcher that has not ended",
        "",
        "nothing is started beside it",
        "let it end there, or end its jobs; the error names them and says what to remove",
        "run/test_original.py::test_a_run_that_has_not_ended_is_refused_and_one_that_has_is_not",
    ),
    Difference(
        "tasks that DPDispatcher has finished",
        "not run again, whatever their inputs are now",
        "LazyLocal: the same, where the tag is of this very task, its inputs are older and all results are there",
        "in doubt a task is run again; on other contexts its tags went with R",
        "run/test_original.py::test_what_it_has_finished_here_is_taken_over_and_the_rest_is_run",
    ),
    Difference(
        "state",
        "`<hash>.json`, tags, ids and scripts among the user's files",
        "`.dispatcher/` beside the work, on both sides",
        "one hidden place; `submission_to_json` writes the file for programs that read it, also after exit_on_submit",
        "compat/test_differences.py::test_what_a_run_leaves_and_how_its_jobs_are_called",
    ),
    Difference(
        "job names",
        "`<hash>.sub`, `wDPjob`",
        "a nonce, then the task's name or kwargs' `job_name`",
        "a job is found again by it after a crash",
        "compat/test_differences.py::test_what_a_run_leaves_and_how_its_jobs_are_called",
    ),
    Difference(
        "`%J.out`, `%J.err`, `<hash>.out`",
        "in R",
        "the job's own output is in R/.dispatcher, and its end in the error",
        "`dispatcher logs` shows it",
        "compat/test_differences.py::test_what_a_run_leaves_and_how_its_jobs_are_called",
    ),
    Difference(
        "`~/.dpdispatcher`, `./dpdispatcher.log`",
        "made at import",
        "only when a program writes a record, or something is told",
        "importing changes nothing",
        "compat/test_modules.py::test_the_logger_is_the_module_too",
    ),
    Difference(
        "`$` in envs",
        "expanded until 1.1, literal in it",
        "`$NAME` and `${NAME}` are expanded, no command is run",
        "prepend_script is for more",
        "scripts/test_render.py::test_env_values_expand_variables_and_nothing_else",
    ),
    Difference(
        "SSH hosts",
        "never looked at",
        "known_hosts and ~/.ssh/config; a new host is asked about on a terminal, and accepted for programs that "
        "`import dpdispatcher`",
        "a changed key is always refused",
        "contexts/test_ssh_hosts.py::test_unknown_key_by_policy",
    ),
    Difference(
        "connections",
        "made with the Machine",
        "made when first needed",
        "a machine may be described without its network",
        "compat/test_differences.py::test_describing_a_machine_reaches_nothing",
    ),
    Difference(
        "`create_remote_root`",
        "1.1: of SSH only, and the last directory always made",
        "of every context with a remote_root; without it the directory above must be there",
        "a mistyped root is told at once; set it, or make the directory",
        "compat/test_differences.py::test_a_root_whose_parents_are_missing",
    ),
    Difference(
        "unknown keys",
        "ignored",
        "from Python warned of once; `dispatcher submit` refuses, `--allow-unknown-keys` warns",
        "a mistyped key is no surprise later",
        "schema/test_schema.py::test_tolerance_leaves_unknown_keys_out",
    ),
    Difference(
        "repeated keys of YAML",
        "the last one counts",
        "refused; of JSON only keys that begin with `_` may be repeated",
        "which one was meant, nobody knows",
        "schema/test_schema.py::test_repeated_keys",
    ),
    Difference(
        "errors of configuration",
        "KeyError, dargs' ArgumentError, AssertionError, TypeError",
        "`ConfigError` (a RuntimeError and ValueError)",
        "one kind to catch; its text names the key and the nearest valid one",
        "api/test_machine.py::test_what_is_not_allowed",
    ),
    Difference(
        "missing backward file",
        "LazyLocal runs go on",
        "`ResultMissing` (a FileNotFoundError) on every context, when all else is here",
        "what was promised is missed; leave out what is optional, or name it by a pattern in a directory",
        "run/test_engine.py::test_a_missing_result_is_an_error_and_nothing_is_removed",
    ),
    Difference(
        "failed downloads",
        "given up after 24 h, then cleaned",
        "nothing is removed before it is here and verified",
        "run again: what is here is not fetched twice",
        "api/test_submission.py::test_results_are_durable_before_anything_is_removed",
    ),
    Difference(
        "results through a link that leads out of work_base",
        "written where it leads",
        "`TransferFailed` before anything runs; inputs may come from anywhere",
        "what a job leaves must not reach other directories; let work_base begin where the link leads",
        "run/test_session.py::test_inputs_may_come_through_a_link_and_results_may_not_go_through_one",
    ),
    Difference(
        "`random`",
        "reseeded by generate_jobs",
        "left alone",
        "it is the program's; the jobs are the same in every run all the same",
        "api/test_submission.py::test_the_callers_random_numbers_are_untouched",
    ),
    Difference(
        "`Machine.serialize()`",
        "with passwords",
        "without; `serialize_with_secrets`",
        "it is written down in notebooks and files",
        "api/test_machine.py::test_secrets_show_nowhere",
    ),
    Difference(
        "`Job.serialize()` of 1.1",
        "has `failure_reason` and `task_states`",
        "takes them, and writes them not",
        "attributes of jobs and tasks, and `Outcome`, tell them",
        "compat/test_differences.py::test_state_files_of_1_1_are_read",
    ),
    Difference(
        "`task_hash`",
        "that of the constructor",
        "follows the task",
        "no need to work around it",
        "api/test_task.py::test_the_hash_follows_the_task",
    ),
    Difference(
        "hidden counters of `Resources` (`gpu_in_use`, `task_in_para`), its hooks in `Machine`",
        "state of script generation; `default_resources`, `sub_script_head`, `sub_script_cmd` are called by nobody",
        "no counters; the hooks raise NotImplementedError, as there",
        "a script is a function of the job: twice the same job, twice the same text",
        "compat/test_differences.py::test_resources_have_no_state_and_their_hooks_are_not_called",
    ),
    Difference(
        "`do_submit`, `check_status` of a job",
        "that job",
        "its whole submission, in one call",
        "one round trip, and nothing twice",
        "api/test_submission.py::test_step_by_step",
    ),
    Difference(
        "own `Machine` and context subclasses",
        "registered and driven",
        "the same, but what [own classes](own-classes.md) names; our claim and exit marker are in their scripts, too",
        "copies of a job turn each other away",
        "api/test_own_classes.py::test_a_run_asks_the_class",
    ),
    Difference(
        "one machine object in two threads",
        "jobs of one submission land in the directory of the other",
        "submissions share a machine; with classes of your own, each run needs one of its own",
        "these hold the submission they work on; the second is refused",
        "api/test_own_classes.py::test_a_second_run_on_the_same_object_is_refused",
    ),
    Difference(
        "SGE, GPUs",
        "no line for gpu_per_node",
        "the same, unless kwargs name the resource: `gpu_name`, or `custom_gpu_line`",
        "not every site calls it `gpu`",
        "schedulers/test_sge.py::test_gpus_are_asked_for_by_the_sites_name_only",
    ),
)


def rows() -> str:
    """The table of the page."""
    lines = ["| what | there | here | why, and what to do |", "|---|---|---|---|"]
    lines += [f"| {one.what} | {one.there or '-'} | {one.here} | {one.why} |" for one in DIFFERENCES]
    return "\n".join(lines) + "\n"
