"""From what people type to the journal they mean.

runs/.dispatcher/1f2e…/journal     the journal itself
runs/.dispatcher/1f2e…             the submission it belongs to
runs                               the work directory of exactly one submission
1f2e3d                             the start of a hash, looked for below the current directory
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from journal import FIRST
from journal.files import LARGEST

from ..core.errors import ConfigError
from ..core.names import CONTROL, JOURNAL
from .say import warn

#: How far below the start submissions are looked for, and how many entries make a directory one of data, not of work.
DEPTH, HUGE = 4, 10_000
HASH = re.compile(r"[0-9a-f]{4,40}")
#: Bytes of a line with an opening record at most.
_LINE = 1 << 16


def journal_of(name: str) -> Path:
    """The one journal that is meant; ConfigError that lists them when there are several, and when there is none."""
    found = journals_of(name)
    if len(found) == 1:
        return found[0]
    listed = "".join(f"\n  {path.parent}" for path in found[:20]) + ("\n  …" if len(found) > 20 else "")
    raise ConfigError(f"{name}: {len(found)} submissions are meant; name one of them:{listed}")


def newest_of(name: str) -> Path:
    """For those who only read: the journal that began last, and a word on stderr when there are others."""
    found = journals_of(name)
    if len(found) > 1:
        others = f"the newest of {len(found)} submissions (dispatcher list shows all)"
        warn(f"dispatcher: {os.path.relpath(found[-1].parent)}: {others}\n")
    return found[-1]


@contextmanager
def readable_journal(name: str) -> Iterator[Path]:
    """As journal_of, but a copied journal file alone will do, whatever it is called now; it is only to be read."""
    file = Path(name)
    if not file.is_file():
        yield newest_of(name)
        return
    if (bytes := file.stat().st_size) > LARGEST:
        raise ConfigError(f"{name} has {bytes} bytes; no file of a journal has more than {LARGEST}")
    if (segment := _segment_of(file)) != 1:
        raise ConfigError(f"{name} is part {segment} of a journal; copy the whole directory, or its first file")
    with tempfile.TemporaryDirectory(prefix="dispatcher-") as folder:
        shutil.copyfile(file, Path(folder) / FIRST)
        yield Path(folder)


def _segment_of(file: Path) -> int:
    """Which file of its journal it is, as its opening record says."""
    with suppress(OSError, ValueError, AttributeError, TypeError, RecursionError), file.open("rb") as lines:
        for _ in range(4):
            found = json.loads(lines.readline(_LINE))
            if found.get("k") == "open":
                return int(found["seg"])
    raise ConfigError(f"{file} is not the file of a journal: no opening record in its first lines")


def journals_of(name: str) -> list[Path]:
    """Every journal that is meant, those that began last at the end. ConfigError when there is none."""
    path = Path(name)
    if path.is_dir():
        found = _at(path) or sorted(_below(path, "*"), key=_age)
    elif path.exists():
        raise ConfigError(
            f"{name} is a file; name the work directory, the directory of the journal, or a hash "
            "(replay, report and verify take a copied journal file, too)"
        )
    elif HASH.fullmatch(name):
        found = sorted(_below(Path(), f"{name}*"), key=_age)
    else:
        raise ConfigError(f"{name}: there is no such directory, and it is not the start of a submission's hash")
    if not found:
        for place in (path, path / CONTROL):
            if place.is_dir() and not os.access(place, os.R_OK | os.X_OK):
                raise ConfigError(f"{place} is closed to you; ask its owner, who alone can look into it")
        where = f"below {path}" if path.is_dir() else f"with the hash {name}… below the current directory"
        raise ConfigError(f"{name}: there is no journal {where} (looked {DEPTH} levels down)")
    return found


def _at(path: Path) -> list[Path]:
    """The journals that a directory is, holds, or keeps as a work directory."""
    for candidate in (path, path / JOURNAL):
        if (candidate / FIRST).is_file():
            return [candidate]
    return _stored(path / CONTROL if path.name != CONTROL else path, "*")


def _stored(ours: Path, pattern: str) -> list[Path]:
    return sorted((first.parent for first in ours.glob(f"{pattern}/{JOURNAL}/{FIRST}")), key=_age)


def _below(start: Path, pattern: str) -> Iterator[Path]:
    """Journals in this work directory and those below it, nearest first."""
    level = [start]
    for _ in range(DEPTH + 1):
        for place in level:
            yield from _stored(place / CONTROL, pattern)
        level = [below for place in level for below in _directories(place)]


def _directories(place: Path) -> list[Path]:
    """The directories to look into: not hidden ones, not links, and none of a directory that is full of data."""
    found: list[Path] = []
    try:
        with os.scandir(place) as entries:
            for nth, entry in enumerate(entries):
                if nth >= HUGE:
                    return []
                if not entry.name.startswith(".") and entry.is_dir(follow_symlinks=False):
                    found.append(place / entry.name)
    except OSError:  # closed to us, or gone: there is nothing of ours to be found there
        return []
    return sorted(found)


def _age(journal: Path) -> float:
    return (journal / FIRST).stat().st_mtime
