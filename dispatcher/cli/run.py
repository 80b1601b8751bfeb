"""`dispatcher run SCRIPT.py`: a Python script that says in its head where it is to be run.

    # /// script
    # [tool.dispatcher]
    # work_base = "runs"
    # [tool.dispatcher.machine]
    # …
    # [[tool.dispatcher.task_list]]
    # task_work_path = "bct-*"                    one task for each directory that matches
    # command = "python"                          the default
    # ///

Each task runs `python "$REMOTE_ROOT/script_<sha1>.py"`: the script is staged
under a name of its content, so a changed script is another submission.
"""

from __future__ import annotations

import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from hashlib import sha1
from importlib import import_module
from pathlib import Path
from typing import Any

from ..core.errors import ConfigError, InputMissing
from ..files.texts import read_text
from ..schema.directories import expanded
from ..schema.reading import Requested, Tell, read

EXAMPLES = """\
examples:
  dispatcher run relax.py
  dispatcher run relax.py --exit-on-submit

The script begins with a block "# /// script" (PEP 723) that has a table
[tool.dispatcher] with the keys of a submission file; work_base is "./" and
the command of a task "python" unless given; task_work_path may be a pattern.
"""

_BEGIN = re.compile(r"# /// ([a-zA-Z0-9-]+)")
#: Bytes of a script, and of its block; dots in a line of that, for a key of thousands of parts takes for ever.
_LARGEST, _LONGEST, _MOST_DOTS = 16 << 20, 256 << 10, 1000
_TABLES = ("dispatcher", "dpdispatcher")


def arguments(parser: ArgumentParser) -> None:
    """Declare what the verb takes."""
    from .execute import arguments as common
    from .execute import file_arguments

    parser.add_argument("script", metavar="SCRIPT.py", help="a Python script with a PEP 723 block")
    file_arguments(parser)
    common(parser)


def run(args: Namespace) -> int:
    """Carry it out."""
    from .execute import execute, tolerance

    return execute(read_script(args.script, args.allow_ref, tolerance(args)), args)


def read_script(name: str, allow_ref: bool, tell: Tell | None = None) -> Requested:
    """What a script asks for; its copy for the execution side is written to the local side."""
    from ..schema.documents import resolve_refs

    text = _text(Path(name))
    table = dict(resolve_refs(metadata(text, name), allow_ref, Path(name).parent))
    staged = f"script_{sha1(text.encode(), usedforsecurity=False).hexdigest()}.py"
    local = _local(table)
    requested = read(completed(table, staged, local), f"{name}: submission", tell)
    _stage(local / staged, text)
    return requested


def _text(path: Path) -> str:
    try:
        return read_text(path, _LARGEST)
    except OSError as error:
        raise InputMissing(f"{path}: cannot be read: {error.strerror or error}") from error


def metadata(text: str, name: str) -> Mapping[str, Any]:
    """The table of this program in the one `script` block of a script. ConfigError when it is not there, or twice."""
    found = [lines for kind, lines in blocks(text) if kind == "script"]
    if len(found) != 1:
        raise ConfigError(f"{name}: {len(found)} blocks '# /// script' … '# ///' (PEP 723); there must be exactly one")
    content = "".join(f"{line[2:]}\n" for line in found[0])
    if len(content) > _LONGEST or any(line.count(".") > _MOST_DOTS for line in found[0]):
        raise ConfigError(f"{name}: its script block has more than {_LONGEST} letters, or {_MOST_DOTS} dots in a line")
    tools = _toml(content, name).get("tool", {})
    for table in _TABLES:
        if table in tools:
            asked: Mapping[str, Any] = tools[table]
            return asked
    raise ConfigError(f"{name}: its script block has no table [tool.dispatcher]")


def blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    """The blocks of PEP 723 by type: a run of comment lines from `# /// TYPE` to the last `# ///` in it."""
    begun: list[str] = []
    for line in [*re.split(r"\r\n|\n|\r", text), ""]:
        if (line == "#" or line.startswith("# ")) and (begun or _BEGIN.fullmatch(line)):
            begun.append(line)
        elif begun:
            end = len(begun) - 1 - begun[::-1].index("# ///") if "# ///" in begun else 0
            if end > 1 and (kind := _BEGIN.fullmatch(begun[0])):
                yield kind[1], begun[1:end]
            begun = []


def _toml(content: str, name: str) -> dict[str, Any]:
    toml: Any = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        return dict(toml.loads(content))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: its script block is not valid TOML: {error}") from None


def completed(table: Mapping[str, Any], staged: str, local: Path) -> dict[str, Any]:
    """The table as a submission: the script in the commands, patterns replaced by the directories that match."""
    tasks = table.get("task_list")
    if not isinstance(tasks, list) or not all(isinstance(task, Mapping) for task in tasks):
        raise ConfigError("task_list: missing, or no array of tables; write [[tool.dispatcher.task_list]]")
    common = [*table.get("forward_common_files", []), staged]
    # in quotes: a blank in remote_root must not cut the name in two
    given = [{**task, "command": f'{task.get("command", "python")} "$REMOTE_ROOT/{staged}"'} for task in tasks]
    listed = expanded(given, local)
    return {"work_base": "./", **table, "forward_common_files": common, "task_list": listed}


def _local(table: Mapping[str, Any]) -> Path:
    """local_root/work_base, as the submission will have it."""
    machine = table.get("machine")
    root = machine.get("local_root") if isinstance(machine, Mapping) else None
    return Path(str(root or ".")).expanduser().absolute() / str(table.get("work_base", "./"))


def _stage(path: Path, text: str) -> None:
    """The script under its own name on the local side; rewriting what is there would only change its time."""
    from ..files.incoming import write_atomic

    if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text:
        write_atomic(path, text.encode(), 0o644)
