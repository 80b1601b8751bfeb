"""How a file takes its name: whole or not at all, with the permissions that the user allows, and never elsewhere."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatcher.core.errors import TransferFailed, Unreachable
from dispatcher.core.ports import Item
from dispatcher.files import incoming, local
from dispatcher.files.gate import Way, below, inside

from .conftest import left, without_privileges


@pytest.fixture(params=[0o022, 0o077, 0o002])
def mask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_results_take_the_umask_and_never_setuid(tmp_path: Path, mask: int) -> None:
    (tmp_path / "s").write_bytes(b"x")
    (tmp_path / "s").chmod(0o6775)
    incoming.copy(tmp_path / "s", tmp_path / "t")
    assert stat.S_IMODE((tmp_path / "t").stat().st_mode) == 0o775 & ~mask
    incoming.write_atomic(tmp_path / "w", b"", 0o644)
    assert stat.S_IMODE((tmp_path / "w").stat().st_mode) == 0o644 & ~mask


OUT = ["/etc/passwd", "..", "t0/../../x", "t0/out.txt/../../../../.bash_profile", "a\0b", "", ".", "t/..", "../runs/t0"]


@pytest.mark.parametrize("name", OUT)
def test_names_that_lead_out_do_not_pass(tmp_path: Path, name: str) -> None:
    with pytest.raises(TransferFailed, match=r"refused to write .* from ann@hpc: a name that leads elsewhere"):
        inside(name, "ann@hpc")
    with pytest.raises(TransferFailed, match="leads elsewhere"):
        incoming.Arrivals(tmp_path / "runs", [Item("s", name, 3)]).path(Item("s", name, 3))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["t0/out", "./t0/./out", "t0//out", "t0/..out", "t0/...", "-rf", "a\\..\\b"])
def test_names_that_lie_below_pass(name: str) -> None:
    assert inside(name, "") == os.path.normpath(name)


def test_a_listing_names_only_what_was_asked_for() -> None:
    assert below("./t0/out", ["t1", "t0"], "") == "t0/out"
    assert below("anything", [""], "") == "anything"
    for name in ("t00/out", "t", "other"):
        with pytest.raises(TransferFailed, match="nobody asked for it"):
            below(name, ["t0"], "")


@pytest.mark.parametrize("name", [".dispatcher/x/cancel", "t0/.dispatcher-1.tmp"])
def test_our_own_files_are_no_results(tmp_path: Path, name: str) -> None:
    for size in (0, -1):
        with pytest.raises(TransferFailed, match="the dispatcher's own"):
            incoming.Arrivals(tmp_path, [Item(name, name, size)]).path(Item(name, name, size))
    assert left(tmp_path) == []


@pytest.mark.parametrize("target", ["..", "../elsewhere", "/", "inner/../../elsewhere"])
def test_links_that_lead_out_are_not_written_through(tmp_path: Path, target: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "runs/inner").mkdir(parents=True)
    (tmp_path / "runs/t0").symlink_to(target)
    for size in (3, -1):
        item = Item("t0/new/f", "t0/new/f", size)
        with pytest.raises(TransferFailed, match=r"runs/t0/new.*: a link on the way leads out, to /"):
            incoming.Arrivals(tmp_path / "runs", [item]).path(item)
    with pytest.raises(TransferFailed, match=r"leads out.*\. Make it a directory"):
        Way(tmp_path / "runs").check_all(["t1", "t0"])
    assert left(tmp_path / "elsewhere") == []


def test_links_that_stay_below_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real/big").mkdir(parents=True)
    (tmp_path / "runs").symlink_to("real")
    (tmp_path / "real/t0").symlink_to("big")
    arrivals = incoming.Arrivals(tmp_path / "runs", [Item("t0/f", "t0/f", 3)])
    with arrivals.incoming(Item("t0/f", "t0/f", 3)) as file:
        file.write(b"new")
        arrivals.take(Item("t0/f", "t0/f", 3), file, 0o644, None)
    assert (tmp_path / "real/big/f").read_bytes() == b"new"


def test_a_link_of_the_name_itself_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "profile").write_bytes(b"mine")
    (tmp_path / "runs/out").symlink_to("../profile")
    item = Item("out", "out", 3)
    arrivals = incoming.Arrivals(tmp_path / "runs", [item])
    with arrivals.incoming(item) as file:
        file.write(b"new")
        arrivals.take(item, file, 0o644, None)
    assert (tmp_path / "profile").read_bytes() == b"mine"
    assert (tmp_path / "runs/out").read_bytes() == b"new"


@pytest.mark.parametrize("size", [incoming.LARGE, 10])
def test_what_broke_off_is_gone_on_with_when_it_is_large(tmp_path: Path, size: int) -> None:
    part = ".dispatcher-5f1c.part"
    with pytest.raises(Unreachable), incoming.Incoming(tmp_path / "t", part) as file:
        file.write(b"x" * size)
        raise Unreachable("away")
    assert left(tmp_path) == ([part] if size >= incoming.LARGE else [])
    with incoming.Incoming(tmp_path / "t", part) as file:
        assert file.size == (size if size >= incoming.LARGE else 0)
        file.write(b"end")
        file.publish(0o600)
    assert file.content == (file.size, hashlib.sha256((tmp_path / "t").read_bytes()).hexdigest())
    assert left(tmp_path) == ["t"]


@pytest.mark.parametrize("name", ["t", ".dispatcher-5f1c.part"])
def test_a_part_that_is_a_link_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / name).symlink_to("../mine")
    if name == "t":
        incoming.write_atomic(tmp_path / "d/t", b"new")
    else:
        with pytest.raises(TransferFailed, match="d/t"):
            incoming.Incoming(tmp_path / "d/t", name)
    assert (tmp_path / "mine").read_bytes() == b"mine"


def test_many_results_are_made_durable_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs: list[int] = []
    monkeypatch.setattr(os, "fsync", syncs.append)
    monkeypatch.setattr(os, "sync", lambda: syncs.append(-1))
    for count, most in ((local.SINGLY, 2 * local.SINGLY + 1), (local.SINGLY + 1, 1), (1000, 1)):
        (tmp_path / "s").write_bytes(b"x")
        items = [Item("s" * n, f"t{n}/out", 1) for n in range(1, count + 1)]
        arrivals = incoming.Arrivals(tmp_path, items)
        for item in arrivals.missing():
            incoming.copy(tmp_path / "s", Path(arrivals.path(item)), durable=arrivals.durable)
        local.settle(tmp_path, [item.target for item in items])
        assert 0 < len(syncs) <= most
        syncs.clear()


def test_write_atomic(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ü b"
    incoming.write_atomic(path, b"one")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    incoming.write_atomic(path, b"two", 0o644)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"two", 0o644)
    assert left(path.parent) == ["ü b"]


def test_write_atomic_refuses_a_directory(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with pytest.raises(TransferFailed, match=r"cannot write .*/d: Is a directory"):
        incoming.write_atomic(tmp_path / "d", b"")
    assert left(tmp_path) == ["d"]


@pytest.mark.parametrize("mode", [0o644, 0o755, 0o400, 0o040])
def test_copy_keeps_mode_and_time(tmp_path: Path, mode: int) -> None:
    source, target = tmp_path / "s", tmp_path / "t"
    source.write_bytes(b"x" * 3_000_000)
    os.utime(source, ns=(1, 981173106_000000123))
    source.chmod(mode)
    sum_ = hashlib.sha256(b"x" * 3_000_000).hexdigest()
    target.write_bytes(b"old")
    assert incoming.copy(source, target) == (3_000_000, sum_)
    assert incoming.copy(source, target, sum_).digest == sum_
    status = target.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_mtime_ns) == (mode, 981173106_000000123)
    assert left(tmp_path) == ["s", "t"]


def test_copy_of_a_name_of_255_bytes(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"x")
    incoming.copy(tmp_path / "s", tmp_path / ("n" * 255))
    assert (tmp_path / ("n" * 255)).read_bytes() == b"x"


def test_copy_replaces_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"new")
    (tmp_path / "other").write_bytes(b"other")
    (tmp_path / "t").symlink_to("other")
    incoming.copy(tmp_path / "s", tmp_path / "t")
    assert (tmp_path / "other").read_bytes() == b"other"
    assert not (tmp_path / "t").is_symlink()


def test_copy_of_what_changed_leaves_the_target(tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(b"new")
    (tmp_path / "t").write_bytes(b"old")
    with pytest.raises(TransferFailed, match=r"/s: it changed since"):
        incoming.copy(tmp_path / "s", tmp_path / "t", "0" * 64)
    assert (tmp_path / "t").read_bytes() == b"old"
    assert left(tmp_path) == ["s", "t"]


def test_copy_without_permission_names_the_file() -> None:
    with without_privileges() as top:
        (top / "s").write_bytes(b"x")
        (top / "d").mkdir()
        (top / "d").chmod(0o500)
        with pytest.raises(TransferFailed, match=r"d/t: Permission denied; check its permissions"):
            incoming.copy(top / "s", top / "d/t")
        (top / "s").chmod(0)
        with pytest.raises(TransferFailed, match=r"copy .*/s to .*/t: Permission denied"):
            incoming.copy(top / "s", top / "t")


def test_copy_that_finds_no_room_leaves_the_target_and_no_remains(tmp_path: Path) -> None:
    # the limit on file size is met in the middle of a write, as a full disk is
    script = (
        "import resource, sys; from pathlib import Path; from dispatcher.files import incoming\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000000, 1000000))\n"
        "top = Path(sys.argv[1]); incoming.copy(top / 's', top / 't')\n"
    )
    (tmp_path / "s").write_bytes(b"x" * 3_000_000)
    (tmp_path / "t").write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"TransferFailed: cannot copy {tmp_path}/s to {tmp_path}/t: File too large" in done.stderr
    assert (tmp_path / "t").read_bytes() == b"old"
    assert left(tmp_path) == ["s", "t"]


@pytest.mark.parametrize(("number", "advice"), [(28, "free some space"), (122, "quota"), (13, "permissions")])
def test_failed_says_what_to_do(number: int, advice: str) -> None:
    text = str(local.failed("write", "/x/y", OSError(number, os.strerror(number))))
    assert text.startswith(f"cannot write /x/y: {os.strerror(number)}; ")
    assert advice in text


def test_remains_of_killed_processes_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    old, fresh, theirs = ".dispatcher-0123456789ab.tmp", ".dispatcher-ba9876543210.tmp", "their.tmp"
    for name in (old, fresh, theirs):
        (tmp_path / "t" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "t" / name).write_text("half")
    for name in (old, theirs):
        os.utime(tmp_path / "t" / name, (1, 1))
    (tmp_path / "in").write_text("whole")
    incoming.copy(tmp_path / "in", tmp_path / "t" / "out")
    assert left(tmp_path / "t") == [fresh, "out", theirs]
