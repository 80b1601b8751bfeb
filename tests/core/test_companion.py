"""Another distribution's `journal` is told in one message."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dispatcher.core import companion


def test_the_journal_that_comes_with_it_is_taken() -> None:
    companion.require()


@pytest.mark.parametrize("arguments", [["status", "."], ["verify", "."], ["submit", "s.json"]])
def test_another_journal_is_said_in_one_message(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "journal.py").write_text("raise SystemExit('imported')")
    code = "import sys; from dispatcher.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("dispatcher: error: `import journal` gives ")
    assert str(tmp_path / "journal.py") in done.stderr
    assert done.stderr.count("\n") == 1
