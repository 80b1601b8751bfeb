"""Texts as editors write them: byte order marks, UTF-16, the line ends of Windows."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatcher.core.errors import ConfigError
from dispatcher.files.texts import read_text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_an_editor_writes_is_read(tmp_path: Path, encoding: str, end: str) -> None:
    mark = "\ufeff" if encoding in ("utf-16-le", "utf-16-be") else ""
    (tmp_path / "a").write_bytes(f"{mark}#SBATCH --comment=任务{end}second{end}".encode(encoding))
    assert read_text(tmp_path / "a", 1000) == "#SBATCH --comment=任务\nsecond\n"


def test_other_encodings_are_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("任务".encode("gb18030"))
    with pytest.raises(ConfigError, match=r"a: is not UTF-8 text \(byte 0\)"):
        read_text(tmp_path / "a", 1000)
