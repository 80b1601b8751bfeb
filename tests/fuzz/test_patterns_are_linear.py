"""Regular expressions over text from outside: none takes more than time that goes with its length.

Each is tried on texts that make those with two ways to match stumble: 40,000 letters are done at once, or not before
the processor time of a pattern is over.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dispatcher
import journal

pytestmark = pytest.mark.slow

LENGTH = 40_000
#: CPU seconds for all texts of one pattern: one that goes with the length needs half of one, a square minutes.
LIMIT = 20
SEEDS = [
    "1",
    "a",
    " ",
    "1.",
    "a ",
    " a",
    "1:",
    "a,",
    ",1,a",
    "<a>",
    "<job_list>",
    "[",
    "[a",
    "\\",
    "=a",
    "a=",
    "|",
    "1|a",
]
SEEDS += [
    "\t",
    "application_1_1\t",
    "1-",
    "'",
    "$",
    "${a",
    "exceeded ",
    "No ",
    "Job <1>",
    "\n",
    " \n",
    "1 \n",
    "@",
    "::",
]


#: Uses of a pattern that look for it at every place of a text; without one it is tried at the beginning only.
ANYWHERE = re.compile(r"\b([A-Z_]+)\.(?:search|findall|finditer|sub|split)\(")


def patterns() -> Iterator[tuple[str, re.Pattern[str], bool]]:
    """Every compiled pattern of a module or of a class in it: where it is, and whether it is looked for anywhere."""
    for package in (dispatcher, journal):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name.rpartition(".")[2] == "__main__" or ".gui" in found.name:
                continue
            module = importlib.import_module(found.name)
            anywhere = set(ANYWHERE.findall(Path(str(module.__file__)).read_text())) | {"DEFERRED", "REJECTED", "ID"}
            places: list[tuple[str, dict[str, Any]]] = [(found.name, vars(module))]
            own = (kind for kind in vars(module).values() if isinstance(kind, type) and kind.__module__ == found.name)
            places += [(f"{found.name}.{kind.__name__}", dict(vars(kind))) for kind in own]
            for where, names in places:
                for name, value in names.items():
                    if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
                        yield f"{where}.{name}", value, name in anywhere


#: Looked for in what another pattern has matched from end to end.
GUARDED = {"dispatcher.schedulers.limits._UNIT"}


def judge(name: str, pattern: re.Pattern[str], anywhere: bool) -> None:
    """Ids are looked for line by line, so that no text of theirs has line ends."""
    for seed in SEEDS:
        text = seed * (LENGTH // len(seed))
        for whole in (text, f"{text}\x00", f"1{text}!"):
            tried = whole.replace("\n", "") if name.endswith(".ID") else whole
            for ask in (pattern.match, pattern.fullmatch, *([pattern.search] if anywhere else [])):
                ask(tried)


def test_time_goes_with_length(tmp_path: Path) -> None:
    """In a process of its own, which imports everything: the last line names the pattern that took too long."""
    with open(tmp_path / "tried", "w") as tried:
        done = subprocess.run([sys.executable, __file__], cwd=tmp_path, stdout=tried, timeout=600)
    names = (tmp_path / "tried").read_text().splitlines()
    assert (done.returncode, len(names) > 60, names[-1]) == (0, True, "done")


if __name__ == "__main__":
    for name, pattern, anywhere in patterns():
        print(name, flush=True)
        signal.setitimer(signal.ITIMER_PROF, LIMIT)
        judge(name, pattern, anywhere and name not in GUARDED)
    print("done")
