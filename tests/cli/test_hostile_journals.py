"""A whole journal with whatever a stranger can write in it: told without harm by every verb that reads, in every form.

text        escape and bidirectional characters, markup, formulas, workflow commands, quotes: in all fields at once
numbers     every number of every record has bounds; what has none is not known, or the record is damaged
names       logs and directories that lead elsewhere, or that a shell would take for a command
"""

from __future__ import annotations

import csv
import io
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dispatcher.cli import main
from dispatcher.core import events as ev
from dispatcher.core.model import TaskSpec
from journal import Journal

SUBMISSION, JOB = "ab" * 20, "c1" * 20
HOSTILE = (
    "\x1b[2J\u202e</script><script>alert(1)</script>\"'`}\n::error::%0A]]>\x00\x0b\ufffe\r# EOF\n=cmd|' /C calc'!A0"
)


class Unchecked:
    """Writes what a reader of ours would not take, as a stranger's program does."""

    def encode(self, records: list[Any]) -> bytes:
        lines = (record if isinstance(record, bytes) else msgspec.json.encode(record) for record in records)
        return b"".join(line + b"\n" for line in lines)


def written(local: Path, *records: Any) -> Path:
    path = local / ".dispatcher" / SUBMISSION / "journal"
    path.parent.parent.mkdir(mode=0o700, parents=True)
    path.parent.mkdir(mode=0o700)
    with Journal.open(path, ev.Event, application=HOSTILE) as log:
        log._hold(Unchecked(), list(records))
        log.commit()
    return path


def opened(local: Path, context: str = "LocalContext", **resources: Any) -> ev.Opened:
    machine = {"batch_type": "Shell", "context_type": context, "local_root": "x", "remote_root": f"{local}-there"}
    asked = {"number_node": 1, "cpu_per_node": 1, "gpu_per_node": 0, "queue_name": "", "group_size": 1, **resources}
    return ev.Opened(SUBMISSION, "p", HOSTILE, machine, asked, HOSTILE)


@pytest.fixture
def local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "runs"
    (place / "t").mkdir(parents=True)
    (tmp_path / "runs-there").mkdir()
    monkeypatch.chdir(place)
    return place


Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    """A verb: its exit code, and what it said, all of which is printable."""

    def ask(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        out, err = capsys.readouterr()
        assert code in (0, 1, 2, 4), (words, err)
        assert all(letter.isprintable() or letter in "\n\t" for letter in out + err), words
        return code, out, err

    return ask


@pytest.mark.slow
def test_text(local: Path, said: Said) -> None:
    hostile = "=" + HOSTILE
    task = TaskSpec(hostile, "t", outlog="*;touch hacked;*", errlog=f"{HOSTILE}/e", task_name=hostile)
    cause = ev.Cause(ev.CauseKind.task, HOSTILE, 1, native=HOSTILE, node=HOSTILE, task=0, stderr=HOSTILE, log=HOSTILE)
    written(
        local, opened(local, number_node=10**400, group_size=HOSTILE), ev.Planned(JOB, (0,), (task,)),
        ev.Submitting(JOB, 1, "n1"), ev.InDoubt(JOB, HOSTILE), ev.NotFound(JOB, HOSTILE), ev.Submitting(JOB, 1, "n1"),
        ev.Submitted(JOB, "4211", HOSTILE), ev.Running(JOB, HOSTILE), ev.Waiting(JOB, HOSTILE),
        ev.OwnerChanged(JOB, "4212", HOSTILE), ev.Running(JOB, HOSTILE), ev.Terminated(JOB, cause, ((0, 3, 5.0),)),
        ev.Note(HOSTILE, JOB), ev.Received({HOSTILE: HOSTILE}), ev.Delivered((JOB,), 1, 1, (HOSTILE,)),
        ev.Concluded(HOSTILE, 1),
    )  # fmt: skip
    for words in (
        "list", "list --json", "status", "status --json", "tasks", "tasks --json", "info #0", "info #0 --json", "logs",
        "logs --json", "logs --job", "files #0", "files #0 --here", "open #0 --json", "diff . .", "diff . live",
        "verify .", "verify . --json", "replay .", "replay . --format json", "replay . --format jsonl",
        "replay . --explain #0", "replay . --at 23:59", "retry", "cancel .", "clean --dry-run", "submission . --clean",
        "download", "tasks nowhere", "logs ../../x",
    ):  # fmt: skip
        _, out, _ = said(*words.split())
        if "json" in words and "format json" not in words:
            assert [json.loads(line) for line in out.splitlines()], words
    for words in ("tasks --csv", "replay . --format csv"):
        rows = list(csv.reader(io.StringIO(said(*words.split())[1])))
        assert len(rows) > 1
        assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "@", "\t"))]
    found = ET.fromstring(said("replay", ".", "--format", "junit")[1])
    assert len(found.findall(".//failure")) == 1
    commands = said("replay", ".", "--format", "github")[1].splitlines()
    assert commands
    assert all(re.fullmatch(r"::(error|warning) title=[^,:\n]*::.*", line) for line in commands)
    exposition = said("metrics")[1]
    assert exposition.endswith("\n# EOF\n")
    assert exposition.count("# EOF") == 1
    assert not list(local.parent.rglob("hacked"))


