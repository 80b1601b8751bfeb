"""Patterns over real directories: staging and `local.tree` together must mean what glob means."""

from __future__ import annotations

import glob
import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.files import local, patterns
from dispatcher.files.listing import Listing

NAMES = st.sampled_from(["a", "b", "ab", "ba", ".h", ".a", "a.txt", "b.txt", "a\nb", "é", "-", "ab.txt.ab"])
PARTS = st.sampled_from(
    [
        "a",
        "b",
        ".h",
        "*",
        "**",
        "?",
        "a*",
        "*a",
        "*b*",
        "*.txt",
        "[ab]*",
        "[!a]*",
        ".*",
        "a.*",
        "?b",
        "*[b]",
        "ab*ab",
        "é*",
    ]
)
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PATTERNS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


def grow(top: Path, paths: list[str], directories: list[str]) -> None:
    for path in directories:
        Path(top, path).mkdir(parents=True, exist_ok=True)
    for path in paths:
        try:
            Path(top, path).parent.mkdir(parents=True, exist_ok=True)
            Path(top, path).touch()
        except OSError:
            continue  # a file has the name of a directory, or the reverse: the tree stays as it is


def oracle(top: str, pattern: str) -> list[str]:
    """What glob finds, `**` at the end cut down to files and empty directories, as staging defines it."""
    found = {path for path in glob.glob(pattern, root_dir=top, recursive=True) if os.path.exists(f"{top}/{path}")}
    if pattern.endswith("**"):
        found = {path for path in found if not (os.path.isdir(f"{top}/{path}") and os.listdir(f"{top}/{path}"))}
    return sorted({path.rstrip("/") for path in found} - {""})


@settings(max_examples=300, deadline=None)
@given(st.lists(PATHS, max_size=12), st.lists(PATHS, max_size=3), st.lists(PATTERNS, min_size=1, max_size=4))
def test_patterns_mean_what_glob_means(paths: list[str], directories: list[str], wanted_patterns: list[str]) -> None:
    with tempfile.TemporaryDirectory() as top:
        grow(Path(top), paths, directories)
        listing = Listing(local.tree(Path(top), patterns.roots(wanted_patterns)))
        for pattern in wanted_patterns:
            assert listing.match(pattern) == oracle(top, pattern), pattern
