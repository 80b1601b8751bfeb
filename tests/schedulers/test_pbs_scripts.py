"""The scripts of PBS, Torque, SGE, LSF, Fugaku and JH_UniScheduler. Golden: fixtures/scripts/, see `make golden`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dispatcher.core.errors import ConfigError
from dispatcher.core.model import ResourcesSpec, TaskSpec
from dispatcher.core.ports import JobScript, Place, SubmitRequest
from dispatcher.schedulers import chosen, load
from dispatcher.scripts.render import render

GOLDEN = Path(__file__).parents[2] / "fixtures" / "scripts"


def job(tasks: int = 1, root: str = "/scratch/R", template: str | None = None, **requested: Any) -> JobScript:
    resources = {
        "number_node": 1,
        "cpu_per_node": 4,
        "gpu_per_node": 0,
        "queue_name": "",
        "group_size": tasks,
    } | requested
    place = Place("/local", root, f"{root}/.dispatcher/5f1c/jobs")
    listed = tuple((n, TaskSpec("lmp -i in.lammps", f"t{n}")) for n in range(tasks))
    named = "dq3v81kx0mza-relax-the-long-way"
    return JobScript("5f1c0a", "dq3v81kx0mza", named, place, ResourcesSpec(**resources), listed, template)


CASES: dict[str, JobScript] = {
    "plain": job(),
    "queue-and-gpus": job(2, number_node=2, gpu_per_node=2, queue_name="gpu", para_deg=2),
    "everything": job(
        queue_name="workq",
        number_node=2,
        gpu_per_node=1,
        kwargs={"walltime": "1-12:00:00", "memory": "16G", "account": "lab"},
    ),
    "no-cpus": job(cpu_per_node=0),
    "odd-path": job(root="/scratch/it's 50%, full"),
    "flags": job(custom_flags=("#PBS -m n", "#PBS -p 100")),
    "template": job(template="#!/bin/bash -l\n#PBS -q {queue_name}\n#PBS -P {kwargs[account]}\n",
                    queue_name="workq", kwargs={"account": "lab"}),
    "pe": job(number_node=2, gpu_per_node=1, kwargs={"pe_name": "mpi_fill", "gpu_name": "gpus"}),
    "one-slot": job(cpu_per_node=1),
    "gpu-new": job(gpu_per_node=2, kwargs={"gpu_usage": True, "gpu_new_syntax": True, "gpu_exclusive": False}),
    "gpu-old": job(gpu_per_node=2, kwargs={"gpu_usage": True}),
    "custom-gpu-line": job(gpu_per_node=2, kwargs={"custom_gpu_line": "-R \"rusage[ngpus=2]\""}),
}  # fmt: skip
ARRAY = {"array": True}
CASES |= {
    "array": job(10, kwargs=ARRAY),
    "array-throttled": job(10, kwargs={**ARRAY, "array_throttle": 2}),
    "array-of-one": job(1, kwargs=ARRAY),
}
ARRAYS = ("array", "array-throttled", "array-of-one")
COMMON = ("plain", "queue-and-gpus", "everything", "no-cpus", "odd-path")
MORE = {
    "pbs": ("flags", "template", *ARRAYS), "torque": ("flags", "template", *ARRAYS),
    "sge": ("pe", "one-slot", "custom-gpu-line", *ARRAYS),
    "lsf": ("gpu-new", "gpu-old", "custom-gpu-line"), "fugaku": (), "jh_unischeduler": ("custom-gpu-line",),
}  # fmt: skip
GRID = [f"{dialect}/{case}" for dialect, more in MORE.items() for case in (*COMMON, *more)]


@pytest.mark.parametrize("name", GRID)
def test_golden(name: str, request: pytest.FixtureRequest) -> None:
    dialect, _, case = name.partition("/")
    text = render(CASES[case], chosen(dialect, CASES[case].resources)).text()
    path = GOLDEN / f"{name}.sub"
    if request.config.getoption("--golden"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs; if the new text is right, accept it with: make golden"


@pytest.mark.slow
@pytest.mark.parametrize("dialect", MORE)
def test_shellcheck_has_no_complaint(dialect: str, shellchecked: Callable[[Path], None]) -> None:
    for path in sorted((GOLDEN / dialect).glob("*.sub")):
        shellchecked(path)


@pytest.mark.parametrize("dialect", MORE)
def test_no_queue_directive_without_a_queue_and_the_shebang_is_the_first_line(dialect: str) -> None:
    """W57: shebang on line 2; W58: an empty queue name yields an invalid directive."""
    header = render(job(), load(dialect)).header.splitlines()
    assert header[0] == "#!/bin/bash -l"
    assert not [line for line in header if " -q" in line or "rscgrp" in line]
    named = render(job(queue_name="gpu"), load(dialect)).header
    assert " -q gpu\n" in named or 'rscgrp=gpu"' in named


@pytest.mark.parametrize("dialect", MORE)
def test_the_job_name_begins_with_the_nonce(dialect: str) -> None:
    header = render(job(), load(dialect)).header
    assert re.search(r"^#\S+ -[NJ] dq3v81kx0mza-re\S*$", header, re.M)


@pytest.mark.parametrize("dialect", ["pbs", "torque"])
def test_names_are_cut_to_what_old_servers_take_with_the_nonce_whole(dialect: str) -> None:
    request = SubmitRequest("dq3v81kx0mza", "dq3v81kx0mza-relax", "dq3v81kx0mza.sub", {}, job().resources)
    line = load(dialect).submit([request], job().place).text
    assert "qsub -N dq3v81kx0mza-re dq3v81kx0mza.sub" in line


def test_memory_stands_in_the_chunk_and_torque_wants_it_for_the_whole_job() -> None:
    """-l resources cannot be used beside select; Torque would take select without a word."""
    requested = job(number_node=3, kwargs={"memory": "16G"})
    assert "#PBS -l select=3:ncpus=4:mem=16384mb" in render(requested, load("PBS")).header
    torque = render(requested, load("Torque")).header
    assert "#PBS -l nodes=3:ppn=4\n#PBS -l mem=49152mb" in torque
    assert "select" not in torque


@pytest.mark.parametrize("dialect", MORE)
def test_output_that_would_get_lost_is_not_asked_for(dialect: str) -> None:
    """Output directories with a blank or comma: output silently undelivered, job still C with exit 0."""
    header = render(CASES["odd-path"], load(dialect)).header
    assert re.search(r"^#\S+ -o /dev/null$", header, re.M)


@pytest.mark.parametrize(
    ("walltime", "clock"),
    [(90, "01:30:00"), ("90", "01:30:00"), ("1-12:00:00", "36:00:00"), ("1-12", "36:00:00"), ("2:30", "00:02:30"),
     ("100:00:01", "100:00:01")],
)  # fmt: skip
def test_walltime_means_what_it_means_on_slurm(walltime: object, clock: str) -> None:
    assert f"-l walltime={clock}\n" in render(job(kwargs={"walltime": walltime}), load("PBS")).header


@pytest.mark.parametrize(
    ("dialect", "lines"),
    [
        ("sge", ["#$ -l h_rt=5401", "#$ -l h_vmem=4096M", "#$ -A lab"]),
        ("lsf", ["#BSUB -W 91", "#BSUB -M 16384MB", "#BSUB -R 'rusage[mem=16384MB]'", "#BSUB -P lab"]),
        ("jh_unischeduler", ["#JSUB -W 91", "#JSUB -M 16384", "#JSUB -R 'rusage[mem=16384/host]'", "#JSUB -P lab"]),
        ("fugaku", ['#PJM -L "elapse=01:30:01"', '#PJM -L "node-mem=16384Mi"', "#PJM -g lab"]),
        ("torque", ["#PBS -l walltime=01:30:01", "#PBS -l mem=16384mb", "#PBS -A lab"]),
    ],
)
def test_walltime_memory_and_account_in_the_words_of_each(dialect: str, lines: list[str]) -> None:
    requested = job(kwargs={"walltime": "1:30:01", "memory": "16G", "account": "lab"})
    assert set(lines) <= set(render(requested, load(dialect)).header.splitlines())


@pytest.mark.parametrize(
    "requested",
    [
        {"queue_name": "main\n#PBS -W evil"}, {"queue_name": "a b"}, {"kwargs": {"account": "'lab'"}},
        {"kwargs": {"walltime": "1:00:00 -A other"}}, {"kwargs": {"walltime": "soon"}}, {"kwargs": {"memory": "much"}},
    ],
)  # fmt: skip
@pytest.mark.parametrize("dialect", MORE)
def test_what_would_not_stay_one_word_is_refused(dialect: str, requested: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="resources/"):
        load(dialect).check(job(**requested).resources)
