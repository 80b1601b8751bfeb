"""Programs from PyPI that import dpdispatcher, unmodified, where only this package has that name."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dispatcher.testing import batch

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
PROGRAMS = ("dpgen", "dpti", "pydflow", "apex-flow", "thkit", "neptrain")
#: What of them is imported; what only other parts of these programs need is left out of the environment.
NEEDED = ("pymbar", "scipy", "watchdog", "scikit-learn", "ruamel.yaml", "joblib", "argcomplete")
#: Never installed: the original, and what is large and not asked for here; and versions that all can live with.
OVERRIDES = 'dpdispatcher; python_version < "3"\napache-airflow; python_version < "3"\nparamiko>=5\nnumpy\ndpdata\n'

IMPORTS = """
import importlib, sys
for name in ("dpgen.generator.run", "dpti.gdi", "dflow.plugins.dispatcher", "apex.core.lib.dispatcher",
             "apex.openapi_compat", "thkit.jobman.submit", "NepTrain.core.train.worker", "NepTrain.cli.cli"):
    importlib.import_module(name)
import dpdispatcher
assert "dispatcher" in dpdispatcher.__version__, dpdispatcher.__file__
print("all are there")
"""
RUN = """
import sys
from {module} import make_submission
machine = {{"batch_type": "Shell", "context_type": sys.argv[1], "local_root": "./", "remote_root": "{far}"}}
resources = {{"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 0, "queue_name": "", "group_size": 1,
             "local_root": "x", "allow_failure": True, "with_mpi": False, "task_per_node": 1}}
make_submission(machine, resources, ["cat in > out", "echo ran >> {count}", "until [ -e {go} ]; do sleep 0.1; done"],
                "run", ["t0", "t1"], 1, [], ["in"], ["out"], "log", "err").run_submission(check_interval=0.5)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a throw-away environment with the programs, and this package as `dpdispatcher`."""
    place = tmp_path_factory.mktemp("programs")
    uv = Path(sys.executable).with_name("uv")
    (place / "override.txt").write_text(OVERRIDES)
    environment = place / "env"
    found = environment / "bin/python"
    install = [uv, "pip", "install", "--quiet", "--python", found]
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, environment],
        [*install, "--override", place / "override.txt", "dpgen", "pydflow", "thkit", *NEEDED],
        [*install, "--no-deps", *PROGRAMS],
        [*install, ROOT],
        [found, "-m", "dispatcher", "compat", "install"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=place)
        assert done.returncode == 0, done.stderr[-2000:]
    return found


def test_they_find_what_they_import(python: Path, tmp_path: Path) -> None:
    done = subprocess.run([python, "-c", IMPORTS], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.endswith("all are there\n")


@pytest.mark.parametrize("context", ["LazyLocalContext", "LocalContext"])
@pytest.mark.parametrize("module", ["dpgen.dispatcher.Dispatcher", "apex.core.lib.dispatcher"])
def test_they_dispatch_and_a_kill_loses_and_doubles_nothing(
    python: Path, tmp_path: Path, module: str, context: str
) -> None:
    for nth in (0, 1):
        (tmp_path / f"run/t{nth}").mkdir(parents=True)
        (tmp_path / f"run/t{nth}/in").write_text(f"{nth}\n")
    (tmp_path / "far").mkdir()
    count, go = tmp_path / "count", tmp_path / "go"
    script = RUN.format(module=module, far=tmp_path / "far", count=count, go=go)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [python, "-c", script, context]
    first = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    end = time.monotonic() + 120
    while not count.exists() or count.read_text().count("ran") < 2:
        assert first.poll() is None, first.communicate()[0]
        assert time.monotonic() < end, "the tasks do not start"
        time.sleep(0.1)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    go.touch()
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [(tmp_path / f"run/t{nth}/out").read_text() for nth in (0, 1)] == ["0\n", "1\n"]
    assert count.read_text() == "ran\nran\n", "each task ran once"
    assert "resources/allow_failure: unknown key" in done.stdout + done.stderr


#: What dpgen calls, and leaves the files that it wants: two models, three frames to be labelled in each iteration.
STAND_INS = {
    "dp": """
echo "dp $1 ${{PWD##*/}} $(cat input.json | tr -d ' \\n' | md5sum)" >> {top}/count
case $1 in
  train) for name in lcurve.out checkpoint model.ckpt.meta model.ckpt.index model.ckpt.data-00000-of-00001; do
    echo "$name" > "$name"; done ;;
  freeze) cat lcurve.out > frozen_model.pb ;;
esac
""",
    "lmp": """
echo "lmp $PWD" >> {top}/count
until [ -e {top}/go ]; do sleep 0.1; done
mkdir -p traj
echo '# step max_devi_v min_devi_v avg_devi_v max_devi_f min_devi_f avg_devi_f' > model_devi.out
for step in 0 10 20; do
  echo "$step 0.1 0.1 0.1 0.15 0.1 0.12" >> model_devi.out
  printf '%s\\n' 'ITEM: TIMESTEP' $step 'ITEM: NUMBER OF ATOMS' 2 'ITEM: BOX BOUNDS xy xz yz pp pp pp' '0 4 0' '0 4 0' \
    '0 4 0' 'ITEM: ATOMS id type x y z' '1 1 0 0 0' '2 1 2 2 2' > traj/$step.lammpstrj
