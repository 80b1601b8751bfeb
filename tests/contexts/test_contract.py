"""What every context promises; `site` is each place in turn, `apart` each whose R is not the local side."""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dispatcher.core.errors import InputMissing, Purged, TransferFailed, Unreachable
from dispatcher.core.ports import PURGED, FileEntry, Item, Reply, ShellText
from dispatcher.core.possession import Possession
from dispatcher.files.local import digest

if TYPE_CHECKING:
    from .conftest import Site

ODD = ["a b", "it's", 'say "hi"', "two\nlines", "-rf", "ünï→", "$HOME", "`id`", "*", "a[1]", "semi;colon", ".hidden"]


def snapshot(top: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of everything below a directory but what is ours: what a transfer would change."""
    paths = [path for path in sorted(top.rglob("*")) if ".dispatcher" not in path.parts]
    return {str(path): (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in paths}


# ask


def test_ask_runs_in_r_and_tells_code_out_and_err(site: Site) -> None:
    reply = site.context.run(ShellText("pwd -P; echo oops >&2; exit 7"))
    assert (reply.code, reply.out, reply.err) == (7, f"{site.root.resolve()}\n", "oops\n")


@pytest.mark.parametrize("text", ["", "true", "true # comment", "exit 0\n", "\n\n:"])
def test_ask_takes_any_text(site: Site, text: str) -> None:
    assert site.context.run(ShellText(text)).code == 0


def test_here_documents_arrive_as_they_are(site: Site) -> None:
    body = "}\n{ $HOME 'x'\n" * 2000
    reply = site.context.run(ShellText(f"cat > 'a b' <<'END'\n{body}END\nwc -c < 'a b'"))
    assert reply.out.strip() == str(len(body))
    assert (site.root / "a b").read_text() == body


def test_commands_do_not_eat_the_text(site: Site) -> None:
    assert site.context.run(ShellText("cat; read x; echo after")).out == "after\n"


def test_output_that_is_no_utf8_is_readable(site: Site) -> None:
    assert site.context.run(ShellText(r"printf 'a\377b'")).out == "a\ufffdb"


def test_syntax_error_runs_nothing(site: Site) -> None:
    reply = site.context.run(ShellText("touch ran\nif true; then"))
    assert reply.code not in (0, 255)
    assert not (site.root / "ran").exists()


def test_killed_shell_has_no_trustworthy_code(site: Site) -> None:
    code = site.context.run(ShellText("kill -9 $$")).code
    assert code < 0 or code == 255


def test_a_root_that_was_removed_is_told_from_a_line_that_is_down(apart: Site) -> None:
    shutil.rmtree(apart.root)
    try:
        reply = apart.context.run(ShellText("true"))
    except Purged as purged:
        reply = Reply(PURGED, err=str(purged))
    assert (reply.code, str(apart.root) in reply.err) == (PURGED, True)
    apart.again().close()
    assert apart.context.run(ShellText("true")).code == 0


def test_time_out_is_unreachable_and_names_the_command(site: Site) -> None:
    begin = time.monotonic()
    with pytest.raises(Unreachable, match=r"sleep 60 # squeue"):
        site.context.run(ShellText("\nsleep 60 # squeue\necho done", timeout=0.7))
    assert time.monotonic() - begin < 15
    assert site.context.run(ShellText("echo alive")).out == "alive\n"


def test_background_child_that_keeps_the_output_does_not_hang_us(site: Site) -> None:
    begin = time.monotonic()
    reply = site.context.run(ShellText("sleep 30 & echo $!", timeout=25))
    assert time.monotonic() - begin < 15
    assert (reply.code, reply.out.strip().isdigit()) == (0, True)
    site.context.run(ShellText(f"kill {reply.out.strip()}"))


def test_large_output_and_large_text(site: Site) -> None:
    noise = "\n".join(f": {'x' * 90} {n}" for n in range(20000))
    reply = site.context.run(ShellText(f"{noise}\nhead -c 3000000 /dev/zero | tr '\\0' y"))
    assert reply.out == "y" * 3_000_000


# where things are


def test_directories_are_made_and_ours_are_private(site: Site) -> None:
    assert Path(site.context.place.local) == site.local
    assert site.home == site.root / ".dispatcher" / ("5f1c" * 10) / "jobs"
    for ours in (site.home, site.home.parent, site.home.parent.parent):
        assert stat.S_IMODE(ours.stat().st_mode) == 0o700
    site.again().close()


# own


def test_the_first_record_stays(site: Site) -> None:
    mine = """{"owner":"a 'b' $HOME"}"""
    assert site.context.own("") == Possession("")
    assert site.context.own(mine).record == mine
    (site.home / "dn1.sub").touch()
    assert site.again().own("another") == Possession(mine, ("dn1.sub",))
    site.context.remove()
    assert site.again().own("") == Possession("")


# put


def test_files_directories_and_globs_arrive(site: Site) -> None:
    for path in ("t1/in.dat", "t1/x1.inp", "t1/x2.inp", "t1/.dot.inp", "t1/deep/er/f", "t1/deep/.keep", "pot.json"):
        site.write(path, path.encode())
    (site.local / "t1/empty/inner").mkdir(parents=True)
    site.send("in.dat", "*.inp", "deep", "empty", common=("pot.json",))
    for path in ("t1/in.dat", "t1/x1.inp", "t1/x2.inp", "t1/deep/er/f", "t1/deep/.keep", "pot.json"):
        assert (site.root / path).read_bytes() == path.encode()
    assert (site.root / "t1/empty/inner").is_dir()


def test_only_what_is_named_arrives(apart: Site) -> None:
    for path in ("t1/in.dat", "t1/other", "t1/.dot", "t1/.dispatcher/journal"):
        apart.write(path)
    apart.send("i*", "*.dat")
    assert [path.name for path in (apart.root / "t1").iterdir()] == ["in.dat"]


def test_whole_directory_without_our_own_files(apart: Site) -> None:
    for path in ("t1/in.dat", "t1/.dot", "t1/.dispatcher/journal", "t1/.dispatcher-1234.tmp"):
        apart.write(path)
    apart.send(".")
    assert sorted(path.name for path in (apart.root / "t1").iterdir()) == [".dot", "in.dat"]


def test_task_directory_is_made_even_when_nothing_is_sent(site: Site) -> None:
    site.send(task="t 'x/ü")
    assert (site.root / "t 'x/ü").is_dir()


@pytest.mark.parametrize("name", ODD)
def test_odd_names_travel_both_ways(site: Site, name: str) -> None:
    site.write(f"dir {name}/{name}", b"in")
    site.write(f"dir {name}/{name}.d/{name}", b"below")
    site.send(name, f"{name}.d", task=f"dir {name}")
    there = site.root / f"dir {name}"
    assert ((there / name).read_bytes(), (there / f"{name}.d" / name).read_bytes()) == (b"in", b"below")
    assert (
        site.context.run(ShellText(f"cd {shlex.quote(f'dir {name}')} && echo out > ./{shlex.quote(name + 'out')}")).code
        == 0
    )
    items, missing = site.fetch(f"{name}out", task=f"dir {name}")
    assert ([item.target for item in items], missing) == ([f"dir {name}/{name}out"], [])
    assert (site.local / f"dir {name}" / f"{name}out").read_bytes() == b"out\n"


def test_links_are_followed(apart: Site) -> None:
    apart.write("shared/big.dat", b"big")
    (apart.local / "t1").mkdir()
    (apart.local / "t1/data").symlink_to("../shared")
    (apart.local / "t1/one").symlink_to("../shared/big.dat")
    (apart.local / "shared/loop").symlink_to("..")
    apart.send("data", "one")
    assert (apart.root / "t1/data/big.dat").read_bytes() == b"big"
    assert (apart.root / "t1/one").read_bytes() == b"big"
    assert not (apart.root / "t1/data").is_symlink()


def test_missing_forward_file_is_named_with_its_task(site: Site) -> None:
    site.write("t1/in.dat")
    (site.local / "t1/broken").symlink_to("nowhere")
    with pytest.raises(InputMissing, match=r"(?s)2 forward file.*t1/no\*\.dat .*task 0: true.*t1/broken"):
        site.send("in.dat", "no*.dat", "broken")


def test_source_that_vanished_is_named(site: Site) -> None:
    path = site.write("t1/in.dat")
    items = site.items(site.spec_of("in.dat"))
    path.unlink()
    with pytest.raises(InputMissing, match=r"t1/in\.dat"):
        site.context.put(items, True)


def test_sending_again_sends_nothing(apart: Site) -> None:
    for path in ("t1/a", "t1/d/b", "t1/e/.c"):
        apart.write(path, path.encode())
    items = apart.send("a", "d", "e")
    before = snapshot(apart.root)
    apart.again().put(items, True)
    apart.again().put(items, False)
    assert snapshot(apart.root) == before


def test_changed_input_is_sent_again_only_with_replace(apart: Site) -> None:
    apart.write("t1/a", b"old")
    apart.send("a")
    (apart.root / "t1/a").unlink()
    (apart.root / "t1/a").write_bytes(b"by the task")
    apart.send("a", replace=False)
    assert (apart.root / "t1/a").read_bytes() == b"by the task"
    apart.send("a", replace=True)
    assert (apart.root / "t1/a").read_bytes() == b"old"
    assert (apart.local / "t1/a").read_bytes() == b"old"


def test_same_size_other_content_is_sent(apart: Site) -> None:
    apart.write("t1/a", b"new")
    (apart.root / "t1").mkdir()
    (apart.root / "t1/a").write_bytes(b"old")
    apart.send("a")
    assert (apart.root / "t1/a").read_bytes() == b"new"


@pytest.mark.parametrize("replace", [True, False])
def test_broken_link_in_the_way_is_replaced(apart: Site, replace: bool) -> None:
    apart.write("t1/a", b"new")
    (apart.root / "t1").mkdir()
    (apart.root / "t1/a").symlink_to("nowhere")
    apart.send("a", replace=replace)
    assert (apart.root / "t1/a").read_bytes() == b"new"


@pytest.mark.parametrize("replace", [True, False])
def test_directory_in_the_way_of_a_file_is_never_removed(apart: Site, replace: bool) -> None:
    apart.write("t1/a")
    (apart.root / "t1/a").mkdir(parents=True)
    (apart.root / "t1/a/result").write_bytes(b"precious")
    with pytest.raises(TransferFailed, match=r"t1/a: .*directory"):
        apart.send("a", replace=replace)
    assert (apart.root / "t1/a/result").read_bytes() == b"precious"


def test_file_in_the_way_of_a_directory(apart: Site) -> None:
    apart.write("t1/a/b")
    (apart.root / "t1").mkdir()
    (apart.root / "t1/a").write_bytes(b"file")
    with pytest.raises(TransferFailed, match=r"t1/a"):
        apart.send("a")
    assert (apart.root / "t1/a").read_bytes() == b"file"


def test_linked_directory_to_the_source_is_not_written_through(apart: Site) -> None:
    apart.write("t1/d/a", b"source")
    (apart.root / "t1").mkdir()
    (apart.root / "t1/d").symlink_to(apart.local / "t1/d")
    apart.send("d")
    assert (apart.local / "t1/d/a").read_bytes() == b"source"
    assert not (apart.local / "t1/d/a").is_symlink()


def test_sending_leaves_no_remains(apart: Site) -> None:
    for n in range(20):
        apart.write(f"t1/{n}", b"x" * n)
    apart.send("*")
    assert sorted(path.name for path in (apart.root / "t1").iterdir()) == sorted(map(str, range(20)))


# tree


def test_tree_lists_files_directories_and_nothing_for_what_is_missing(site: Site) -> None:
    top = site.root / "t1"
    (top / "d/empty").mkdir(parents=True)
    (top / "d/f").write_bytes(b"12345")
    (top / "d/.h").write_bytes(b"")
    (top / "broken").symlink_to("nowhere")
    (top / "d/again").symlink_to("..")
    os.mkfifo(top / "pipe")
    listed = site.context.tree(["t1/d", "t1/d/f", "t1/broken", "t1/none", "t1/d/f/below", "t1/pipe"])
    assert set(listed) == {FileEntry("t1/d/f", 5), FileEntry("t1/d/.h", 0), FileEntry("t1/d/empty", -1)}


def test_tree_of_everything_leaves_out_what_is_ours(site: Site) -> None:
    (site.home / "script").write_bytes(b"")
    (site.root / "result").write_bytes(b"1")
    assert site.context.tree([""]) == [FileEntry("result", 1)]
    ours = str(site.home.relative_to(site.root))
    assert site.context.tree([ours]) == [FileEntry(f"{ours}/script", 0)]


# get


def test_results_come_back_with_size_digest_mode_and_time(apart: Site) -> None:
    apart.send()
    script = (
        "umask 022; mkdir -p t1/d/empty; printf 12345 > t1/out; chmod 754 t1/out; echo x > t1/d/.f; echo c > common"
    )
    assert apart.context.run(ShellText(f"{script}; touch -d '2001-02-03 04:05:06 UTC' t1/out")).code == 0
    items, missing = apart.fetch("o*", "d", "no*", back=("comm?n",))
    assert missing == ["t1/no*"]
    assert {(item.target, item.size) for item in items} == {
        *{("t1/out", 5), ("t1/d/.f", 2), ("common", 2)},
        ("t1/d/empty", -1),
    }
    out = apart.local / "t1/out"
    assert next(item for item in items if item.target == "t1/out").digest == digest(out)
    assert (stat.S_IMODE(out.stat().st_mode), int(out.stat().st_mtime)) == (0o754, 981173106)
    assert (apart.local / "t1/d/empty").is_dir()
    assert (apart.local / "common").read_bytes() == b"c\n"


def test_results_stay_where_they_are_when_r_is_the_near_side(site: Site) -> None:
    site.send()
    site.context.run(ShellText("echo out > t1/out"))
    first, _ = site.fetch("out")
    before = snapshot(site.local)
    again, _ = site.fetch("out")
    assert snapshot(site.local) == before
    assert (
        [(item.target, item.size) for item in first] == [(item.target, item.size) for item in again] == [("t1/out", 4)]
    )


def test_input_named_as_result_keeps_its_bytes(site: Site) -> None:
    path = site.write("t1/in.dat", b"input")
    site.send("in.dat")
    items, _ = site.fetch("in.dat")
    assert [(item.target, item.size) for item in items] == [("t1/in.dat", 5)]
    assert not path.is_symlink()
    assert path.read_bytes() == b"input"


def test_result_replaces_the_file_of_an_earlier_run(apart: Site) -> None:
    apart.write("t1/out", b"old and long")
    (apart.local / "t1/other").write_bytes(b"mine")
    apart.send()
    apart.context.run(ShellText("echo new > t1/out"))
    apart.fetch("out")
    assert (apart.local / "t1/out").read_bytes() == b"new\n"
    assert sorted(path.name for path in (apart.local / "t1").iterdir()) == ["other", "out"]


def test_links_among_the_results_become_files(apart: Site) -> None:
    apart.send()
    apart.context.run(ShellText("echo 3 > t1/step3; ln -s step3 t1/last; ln -s nowhere t1/dangling; ln -s . t1/self"))
    items, missing = apart.fetch("*")
    assert ({item.target for item in items}, missing) == ({"t1/step3", "t1/last"}, [])
    assert not (apart.local / "t1/last").is_symlink()
    assert (apart.local / "t1/last").read_bytes() == b"3\n"


def test_directory_on_the_near_side_is_never_removed_by_a_result(apart: Site) -> None:
    apart.write("t1/out/mine", b"precious")
    apart.send()
    apart.context.run(ShellText("echo x > t1/out"))
    with pytest.raises(TransferFailed, match=r"t1/out: .*directory"):
        apart.fetch("out")
    assert (apart.local / "t1/out/mine").read_bytes() == b"precious"


def test_directories_are_merged(apart: Site) -> None:
    apart.write("t1/d/mine", b"mine")
    apart.send()
    apart.context.run(ShellText("mkdir -p t1/d; echo x > t1/d/theirs"))
    apart.fetch("d")
    assert sorted(path.name for path in (apart.local / "t1/d").iterdir()) == ["mine", "theirs"]


def test_result_that_is_not_what_was_listed_is_refused(apart: Site) -> None:
    apart.send()
    apart.context.run(ShellText("echo x > t1/out"))
    with pytest.raises(TransferFailed, match=r"out"):
        apart.context.get([Item("t1/out", "t1/out", 2, "0" * 64)])
    with pytest.raises(TransferFailed, match=r"gone"):
        apart.context.get([Item("t1/gone", "t1/gone", 2)])
    assert list((apart.local / "t1").iterdir() if (apart.local / "t1").exists() else []) == []


# remove


def test_remove_takes_what_is_ours_and_leaves_what_is_not(site: Site) -> None:
    site.write("t1/in.dat")
    site.send("in.dat")
    (site.home / "script").write_bytes(b"")
    foreign = site.local.parent / "foreign"
    foreign.mkdir()
    (foreign / "file").write_bytes(b"")
    (site.home / "link").symlink_to(foreign)
    site.context.remove()
    assert not site.home.exists()
    assert (foreign / "file").exists()
    assert (site.local / "t1/in.dat").read_bytes() == b"data"
    site.context.remove()


def test_remove_leaves_other_submissions(apart: Site) -> None:
    other = apart.root.parent / "other"
    other.mkdir()
    apart.context.remove()
    assert not apart.root.exists()
    assert other.is_dir()


# bytes and memory


def test_large_files_travel_in_flat_memory(tmp_path: Path) -> None:
    # a process of its own: the peak of this one was reached long ago
    script = """
import resource, sys
from pathlib import Path
from dispatcher.contexts.local.local import LocalConnection
from dispatcher.core.model import MachineSpec
from dispatcher.core.ports import Item
top = Path(sys.argv[1])
with open(top / "big", "wb") as file: file.truncate(192 << 20)
machine = MachineSpec("Shell", "Local", str(top), str(top / "there"))
context = LocalConnection.open(machine, {"symlink": False}, "s", ".")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
context.put([Item(str(top / "big"), "big", 192 << 20)], True)
(top / "big").unlink()
print(context.get([Item("big", "big", 192 << 20)])[0].size)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    import sys

    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    size, grown = map(int, done.stdout.split())
    assert size == 192 << 20
    assert grown < 16 << 10, f"{grown} KiB"
