"""python -m journal: exit codes, one-line errors, records as lines."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from journal_torture import Rec

from journal import Journal, verify

TOP = Path(__file__).parents[2]
GOLDEN = TOP / "fixtures" / "journals" / "v1"


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "journal", *map(str, arguments)]
    return subprocess.run(line, cwd=TOP, capture_output=True, text=True, check=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with Journal.open(tmp_path / "journal", Rec, clock=lambda: 1.5) as writer:
        writer.append(Rec(0), Rec(1, "ü"))
        writer.commit()
    Journal.open(tmp_path / "journal", Rec).close()
    return tmp_path / "journal"


def test_0_clean(path: Path) -> None:
    done = command("verify", path)
    assert done.returncode == 0
    position = verify(path).position
    assert re.fullmatch(
        r"clean: 6 records in 5 frames, 2 segments, \d+ bytes; position " + position + "\n", done.stdout
    )
    assert command("verify", path, "--expect", position).returncode == 0


def test_1_torn(path: Path) -> None:
    with (path / "00000002.jsonl").open("ab") as file:
        file.write(b'{"f":5')
    done = command("verify", path)
    assert (done.returncode, done.stderr) == (1, "")
    assert "6 bytes of an unfinished write at the end are ignored" in done.stdout


def test_2_corrupt_unreadable_or_not_what_was_expected(path: Path, tmp_path: Path) -> None:
    missed = command("verify", path, "--expect", f"6:{'0' * 32}")
    assert missed.returncode == 2 and "is not in this journal" in missed.stdout
    assert command("verify", path, "--expect", "6").returncode == 2
    (path / "00000001.jsonl").write_bytes((path / "00000001.jsonl").read_bytes().replace(b'"i":1', b'"i":2'))
    done = command("verify", path)
    assert done.returncode == 2 and "segment 00000001.jsonl, byte" in done.stdout
    done = command("cat", path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and done.stderr.startswith("journal: ")
    for verb in ("verify", "cat"):
        done = command(verb, tmp_path / "no")
        assert done.returncode == 2 and (done.stdout + done.stderr).count("\n") == 1


def test_3_bytes_after_a_seal(path: Path) -> None:
    with (path / "00000001.jsonl").open("ab") as file:
        file.write(b"late\n")
    done = command("verify", path)
    assert done.returncode == 3 and "5 bytes were written after it was sealed" in done.stdout


def test_4_kinds_that_a_reader_must_know() -> None:
    done = command("verify", GOLDEN / "clean")
    assert done.returncode == 4 and "must know: terminated" in done.stdout
    assert command("verify", GOLDEN / "clean", "--knows", "finished,terminated").returncode == 0


def test_a_report_as_json(path: Path) -> None:
    report = json.loads(command("verify", path, "--json").stdout)
    assert (report["status"], report["records"], report["position"]) == ("clean", 6, verify(path).position)


def test_cat_prints_numbers_times_and_records(path: Path) -> None:
    lines = [json.loads(line) for line in command("cat", path).stdout.splitlines()]
    assert [line["n"] for line in lines] == list(range(6))
    assert lines[2] == {"n": 2, "t": 1.5, "r": {"k": "rec", "i": 1, "x": "ü"}}
    later = command("cat", path, "--from", "2").stdout.splitlines()
    assert [json.loads(line) for line in later] == lines[2:]


def test_cat_into_a_pipe_that_closes_is_quiet(path: Path) -> None:
    with Journal.open(path, Rec) as writer:
        for nth in range(5000):
            writer.append(Rec(nth, "x" * 100))
    line = f"{sys.executable} -m journal cat {path} | head -1"
    done = subprocess.run(line, shell=True, cwd=TOP, capture_output=True, text=True, check=False)
    assert done.stderr == "" and done.stdout.count("\n") == 1


def test_cat_follows_a_writer(path: Path) -> None:
    line = [sys.executable, "-m", "journal", "cat", str(path), "--from", "6", "--follow"]
    with subprocess.Popen(line, cwd=TOP, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        with Journal.open(path, Rec) as writer:
            assert json.loads(process.stdout.readline())["r"]["k"] == "open"
            writer.append(Rec(7))
            writer.commit()
            assert json.loads(process.stdout.readline())["r"] == {"k": "rec", "i": 7, "x": ""}
        process.terminate()


def test_help_has_examples() -> None:
    for arguments in (["--help"], ["verify", "--help"], ["cat", "--help"]):
        done = command(*arguments)
        assert done.returncode == 0 and "python -m journal verify runs/journal" in done.stdout
