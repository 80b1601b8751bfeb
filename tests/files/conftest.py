"""What tests of files share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534


@contextmanager
def without_privileges() -> Iterator[Path]:
    """A directory, and the rights of an ordinary user in it: root may read and write everything."""
    was = os.geteuid()
    with tempfile.TemporaryDirectory() as top:
        Path(top).chmod(0o777)
        try:
            if was == 0:
                os.seteuid(NOBODY)
            yield Path(top)
        finally:
            os.seteuid(was)
            for path in Path(top).rglob("*"):
                path.chmod(0o700)


def left(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())
