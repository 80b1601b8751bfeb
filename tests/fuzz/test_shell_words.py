"""Nothing that is data is ever run: odd names work end to end, and shell characters in any field stay characters.

payload    $(touch CANARY)   '; touch CANARY; '   a newline and touch CANARY …   in every string of a submission
expected   the run ends, or a ConfigError names the field; CANARY is never there
"""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dispatcher.core.errors import ConfigError
from dispatcher.core.model import MachineSpec, ResourcesSpec, SubmissionSpec, TaskSpec
from dispatcher.core.ports import Item
from dispatcher.files.local import digest
from dispatcher.files.patterns import escape
from dispatcher.run.session import open_session

PAYLOADS = {
    "substitution": "$(touch {})",
    "backticks": "`touch {}`",
    "single": "'; touch {}; '",
    "double": '"; touch {}; "',
    "newline": "x\ntouch {}\n",
    "return": "x\r\ntouch {}\r\n",
    "and": "x && touch {} #",
    "pipe": "x | touch {} & ; || touch {}",
    "redirect": "x > {} 2> {}",
    "index": "a[$(touch {})]",
    "heredoc": "x\n@@\ntouch {}\n",
    "option": "--checkpoint-action=exec=touch {}",
    "escape": "\\'; touch {} #\\",
    "format": "{0.__class__} %n %s ${IFS}touch ${x:=$(touch {})}",
}
RESOURCES: dict[str, Callable[[str], Any]] = {
    "queue_name": str,
    "envs": lambda bad: {"A": bad, "B": [bad, bad]},
    "module_list": lambda bad: (bad,),
    "module_unload_list": lambda bad: (bad,),
    "source_list": lambda bad: (bad,),
}
TASK: dict[str, Callable[[str], Any]] = {
    "task_work_path": str,
    "outlog": str,
    "errlog": str,
    "task_name": str,
    "forward_files": lambda bad: (escape(bad),),
    "backward_files": lambda bad: (escape(bad),),
}
#: Fields that may not be so, by payload: everything else is taken as it is.
LISTS = {"module_list", "module_unload_list", "source_list"}
REFUSED: dict[str, set[str]] = {
    # what a shell would do more with than make words of it belongs into prepend_script
    **dict.fromkeys(("and", "pipe", "redirect"), LISTS),
    **{kind: {"envs", *LISTS} for kind in ("substitution", "backticks", "index", "format")},
    **{kind: {"queue_name", *LISTS} for kind in ("newline", "return", "heredoc")},
    # a backslash separates directories, and a quote that is never closed makes no words
    "escape": {*LISTS, *TASK} - {"task_name"},
}
LETTERS = "ab .-_'\"`$(){}[]*?!&|;<>#%~=,:@+^\n\t\r\x01\x7fäß→😀\u202e\u0301"


def odd_name(rng: random.Random) -> str:
    """A name that a file may have: no slash, no NUL, no backslash (a separator in submission files)."""
    first = rng.choice(["-", " ", "\n", "~", "#", "'", "*", ""])
    name = first + "".join(rng.choice(LETTERS) for _ in range(rng.randrange(1, 24)))
    return name if name.strip(".") and not name.startswith(".dispatcher") else f"{name}x"


def run(spec: SubmissionSpec) -> None:
    """A real run on this machine."""
    with open_session(spec, {}) as session:
        session.run(check_interval=0.3)


