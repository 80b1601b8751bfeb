"""Is a journal whole? One answer for people, CI jobs and `python -m journal verify`.

verify("…/journal").status   ->  "clean" | "torn" | "foreign" | "corrupt" | "unreadable"
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from .errors import JournalCorrupt, JournalMissing
from .reader import Reader


class Report(msgspec.Struct, frozen=True):
    """What a verification found.

    `status`: clean; torn (an unfinished write at the end, kept and ignored); foreign (bytes behind a seal: a second
    writer was alive); corrupt; unreadable. `position` is "records:digest", `problem` says what and where.
    """

    path: str
    status: str
    frames: int = 0
    records: int = 0
    segments: int = 0
    bytes: int = 0
    position: str = ""
    torn_bytes: int = 0
    problem: str = ""
    warnings: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


def verify(path: Path | str, *, expect: str | None = None) -> Report:
    """Verify every frame and the chain; never raises for damage.

    `expect` is a position that was printed earlier ("records:digest"): its absence makes the journal corrupt.
    """
    reader = Reader(Path(path))
    status, problem, met = "clean", "", expect is None
    try:
        segments = len(reader.segments())
        for _ in reader.walk():
            met = met or f"{reader.records}:{reader.digest}" == expect
    except (JournalMissing, OSError) as error:
        return Report(str(path), "unreadable", problem=str(error))
    except JournalCorrupt as error:
        status, problem = "corrupt", str(error)
    if not segments and status == "clean":
        return Report(str(path), "unreadable", problem=f"{path} holds no segment of a journal")
    if status == "clean" and not met:
        status, problem = "corrupt", f"position {expect} is not in this journal: acknowledged records are gone"
    if status == "clean" and (reader.warnings or reader.torn):
        status = "foreign" if reader.warnings else "torn"
    return Report(
        path=str(path),
        status=status,
        frames=reader.frames,
        records=reader.records,
        segments=segments,
        bytes=reader.bytes,
        position=f"{reader.records}:{reader.digest}",
        torn_bytes=reader.torn,
        problem=problem,
        warnings=tuple(reader.warnings),
        needs=reader.needs,
    )
