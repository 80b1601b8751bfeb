"""The package `dpdispatcher` in an environment: put there, taken out, or shown to one program only.

    site-packages/dpdispatcher/__init__.py                        the names (dispatcher.compat.modules makes the rest)
    site-packages/dpdispatcher-1.1.0+….dist-info/                 so that pip knows it, and can uninstall it
    bin/dpdisp                                                    the command

An installed DPDispatcher is never overwritten: it has to go first.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from importlib.metadata import distributions
from pathlib import Path
from typing import NamedTuple

from ..core.errors import ConfigError, InputMissing
from .modules import ROOT, VERSION

#: Holds the package, as it stands in this one.
PATH = Path(__file__).with_name("path")
_OURS = "dispatcher compat"
_METADATA = f"""Metadata-Version: 2.1
Name: {ROOT}
Version: {VERSION}
Summary: DPDispatcher's names, from the distribution dispatcher-hpc; remove with: dispatcher compat remove
Requires-Dist: dispatcher-hpc
"""
_COMMAND = """#!{python}
import sys

from dispatcher.compat.command import main

sys.exit(main())
"""


class Target(NamedTuple):
    """Where packages and commands of an environment lie."""

    packages: Path
    commands: Path


def here() -> Target:
    """The environment of this interpreter."""
    return Target(Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("scripts")))


def installed(target: Target | None = None) -> str:
    """Who is `dpdispatcher` in an environment: "" for nobody, "ours", or the version of the original."""
    packages = (target or here()).packages
    found = next(iter(distributions(name=ROOT, path=[str(packages)])), None)
    if found is None:
        return "of unknown version" if (packages / ROOT).exists() else ""
    return "ours" if (found.read_text("INSTALLER") or "").strip() == _OURS else found.version


def install(target: Target | None = None) -> list[Path]:
    """Put it there; the files that were written. ConfigError where the original is installed: nothing is changed."""
    packages, commands = target or here()
    who = installed(target)
    if who not in ("", "ours"):
        raise ConfigError(
            f"dpdispatcher {who} is installed in {packages}: it is not overwritten. Take it out first "
            "(pip uninstall dpdispatcher), or try one program with `dispatcher compat run PROGRAM`"
        )
    remove(target)
    command = commands / "dpdisp"
    if command.exists():
        raise ConfigError(f"{command} is there, and nobody says whose it is: it is not overwritten; move it away")
    info = packages / f"{ROOT}-{VERSION}.dist-info"
    texts = {
        packages / ROOT / "__init__.py": (PATH / ROOT / "__init__.py").read_text(),
        info / "METADATA": _METADATA,
        info / "INSTALLER": f"{_OURS}\n",
        command: _COMMAND.format(python=sys.executable),
    }
    listed = "".join(f"{os.path.relpath(path, packages)},,\n" for path in (*texts, info / "RECORD"))
    for path, text in {**texts, info / "RECORD": listed}.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    command.chmod(0o755)
    return [*texts, info / "RECORD"]


def remove(target: Target | None = None) -> list[Path]:
    """Take out what `install` put there, and nothing else; the paths that are gone."""
    packages, commands = target or here()
    gone = []
    for info in packages.glob(f"{ROOT}-*.dist-info"):
        if (info / "INSTALLER").is_file() and (info / "INSTALLER").read_text().strip() == _OURS:
            for path in (packages / ROOT, commands / "dpdisp", info):
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
                gone.append(path)
    return gone


def run(program: str, arguments: Sequence[str]) -> None:
    """Become that program, with `import dpdispatcher` meaning this package for it and all that it starts.

    PROGRAM is a command of this environment or of PATH, or a .py file. InputMissing when it cannot be found.
    """
    above = Path(__file__).parents[2]
    paths = [str(PATH), str(above), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    if program.endswith(".py"):
        words = [sys.executable, program, *arguments]
    else:
        places = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
        found = shutil.which(program, path=places)
        if found is None:
            raise InputMissing(f"{program}: there is no such command in this environment or in PATH")
        words = [found, *arguments]
    sys.stdout.flush()
    os.execve(words[0], words, environment)