@pytest.mark.parametrize("context", ["LazyLocal", "Local"])
def test_odd_names_end_to_end(tmp_path: Path, context: str) -> None:
    rng = random.Random(7)
    local, tasks = tmp_path / odd_name(rng) / "w", []
    for nth in range(24):
        folder, source, result, out, err = (f"{nth}{odd_name(rng)}", *(odd_name(rng) + word for word in "iroe"))
        (local / folder).mkdir(parents=True)
        (local / folder / source).write_text(f"{nth}\n")
        command = f"cat -- {shlex.quote(source)} > ./{shlex.quote(result)}; echo out; echo err >&2"
        tasks.append(TaskSpec(command, folder, (escape(source),), (escape(result), escape(out)), out, err))
    machine = MachineSpec("Shell", context, str(local.parent), str(tmp_path / odd_name(rng)), retry_count=0)
    run(SubmissionSpec("w", machine, ResourcesSpec(1, 1, 0, "", 6, para_deg=6), tuple(tasks)))
    for nth, task in enumerate(tasks):
        names = {path.name: path for path in (local / task.task_work_path).iterdir()}
        assert names[task.outlog or ""].read_text() == "out\n"
        assert [path for name, path in names.items() if name.endswith("r") and path.read_text() == f"{nth}\n"]


def test_odd_names_through_every_verb_of_local(tmp_path: Path) -> None:
    from dispatcher.contexts.local.local import LocalConnection

    rng = random.Random(11)
    names = sorted({f"{odd_name(rng)}/{odd_name(rng)}" for _ in range(150)})
    machine = MachineSpec("Shell", "Local", str(tmp_path / "local"), str(tmp_path / "far"))
    context = LocalConnection.open(machine, {"symlink": False}, "ab" * 20, ".")
    for name in names:
        path = tmp_path / "local" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    items = [Item(str(tmp_path / "local" / n), n, len(n.encode()), digest(tmp_path / "local" / n)) for n in names]
    context.put(items, True)
    assert {(entry.path, entry.size) for entry in context.tree([""])} >= {(item.target, item.size) for item in items}
    for name in names:
        (tmp_path / "local" / name).unlink()
    context.get([Item(name, name, len(name.encode())) for name in names])
    assert all((tmp_path / "local" / name).read_bytes() == name.encode() for name in names)
    context.remove()
    assert not (tmp_path / "far" / ("ab" * 20)).exists()


def requested(top: Path, name: str, resources: dict[str, str], task: dict[str, str]) -> SubmissionSpec:
    """A submission with the payload in its directories and in these fields."""
    plain: dict[str, Any] = {"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 0, "queue_name": "", "group_size": 1}
    usual: dict[str, Any] = {"command": "echo ran >> ran", "task_work_path": "t"}
    local = top / name
    made = TaskSpec(**usual | {key: TASK[key](value) for key, value in task.items()})
    (local / "w" / made.task_work_path).mkdir(parents=True, exist_ok=True)
    (local / "w" / made.task_work_path / name).write_text("x")
    return SubmissionSpec(
        "w",
        MachineSpec("Shell", "Local", str(local), str(top / f"far {name}"), retry_count=0),
        ResourcesSpec(**plain | {key: RESOURCES[key](value) for key, value in resources.items()}),
        (msgspec.structs.replace(made, backward_files=(*made.backward_files, "ran")),),
    )


@pytest.mark.parametrize("kind", PAYLOADS)
def test_shell_characters_in_every_field(tmp_path: Path, kind: str) -> None:
    """All fields at once; those that are refused are left out one after the other, until it runs."""
    bad, name = (PAYLOADS[kind].replace("{}", canary) for canary in (str(tmp_path / "CANARY"), "CANARY"))
    name = name.replace("/", "_")
    resources, task = dict.fromkeys(RESOURCES, bad), dict.fromkeys(TASK, name)
    while True:
        spec = requested(tmp_path, name, resources, task)
        try:
            run(spec)
            break
        except ConfigError as error:
            (refused, *_) = [key for key in (*resources, *task) if key in str(error).split(": ")[0]]
            resources.pop(refused, None)
            task.pop(refused, None)
    assert {*RESOURCES, *TASK} - {*resources, *task} == REFUSED.get(kind, set())
    assert (tmp_path / name / "w" / spec.tasks[0].task_work_path / "ran").read_text() == "ran\n"
    assert not list(tmp_path.rglob("CANARY")), f"{bad!r} was run"
