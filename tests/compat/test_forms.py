"""Every form of machine, resources, task and submission in public documentation is loaded, as programs load it.

The forms are ours; what they have in common with those of the manual, of dpgen, dpti, dflow and APEX are the keys. What
runs here is run dry; of what runs elsewhere the scripts are made, which reaches nothing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dispatcher import Machine, Resources, Submission, Task
from dispatcher.compat import command
from dispatcher.compat.entrypoints import create_submission, load_submission_from_json, read_pep723
from dispatcher.schema import lenience

HERE = {"batch_type": "Shell", "context_type": "LazyLocal", "local_root": "./"}
SSH = {
    "context_type": "SSHContext",
    "local_root": "./",
    "remote_root": "/scratch/me/dpgen",
    "remote_profile": {"hostname": "login", "username": "me", "port": 22, "timeout": 10},
}
BOHRIUM = {"email": "me@example.org", "password": "p", "program_id": 1, "keep_backup": True}
INPUT = {"job_type": "indicate", "log_file": "log", "job_name": "n", "disk_size": 20, "scass_type": "c8_m32_cpu",
         "platform": "ali", "image_name": "deepmd", "on_demand": 0, "checkpoint_files": "sync_files",
         "backward_files": [], "grouped": True, "api_version": 2}  # fmt: skip
PLAIN = {"number_node": 1, "cpu_per_node": 4, "gpu_per_node": 1, "queue_name": "gpu", "group_size": 5}


def ssh(batch: str, **profile: Any) -> dict[str, Any]:
    """A machine behind SSH."""
    return {"batch_type": batch, **SSH, "remote_profile": {**SSH["remote_profile"], **profile}}  # type: ignore[dict-item]


#: By what is new in it: a machine, and resources.
FORMS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the first steps": (ssh("Slurm"), PLAIN),
    "a workstation": (
        {**ssh("Shell"), "clean_asynchronously": True},
        {**PLAIN, "gpu_per_node": 4, "strategy": {"if_cuda_multi_devices": True}, "source_list": ["/opt/deepmd.env"]},
    ),
    "a cluster with flags": (
        ssh("Slurm"),
        {**PLAIN, "custom_flags": ["#SBATCH -c 8", "#SBATCH --time=1:00:00"], "module_list": ["cuda/11.3"],
         "module_unload_list": ["cpu"], "module_purge": True, "envs": {"OMP_NUM_THREADS": 1, "A": ["1", "2"]},
         "prepend_script": ["ulimit -s unlimited"], "append_script": ["date"], "wait_time": 1, "para_deg": 2},
    ),
    "batch_type in resources": (
        ssh("Slurm"), {**PLAIN, "batch_type": "Slurm", "kwargs": {"custom_gpu_line": "#SBATCH -G 1"}},
    ),
    "a job array": (ssh("SlurmJobArray"), {**PLAIN, "batch_type": "SlurmJobArray", "kwargs": {"slurm_job_size": 2}}),
    "PBS in lower case": (ssh("pbs"), PLAIN),
    "Torque": (ssh("Torque"), PLAIN),
    "LSF and its GPUs": (
        ssh("LSF"),
        {**PLAIN, "batch_type": "LSF",
         "kwargs": {"gpu_usage": True, "gpu_new_syntax": True, "gpu_exclusive": False, "custom_gpu_line": None}},
    ),
    "SGE": (ssh("SGE"), {**PLAIN, "batch_type": "SGE", "kwargs": {"sge_pe_name": "mpi", "job_name": "wDPjob"}}),
    "JH UniScheduler": (ssh("JH_UniScheduler"), {**PLAIN, "batch_type": "JH_UniScheduler", "kwargs": {}}),
    "Fugaku": (ssh("Fugaku"), PLAIN),
    "a password, and a one-time password": (ssh("Slurm", password="p", totp_secret="JBSWY3DPEHPK3PXP"), PLAIN),
    "a key and its passphrase": (
        ssh("Slurm", key_filename="/home/me/.ssh/id", passphrase="p", tar_compress=True, look_for_keys=False), PLAIN,
    ),
    "a jump host": (ssh("Slurm", proxy_command="ssh -W login:22 jump", execute_command="kinit"), PLAIN),
    "1.1": ({**ssh("Slurm", archive_chunk_size=0), "create_remote_root": True, "retry_count": 1}, PLAIN),
    "Local with copies": (
        {"batch_type": "Shell", "context_type": "local", "local_root": "./", "remote_root": "far",
         "remote_profile": {"symlink": False}},
        PLAIN,
    ),
    "dflow fills in a host everywhere": (
        {**HERE, "remote_profile": {"hostname": "127.0.0.1", "username": "me", "port": 22, "timeout": 10}},
        {**PLAIN, "envs": {"DFLOW_WORKFLOW": "w", "PYTHONUNBUFFERED": "true"}},
    ),
    "dpgen's own keys": (
        {**HERE, "env_setup": ["x"], "_comment": "c"},
        {**PLAIN, "local_root": "./", "allow_failure": True, "custom_gpu_line": "x", "task_per_node": 4,
         "with_mpi": False, "time_limit": "1:0:0", "mem_limit": -1, "_comment": "c",
         "strategy": {"if_cuda_multi_devices": False, "more": 1}},
    ),
    "a context in full": ({"batch_type": "Shell", "context_type": "LazyLocalContext", "local_root": "./"}, PLAIN),
    "Bohrium": (
        {"batch_type": "Bohrium", "context_type": "Bohrium", "local_root": "./",
         "remote_profile": {**BOHRIUM, "input_data": INPUT, "ignore_exit_code": True, "retry_count": 2}},
        PLAIN,
    ),
    "Lebesgue, by its old names": (
        {"batch_type": "Lebesgue", "context_type": "LebesgueContext", "local_root": "./",
         "remote_profile": {"email": "e", "password": "p", "program_id": 1,
                            "input_data": {**INPUT, "lebesgue_version": 2}}},
        PLAIN,
    ),
    "DpCloudServer with a project": (
        {"batch_type": "dpcloudserver", "context_type": "DpCloudServer", "local_root": "./",
         "remote_profile": {"phone": "1", "password": "p", "project_id": 1, "input_data": INPUT}},
        PLAIN,
    ),
    "OpenAPI": (
        {"batch_type": "OpenAPI", "context_type": "OpenAPI", "local_root": "./",
         "remote_profile": {"access_key": "k", "project_id": 1, "app_key": "a", "image_address": "i",
                            "machine_type": "c2", "platform": "ali", "job_name": "DP-GEN", "grouped": True}},
        PLAIN,
    ),
    "YARN": (
        {"batch_type": "DistributedShell", "context_type": "HDFS", "local_root": "./", "remote_root": "/user/me"},
        {**PLAIN, "kwargs": {"img_name": "deepmd", "mem_limit": 4, "yarn_path": "/opt/yarn"}},
    ),
}  # fmt: skip
TASK = {
    "command": "dp train input.json && dp freeze", "task_work_path": "t/", "forward_files": ["input.json"],
    "backward_files": ["frozen_model.pb"], "outlog": "log", "errlog": "err",
}  # fmt: skip


@pytest.fixture
def top(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project to stand in."""
    (tmp_path / "w/t").mkdir(parents=True)
    (tmp_path / "w/t/input.json").write_text("{}")
    (tmp_path / "w/graph.pb").write_text("model")
    (tmp_path / "far").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lenience, "_told", set())  # what is told once in a process is told to other tests, too
    return tmp_path


