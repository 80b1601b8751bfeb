"""The `hadoop` command: its answers have a limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from dispatcher.contexts.hdfs.command import Hadoop
from dispatcher.core import limits
from dispatcher.core.errors import TransferFailed


def test_answers_have_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hadoop").write_text('#!/bin/sh\nhead -c "$3" /dev/zero; head -c "$4" /dev/zero >&2; exit 3\n')
    (tmp_path / "hadoop").chmod(0o755)
    monkeypatch.setattr(limits, "MAX_ANSWER", 1 << 20)
    hadoop = Hadoop({"PATH": f"{tmp_path}:/usr/bin:/bin"})
    done = hadoop.tried("-cat", str(1 << 20), "7")
    assert (done.returncode, len(done.stdout), len(done.stderr)) == (3, 1 << 20, 7)
    for sizes in (((1 << 20) + 1, 0), (0, (1 << 20) + 1)):
        with pytest.raises(TransferFailed, match="hadoop fs -cat: an answer of more than 1048576 bytes, the limit"):
            hadoop.tried("-cat", *map(str, sizes))
