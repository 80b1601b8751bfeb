"""What the two contexts on this machine do beyond the contract."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dispatcher.contexts.local.lazy_local import LazyLocalConnection
from dispatcher.contexts.local.local import LocalConnection
from dispatcher.contexts.local.this_machine import remove_tree
from dispatcher.core.errors import ConfigError, InputMissing, TransferFailed
from dispatcher.core.model import MachineSpec
from dispatcher.core.ports import Item


def local(top: Path, submission: str = "s", work_base: str = "runs", **profile: Any) -> LocalConnection:
    machine = MachineSpec("Shell", "LocalContext", str(top / "proj"), str(top / "scratch"))
    return LocalConnection.open(machine, profile, submission, work_base)


def lazy(top: Path, work_base: str = "runs") -> LazyLocalConnection:
    return LazyLocalConnection.open(MachineSpec("Shell", "LazyLocalContext", str(top)), {}, "s", work_base)


def item(top: Path, name: str, data: bytes = b"data") -> Item:
    source = top / "proj/runs" / name
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_bytes(data)
    return Item(str(source), name, len(data))


def test_where_things_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    place = LocalConnection.open(MachineSpec("Shell", "Local", "./proj", "scratch/../there"), {}, "s", "./runs").place
    assert (place.local, place.remote_root) == (f"{tmp_path}/proj/runs", f"{tmp_path}/there/s")
    assert place.control == f"{tmp_path}/there/s/.dispatcher/s/jobs"
    assert lazy(Path("proj"), str(tmp_path / "abs")).place.remote_root == f"{tmp_path}/abs"


@pytest.mark.parametrize("remote_root", [None, ""])
def test_local_needs_a_remote_root(remote_root: str | None) -> None:
    with pytest.raises(ConfigError, match=r"machine/remote_root: missing"):
        LocalConnection.open(MachineSpec("Shell", "Local", "/nowhere", remote_root), {}, "s", "runs")


def test_symlink_must_be_a_boolean(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"machine/remote_profile/symlink: 'no' is not a boolean"):
        local(tmp_path, symlink="no")


@pytest.mark.parametrize("submission", ["", ".", "..", "a/b"])
def test_submission_is_one_directory(tmp_path: Path, submission: str) -> None:
    with pytest.raises(ConfigError, match=r"submission: .*not a name for a directory|would hold"):
        local(tmp_path, submission)
    assert list(tmp_path.iterdir()) == []


def test_local_never_runs_around_its_own_near_side(tmp_path: Path) -> None:
    machine = MachineSpec("Shell", "Local", str(tmp_path / "s"), str(tmp_path))
    with pytest.raises(ConfigError, match=r"would hold .*/s/runs and is removed at the end"):
        LocalConnection.open(machine, {}, "s", "runs")


def test_root_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "scratch").write_bytes(b"")
    with pytest.raises(TransferFailed, match=r"cannot make directory .*/scratch/s: "):
        local(tmp_path)


def test_links_are_absolute_and_replaced_when_they_lead_elsewhere(tmp_path: Path) -> None:
    context, sent = local(tmp_path), item(tmp_path, "t/a")
    there = tmp_path / "scratch/s/t/a"
    there.parent.mkdir()
    there.symlink_to(tmp_path)
    context.put([sent], True)
    assert there.readlink() == Path(sent.source)
    there.unlink()
    there.symlink_to(item(tmp_path, "other").source)
    context.put([sent], False)
    assert there.readlink() != Path(sent.source)
    context.put([sent], True)
    assert there.readlink() == Path(sent.source)


def test_links_become_copies_and_copies_stay(tmp_path: Path) -> None:
    sent = item(tmp_path, "t/a")
    there = tmp_path / "scratch/s/t/a"
    local(tmp_path, symlink=True).put([sent], True)
    local(tmp_path, symlink=False).put([sent], True)
    assert not there.is_symlink()
    before = there.stat().st_ino
    local(tmp_path, symlink=True).put([sent], True)
    assert there.stat().st_ino == before


def test_copy_that_is_not_what_was_hashed_is_refused(tmp_path: Path) -> None:
    sent = item(tmp_path, "t/a")
    with pytest.raises(TransferFailed, match=r"t/a: it changed since it was listed"):
        local(tmp_path, symlink=False).put([Item(sent.source, sent.target, 4, "0" * 64)], True)
    assert list((tmp_path / "scratch/s/t").iterdir()) == []


@pytest.mark.parametrize("symlink", [True, False])
def test_source_seen_through_a_linked_directory_survives_even_when_it_changed(tmp_path: Path, symlink: bool) -> None:
    context, sent = local(tmp_path, symlink=symlink), item(tmp_path, "t/a")
    (tmp_path / "scratch/s/t").symlink_to(tmp_path / "proj/runs/t")
    context.put([Item(sent.source, sent.target, 4, "0" * 64)], True)
    assert not Path(sent.source).is_symlink()
    assert Path(sent.source).read_bytes() == b"data"


def test_results_that_need_not_travel_are_not_read(tmp_path: Path) -> None:
    context, sent = local(tmp_path), item(tmp_path, "t/a")
    context.put([sent], True)
    assert context.get([Item("t/a", "t/a", 4)]) == [Item("t/a", "t/a", 4, "")]


def test_lazy_local_wants_its_files(tmp_path: Path) -> None:
    context = lazy(tmp_path)
    with pytest.raises(InputMissing, match=r"runs/t/a is not there"):
        context.put([Item(str(tmp_path / "runs/t/a"), "t/a", 1)], True)


def test_lazy_local_leaves_the_journal(tmp_path: Path) -> None:
    context = lazy(tmp_path)
    journal = tmp_path / "runs/.dispatcher/s/journal"
    journal.write_bytes(b"")
    context.remove()
    assert sorted(path.name for path in journal.parent.iterdir()) == ["journal"]
    journal.unlink()
    lazy(tmp_path).remove()
    assert list((tmp_path / "runs").iterdir()) == []


def test_remove_never_follows_a_link(tmp_path: Path) -> None:
    context = local(tmp_path)
    root = tmp_path / "scratch/s"
    root.rename(tmp_path / "moved")
    root.symlink_to(tmp_path / "moved")
    context.remove()
    assert (tmp_path / "moved/.dispatcher").is_dir()


def test_what_cannot_be_removed_is_left_quietly() -> None:
    was = os.geteuid()
    with tempfile.TemporaryDirectory() as top:
        Path(top).chmod(0o777)
        try:
            if was == 0:
                os.seteuid(65534)  # root may remove everything
            stored, gone = Path(top, "d/kept"), Path(top, "d/gone")
            stored.mkdir(parents=True)
            gone.mkdir()
            (stored / ".nfs0001").touch()
            stored.chmod(0o500)
            remove_tree(Path(top, "d"))
            assert [path.name for path in Path(top, "d").iterdir()] == ["kept"]
            stored.chmod(0o700)
            remove_tree(Path(top, "d"))
            assert not Path(top, "d").exists()
        finally:
            os.seteuid(was)


def test_parents_of_the_remote_root_are_made_when_that_is_asked_for(tmp_path: Path) -> None:
    machine = MachineSpec("Shell", "Local", str(tmp_path / "proj"), str(tmp_path / "a/b/c"))
    with pytest.raises(ConfigError, match=r"machine/remote_root: .*there is no directory .*/a/b; .*create_remote_root"):
        LocalConnection.open(machine, {}, "s", "runs")
    assert not (tmp_path / "a").exists()
    asked = msgspec.structs.replace(machine, create_remote_root=True)
    assert Path(LocalConnection.open(asked, {}, "s", "runs").place.remote_root).is_dir()


def test_a_home_is_expanded_alike_in_each_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert lazy(Path("/elsewhere"), "~/runs").place.remote_root == f"{tmp_path}/runs"
    assert lazy(Path("~/proj")).place.remote_root == f"{tmp_path}/proj/runs"
