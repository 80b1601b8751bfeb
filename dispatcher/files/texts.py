"""A text that is read as a whole: within a limit, and without waiting for what is no file.

read_text("machine.json", 1 << 20)   ->  the text
                                     ->  ConfigError: machine.json: is not a plain file …
                                     ->  ConfigError: machine.json: has 4398046511104 bytes; the limit is …
"""

from __future__ import annotations

import os
import stat
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from pathlib import Path

from ..core.errors import ConfigError


def read_text(path: str | Path, limit: int) -> str:
    """The UTF-8 text of a file of at most `limit` bytes; links are followed.

    Also UTF-16 with a byte order mark, as editors on Windows write it; line ends become those of Unix. Raises OSError,
    and ConfigError that names the file for a pipe or a device, a giant, and what is not UTF-8.
    """
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ConfigError(f"{path}: is not a plain file (but a pipe, a socket or a device); name a file")
        data = file.read(limit + 1)
    if len(data) > limit:
        size = max(status.st_size, len(data))
        raise ConfigError(f"{path}: has {size} bytes; the limit for such a file is {limit}")
    try:
        text = data.decode("utf-16" if data[:2] in (BOM_UTF16_LE, BOM_UTF16_BE) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    return text.replace("\r\n", "\n")