done
""",
    "fp": """
echo "fp ${{PWD##*/}} $(md5sum < POSCAR.in)" >> {top}/count
mkdir -p out
echo '0 0' > out/type.raw; echo Al > out/type_map.raw; echo '4 0 0 0 4 0 0 0 4' > out/box.raw
echo '0 0 0 2 2 2' > out/coord.raw; echo '-1.0' > out/energy.raw; echo '0 0 0.1 0 0 -0.1' > out/force.raw
""",
}
PARAM: dict[str, Any] = {
    "type_map": ["Al"],
    "mass_map": [27],
    "init_data_prefix": "data",
    "init_data_sys": ["init"],
    "init_batch_size": [1],
    "sys_configs": [["data/POSCAR"]],
    "sys_batch_size": [1],
    "numb_models": 2,
    "default_training_param": {
        "model": {"descriptor": {"type": "se_e2_a"}, "fitting_net": {}},
        "training": {"numb_steps": 1},
    },
    "model_devi_dt": 0.002,
    "model_devi_skip": 0,
    "model_devi_f_trust_lo": 0.1,
    "model_devi_f_trust_hi": 0.2,
    "model_devi_jobs": 2
    * [{"sys_idx": [0], "temps": [300], "press": [1.0], "trj_freq": 10, "nsteps": 20, "ensemble": "npt"}],
    "fp_style": "custom",
    "fp_task_max": 3,
    "fp_task_min": 1,
    "fp_params": {
        "input_fn": "POSCAR.in",
        "input_fmt": "vasp/poscar",
        "output_fn": "out",
        "output_fmt": "deepmd/raw",
    },
}
POSCAR = "Al2\n1.0\n4 0 0\n0 4 0\n0 0 4\nAl\n2\nCartesian\n0 0 0\n2 2 2\n"
#: Keys of dpgen's own examples, which nothing reads.
UNREAD = {"local_root": "x", "allow_failure": True, "with_mpi": False, "task_per_node": 1}


def tools(top: Path) -> Path:
    """Programs of the field, as small shell scripts."""
    folder = top / "bin"
    folder.mkdir()
    for name, text in STAND_INS.items():
        (folder / name).write_text("#!/bin/bash\n" + text.format(top=top))
        (folder / name).chmod(0o755)
    return folder


def wait_for(child: subprocess.Popen[str], path: Path, word: str) -> None:
    """Until this word stands in the file."""
    end = time.monotonic() + 240
    while not path.exists() or word not in path.read_text():
        assert child.poll() is None, child.communicate()[0]
        assert time.monotonic() < end, f"{path} does not tell {word!r}"
        time.sleep(0.1)


def test_a_whole_run_of_dpgen_is_killed_and_goes_on(python: Path, tmp_path: Path) -> None:
    folder = tools(tmp_path)
    (tmp_path / "data/init/set.000").mkdir(parents=True)
    (tmp_path / "data/init/set.000/box.npy").write_text("box")
    (tmp_path / "data/init/type.raw").write_text("0\n0\n")
    (tmp_path / "data/POSCAR").write_text(POSCAR)
    (tmp_path / "far").mkdir()

    def stage(command: str, context: str) -> list[dict[str, Any]]:
        machine = {"batch_type": "Shell", "context_type": context, "local_root": "./", "remote_root": f"{tmp_path}/far"}
        resources = {"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 0, "queue_name": "", "group_size": 1}
        return [{"command": f"{folder / command}", "machine": machine, "resources": {**resources, **UNREAD}}]

    stages = {"train": stage("dp", "Local"), "model_devi": stage("lmp", "LazyLocal"), "fp": stage("fp", "Local")}
    (tmp_path / "machine.json").write_text(json.dumps({"api_version": "1.0", "deepmd_version": "2.0.1", **stages}))
    (tmp_path / "param.json").write_text(json.dumps(PARAM))
    command = [python.with_name("dpgen"), "run", "param.json", "machine.json"]
    first = subprocess.Popen(command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_for(first, tmp_path / "count", "lmp")
    first.kill()
    first.communicate()
    (tmp_path / "go").touch()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = (tmp_path / "count").read_text().splitlines()
    assert Counter(line.split()[0] for line in lines) == {"dp": 12, "lmp": 2, "fp": 6}, lines
    assert Counter(line for line in lines if not line.startswith("fp")).most_common(1)[0][1] == 1, lines
    assert (tmp_path / "record.dpgen").read_text().splitlines()[-1] == "2 2"
    assert (tmp_path / "iter.000002/00.train/graph.001.pb").read_text() == "lcurve.out\n"
    assert list((tmp_path / "far").iterdir()) == []


#: The three clients dispatch as they do in their own programs, one after the other, with the same machine.
CLIENTS = """
import json, os, sys
from pathlib import Path
machine, resources = json.loads(sys.argv[1]), json.loads(sys.argv[2])

