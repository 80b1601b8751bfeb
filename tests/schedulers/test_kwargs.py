"""Each dialect reads the keys of `kwargs` that it declares, and no others; what a file fills in is not identity."""

from __future__ import annotations

from typing import Any

import pytest

from dispatcher import Machine, Resources, Submission, Task, schedulers
from dispatcher.core.errors import ConfigError
from dispatcher.core.model import ResourcesSpec, TaskSpec, plan_hash
from dispatcher.core.ports import JobScript, Place, SubmitRequest
from dispatcher.schedulers import limits
from dispatcher.schema.reading import read
from dispatcher.scripts.render import render

PLACE = Place("/local", "/R", "/R/.dispatcher/s/jobs")
#: A value of each kind that a key may have; True opens what depends on it.
VALUES: dict[Any, Any] = {bool: True, int: 2, str: "x", list[str]: ["true"]}
USUAL = {"walltime": "90", "memory": "16G", "master_memory": 512}
#: Read by the engine, which names every job.
BY_THE_ENGINE = {"job_name"}


class Recorded(dict[str, Any]):
    """kwargs that note which keys they are asked for."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.read: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.read.add(key)
        return super().get(key, default)

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)


def read_by(name: str, given: dict[str, Any]) -> set[str]:
    kwargs = Recorded(given)
    resources = ResourcesSpec(1, 2, 1, "q", 1, kwargs=kwargs)
    dialect = schedulers.chosen(name, resources)
    dialect.check(resources)
    made = render(JobScript("5f1c", "dq3", "dq3-x", PLACE, resources, ((0, TaskSpec("true", "t")),)), dialect)
    dialect.submit([SubmitRequest("dq3", "dq3-x", "dq3.sub", made.files("dq3"), resources)], PLACE)
    return kwargs.read


@pytest.mark.parametrize("name", schedulers.BUILTIN)
def test_what_is_read_is_declared_and_what_is_declared_is_read(name: str) -> None:
    declared, _ = schedulers.kwargs_of(name)
    assert declared is not None
    given = {key.name: USUAL.get(key.name, VALUES[key.kinds[0]]) for key in declared if key.name != "custom_gpu_line"}
    read = read_by(name, given) | read_by(name, {**given, "array": False}) | BY_THE_ENGINE
    names = {key.name for key in declared} | {alias for key in declared for alias in key.alias}
    assert read - names <= {"array"}, "not declared"  # where there are no arrays, the key is refused by name
    assert {key.name for key in declared} - read == set(), "never read"


def whole(batch: str, **kwargs: Any) -> dict[str, Any]:
    return {
        "work_base": "w",
        "machine": {"batch_type": batch, "context_type": "LazyLocal", "local_root": "./"},
        "resources": {"group_size": 1, "gpu_per_node": 1, "kwargs": kwargs},
        "task_list": [{"command": "true", "task_work_path": "t0"}],
    }


@pytest.mark.parametrize(
    ("batch", "kwargs"),
    [
        ("Fugaku", {"walltime": "1:00:00", "memory": "4G", "account": "grp", "job_name": "relax"}),
        ("JH_UniScheduler", {"walltime": "1:00:00", "memory": "4G", "account": "grp", "job_name": "relax"}),
        ("SGE", {"custom_gpu_line": "#$ -l ngpus=1"}),
        ("SGE", {"gpu_name": "ngpus"}),
        ("PBS", {"job_name": "relax", "array": True, "array_throttle": 2}),
        ("Torque", {"job_name": "relax"}),
        ("LSF", {"job_name": "relax"}),
        ("Slurm", {"walltime": 0, "memory": 16000}),
        ("Slurm", {"walltime": "2h"}),
    ],
)
def test_what_is_documented_is_taken(batch: str, kwargs: dict[str, Any]) -> None:
    assert read(whole(batch, **kwargs), "s.json: submission").spec.resources.kwargs == kwargs


@pytest.mark.parametrize("batch", ["Slurm", "PBS", "Torque", "LSF", "SGE", "Fugaku", "JH_UniScheduler"])
@pytest.mark.parametrize(("key", "value"), [("walltime", "2 days"), ("walltime", "soon"), ("memory", "much")])
def test_nonsense_is_refused_by_name_on_every_system(batch: str, key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"resources/kwargs/{key}"):
        read(whole(batch, **{key: value}), "s.json: submission")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (90, 5400), ("90", 5400), ("24:00", 1440), ("24:00:00", 86400), ("1-12", 129600), ("1-12:00:00", 129600),
        ("2h", 7200), ("1d12h", 129600), ("90m", 5400), ("45s", 45), ("1H30M", 5400), (0, None), ("0", None),
    ],
)  # fmt: skip
def test_walltime_has_one_meaning(value: object, seconds: int | None) -> None:
    assert limits.seconds(ResourcesSpec(1, 1, 0, "", 1, kwargs={"walltime": value})) == seconds


@pytest.mark.parametrize("name", ["Slurm", "SlurmJobArray", "SGE", "LSF", "JH_UniScheduler"])
def test_a_file_and_python_ask_for_the_same(name: str) -> None:
    data = whole(name)
    data["resources"]["strategy"] = {"ratio_unfinished": float("0")}
    made = Submission("w", Machine(**data["machine"]), Resources(1, 1, 1, "", 1), task_list=[Task("true", "t0")])
    assert plan_hash(read(data, "s.json: submission").spec) == plan_hash(made.spec())
