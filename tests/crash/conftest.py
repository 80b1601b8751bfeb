"""The dispatcher that is killed, as a module."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

CHILD = Path(__file__).with_name("child.py")


@pytest.fixture
def child() -> Any:
    made = importlib.util.spec_from_file_location("child", CHILD)
    assert made
    assert made.loader
    module = importlib.util.module_from_spec(made)
    made.loader.exec_module(module)
    return module
