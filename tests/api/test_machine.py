"""Machine: names and classes, the manual's formats, and a profile that shows nowhere."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from dispatcher import api, schedulers
from dispatcher.api import (
    PBS,
    SGE,
    BaseContext,
    BohriumContext,
    Job,
    LazyLocalContext,
    LocalContext,
    Machine,
    Resources,
    Shell,
    Slurm,
    SlurmJobArray,
    SSHContext,
    Submission,
    Task,
    Torque,
)
from dispatcher.core.errors import ConfigError
from dispatcher.core.model import MachineSpec, plan_hash

START = {
    "batch_type": "Slurm",
    "context_type": "SSHContext",
    "local_root": "/home/user123/workplace/22_new_project/",
    "remote_root": "/home/user123/dpdispatcher_work_dir/",
    "remote_profile": {"hostname": "39.106.xx.xxx", "username": "user123", "port": 22, "timeout": 10},
}
EXPANSE = {
    "batch_type": "Slurm",
    "local_root": "./",
    "remote_root": "/expanse/lustre/scratch/me/temp_project/dpgen_workdir",
    "clean_asynchronously": True,
    "context_type": "SSHContext",
    "remote_profile": {"hostname": "login.expanse.sdsc.edu", "username": "me", "port": 22},
}
WORKSTATION = {**EXPANSE, "batch_type": "Shell", "remote_root": "/data2/me/dpgen_workdir"}
SECRETS = {
    "hostname": "h",
    "username": "u",
    "password": "hunter2",
    "passphrase": "opensesame",
    "totp_secret": "JBSWY3DPEHPK3PXP",
    "key_filename": "/home/u/.ssh/very_private",
}
BATCHES = {
    "Shell": [],
    "Slurm": [],
    "SlurmJobArray": [],
    "PBS": [],
    "Torque": [],
    "LSF": [],
    "SGE": [],
    "Fugaku": [],
    "JH_UniScheduler": [],
    "DistributedShell": [],
    "Bohrium": ["DpCloudServer", "Lebesgue"],
    "OpenAPI": [],
}


def secret_machine(**changes: Any) -> Machine:
    return Machine(**{**START, "remote_profile": SECRETS, **changes})


@pytest.mark.parametrize("example", [START, EXPANSE, WORKSTATION])
def test_the_manuals_examples(example: dict[str, Any], tmp_path: Path) -> None:
    machine = Machine.load_from_dict(example)
    assert type(machine).__name__ == example["batch_type"]
    (tmp_path / "machine.json").write_text(json.dumps(example))
    (tmp_path / "machine.yaml").write_text(json.dumps(example))
    assert Machine.load_from_json(tmp_path / "machine.json") == machine
    assert Machine.load_from_yaml(str(tmp_path / "machine.yaml")) == machine
    assert Machine.deserialize(machine.serialize()) == machine
    assert machine.clean_asynchronously is example.get("clean_asynchronously", False)


def test_serialized_form() -> None:
    written = Machine(**START).serialize()
    assert written == {**START, "retry_count": 3, "clean_asynchronously": False}
    assert list(written) == [
        "batch_type",
        "context_type",
        "local_root",
        "remote_root",
        "remote_profile",
        "retry_count",
        "clean_asynchronously",
    ]
    assert Machine(**START).serialize(if_empty_remote_profile=True)["remote_profile"] == {}
    assert Machine(**START, max_running=5).serialize()["max_running"] == 5
    assert Machine.deserialize(Machine(**START, max_running=5).serialize()).max_running == 5


@pytest.mark.parametrize(("name", "alias"), BATCHES.items())
def test_names_of_batch_systems(name: str, alias: list[str]) -> None:
    kind = getattr(api, name)
    for spelling in (name, name.lower(), *alias, *map(str.lower, alias)):
        assert type(Machine(batch_type=spelling)) is kind
        assert Machine.subclasses_dict[spelling] is kind
        assert type(Machine(spelling)) is kind
    for other in alias:
        assert getattr(api, other) is kind
    assert name in Machine.options
    assert kind.resources_subfields()[0].name == "kwargs"
    assert kind.resources_arginfo().name == name


def test_families() -> None:
    assert issubclass(SlurmJobArray, Slurm)
    assert issubclass(Torque, PBS)
    assert Slurm is not SlurmJobArray
    assert issubclass(SGE, Machine)
    assert len(Machine.options) == len(BATCHES)


@pytest.mark.parametrize("name", ["LazyLocal", "Local", "SSH", "HDFS", "Bohrium", "OpenAPI"])
def test_names_of_contexts(name: str) -> None:
    for spelling in (name, f"{name}Context", name.lower(), f"{name.lower()}context"):
        assert BaseContext.subclasses_dict[spelling].__name__ == f"{name}Context"
    context = BaseContext.load_from_dict({"context_type": name.lower(), "local_root": "./", "remote_root": "/r"})
    assert type(context).__name__ == f"{name}Context"
    assert type(context).machine_arginfo().name == f"{name}Context"


def test_aliases_of_bohrium() -> None:
    for name in ("DpCloudServer", "lebesguecontext", "LebesgueContext", "dpcloudserver"):
        assert BaseContext.subclasses_dict[name] is BohriumContext
    assert "project_id" in {alias for key in BohriumContext.machine_subfields() for alias in key.alias}
    assert SSHContext.machine_subfields()[0].name == "hostname"
    assert LazyLocalContext.machine_subfields() == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_type": "Slrum"}, "machine/batch_type: 'Slrum' is not a batch system; did you mean 'Slurm'"),
        ({"batch_type": None}, "machine/batch_type: missing"),
        ({"batch_type": 3}, "machine/batch_type: expected str, got int"),
        ({"context_type": "sssh"}, "did you mean 'SSHContext'"),
        ({"local_root": None}, "machine/local_root: expected the name of a directory, got null"),
        ({"remote_root": None}, "machine/remote_root: missing; SSHContext needs the directory"),
        ({"retry_count": -1}, "machine/retry_count: -1 is not allowed: it must be 0 or more"),
        ({"retry_count": "3"}, "machine/retry_count: expected int, got str"),
        ({"max_running": 0}, "machine/max_running: 0 is not allowed"),
        ({"remote_profile": {"hostnam": "x"}}, "machine/remote_profile/hostname: missing"),
    ],
)
def test_what_is_not_allowed(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(RuntimeError, match=message) as caught:
        Machine(**{**START, **arguments})
    assert isinstance(caught.value, ConfigError)


def test_deserialize_and_load_name_the_key(tmp_path: Path, warned: Any) -> None:
    assert Machine.deserialize({**START, "remote_rot": "x"}) == Machine(**START)
    assert [message.partition("?")[0] for message in warned()] == [
        "machine/remote_rot: unknown key; did you mean 'remote_root'"
    ]
    (tmp_path / "machine.json").write_text(json.dumps({**START, "retry_cont": 1}))
    assert Machine.load_from_json(tmp_path / "machine.json") == Machine(**START)
    assert "machine.json: machine/retry_cont: unknown key" in warned()[0]
    local = {"batch_type": "Shell", "context_type": "LazyLocal", "local_root": "./"}
    other = {"hostname": "h", "port": 22, "timeout": 10, "symlink": False}
    assert Machine.load_from_dict({**local, "remote_profile": other}).profile == {}
    assert warned() == [], "keys of other contexts mean nothing here, and are no mistake"
    assert Machine.load_from_dict({**START, "_comment": 1, "create_remote_root": True}) == Machine(**START)


def test_references_only_when_allowed(tmp_path: Path) -> None:
    (tmp_path / "site.json").write_text(json.dumps(START))
    with pytest.raises(ConfigError, match="allow_ref"):
        Machine.load_from_dict({"$ref": str(tmp_path / "site.json")})
    assert Machine.load_from_dict({"$ref": str(tmp_path / "site.json")}, allow_ref=True) == Machine(**START)


def test_secrets_show_nowhere() -> None:
    machine = secret_machine()
    submission = Submission("w", machine, Resources(1, 1, 0, "", 1), task_list=[Task("c", "d")])
    submission.generate_jobs()
    shown = "".join(
        f"{each!r}{each}" for each in (machine, machine.context, submission, submission.belonging_jobs, machine.spec())
    )
    for secret in ("hunter2", "opensesame", "JBSWY3DPEHPK3PXP", "very_private"):
        assert secret not in shown
    assert machine.serialize_with_secrets()["remote_profile"] == SECRETS
    for written in (machine.serialize(), submission.serialize(), {"machine": machine.serialize(True)}):
        text = json.dumps(written)
        assert not [secret for secret in ("hunter2", "opensesame", "JBSWY3DPEHPK3PXP") if secret in text]
    assert machine.serialize()["remote_profile"]["hostname"] == SECRETS["hostname"]
    assert submission.serialize_with_secrets()["machine"] == machine.serialize_with_secrets()
    assert machine.profile == SECRETS  # no default is made up: the port may stand in ~/.ssh/config
    other = secret_machine(remote_profile={"hostname": "h2", "username": "u"})
    assert machine.spec() == other.spec()
    assert plan_hash(Submission("w", other, Resources(1, 1, 0, "", 1), task_list=[Task("c", "d")]).spec()) == plan_hash(
        submission.spec()
    )


def test_the_profile_is_not_shared() -> None:
    profile = {"hostname": "h", "username": "u"}
    machine = secret_machine(remote_profile=profile)
    machine.serialize()["remote_profile"]["password"] = "x"
    machine.profile["port"] = 1
    assert machine.context is not None
    machine.context.remote_profile["password"] = "y"
    assert profile == {"hostname": "h", "username": "u"}
    assert Machine(batch_type="Shell", context_type="Local", local_root=".", remote_root="/r").profile == {}
    cloud = {"email": "e", "project_id": 3, "input_data": {}}
    bohrium = Machine(batch_type="Bohrium", context_type="Bohrium", local_root=".", remote_profile=cloud)
    assert bohrium.profile == {"email": "e", "program_id": 3, "input_data": {}}


def test_an_emptied_profile_is_read_and_missed_when_needed() -> None:
    machine = Machine.deserialize(Machine(**START).serialize(if_empty_remote_profile=True))
    assert machine.spec() == Machine(**START).spec()
    with pytest.raises(ConfigError, match="machine/remote_profile/hostname: missing"):
        machine.profile  # noqa: B018


def test_spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    machine = Machine("pbs", "Local", "./here", "/r", retry_count=0, max_running=7, clean_asynchronously=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert machine.spec() == MachineSpec("PBS", "LocalContext", str(tmp_path / "here"), "/r", 0, 7, True)
    assert machine.serialize()["local_root"] == "./here"


def test_a_context_given_or_bound() -> None:
    context = LocalContext("./", "/r")
    machine = Shell(context=context)
    assert machine.serialize()["context_type"] == "LocalContext"
    assert Machine("Shell", context=context, context_type="SSH").context is context
    bare = Machine("Shell")
    for request in (bare.spec, bare.check):
        with pytest.raises(ConfigError, match="machine/context_type: missing"):
            request()
    bare.bind_context(context)
    assert bare == machine


def test_copies() -> None:
    machine = Machine(**START)
    assert copy.deepcopy(machine) == machine
    assert pickle.loads(pickle.dumps(machine)) == machine
    assert machine != Machine(**{**START, "retry_count": 1})
    assert machine != 1
    with pytest.raises(TypeError):
        hash(machine)
    assert repr(machine).startswith("Slurm(context_type='SSHContext', local_root='/home/user123")


# -- scripts --------------------------------------------------------------------------------------------------------


def test_the_parts_of_a_script_make_the_script() -> None:
    machine = Machine("Shell", "LazyLocal", "/proj")
    resources = Resources(
        1, 2, 0, "", 0, custom_flags=["#FLAG one"], envs={"A": "b"}, append_script=["echo over"], para_deg=2
    )
    job = Job([Task("first command", "t1"), Task("second", "t2")], resources=resources)
    script = machine.gen_script(job)
    parts = [
        machine.gen_script_header(job),
        machine.gen_script_custom_flags_lines(job),
        machine.gen_script_env(job),
        machine.gen_script_command(job),
        machine.gen_script_end(job),
    ]
    assert script == "".join(parts) == machine.gen_script(job)
    assert parts[0].startswith("#!/bin/bash -l\n")
    assert parts[1] == "#FLAG one\n"
    assert "export A=" in parts[2]
    assert "first command" in parts[3] == machine.gen_script_run_command(job)
    assert "echo over" in parts[4]
    assert machine.gen_script_wait(resources) == machine.gen_command_env_cuda_devices(resources) == ""
    gpus = Resources(1, 2, 2, "", 0, strategy={"if_cuda_multi_devices": True})
    assert machine.gen_command_env_cuda_devices(gpus) == "export CUDA_VISIBLE_DEVICES=0\n"


def test_a_header_template(tmp_path: Path) -> None:
    template = tmp_path / "header.txt"
    template.write_text("#!/bin/sh\n#Q {queue_name} {kwargs[qos]}\n")
    strategy = {"customized_script_header_template_file": str(template)}
    job = Job([Task("c", "d")], resources=Resources(1, 1, 0, "short", 1, strategy=strategy, qos="high"))
    machine = Machine("Shell", "LazyLocal", "/proj")
    assert machine.gen_script_header(job) == "#!/bin/sh\n#Q short high\n"
    template.unlink()
    with pytest.raises(ConfigError, match=r"customized_script_header_template_file: .* cannot be read"):
        machine.gen_script(job)


def test_a_job_on_its_own() -> None:
    job = Job([Task("c", "d")], resources=Resources(1, 1, 0, "", 1))
    assert job.script_file_name == f"{job.job_hash}.sub"
    assert job.job_uuid == job.job_uuid
    assert (job.job_state, job.job_id, job.fail_count) == (None, "", 0)
    with pytest.raises(ConfigError, match="belongs to no submission"):
        Machine("Shell", "LazyLocal", "/proj").do_submit(job)
    with pytest.raises(ConfigError, match="job/job_task_list: is empty"):
        Job([], resources=Resources(1, 1, 0, "", 1))


def test_a_preview_is_what_is_submitted(tmp_path: Path) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "t/in").write_text("1")
    (tmp_path / "common").write_text("2")
    for batch, context, root in (("Shell", "LazyLocal", None), ("DistributedShell", "HDFS", "/user/me")):
        machine = Machine(batch, context, str(tmp_path), root)
        task = Task("run", "t", ["in"], ["out"])
        submission = Submission("./", machine, Resources(1, 1, 0, "", 1), ["common"], ["all"], task_list=[task])
        submission.generate_jobs()
        script = machine.gen_script(submission.belonging_jobs[0])
        assert submission.submission_hash in script
        if batch == "DistributedShell":
            for name in ("common", "t/in", "t/out", "all"):
                assert name in script, f"{name} travels with the job"
    assert not (tmp_path / ".dispatcher").exists(), "a preview makes nothing"


def test_classes_of_a_program_are_registered_by_their_names() -> None:
    class Mine(Slurm):
        """Of a program."""

    class Place(LocalContext):
        """Of a program, too."""

    try:
        made = Machine.load_from_dict(
            {"batch_type": "mine", "context_type": "Place", "local_root": "./", "remote_root": "/r"}
        )
        assert (type(made), type(made.context)) == (Mine, Place)
        assert (made.kind(), made.spec().batch_type, made.spec().context_type) == ("Slurm", "Slurm", "LocalContext")
        assert made.serialize()["batch_type"] == "Mine"
        assert Machine.deserialize(made.serialize()) == made
        resources = {"group_size": 1, "batch_type": "Mine", "kwargs": {"of its own": 1}}
        assert Resources.load_from_dict(resources).kwargs == {"of its own": 1}
        assert type(BaseContext(context_type="Local", local_root="./", remote_root="/r")) is LocalContext
    finally:
        for name in ("Mine", "mine", "Place"):
            Machine.subclasses_dict.pop(name, None)
            BaseContext.subclasses_dict.pop(name, None)
            schedulers.OWN.pop(name, None)
        Machine.options.discard("Mine")
        BaseContext.options.discard("Place")