def test_report(local: Path, said: Said) -> None:
    task = TaskSpec(HOSTILE, HOSTILE, task_name=HOSTILE)
    cause = ev.Cause(ev.CauseKind.task, HOSTILE, 1, node=HOSTILE, task=0, stderr=HOSTILE)
    asked = [opened(local), ev.Planned(JOB, (0,), (task,)), ev.Submitting(JOB, 1, "n1"), ev.Submitted(JOB, "42")]
    written(local, *asked, ev.Running(JOB, HOSTILE), ev.Terminated(JOB, cause), ev.Concluded(HOSTILE, 1))
    assert said("report")[0] == 0
    page = Path("report.html").read_text()
    assert page.count("<script") == 2
    assert page.count("</script>") == 2
    assert "&lt;/script&gt;" in page
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "default-src 'none'" in page


def test_a_question_on_the_whole_terminal() -> None:
    from dispatcher.cli.dialogs import Question

    assert "\x1b" not in Question(HOSTILE)._question
    assert "\u202e" not in Question(HOSTILE)._question


# -- numbers --------------------------------------------------------------------------------------------------------


def numbers(kind: Any, where: str) -> Iterator[tuple[str, Any]]:
    """Every number in a type of a record, with where it stands."""
    if isinstance(kind, (msgspec.inspect.IntType, msgspec.inspect.FloatType)):
        yield where, kind
    for name in ("item_type", "value_type", "key_type"):
        if inner := getattr(kind, name, None):
            yield from numbers(inner, f"{where}[]")
    for inner in [*getattr(kind, "item_types", ()), *getattr(kind, "types", ())]:
        yield from numbers(inner, where)
    if isinstance(kind, msgspec.inspect.StructType) and kind.cls is not ev.Cause:
        for field in kind.fields:
            yield from numbers(field.type, f"{kind.cls.__name__}.{field.name}")


def test_every_number_of_a_record_has_bounds() -> None:
    found = list(numbers(msgspec.inspect.type_info(ev.Event), ""))
    assert len(found) > 15
    assert not [where for where, kind in found if kind.ge is None or kind.lt is None]


@pytest.mark.parametrize("made_up", [10**400, -(10**30), 1e300, float("inf"), float("nan")])
def test_what_no_machine_can_have_is_not_known(made_up: Any) -> None:
    cause = ev.Cause(ev.CauseKind.memory, code=made_up, signal=made_up, elapsed=made_up, maxrss=made_up, task=made_up)
    assert (cause.code, cause.signal, cause.elapsed, cause.maxrss, cause.task) == (None,) * 5
    assert msgspec.json.decode(msgspec.json.encode(cause), type=ev.Cause) == cause


@pytest.mark.parametrize("t", ["-1.0", "1e300", "1e12"])
def test_a_frame_of_no_time_is_damaged(local: Path, said: Said, t: str) -> None:
    from hashlib import sha256
    from zlib import crc32

    path = written(local, opened(local)) / "00000001.jsonl"
    (path.parent / "HEAD").unlink()
    head, payload = path.read_bytes().split(b"\n", 1)
    size = int(json.loads(head)["b"])
    line = re.sub(rb'"t":[0-9.]+', b'"t":' + t.encode(), head.partition(b',"c":')[0])
    line += b',"c":"%08x"' % crc32(line)
    digest = sha256(line + payload[:size]).hexdigest()[:32].encode()
    path.write_bytes(line + b',"d":"' + digest + b'"}\n' + payload[:size])
    for words in (("replay", "."), ("tasks",), ("report",), ("metrics",)):
        code, _, err = said(*words)
        assert code == 4
        assert "the header cannot be read" in err


@pytest.mark.parametrize("line", [b'{"k":[]}', b'{"k":{}}', b'{"k":"note","x":' + b"[" * 5000], ids=len)
def test_a_line_that_is_no_record_is_damage(local: Path, said: Said, line: bytes) -> None:
    written(local, opened(local), line)
    for words in (("replay", "."), ("tasks",), ("cancel", "."), ("verify", ".")):
        code, out, err = said(*words)
        assert code == (1 if words[0] == "verify" else 4), (words, out, err)
        assert "a record cannot be read" in out + err


# -- names ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("context", ["LocalContext", "LazyLocalContext"])
@pytest.mark.parametrize(
    "task",
    [
        TaskSpec("true", "t", outlog="*;touch hacked;*", errlog=None),
        TaskSpec("true", "t", outlog="$(touch hacked)*", errlog=None),
        TaskSpec("true", "t", outlog="../../secret", errlog=None),
        TaskSpec("true", "../..", outlog="secret", errlog=None),
        TaskSpec("true", "/etc", outlog="passwd", errlog=None),
        TaskSpec("true", ".dispatcher/x", outlog="*;touch hacked;*", errlog=None),
    ],
    ids=lambda task: f"{task.task_work_path} {task.outlog}",
)
def test_a_log_is_one_of_the_work_directory(local: Path, said: Said, task: TaskSpec, context: str) -> None:
    (local.parents[1] / "secret").write_text("precious")
    asked = [opened(local, context), ev.Planned(JOB, (0,), (task,)), ev.Submitting(JOB, 1, "n1")]
    written(local, *asked, ev.Submitted(JOB, "42"), ev.Terminated(JOB, ev.Cause(ev.CauseKind.lost)))
    for words in (("logs", "#0", "--out"), ("logs", "#0", "--out", "--json"), ("logs", "#0", "--out", "-f")):
        code, out, err = said(*words)
        assert code in (1, 2), (words, out, err)
        assert "precious" not in out
        assert "root:" not in out
    said("files", "#0", "--here")
    assert not list(local.parent.rglob("hacked"))
