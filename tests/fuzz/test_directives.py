"""No value adds a line to a script's header, or breaks one: it is one word of its directive, or a ConfigError names it.

kwargs/qos "low\\n#SBATCH --uid=0"   ->  ConfigError at the door
remote_root "/x\\nrm -rf /"          ->  ConfigError, or a header in which the name is quoted on one line
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from dispatcher import schedulers
from dispatcher.core.errors import ConfigError
from dispatcher.core.keys import Key
from dispatcher.core.model import ResourcesSpec, TaskSpec
from dispatcher.core.ports import JobScript, Place
from dispatcher.scripts.render import check_header, render

DIALECTS = [name for name in schedulers.BUILTIN if name != "Shell"]
PAYLOADS = [
    "x\ntouch CANARY",
    "x\r\n#SBATCH --uid=0",
    "x y",
    "x #y",
    "x'y",
    'x"y',
    "x\\",
    "x\x0by",
    "x\u2028y",
    "x\x85y",
    "x\x00y",
]
#: A whole line of the user's own, as the keys' names say.
OWN = {"custom_gpu_line"}


def keys_of(name: str) -> tuple[Key, ...]:
    return schedulers.kwargs_of(name)[0] or ()


def header(name: str, log: str = "/R/log", **requested: Any) -> list[str]:
    """The lines of the header as the scheduler reads them, after the door's check."""
    plain: dict[str, Any] = {"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 1, "queue_name": "q", "group_size": 1}
    resources = ResourcesSpec(**plain | requested)
    dialect = schedulers.load(name)
    dialect.check(resources)
    check_header(resources, dialect)
    place = Place("/local", log.removesuffix("/log"), log.removesuffix("/log"))
    task = TaskSpec("true", "t")
    made = render(JobScript("5f1c", "dq3v81kx0mza", "dq3v81kx0mza-x", place, resources, ((0, task),)), dialect)
    return made.header.splitlines()


def usual(name: str, key: str = "") -> Mapping[str, Any]:
    """What a text of this key is like when nothing is wrong with it."""
    return {} if not key else {"kwargs": {key: "90" if key == "walltime" else "16G" if key == "memory" else "x"}}


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("bad", PAYLOADS, ids=ascii)
def test_queue_name(name: str, bad: str) -> None:
    try:
        lines = header(name, queue_name=bad)
    except ConfigError as error:
        assert "queue_name" in str(error)
    else:
        assert len(lines) == len(header(name))


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("bad", PAYLOADS, ids=ascii)
def test_every_kwarg_that_is_text(name: str, bad: str) -> None:
    for key in keys_of(name):
        if str not in key.kinds or key.name in OWN:
            continue
        try:
            lines = header(name, kwargs={key.name: bad})
        except ConfigError as error:
            assert key.name in str(error), f"{key.name}: {error}"
        else:
            assert len(lines) == len(header(name, **usual(name, key.name))), f"{key.name}: {lines}"


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("bad", ["x\ntouch CANARY", "$(touch CANARY)", "x y", "x'y", 'x"y', "%j", "x\\"], ids=ascii)
def test_remote_root(name: str, bad: str) -> None:
    try:
        lines = header(name, f"/R/{bad}/log")
    except ConfigError as error:
        assert "remote_root" in str(error)
    else:
        assert all(line.startswith("#") for line in lines)


@pytest.mark.parametrize("name", [name for name in DIALECTS if any(key.name in OWN for key in keys_of(name))])
def test_a_line_of_the_users_own_is_one_line(name: str) -> None:
    with pytest.raises(ConfigError, match="a line break in a directive"):
        header(name, kwargs={"custom_gpu_line": "#X\ntouch CANARY"})


@pytest.mark.parametrize("name", DIALECTS)
def test_every_line_of_a_header_is_a_directive(name: str) -> None:
    assert all(line.startswith("#") for line in header(name))
