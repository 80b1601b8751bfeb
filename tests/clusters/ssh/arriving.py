"""A file on its way: it may take its last name, or go, between two looks at it."""

from __future__ import annotations

from pathlib import Path


def bytes_of(path: Path) -> int:
    """Its bytes so far; 0 when nothing is there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
