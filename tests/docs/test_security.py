"""The table of SECURITY.md: every threat has tests that are there, and every test of an attack is in it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = (ROOT / "SECURITY.md").read_text().partition("## Threats and tests")[2]
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in TABLE.splitlines() if line[:1] == "|"
][2:]
ATTACKS = re.compile(r"hostile|planted|two_users|outside|secrets|limits|ownership|printable")


def test_every_row_names_tests_that_are_there() -> None:
    assert len(ROWS) > 20
    for row in ROWS:
        assert len(row) == 4, row
        named = re.findall(r"`(tests/[^`]+)`", row[2])
        assert named, row
        assert not [name for name in named if not (ROOT / name).is_file()], row
        assert all(row)


def test_every_test_of_an_attack_is_in_it() -> None:
    tests = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")}
    attacks = {name for name in tests if name.startswith("tests/fuzz/") or ATTACKS.search(name.rpartition("/")[2])}
    assert len(attacks) > 15
    assert not [name for name in sorted(attacks) if name not in TABLE]
