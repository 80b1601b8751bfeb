"""Name by name, what `import dpdispatcher` gives: same, differs (why), or absent (why), from the packages' signatures.

    python -m tests.compat.table        writes the table into docs/compatibility.md

A callable is the same when it takes what DPDispatcher's takes, in its order and with its defaults; what differs, or
does something else, must have a reason here.
"""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from dispatcher.compat.names import ABSENT, MODULES
from tests.compat import differences

PAGE = Path(__file__).parents[2] / "docs/compatibility.md"
FIRST, LAST = "<!-- differences: python -m tests.compat.table -->\n", "<!-- /differences -->\n"
BEGIN, END = "<!-- table: python -m tests.compat.table -->\n", "<!-- /table -->\n"

#: The parameters of DPDispatcher 1.1, as its public documentation prints them.
ORIGINAL = {
    "Task": "command, task_work_path, forward_files=[], backward_files=[], outlog='log', errlog='err', task_name=None",
    "Resources": "number_node, cpu_per_node, gpu_per_node, queue_name, group_size, *, custom_flags=[], "
    "strategy={'if_cuda_multi_devices': False, 'ratio_unfinished': 0.0}, para_deg=1, module_unload_list=[], "
    "module_purge=False, module_list=[], source_list=[], envs={}, prepend_script=[], append_script=[], wait_time=0, "
    "**kwargs",
    "Job": "job_task_list, *, resources, machine=None",
    "Submission": "work_base, machine=None, resources=None, forward_common_files=[], backward_common_files=[], *, "
    "task_list=[]",
    "SSHSession": "hostname, username, password=None, port=22, key_filename=None, passphrase=None, timeout=10, "
    "totp_secret=None, tar_compress=True, look_for_keys=True, execute_command=None, proxy_command=None, "
    "archive_chunk_size=0",
    "handle_submission": "*, submission_hash, download_terminated_log=False, download_finished_task=False, "
    "clean=False, reset_fail_count=False",
    "submit": "*, filename, dry_run=False, exit_on_submit=False, allow_ref=False, clean=True, continue_on_failure=None",
    "create_submission": "metadata, script_hash, allow_ref=False",
    "run_pep723": "script, allow_ref=False",
    "read_pep723": "script",
    "start_dpgui": "*, port, bind_all",
    "retry": "max_retry=3, sleep=60, catch_exception=RetrySignal",
    "hotp": "key, period, token_length=6, digest='sha1'",
    "generate_totp": "secret, period=30, token_length=6",
    "get_sha256": "filename",
    "run_cmd_with_all_output": "cmd, shell=True",
    "zip_file_list": "root_path, zip_filename, file_list=[]",
    "unzip_file": "zip_file, out_dir='./'",
}
_COMMANDS = "runs no commands and writes no files there: `block_call`, `write_file` … raise ConfigError"
#: What does something else under the same name, and why.
DIFFERS = {
    "SSHSession": "on the connection of the contexts: known_hosts, ~/.ssh/config, agent; no `get_ssh_client`, no rsync",
    "record": "holds no secrets, and is written only when a program calls `write`: a run goes by its journal",
    "handle_submission": "looks below the current directory, or where `record.write` noted it",
    "retry": "does not sleep after the last failure",
    "Client": "every call has a time-out; `post` is tried again only when it was certainly not taken",
    "RequestInfoException": "is a RuntimeError, too",
    "Job (openapi_context)": "the client of the API; `detail` may be replaced, as APEX does",
    "JobStatus": "`failed` is there to compare with; a job that failed for good is `terminated`",
    "BaseContext": "a class of your own is derived from one of the contexts, or is a plug-in ([how](own-classes.md))",
    "Machine": "a class of your own is asked as [own-classes](own-classes.md) says",
    "__version__": "the API's version, and behind the + who answers",
    "dlog": "writes ./dpdispatcher.log when something is said, not at import",
    "BohriumContext": _COMMANDS,
    "DpCloudServerContext": _COMMANDS,
    "LebesgueContext": _COMMANDS,
    "OpenAPIContext": _COMMANDS,
    "HDFSContext": "commands run on this machine",
    "unzip_file": "refuses what leads out of the directory",
    "main_parser": "messages and exit codes are those of `dispatcher`",
    "main": "messages and exit codes are those of `dispatcher`",
}


def verdict(module: str, name: str) -> str:
    """The last column."""
    where, _, attribute = MODULES[module][name].partition(":")
    reason = DIFFERS.get(f"{name} ({module.rpartition('.')[2]})", DIFFERS.get(name, ""))
    if name == "Job" and module.endswith("openapi_context"):
        return f"differs: {reason}"
    missing = lacking(getattr(import_module(where), attribute), ORIGINAL[name]) if name in ORIGINAL else ""
    if missing:
        raise AssertionError(f"{module}.{name} lacks {missing}")
    return f"differs: {reason}" if reason else "same"


def lacking(found: Any, original: str) -> str:
    """What a callable does not take as the original does; "" when it takes it all."""
    ours = [str(each.replace(annotation=inspect.Parameter.empty)) for each in parameters(found)]
    keyword_only = {each.name for each in parameters(found) if each.kind is inspect.Parameter.KEYWORD_ONLY}
    theirs, star = [], False
    for each in re.split(r", (?![^{\[]*[}\]])", original):
        star = star or each == "*"
        if each != "*":
            theirs.append(each)
            if star and not each.startswith("**") and each.partition("=")[0] not in keyword_only:
                return f"{each}, by keyword only"
    plain = [re.sub(r"<class '.*\.(\w+)'>", r"\1", each).replace("=()", "=[]") for each in ours]
    kept = [each for each in plain if each in theirs]
    return "" if kept == theirs else ", ".join(each for each in theirs if each not in plain) or f"the order {theirs}"


def parameters(found: Any) -> list[inspect.Parameter]:
    """Those that a caller gives."""
    return list(inspect.signature(found).parameters.values())


def table() -> str:
    """The rows: a module path with all its names that get one verdict."""
    rows = ["| module | names | here |", "|---|---|---|"]
    for module, names in MODULES.items():
        grouped: dict[str, list[str]] = {}
        for name in names:
            grouped.setdefault(verdict(module, name), []).append(f"`{name}`")
        if module in ABSENT:
            grouped[f"absent: {ABSENT[module]}"] = ["all"]
        for absent, why in ABSENT.items():
            if absent.startswith(f"{module}:"):
                grouped.setdefault(f"absent: {why}", []).append(f"`{absent.partition(':')[2]}`")
        rows += [f"| `{module}` | {', '.join(listed)} | {how} |" for how, listed in grouped.items()]
    return "\n".join(rows) + "\n"


def written() -> str:
    """The page with both tables as they are now."""
    return _between(_between(PAGE.read_text(), FIRST, differences.rows(), LAST), BEGIN, table(), END)


def _between(page: str, begin: str, text: str, end: str) -> str:
    before, _, rest = page.partition(begin)
    return before + begin + text + end + rest.partition(end)[2]


if __name__ == "__main__":
    PAGE.write_text(written())
