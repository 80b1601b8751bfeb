"""scheduler_prologue: its lines come before every command of every batch system, whatever is asked."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatcher.core.model import ResourcesSpec
from dispatcher.core.ports import Place, Query, Reply, SubmitRequest
from dispatcher.schedulers import ARRAYS, BUILTIN, chosen

COMMANDS = (
    *("sbatch", "squeue", "sacct", "scancel", "scontrol", "qsub", "qstat", "qdel", "qacct", "qselect", "qconf"),
    *("bsub", "bjobs", "bhist", "bkill", "jsub", "jjobs", "jhist", "jctrl", "pjsub", "pjstat", "pjdel"),
    *("hadoop", "yarn"),
)
#: Asked by command lines; the clouds and Shell have none.
ASKED = [name for name in BUILTIN if name not in ("Shell", "Bohrium", "OpenAPI")]
NONCE = "d000000001ab"


def told(top: Path, text: str) -> list[str]:
    """What the commands were told by this text, each with what the prologue has set."""
    (top / "told").write_text("")
    env = {"PATH": os.environ["PATH"], "HOME": str(top)}
    subprocess.run(["sh"], input=text, cwd=top, env=env, capture_output=True, text=True, timeout=60)
    return (top / "told").read_text().splitlines()


@pytest.fixture
def prologue(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """Lines that bring the commands, and choose a cluster."""
    (tmp_path / "site").mkdir()
    for name in COMMANDS:
        (tmp_path / "site" / name).write_text(f'#!/bin/sh\necho "${{CLUSTER-none}} ${{0##*/}} $*" >> {tmp_path}/told\n')
        (tmp_path / "site" / name).chmod(0o755)
    yield (f"PATH={tmp_path}/site:$PATH", "CLUSTER=joltik; export CLUSTER", "cd /", "read -r eaten || :", "set -eu")


@pytest.mark.parametrize("array", [False, True])
@pytest.mark.parametrize("name", ASKED)
def test_every_command_has_what_the_prologue_sets(
    tmp_path: Path, prologue: tuple[str, ...], name: str, array: bool
) -> None:
    if array and name not in ARRAYS:
        return
    (tmp_path / "hadoop-yarn-applications-distributedshell-3.3.jar").touch()
    own = {"yarn_path": str(tmp_path)} if name == "DistributedShell" else {"array": True} if array else {}
    kwargs = {"scheduler_prologue": list(prologue), **own}
    resources = ResourcesSpec(1, 1, 0, "", 1, kwargs=kwargs)
    dialect, place = chosen(name, resources), Place(str(tmp_path), str(tmp_path), str(tmp_path))
    request = SubmitRequest(NONCE, NONCE, f"{NONCE}.sub", {f"{NONCE}.sub": "true\n"}, resources)
    id = "application_1_1" if name == "DistributedShell" else "4211.host" if name in ("PBS", "Torque") else "4211"
    queries = [Query(NONCE, id, 1e9), Query("d000000002ab", "", 1e9)]
    asked = [dialect.submit([request], place), dialect.observe(queries, place), dialect.kill(queries, place)]
    for call in (*asked, dialect.account(queries, place)):
        if call is None:
            assert name == "DistributedShell", "it has no accounting"
            continue
        said = told(tmp_path, call.text)
        assert said
        assert {line.split()[0] for line in said} == {"joltik"}


@pytest.mark.parametrize("clusters", ["", "cm2,cm4"])
def test_slurm_looks_where_the_environment_sends_jobs(tmp_path: Path, clusters: str) -> None:
    """SBATCH_CLUSTERS moves jobs to other clusters, and says nothing to squeue: a lost reply is looked for there."""
    (tmp_path / "squeue").write_text(
        '#!/bin/sh\ncase "$*" in *"-M cm4 "*) echo "77|R|n1|None|d000000001ab-x" ;; esac\n'
    )
    (tmp_path / "squeue").chmod(0o755)
    prologue = [f"PATH={tmp_path}:$PATH", f"export SBATCH_CLUSTERS={clusters}"]
    dialect = chosen("Slurm", ResourcesSpec(1, 1, 0, "", 1, kwargs={"scheduler_prologue": prologue}))
    queries, place = [Query(NONCE)], Place(str(tmp_path), str(tmp_path), str(tmp_path))
    text = dialect.observe(queries, place).text  # type: ignore[union-attr]
    done = subprocess.run(["sh"], input=text, capture_output=True, text=True, timeout=60)
    seen = dialect.observed(Reply(done.returncode, done.stdout, done.stderr), queries)
    assert seen.trouble == ""
    assert seen.jobs[NONCE].id == ("77@cm4" if clusters else "")
