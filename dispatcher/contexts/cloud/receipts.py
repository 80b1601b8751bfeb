"""What this side keeps of each attempt that it asks a cloud for: small JSON files, durable before the next step.

    local/.dispatcher/<submission>/cloud/dq3v81kx0mza.json   {"requested": true, "id": "4211", "group": "87"}
    local/.dispatcher/<submission>/cloud/upload-9f86….json    {"upload": "81D5…"}

A container shares no directory with us, so the receipts that other batch
systems leave beside the script lie here. No key or token is ever in one. One
that cannot be read, or holds what no receipt holds, says nothing: the cloud is
asked by name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import msgspec

from ...core.limits import MAX_NOTE
from ...files.incoming import write_atomic
from ...files.ours import is_ours

#: What the cloud calls a job, a group or a record, and what we call an attempt: it stands in addresses.
Word = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{0,64}\Z")]


class Receipt(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is noted of an attempt: "" and () for what is not known.

    `requested`: it was asked for; `record` is an entry that is not in the queue yet; `keys` are what was sent for it to
    the storage; `by` the attempt that took its place. `upload`: of a large file, the upload that can be gone on with.
    """

    requested: bool = False
    id: Word = ""
    group: Word = ""
    record: Word = ""
    keys: tuple[str, ...] = ()
    by: Word = ""
    upload: str = ""


_NOTHING = Receipt()


class Receipts:
    """The notes of one submission, by nonce; read once, then kept in memory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._known: dict[str, Receipt] = {}
        for path in directory.glob("*.json") if directory.is_dir() else ():
            self._known[path.stem] = _read(path)

    def of(self, name: str) -> Receipt:
        """What is noted of an attempt (or under another name)."""
        return self._known.get(name, _NOTHING)

    def note(self, name: str, **what: Any) -> None:
        """Add to it, or change it; on the disk when this returns. Raises TransferFailed."""
        noted = msgspec.structs.replace(self.of(name), **what)
        write_atomic(self.directory / f"{name}.json", msgspec.json.encode(noted))
        self._known[name] = noted

    def forget(self, name: str) -> None:
        """As if it had never been noted."""
        (self.directory / f"{name}.json").unlink(missing_ok=True)
        self._known.pop(name, None)

    def all(self) -> dict[str, Receipt]:
        """Everything that is noted, by name."""
        return dict(self._known)

    def groups(self) -> list[str]:
        """Every job group that an attempt is known to be in."""
        return list(dict.fromkeys(known.group for known in self._known.values() if known.group))

    def withdrawn(self) -> dict[str, str]:
        """Attempts that were given up, and what is asked for instead of each."""
        return {name: known.by for name, known in self._known.items() if known.by}


def _read(path: Path) -> Receipt:
    try:
        if not is_ours(path) or path.stat().st_size > MAX_NOTE:
            return _NOTHING
        return msgspec.json.decode(path.read_bytes(), type=Receipt)
    except (OSError, ValueError, RecursionError):
        return _NOTHING
