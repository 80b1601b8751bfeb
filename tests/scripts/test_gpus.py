"""One GPU for each task: the nth of those that the job was given, in the words it was given them in."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatcher.core.model import Strategy

from .test_render import claim, job, resources, run

NAMES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
SPEC = resources(gpu_per_node=2, strategy=Strategy(if_cuda_multi_devices=True))
SHOW = f'echo "= {" ".join("${" + name + "--}" for name in NAMES)}" > gpu'


def shown(root: Path, given: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What each of two tasks sees of the four variables."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    run(root, job(root, SHOW, SHOW, spec=SPEC), **given)
    return [(root / f"t{n}/gpu").read_text()[2:-1] for n in range(2)]


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({}, ["0 - - -", "1 - - -"]),
        ({"CUDA_VISIBLE_DEVICES": "4,7"}, ["4 - - -", "7 - - -"]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-8f2e, GPU-91aa"}, ["GPU-8f2e - - -", "GPU-91aa - - -"]),
        ({"CUDA_VISIBLE_DEVICES": "MIG-a/1/0,MIG-a/2/0"}, ["MIG-a/1/0 - - -", "MIG-a/2/0 - - -"]),
        ({"CUDA_VISIBLE_DEVICES": ""}, [" - - -", " - - -"]),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, ["NoDevFiles - - -", "NoDevFiles - - -"]),
        ({"ROCR_VISIBLE_DEVICES": "2,5"}, ["- - 2 -", "- - 5 -"]),
        ({"HIP_VISIBLE_DEVICES": "0,1", "ROCR_VISIBLE_DEVICES": "2,5"}, ["- 0 2,5 -", "- 1 2,5 -"]),
        ({"CUDA_VISIBLE_DEVICES": "2,5", "ZE_AFFINITY_MASK": "0.0,0.1"}, ["2 - - 0.0", "5 - - 0.1"]),
        ({"SGE_HGR_gpu": "gpu2 gpu3"}, ["2 - - -", "3 - - -"]),
        ({"SGE_HGR_gpu": "2 3", "CUDA_VISIBLE_DEVICES": "6,7"}, ["6 - - -", "7 - - -"]),
    ],
    ids=str,
)
def test_the_nth_of_what_was_given(
    tmp_path: Path, given: dict[str, str], seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shown(tmp_path, given, monkeypatch) == seen


def test_torque_hands_them_out_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    node = os.uname().nodename
    (tmp_path / "gpus").write_text(f"{node}-gpu1\nelsewhere-gpu0\n{node}-gpu3\n")
    assert shown(tmp_path, {"PBS_GPUFILE": str(tmp_path / "gpus")}, monkeypatch) == ["1 - - -", "3 - - -"]


def test_fewer_than_asked_for_are_shared_and_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(tmp_path, {"CUDA_VISIBLE_DEVICES": "4"}, monkeypatch) == ["4 - - -", "4 - - -"]
    assert claim(tmp_path).notes == ("gpu_per_node: 2 GPUs were asked for, the job was given 1 (4): tasks share them",)


def test_a_long_task_holds_back_no_other_gpu(tmp_path: Path) -> None:
    """GPU 0 has a task that waits for what the second task of GPU 1 makes."""
    wait = "until [ -e ../go ]; do sleep 0.05; done"
    assert run(tmp_path, job(tmp_path, wait, "true", "true", "touch ../go", spec=SPEC)).returncode == 0
    assert claim(tmp_path).ended == 0
