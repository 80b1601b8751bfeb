"""The modules of `names`, made when they are imported; the names in them are looked up when they are first asked for.

import dpdispatcher.utils.record        ->  a module with `record`, that of dispatcher.compat.record
from dpdispatcher import dlog           ->  the module, which passes for the logger it holds
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from .. import __version__
from ..contexts.ssh.config import Defaults
from .names import ABSENT, API_VERSION, MODULES

ROOT = "dpdispatcher"
VERSION = f"{API_VERSION}+dispatcher.{__version__}"


class LoggerModule(ModuleType):
    """`dpdispatcher.dlog`: programs use it as the module that holds the logger, and as the logger."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # the import system asks before the module is there
            raise AttributeError(name)
        if name in MODULES[self.__name__]:
            return _found(self.__name__, name)
        return getattr(_found(self.__name__, "dlog"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("handlers", "level", "propagate", "disabled", "filters"):
            setattr(_found(self.__name__, "dlog"), name, value)
        else:
            super().__setattr__(name, value)


class CompatFinder(MetaPathFinder, Loader):
    """Finds the modules below `dpdispatcher`, and makes them."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """A module of the table, and nothing else."""
        if name not in MODULES or name == ROOT:
            return None
        package = any(other.startswith(f"{name}.") for other in MODULES)
        return ModuleSpec(name, self, origin="dispatcher.compat", is_package=package)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """A plain module, but for the logger's."""
        return LoggerModule(spec.name) if spec.name == f"{ROOT}.dlog" else None

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is loaded yet."""
        fill(module)


def become(name: str) -> None:
    """Make the package that calls this the root of those modules."""
    if not any(isinstance(finder, CompatFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, CompatFinder())
    fill(sys.modules[name])
    Defaults.unknown_hosts = "accept-new"  # as programs expect; a key that has changed is refused all the same
    import_module(f"{name}.dlog")  # as there: its handlers are on from the first import


def fill(module: ModuleType) -> None:
    """Give a module its names."""
    name = module.__name__
    module.__doc__ = f"{name}, as dispatcher has it (dispatcher.compat)."
    module.__dict__["__all__"] = [each for each in MODULES[name] if not each.startswith("__")]
    if not isinstance(module, LoggerModule):
        module.__dict__["__getattr__"] = lambda attribute: _found(name, attribute)
    module.__dict__["__dir__"] = lambda: sorted(MODULES[name])


def _found(module: str, name: str) -> Any:
    target = MODULES[module].get(name)
    if target is None:
        if f"{module}.{name}" in MODULES:
            return import_module(f"{module}.{name}")
        why = ABSENT.get(f"{module}:{name}", ABSENT.get(module, "it has no such name"))
        raise AttributeError(f"{module}.{name} is not offered by dispatcher: {why}")
    where, _, attribute = target.partition(":")
    found = getattr(import_module(where), attribute)
    sys.modules[module].__dict__[name] = found
    return found
