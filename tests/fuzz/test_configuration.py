"""Submission files with anything in them: `submit --dry-run` says yes, or no with file and key; it never breaks.

{"resources": {"group_size": [1e308]}, …}  ->  exit 2, submission.json: submission/resources/group_size: expected …
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.cli import main

pytestmark = pytest.mark.slow

FUZZ = settings(derandomize=True, database=None)
VALID: dict[str, Any] = {
    "work_base": "runs",
    "machine": {"batch_type": "Slurm", "context_type": "Local", "local_root": "./", "remote_root": "far"},
    "resources": {
        "number_node": 1,
        "cpu_per_node": 4,
        "gpu_per_node": 1,
        "queue_name": "main",
        "group_size": 2,
        "custom_flags": ["#SBATCH --nice"],
        "strategy": {"if_cuda_multi_devices": True, "ratio_unfinished": 0.1},
        "para_deg": 2,
        "module_list": ["a/1"],
        "source_list": ["env.sh"],
        "envs": {"A": 1, "B": ["x", "y"]},
        "prepend_script": ["true"],
        "wait_time": 0,
        "kwargs": {"walltime": "1:00:00", "qos": "low"},
    },
    "forward_common_files": ["in"],
    "backward_common_files": [],
    "task_list": [
        {"command": "cat in", "task_work_path": "t0", "forward_files": ["in"], "outlog": "log", "errlog": None},
        {"command": "cat in", "task_work_path": "t1", "task_name": "x", "backward_files": ["*.out"]},
    ],
}
#: No text here is an absolute path: what is accepted is carried out in a temporary directory.
ODD_TEXT = ["", " ", ".", "..", "../up", "a/../b", "\0", "\n", "a\nb", "'", '"', "$(x)", "~", "-rf", "*", "[", "\ud800"]
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from(
        [0, 1, -1, 10**30, 1e308, float("inf"), float("nan"), 0.5, "1", "true", "Slurm", "Shell", "SlurmJobArray"]
    ),
    st.sampled_from(ODD_TEXT),
    st.text(max_size=6).filter(lambda text: not text.startswith(("/", "~"))),
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
NAMED = re.compile(
    r"submission/|work_base|machine|resources|task_list|forward|context_type|batch_type|local_root|not valid|\$ref"
)


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested data."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*([here] if here else []), *(path for key, each in below for path in paths(each, (*here, key)))]


PLACES = paths(VALID)


@st.composite
def damaged(draw: Any) -> dict[str, Any]:
    """The valid file with some values replaced, keys removed or added."""
    data = json.loads(json.dumps(VALID))
    for path in draw(st.lists(st.sampled_from(PLACES), min_size=1, max_size=3)):
        at = data
        try:
            for key in path[:-1]:
                at = at[key]
            deed = draw(st.sampled_from(["set", "set", "drop", "add"]))
            if deed == "set":
                at[path[-1]] = draw(VALUES)
            elif deed == "drop":
                del at[path[-1]]
            else:
                at[path[-1]][draw(st.text(max_size=6))] = draw(VALUES)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took it away
    return data


def submitted(name: str, content: bytes) -> tuple[int, str]:
    """Exit code and stderr of a dry run of this file, in a directory that is removed again."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as top:
        work = Path(top, "a", "b", "c")
        for task in ("t0", "t1"):
            (work / "runs" / task).mkdir(parents=True)
            (work / "runs" / task / "in").write_text("x")
        (work / "runs" / "in").write_text("x")
        (work / name).write_bytes(content)
        out, err = io.StringIO(), io.StringIO()
        os.chdir(work)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = main(["submit", name, "--dry-run"])
        finally:
            os.chdir(before)
    return code, err.getvalue()


def judge(name: str, content: bytes) -> None:
    """Yes, or no with a reason that says where."""
    code, said = submitted(name, content)
    assert code in (0, 2), f"exit {code}: {said}"
    assert "Traceback" not in said
    if code == 2:
        assert said.startswith("dispatcher: error: "), said
        assert NAMED.search(said) or name in said, f"names no place: {said}"


def test_the_valid_file_is_valid() -> None:
    assert submitted("submission.json", json.dumps(VALID).encode()) == (0, "")


@FUZZ
@given(damaged())
def test_json(data: dict[str, Any]) -> None:
    judge("submission.json", json.dumps(data).encode())


@FUZZ
@given(damaged())
def test_yaml(data: dict[str, Any]) -> None:
    judge("submission.yaml", yaml.safe_dump(data, allow_unicode=False).encode("utf-8", "replace"))


@FUZZ
@given(st.integers(0, 2000), st.binary(max_size=8), st.integers(0, 60), st.sampled_from(["s.json", "s.yaml", "s.yml"]))
def test_damaged_text(where: int, junk: bytes, gone: int, name: str) -> None:
    text = json.dumps(VALID).encode()
    judge(name, text[: where % len(text)] + junk + text[where % len(text) + gone :])
