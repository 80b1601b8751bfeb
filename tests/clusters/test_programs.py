"""Programs from PyPI that import dpdispatcher, unmodified, where only this package has that name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

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