def asked(form: str, **more: Any) -> dict[str, Any]:
    """A submission in this form."""
    machine, resources = FORMS[form]
    tasks = [TASK, {"command": "true", "task_work_path": "t"}]
    common = {"forward_common_files": ["graph.pb"], "backward_common_files": []}
    return {"work_base": "w", "machine": machine, "resources": resources, "task_list": tasks, **common, **more}


@pytest.mark.parametrize("form", FORMS)
def test_a_form_is_loaded_by_every_door(top: Path, form: str) -> None:
    machine, resources = FORMS[form]
    for name, what in (("machine", machine), ("resources", resources), ("task", TASK), ("submission", asked(form))):
        Path(f"{name}.json").write_text(json.dumps(what))
    made = Machine.load_from_json("machine.json")
    assert made == Machine.load_from_yaml("machine.json") == Machine.load_from_dict(machine)
    of = Resources.load_from_json("resources.json")
    assert of == Resources.load_from_yaml("resources.json") == Resources.load_from_dict(resources)
    task = Task.load_from_json("task.json")
    submission = Submission("w", made, of, ["graph.pb"], task_list=[task])
    submission.generate_jobs()
    assert TASK["command"] in made.gen_script(submission.belonging_jobs[0])
    loaded = load_submission_from_json("submission.json")
    assert (loaded.machine, len(loaded.belonging_tasks)) == (made, 2)
    if made.context is not None and made.context.kind() in ("LazyLocalContext", "LocalContext"):
        assert command.main(["submit", "submission.json", "--dry-run", "--continue-on-failure"]) == 0
        assert list(top.glob("w/.dispatcher/*/dry-run/*.sub"))


def test_forms_of_files(top: Path) -> None:
    """A file that refers to another, repeated comments, YAML, what 1.1 added, and a script with a block of its own."""
    Path("machine.json").write_text(json.dumps(HERE))
    text = json.dumps(asked("a context in full", machine={"$ref": "machine.json"}, continue_on_failure=True))
    Path("ref.json").write_text(text.replace("{", '{"_comment": "one", "_comment": "two", ', 1))
    assert command.main(["submit", "ref.json", "--dry-run", "--allow-ref"]) == 0
    Path("s.yaml").write_text(json.dumps(asked("a context in full")))
    assert load_submission_from_json("s.yaml").machine == Machine.load_from_dict(HERE)
    block = ["# /// script", '# requires-python = ">=3"', "# [tool.dpdispatcher]", '# work_base = "./"',
             "# [tool.dpdispatcher.machine]", '# batch_type = "Shell"', '# context_type = "LazyLocalContext"',
             '# local_root = "./"', "# [tool.dpdispatcher.resources]", "# group_size = 0",
             "# [[tool.dpdispatcher.task_list]]", '# task_work_path = "w/t*"', "# ///", "print(1)"]  # fmt: skip
    metadata = read_pep723("\n".join(block))
    assert metadata is not None
    (task,) = create_submission(metadata, "5f1c").belonging_tasks
    assert (task.task_work_path, "python" in task.command) == ("w/t", True)
