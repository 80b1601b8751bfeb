"""What this side keeps of each attempt that it asks a cloud for: small JSON files, durable before the next step.

    local/.dispatcher/<submission>/cloud/dq3v81kx0mza.json   {"requested": true, "id": "4211", "group": "87", …}
    local/.dispatcher/<submission>/cloud/objects.json         {"program/7/5f1c/9f86….zip": 81200}

A container shares no directory with us, so the receipts that other batch
systems leave beside the script lie here. No key or token is ever in one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ...core.limits import MAX_NOTE
from ...files.incoming import write_atomic


class Receipts:
    """The notes of one submission, by nonce; read once, then kept in memory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._known: dict[str, dict[str, Any]] = {}
        for path in directory.glob("*.json") if directory.is_dir() else ():
            self._known[path.stem] = _read(path)

    def of(self, name: str) -> dict[str, Any]:
        """What is noted of an attempt (or under another name); {} when there is nothing."""
        return dict(self._known.get(name, {}))

    def note(self, name: str, **what: Any) -> None:
        """Add to it, or change it; on the disk when this returns. Raises TransferFailed."""
        noted = {**self._known.get(name, {}), **what}
        write_atomic(self.directory / f"{name}.json", json.dumps(noted).encode())
        self._known[name] = noted

    def forget(self, name: str) -> None:
        """As if it had never been noted."""
        (self.directory / f"{name}.json").unlink(missing_ok=True)
        self._known.pop(name, None)

    def names(self) -> list[str]:
        """Everything that something is noted of."""
        return list(self._known)

    def groups(self) -> list[str]:
        """Every job group that an attempt is known to be in."""
        return list(dict.fromkeys(known["group"] for known in self._known.values() if known.get("group")))

    def withdrawn(self) -> dict[str, str]:
        """Attempts that were given up, and what is asked for instead of each."""
        return {name: known["by"] for name, known in self._known.items() if known.get("by")}


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_NOTE:
            return {}
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
