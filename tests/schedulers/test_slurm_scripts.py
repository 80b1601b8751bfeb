"""The scripts and commands the Slurm dialects make. Golden: fixtures/scripts/slurm*, accepted with `make golden`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dispatcher.core.errors import ConfigError
from dispatcher.core.model import ResourcesSpec, TaskSpec
from dispatcher.core.ports import JobScript, Place
from dispatcher.schedulers import load
from dispatcher.scripts.render import render

GOLDEN = Path(__file__).parents[2] / "fixtures" / "scripts"
SLURM, ARRAY = load("Slurm"), load("SlurmJobArray")


def job(tasks: int = 1, root: str = "/scratch/R", template: str | None = None, **requested: Any) -> JobScript:
    resources = {
        "number_node": 1,
        "cpu_per_node": 4,
        "gpu_per_node": 0,
        "queue_name": "",
        "group_size": tasks,
    } | requested
    named = "dq3v81kx0mza-relax"
    place = Place("/local", root, f"{root}/.dispatcher/5f1c/jobs")
    listed = tuple((n, TaskSpec("lmp -i in.lammps", f"t{n}")) for n in range(tasks))
    return JobScript("5f1c0a", "dq3v81kx0mza", named, place, ResourcesSpec(**resources), listed, template)


GRID: dict[str, JobScript] = {
    "slurm/plain": job(),
    "slurm/queue-and-gpus": job(number_node=2, gpu_per_node=2, queue_name="gpu"),
    "slurm/gpu-type": job(gpu_per_node=1, kwargs={"gres_type": "a100"}),
    "slurm/custom-gpu-line": job(gpu_per_node=1, kwargs={"custom_gpu_line": "#SBATCH --gpus-per-node=1"}),
    "slurm/no-gpu-line": job(gpu_per_node=1, kwargs={"custom_gpu_line": ""}),
    "slurm/everything": job(
        queue_name="cpu",
        custom_flags=("#SBATCH --nice=100", "#SBATCH --mail-type=FAIL"),
        kwargs={
            "walltime": "1-12:00:00", "memory": "16G", "account": "lab", "qos": "long", "constraint": "[a|b]&c",
            "exclusive": True, "job_name": "relax",
        },
    ),
    "slurm/no-cpus": job(cpu_per_node=0),
    "slurm/odd-path": job(root="/scratch/it's \"50%\" full"),
    "slurm/template": job(template="#!/bin/bash -l\n#SBATCH -p {queue_name}\n#SBATCH -q {kwargs[qos]}\n",
                          queue_name="cpu", kwargs={"qos": "long"}),
    "slurm_array/ten": job(10),
    "slurm_array/three-in-an-element": job(10, kwargs={"slurm_job_size": 3, "array_throttle": 2}),
}  # fmt: skip


@pytest.mark.parametrize("name", GRID)
def test_golden(name: str, request: pytest.FixtureRequest) -> None:
    text = render(GRID[name], ARRAY if name.startswith("slurm_array") else SLURM).text()
    path = GOLDEN / f"{name}.sub"
    if request.config.getoption("--golden"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs; if the new text is right, accept it with: make golden"


@pytest.mark.slow
@pytest.mark.parametrize("name", GRID)
def test_shellcheck_has_no_complaint(name: str, shellchecked: Callable[[Path], None]) -> None:
    shellchecked(GOLDEN / f"{name}.sub")


def test_nothing_is_said_of_what_is_not_set() -> None:
    text = render(job(), SLURM).header
    assert "--partition" not in text
    assert "--gres" not in text


@pytest.mark.parametrize(
    "requested",
    [
        {"queue_name": "main\n#SBATCH --wrap=evil"},
        {"queue_name": "main --wrap=evil"},
        {"kwargs": {"walltime": "1:00:00 --account=other"}},
        {"kwargs": {"memory": "1G\r"}},
        {"kwargs": {"account": "'lab'"}},
        {"kwargs": {"qos": "a#b"}},
        {"kwargs": {"constraint": "a\\b"}},
        {"kwargs": {"gres_type": "a 100"}},
    ],
)
def test_what_would_not_stay_one_word_is_refused(requested: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="resources/"):
        SLURM.check(job(**requested).resources)


@pytest.mark.parametrize("key", ["slurm_job_size", "array_throttle"])
@pytest.mark.parametrize("value", [0, -1, "2", True, 1.5])
def test_sizes_must_be_positive_numbers(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"resources/kwargs/{key}"):
        ARRAY.check(job(kwargs={key: value}).resources)


@pytest.mark.parametrize(("tasks", "size", "elements"), [(1, 1, 1), (10, 1, 10), (10, 3, 4), (9, 3, 3), (2, 5, 1)])
def test_elements(tasks: int, size: int, elements: int) -> None:
    assert ARRAY.elements(job(kwargs={"slurm_job_size": size}).resources, tasks) == elements
