"""The names, signatures and defaults of the manual."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from dispatcher import api

STRATEGY = "{'if_cuda_multi_devices': False, 'ratio_unfinished': 0.0}"

#: As the manual prints them (API section), and as behaviour 1.2-1.7 has what came later.
SIGNATURES = {
    "Task.__init__": "(self, command, task_work_path, forward_files=[], backward_files=[], outlog='log', errlog='err', "
    "task_name=None)",
    "Task.load_from_json": "(json_file, allow_ref=False)",
    "Task.load_from_yaml": "(yaml_file, allow_ref=False)",
    "Task.load_from_dict": "(task_dict, allow_ref=False)",
    "Task.deserialize": "(task_dict)",
    "Task.serialize": "(self)",
    "Task.get_hash": "(self)",
    "Task.arginfo": "()",
    "Task.get_task_state": "(self, context)",
    "Resources.__init__": "(self, number_node, cpu_per_node, gpu_per_node, queue_name, group_size, *, custom_flags=[], "
    f"strategy={STRATEGY}, para_deg=1, module_unload_list=[], module_purge=False, module_list=[], source_list=[], "
    "envs={}, prepend_script=[], append_script=[], wait_time=0, **kwargs)",
    "Resources.load_from_json": "(json_file)",
    "Resources.load_from_yaml": "(yaml_file)",
    "Resources.load_from_dict": "(resources_dict, allow_ref=False)",
    "Resources.deserialize": "(resources_dict)",
    "Resources.serialize": "(self)",
    "Resources.arginfo": "(detail_kwargs=True)",
    "Job.__init__": "(self, job_task_list, *, resources, machine=None)",
    "Job.deserialize": "(job_dict, machine=None)",
    "Job.serialize": "(self, if_static=False)",
    "Job.get_hash": "(self)",
    "Job.get_job_state": "(self)",
    "Job.handle_unexpected_job_state": "(self)",
    "Job.job_to_json": "(self)",
    "Job.register_job_id": "(self, job_id)",
    "Job.submit_job": "(self)",
    "Job.get_last_error_message": "(self)",
    "Submission.__init__": "(self, work_base, machine=None, resources=None, forward_common_files=[], "
    "backward_common_files=[], *, task_list=[], stop_on_failure=False, "
    "continue_on_failure=True, previous_submission_hash=None)",
    "Submission.register_task": "(self, task)",
    "Submission.register_task_list": "(self, task_list)",
    "Submission.generate_jobs": "(self)",
    "Submission.bind_machine": "(self, machine)",
    "Submission.run_submission": "(self, *, dry_run=False, exit_on_submit=False, clean=True, check_interval=30, "
    "continue_on_failure=None, on_event=None, progress='auto')",
    "Submission.async_run_submission": "(self, **kwargs)",
    "Submission.update_submission_state": "(self)",
    "Submission.handle_unexpected_submission_state": "(self)",
    "Submission.check_all_finished": "(self)",
    "Submission.check_ratio_unfinished": "(self, ratio_unfinished)",
    "Submission.remove_unfinished_tasks": "(self)",
    "Submission.remove_unfinished_jobs": "(self)",
    "Submission.upload_jobs": "(self)",
    "Submission.download_jobs": "(self)",
    "Submission.try_download_result": "(self)",
    "Submission.try_download_error_info": "(self)",
    "Submission.failed_jobs": "(self)",
    "Submission.raise_for_failed_jobs": "(self)",
    "Submission.clean_jobs": "(self)",
    "Submission.submission_to_json": "(self)",
    "Submission.submission_from_json": "(json_file_name='submission.json')",
    "Submission.try_recover_from_json": "(self)",
    "Submission.serialize": "(self, if_static=False)",
    "Submission.deserialize": "(submission_dict, machine=None)",
    "Submission.get_hash": "(self)",
    "Machine": "(*args, **kwargs)",
    "Machine.__init__": "(self, batch_type=None, context_type=None, local_root=None, remote_root=None, "
    "remote_profile={}, retry_count=3, *, context=None, max_running=None, clean_asynchronously=False)",
    "Machine.load_from_json": "(json_path)",
    "Machine.load_from_yaml": "(yaml_path)",
    "Machine.load_from_dict": "(machine_dict, allow_ref=False)",
    "Machine.serialize": "(self, if_empty_remote_profile=False)",
    "Machine.deserialize": "(machine_dict)",
    "Machine.arginfo": "()",
    "Machine.resources_arginfo": "()",
    "Machine.resources_subfields": "()",
    "Machine.bind_context": "(self, context)",
    "Machine.do_submit": "(self, job)",
    "Machine.check_status": "(self, job)",
    "Machine.check_finish_tag": "(self, job)",
    "Machine.kill": "(self, job)",
    "Machine.get_exit_code": "(self, job)",
    "Machine.check_if_recover": "(self, submission)",
    "Machine.gen_script": "(self, job)",
    "Machine.gen_script_header": "(self, job)",
    "Machine.gen_script_custom_flags_lines": "(self, job)",
    "Machine.gen_script_env": "(self, job)",
    "Machine.gen_script_command": "(self, job)",
    "Machine.gen_script_run_command": "(self, job)",
    "Machine.gen_script_end": "(self, job)",
    "Machine.gen_script_wait": "(self, resources)",
    "Machine.gen_command_env_cuda_devices": "(self, resources)",
    "BaseContext.__init__": "(self, local_root, remote_root=None, remote_profile={}, *args, **kwargs)",
    "BaseContext.load_from_dict": "(context_dict)",
    "BaseContext.bind_submission": "(self, submission)",
    "BaseContext.upload": "(self, submission, dereference=True)",
    "BaseContext.download": "(self, submission, check_exists=False, mark_failure=True, back_error=False)",
    "BaseContext.clean": "(self)",
    "BaseContext.write_file": "(self, fname, write_str)",
    "BaseContext.read_file": "(self, fname)",
    "BaseContext.check_file_exists": "(self, fname)",
    "BaseContext.get_job_root": "(self)",
    "BaseContext.block_call": "(self, cmd)",
    "BaseContext.block_checkcall": "(self, cmd, asynchronously=False, stderr_whitelist=None)",
    "BaseContext.call": "(self, cmd)",
    "BaseContext.check_finish": "(self, proc)",
    "BaseContext.get_return": "(self, proc)",
    "BaseContext.kill": "(self, job_id)",
    "BaseContext.machine_arginfo": "()",
    "BaseContext.machine_subfields": "()",
}
CLASS_METHODS = {
    "Task": {"load_from_json", "load_from_yaml", "load_from_dict", "deserialize"},
    "Resources": {"load_from_json", "load_from_yaml", "load_from_dict", "deserialize"},
    "Machine": {"load_from_json", "load_from_yaml", "load_from_dict", "deserialize", "arginfo", "resources_arginfo"},
    "Submission": {"submission_from_json", "deserialize"},
    "BaseContext": {"load_from_dict", "machine_arginfo", "machine_subfields"},
}


@pytest.mark.parametrize("name", SIGNATURES)
def test_signature(name: str) -> None:
    found: Any = api
    for part in name.split("."):
        found = getattr(found, part)
    signature = inspect.signature(found)
    plain = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    bare = signature.replace(parameters=plain, return_annotation=inspect.Signature.empty)
    assert str(bare) == SIGNATURES[name]


@pytest.mark.parametrize(("kind", "names"), CLASS_METHODS.items())
def test_class_methods(kind: str, names: set[str]) -> None:
    for name in names:
        assert inspect.getattr_static(getattr(api, kind), name).__class__ is classmethod


def test_everything_public_is_documented() -> None:
    for name in api.__all__:
        kind = getattr(api, name)
        assert inspect.getdoc(kind)
        for member, value in vars(kind).items():
            if inspect.isfunction(value) and not member.startswith("_"):
                assert inspect.getdoc(value), f"{name}.{member}"


def test_numbers_of_the_states() -> None:
    assert {status.name: status.value for status in api.JobStatus} == {
        "unsubmitted": 1,
        "waiting": 2,
        "running": 3,
        "terminated": 4,
        "finished": 5,
        "completing": 6,
        "failed": 7,
        "unknown": 100,
    }


def test_importing_loads_nothing_heavy_and_writes_nothing(tmp_path: Path) -> None:
    code = "import sys, json, dispatcher.api, dispatcher.schema; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    heavy = {"paramiko", "requests", "oss2", "dargs", "yaml", "rich", "filelock", "transitions", "typeguard"}
    assert not heavy & set(json.loads(done.stdout))
    assert (done.stderr, list(tmp_path.iterdir())) == ("", [])