from apex.core.lib.dispatcher import make_submission
os.makedirs("apex/t0")
Path("apex/t0/in").write_text("apex")
made = make_submission(machine, resources, ["cat in > out"], "apex", ["t0"], 1, [], ["in"], ["out"], "log", "err")
made.run_submission(check_interval=0.5)
assert Path("apex/t0/out").read_text() == "apex"

from dpti.gdi import make_dpdt
jdata = {"mass_map": [27], "nsteps": 1, "timestep": 0.002, "thermo_freq": 1, "tau_t": 0.1, "tau_p": 0.5, "stat_skip": 0,
         "stat_bsize": 1, "phase_i": {"ens": "npt"}, "phase_ii": {"ens": "npt"}}
os.makedirs("dpti")
Path("dpti/in.json").write_text(json.dumps(jdata))
for name in ("conf.0.lmp", "conf.1.lmp", "graph.pb"):
    Path("dpti", name).write_text("2 atoms\\n")
print(make_dpdt(300, 1.0, "t", "dpti", {"machine": machine, "resources": resources}))
assert Path("dpti/database/task.000000/1/out.lmp").read_text() == "2 atoms\\n"

from dflow import ShellOPTemplate, OutputParameter, InputArtifact, OutputArtifact
from dflow.plugins.dispatcher import DispatcherExecutor
step = ShellOPTemplate(name="step", image="alpine", command="bash", script="cat tmp/in > tmp/out; echo 5 > tmp/five")
step.inputs.artifacts["in"] = InputArtifact(path="/tmp/in")
step.outputs.artifacts["out"] = OutputArtifact(path="/tmp/out")
step.outputs.parameters["five"] = OutputParameter(value_from_path="/tmp/five")
profile = machine.get("remote_profile", {})
executor = DispatcherExecutor(host=profile.get("hostname", "none"), username=profile.get("username", "me"),
    port=profile.get("port", 22), machine_dict=machine, resources_dict=resources, map_tmp_dir=False)
os.makedirs("dflow/workdir/tmp")
os.chdir("dflow/workdir")
Path("tmp/in").write_text("dflow")
os.environ["ARGO_TEMPLATE"] = "{}"
exec(compile(executor.render(step).script, "step", "exec"))
assert (Path("tmp/out").read_text(), Path("tmp/five").read_text()) == ("dflow", "5\\n")
print("all dispatched")
"""
#: What dpti reads of a run of lmp.
LMP = """#!/bin/bash
cp conf.lmp out.lmp
{{ echo 'Step KinEng PotEng TotEng Enthalpy Temp Press Volume'; for n in 0 1 2 3; do echo "$n 1 2 3 4 300 1 64"; done
  echo 'Loop time of 1'; }} > log.lammps
echo "$PWD" >> {top}/lmp.ran
"""


@pytest.mark.parametrize(("kind", "context"), [
    ("Shell", "LazyLocal"), ("Shell", "LocalContext"), ("Shell", "SSHContext"), ("Slurm", "LocalContext"),
])  # fmt: skip
def test_apex_dpti_and_dflow_dispatch(
    python: Path, tmp_path: Path, ssh_servers: Mapping[str, str], kind: str, context: str
) -> None:
    top = Path(f"~{ssh_servers['SSH_USER']}").expanduser() if context == "SSHContext" else tmp_path
    home, far = tmp_path / "home", top / f"far-{kind}"
    home.mkdir()
    far.mkdir(exist_ok=True)
    far.chmod(0o777)
    folder = far / "bin"
    folder.mkdir(exist_ok=True)
    (far / "lmp.ran").unlink(missing_ok=True)
    (folder / "lmp").write_text(LMP.format(top=far))
    (folder / "lmp").chmod(0o755)
    machine: dict[str, Any] = {"batch_type": kind, "context_type": context, "local_root": "./", "remote_root": str(far)}
    if context == "SSHContext":
        machine["remote_profile"] = {
            "hostname": ssh_servers["SSH_HOST"],
            "port": int(ssh_servers["SSH_PORT_MAIN"]),
            "username": ssh_servers["SSH_USER"],
            "key_filename": ssh_servers["SSH_KEY_ED25519"],
        }
    path = f"{folder}:{os.environ['PATH']}"
    site = batch.install("slurm", tmp_path / "site") if kind == "Slurm" else None
    resources = {"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 0, "queue_name": "", "group_size": 1,
                 "prepend_script": [f"export PATH={folder}:$PATH"]}  # fmt: skip
    done = subprocess.run(
        [python, "-c", CLIENTS, json.dumps(machine), json.dumps(resources)],
        cwd=home,
        env={**os.environ, "HOME": str(home), "PATH": f"{site.path()}:{path}" if site else path},
        capture_output=True,
        text=True,
        check=False,
    )
    if site:
        site.end()
        assert len(site.jobs()) == 4
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("all dispatched\n")
    assert len((far / "lmp.ran").read_text().splitlines()) == 2
    if context == "SSHContext":
        assert "ssh-ed25519" in (home / ".ssh/known_hosts").read_text(), "a new host was accepted, and is known now"
