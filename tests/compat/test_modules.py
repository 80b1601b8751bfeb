"""`import dpdispatcher` as programs do it: every module path and name, the logger, the command, the installation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dispatcher.compat import command, installing
from dispatcher.compat.names import ABSENT, MODULES
from dispatcher.core.errors import ConfigError

ROOT = Path(__file__).parents[2]


def compat(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`dispatcher compat …`, in that directory."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "dispatcher", "compat", *words],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def script(tmp_path: Path, text: str, *words: str) -> str:
    """What a script prints that is run so."""
    (tmp_path / "script.py").write_text(text)
    done = compat(tmp_path, "run", "script.py", *words)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_every_path_and_name(tmp_path: Path) -> None:
    assert ABSENT.keys() - {name for name in ABSENT if ":" in name} <= MODULES.keys()
    (tmp_path / "names.json").write_text(json.dumps(MODULES))
    text = """import json, importlib
for module, names in json.load(open("names.json")).items():
    found = importlib.import_module(module)
    assert found.__name__ == module
    for name in names:
        getattr(found, name)
import dispatcher, dpdispatcher
assert dpdispatcher.Machine is dpdispatcher.machine.Machine is dispatcher.Machine
assert dpdispatcher.machines.slurm.Slurm is dpdispatcher.slurm.Slurm is dispatcher.Slurm
assert dpdispatcher.utils.job_status.JobStatus.failed == 7
try:
    from dpdispatcher.file_manager import PathPolicy
except ImportError:
    print(dpdispatcher.__version__)
"""
    assert script(tmp_path, text).strip() == installing.VERSION


def test_the_logger_is_the_module_too(tmp_path: Path) -> None:
    text = """import logging, os
from dpdispatcher import dlog
from dpdispatcher.dlog import dlog as logger, dlog_stdout
assert not os.path.exists("dpdispatcher.log"), "nothing was said yet"
logging.getLogger("dispatcher").info("one")
assert logger.handlers[1] is dlog_stdout
logger.removeHandler(dlog_stdout)
logging.getLogger("dispatcher").info("two")
dlog.handlers = [dlog.handlers[0]]
dlog.setLevel(logging.WARNING)
dlog.warning("three")
logging.getLogger("dispatcher").info("four")
"""
    assert script(tmp_path, text).count("\n") == 1
    told = (tmp_path / "dpdispatcher.log").read_text()
    assert [line.partition(" - ")[2] for line in told.splitlines()] == ["INFO : one", "INFO : two", "WARNING : three"]


def test_a_program_and_what_it_starts(tmp_path: Path) -> None:
    text = """import subprocess, sys
child = [sys.executable, "-c", "import dpdispatcher; dpdispatcher.info()"]
print(subprocess.run(child, capture_output=True, text=True).stdout)
print(sys.argv[1:])
"""
    said = script(tmp_path, text, "--flag", "a b")
    assert f"dpdispatcher {installing.VERSION}, from {ROOT / 'dispatcher/compat'}" in said
    assert "['--flag', 'a b']" in said
    missing = compat(tmp_path, "run", "no-such-program")
    assert (missing.returncode, "no-such-program: there is no such command" in missing.stderr) == (2, True)


def target(tmp_path: Path) -> installing.Target:
    found = installing.Target(tmp_path / "site", tmp_path / "bin")
    for place in found:
        place.mkdir()
    return found


def test_installed_and_removed(tmp_path: Path) -> None:
    there = target(tmp_path)
    written = installing.install(there)
    assert all(path.is_file() for path in written)
    assert installing.installed(there) == "ours"
    assert sorted(installing.install(there)) == sorted(written), "again is no error"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(there.packages), str(ROOT)])}
    text = "import dpdispatcher.utils.record; from importlib.metadata import version; print(version('dpdispatcher'))"
    done = subprocess.run([sys.executable, "-c", text], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == installing.VERSION
    asked = [there.commands / "dpdisp", "submit", "--help"]
    done = subprocess.run(asked, env=environment, capture_output=True, text=True, check=True)
    assert "--continue-on-failure" in done.stdout
    installing.remove(there)
    assert [list(place.iterdir()) for place in there] == [[], []]
    assert installing.remove(there) == []


@pytest.mark.parametrize("left", ["package", "metadata", "command"])
def test_what_others_installed_is_not_overwritten(tmp_path: Path, left: str) -> None:
    there = target(tmp_path)
    paths = {
        "package": there.packages / "dpdispatcher/__init__.py",
        "metadata": there.packages / "dpdispatcher-1.0.dist-info/METADATA",
        "command": there.commands / "dpdisp",
    }
    paths[left].parent.mkdir(exist_ok=True)
    paths[left].write_text("Metadata-Version: 2.1\nName: dpdispatcher\nVersion: 1.0\n")
    before = paths[left].read_text()
    with pytest.raises(ConfigError, match="not overwritten"):
        installing.install(there)
    assert installing.remove(there) == []
    assert paths[left].read_text() == before
    assert [path for place in there for path in place.rglob("*") if path.is_file()] == [paths[left]]


def test_dpdisp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w/t").mkdir(parents=True)
    asked = {
        "work_base": "w",
        "machine": {"batch_type": "Shell", "context_type": "LazyLocal", "local_root": "./", "env_setup": "x"},
        "resources": {"group_size": 1, "allow_failure": True},
        "task_list": [{"command": "echo > out", "task_work_path": "t", "backward_files": ["out"]}],
    }
    (tmp_path / "job.json").write_text(json.dumps(asked))
    assert command.main(["submit", "job.json", "--continue-on-failure", "--dry-run"]) == 0
    said = capfd.readouterr()
    assert "resources/allow_failure: unknown key" in said.err
    assert "scripts" in said.out
    assert command.main(["submission", "abcdef"]) == 2
    assert "--download-terminated-log" in capfd.readouterr().err
    assert command.main([]) == 0
    assert "submission" in capfd.readouterr().out
