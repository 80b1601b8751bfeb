"""What a place on the execution side says of itself: whose it is, and which attempts have left files there."""

from __future__ import annotations

import re

import msgspec

_ATTEMPT = re.compile(r"([A-Za-z0-9][A-Za-z0-9_-]*)\.(?:sub|id|(?:[0-9]+\.)?claim)")


class Possession(msgspec.Struct, frozen=True):
    """The owner's record, one line ("": none), and the names of the files in the control directory."""

    record: str
    names: tuple[str, ...] = ()

    @property
    def attempts(self) -> set[str]:
        """Nonces of the attempts that left files there."""
        return {name[1] for name in map(_ATTEMPT.fullmatch, self.names) if name}
