"""Resources: the manual's formats, the rule of kwargs, and what must not be shared."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from dispatcher.api import Resources
from dispatcher.core.errors import ConfigError
from dispatcher.core.model import ResourcesSpec, Strategy

FIRST = {"number_node": 1, "cpu_per_node": 4, "gpu_per_node": 1, "queue_name": "GPUV100", "group_size": 5}
EXPANSE = {
    "number_node": 1,
    "cpu_per_node": 1,
    "gpu_per_node": 0,
    "queue_name": "shared",
    "group_size": 1,
    "custom_flags": ["#SBATCH -c 32", "#SBATCH --mem=16G", "#SBATCH --time=48:00:00", "#SBATCH --requeue"],
    "source_list": ["activate /home/me/deepmd-kit"],
    "envs": {"OMP_NUM_THREADS": 4, "TF_INTRA_OP_PARALLELISM_THREADS": 4, "DP_AUTO_PARALLELIZATION": 1},
    "batch_type": "Slurm",
    "kwargs": {"custom_gpu_line": "#SBATCH --gpus=0"},
}
WORKSTATION = {
    "number_node": 1,
    "cpu_per_node": 48,
    "gpu_per_node": 8,
    "queue_name": "shell",
    "group_size": 0,
    "strategy": {"if_cuda_multi_devices": True},
    "source_list": ["activate /home/me/deepmd-kit"],
    "envs": {"OMP_NUM_THREADS": 1},
    "para_deg": 6,
}
KEYS = [
    "number_node",
    "cpu_per_node",
    "gpu_per_node",
    "queue_name",
    "group_size",
    "custom_flags",
    "strategy",
    "para_deg",
    "module_purge",
    "module_unload_list",
    "module_list",
    "source_list",
    "envs",
    "prepend_script",
    "append_script",
    "wait_time",
    "kwargs",
]


@pytest.mark.parametrize("example", [FIRST, EXPANSE, WORKSTATION])
def test_the_manuals_examples(example: dict[str, Any], tmp_path: Path) -> None:
    before = deepcopy(example)
    resources = Resources.load_from_dict(example)
    assert example == before
    assert list(resources.serialize()) == KEYS
    assert Resources.deserialize(resources.serialize()) == resources
    (tmp_path / "resources.json").write_text(json.dumps(example))
    (tmp_path / "resources.yaml").write_text(json.dumps(example))
    assert Resources.load_from_json(tmp_path / "resources.json") == resources
    assert Resources.load_from_yaml(tmp_path / "resources.yaml") == resources
    assert isinstance(resources.spec(), ResourcesSpec)
    hash_free = {key: value for key, value in example.items() if key not in ("batch_type", "strategy")}
    assert {key: resources[key] for key in hash_free} == hash_free


def test_the_manuals_python_example() -> None:
    resources = Resources(
        number_node=1,
        cpu_per_node=4,
        gpu_per_node=2,
        queue_name="GPU_2080Ti",
        group_size=4,
        custom_flags=["#SBATCH --nice=100", "#SBATCH --time=24:00:00"],
        strategy={"if_cuda_multi_devices": True},
        para_deg=1,
        module_unload_list=["singularity"],
        module_list=["singularity/3.0.0"],
        source_list=["./slurm_test.env"],
        envs={"DP_DISPATCHER_EXPORT": "test_foo_bar_baz"},
    )
    assert resources.strategy == {"if_cuda_multi_devices": True, "ratio_unfinished": 0.0}
    assert resources.spec().strategy == Strategy(if_cuda_multi_devices=True)
    assert resources.spec().module_list == ("singularity/3.0.0",)


def test_further_keywords_are_kwargs(warned: Any) -> None:
    assert Resources(1, 1, 0, "", 1, walltime="1:00", qos="high").kwargs == {"walltime": "1:00", "qos": "high"}
    assert Resources(1, 1, 0, "", 1, kwargs={"a": 1}).kwargs == {"a": 1}
    assert Resources(1, 1, 0, "", 1, kwargs={"a": 1}, batch_type="Slurm").kwargs == {"a": 1}
    assert Resources(1, 1, 0, "", 1, batch_type="Slurm").kwargs == {}
    assert Resources(1, 1, 0, "", 1, kwargs={}, gpu_per_nod=1).kwargs == {}
    assert "resources/gpu_per_nod: unknown key; did you mean 'gpu_per_node'" in warned()[0]


def test_defaults_are_not_shared() -> None:
    first, second = Resources(1, 1, 0, "", 1), Resources(1, 1, 0, "", 1)
    first.envs["A"] = "1"
    first.strategy["ratio_unfinished"] = 0.5
    first.custom_flags.append("x")
    first.kwargs["k"] = 1
    for resources in (second, Resources(1, 1, 0, "", 1)):
        assert resources.envs == {}
        assert resources.strategy["ratio_unfinished"] == 0.0
        assert resources.custom_flags == []
        assert resources.kwargs == {}


def test_the_callers_values_are_copied() -> None:
    envs, strategy, flags = {"A": ["1"]}, {"ratio_unfinished": 0.1}, ["f"]
    kwargs = {"deep": {"er": [1]}}
    resources = Resources(1, 1, 0, "", 1, envs=envs, strategy=strategy, custom_flags=flags, kwargs=kwargs)
    resources.envs["A"].append("2")
    resources.strategy["x"] = 1
    resources.custom_flags.append("g")
    resources.kwargs["deep"]["er"].append(2)
    written = resources.serialize()
    written["envs"]["A"].append("3")
    assert (envs, strategy, flags) == ({"A": ["1"]}, {"ratio_unfinished": 0.1}, ["f"])
    assert kwargs == {"deep": {"er": [1]}}
    assert resources.envs == {"A": ["1", "2"]}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strategy": {"if_cuda_multi_devices": True}}, "resources/gpu_per_node: is 0"),
        ({"strategy": {"if_cuda_multi_devices": True}, "gpu_per_node": 1, "number_node": 2}, "resources/number_node"),
        ({"strategy": {"ratio_unfinished": 1.0}}, "resources/strategy/ratio_unfinished: 1.0 is not allowed"),
        ({"group_size": -2}, "resources/group_size: -2 is not allowed: it must be 0 or more"),
        ({"group_size": "5"}, "resources/group_size: expected int, got str; write it without quotes"),
        ({"custom_flags": "#SBATCH"}, "resources/custom_flags: expected list of str, got str"),
        ({"envs": {"A B": 1}}, "resources/envs/A B: no name for an environment variable"),
        ({"para_deg": 0}, "resources/para_deg: 0 is not allowed"),
        ({"kwargs": 3}, "resources/kwargs: expected dict, got int"),
    ],
)
def test_what_is_not_allowed(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(RuntimeError, match=message) as caught:
        Resources(**{**FIRST, "gpu_per_node": 0, **arguments})
    assert isinstance(caught.value, ConfigError)


def test_a_later_mistake_is_found_when_frozen() -> None:
    resources = Resources(1, 1, 0, "", 1)
    resources.para_deg = 0
    with pytest.raises(ConfigError, match="resources/para_deg"):
        resources.spec()


def test_deserialize_names_the_key(warned: Any) -> None:
    with pytest.raises(ConfigError, match="resources/group_size: missing"):
        Resources.deserialize({"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 0, "queue_name": ""})
    assert Resources.deserialize({**FIRST, "gpu_per_nod": 1}) == Resources.deserialize(FIRST)
    assert Resources.deserialize({**FIRST, "strategy": {"ratio": 1.0}}).spec() == Resources.deserialize(FIRST).spec()
    first, second = warned()
    assert "resources/gpu_per_nod: unknown key" in first
    assert "resources/strategy/ratio: unknown key; did you mean 'ratio_unfinished'" in second


def test_equality_and_repr() -> None:
    assert Resources(1, 1, 0, "", 1) == Resources.load_from_dict({"group_size": 1})
    assert Resources(1, 1, 0, "", 1) != Resources(1, 1, 0, "", 2)
    assert Resources(1, 1, 0, "", 1) != 3
    assert eval(repr(Resources(1, 1, 0, "q", 1, x=1))) == Resources(1, 1, 0, "q", 1, x=1)
    assert Resources.arginfo().name == Resources.arginfo(detail_kwargs=False).name == "resources"
